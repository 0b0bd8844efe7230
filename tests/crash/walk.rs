//! One act in a lane: from its base, struck or not, to what the world is after it.

use crate::act::{ACTS, Act, Base};
use crate::kubectl;
use crate::lane::{CHECKOUT, Database, Lane, Operator};
use crate::state::State;
use crate::visit::Visit;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A run that has not ended by then hangs.
const ENDS_WITHIN: &str = "--timeout=300s";

/// A lane that acts are walked in.
pub(crate) struct Walker {
    lane: Lane,
    upgraded: bool,
}

impl Walker {
    /// A lane of this number, its database kept as the base of act 1.
    pub(crate) fn set_up(number: usize) -> Self {
        let lane = Lane::set_up(&format!("crash-{number}"));
        keep_as(&lane.database, "base_new");
        Self { lane, upgraded: false }
    }

    /// Walks one act from its base to its end. `Err`: it did not end, or could not be read.
    pub(crate) fn walk(&mut self, act: &Act, visit: Option<&Visit>) -> Result<State, String> {
        if act.base == Base::Upgraded && !self.upgraded {
            let first = &ACTS[0];
            self.walk(first, None).map_err(|why| format!("{}, to have its base: {why}", first.name))?;
            keep_as(&self.lane.database, "base_upgraded");
            self.upgraded = true;
        }
        self.reset(act.base);
        let fault = visit.map(|visit| format!("{}@{}", visit.mode, visit.point));
        let operator = Operator::start(&self.lane.settings, fault.as_deref());
        let ended = self.play(act);
        drop(operator);
        ended?;
        Ok(self.state())
    }

    fn play(&self, act: &Act) -> Result<(), String> {
        let plan = |arguments: &[&str]| {
            self.lane.try_kubectl(arguments).map_err(|said| format!("{said}; {}", self.says()))
        };
        self.lane.apply(&self.lane.demo("target.yaml"));
        plan(&["wait", "--for=condition=Ready", "dbt/shop", "--timeout=60s"])?;
        self.lane.apply(&self.lane.demo(act.file));
        plan(&["wait", "--for=condition=Finished", "mplan/platform", ENDS_WITHIN])?;
        if act.accepts_loss {
            plan(&["wait", "--for=jsonpath={.status.phase}=Held", "mplan/platform", "--timeout=30s"])?;
            let me = kubectl::run(&["auth", "whoami", "--output=jsonpath={.status.userInfo.username}"]);
            let run = self.lane.get("mplan/platform", "{.status.run.number}");
            let accepted = format!(
                "whimbrel.dev/override.data-loss={run} until=2999-01-01T00:00:00Z why=crash test by {me}"
            );
            plan(&["annotate", "mplan/platform", "--overwrite", &accepted])?;
            plan(&["wait", "--for=jsonpath={.status.phase}=RolledBack", "mplan/platform", ENDS_WITHIN])?;
        }
        Ok(())
    }

    /// The plan's own words, for a failure.
    fn says(&self) -> String {
        let words = "--output=jsonpath={.status.phase}: {.status.message}";
        let said = self.lane.try_kubectl(&["get", "mplan/platform", words]);
        format!("the plan says {:?}", said.unwrap_or_else(|error| error))
    }

    /// The names of the points that the operator passed, in order.
    pub(crate) fn points(&self) -> Vec<String> {
        let text = fs::read_to_string(self.lane.settings.notes().join("points")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The point that was struck, if the run came to it.
    pub(crate) fn struck(&self) -> Option<String> {
        let struck = self.lane.settings.notes().join("struck");
        fs::read_to_string(struck).ok().map(|text| text.trim().to_owned())
    }

    /// Back to what an act starts from. No operator runs.
    fn reset(&self, base: Base) {
        self.forget_plans();
        let copy = match base {
            Base::New => "base_new",
            Base::Upgraded => "base_upgraded",
        };
        self.lane.database.sql("postgres", "DROP DATABASE shop WITH (FORCE)");
        self.lane.database.sql("postgres", &format!("CREATE DATABASE shop TEMPLATE {copy}"));
        let file = self.platform(base);
        let flags =
            file.split("---").find(|part| part.contains("name: feature-flags")).expect("the demo's flags");
        kubectl::run_with(&["replace", "--filename=-"], flags);
        self.lane.apply(&file);
        self.lane.wait_for_deployments();
    }

    /// Removes plans, runs and targets, whoever still holds them, and the claims. No operator runs.
    fn forget_plans(&self) {
        let kinds = "mplan,mrun,dbt";
        for object in self.lane.kubectl(&["get", kinds, "--output=name"]).lines() {
            let free = r#"--patch={"metadata":{"finalizers":null}}"#;
            // Gone meanwhile is as good.
            let _ = self.lane.try_kubectl(&["patch", object, "--type=merge", free]);
        }
        self.lane.kubectl(&["delete", kinds, "--all", "--timeout=60s"]);
        kubectl::run(&["--namespace", &self.lane.settings.namespace, "delete", "lease", "--all"]);
    }

    fn platform(&self, base: Base) -> String {
        let file = self.lane.demo("platform.yaml");
        match base {
            Base::New => file,
            Base::Upgraded => file
                .replace("demo-app:1.0", "demo-app:2.0")
                .replace(r#"new_spaces: "false""#, r#"new_spaces: "true", release: "2026.11.0""#),
        }
    }

    /// All that must be as in the undisturbed run.
    fn state(&self) -> State {
        let (lane, database) = (&self.lane, &self.lane.database);
        // The way back waits for nobody's pods: who rolled back has given replicas and images back, and that is all.
        lane.wait_for_deployments();
        let mut facts = BTreeMap::from([
            ("dump".to_owned(), database.dump()),
            ("history".to_owned(), database.sql("shop", HISTORY)),
            ("journal".to_owned(), database.sql("shop", JOURNAL)),
            ("fence".to_owned(), database.sql("shop", "SELECT claimed, entry IS NULL FROM whimbrel.fence")),
            ("flags".to_owned(), lane.get("configmap/feature-flags", "{.data}")),
            ("cronjob".to_owned(), workload(&lane.name, "cronjob/nightly-sync", "{.spec.suspend}")),
            ("leases".to_owned(), self.holders()),
        ]);
        for (namespace, deployment) in lane.deployments() {
            let shown = "{.spec.replicas} {.status.readyReplicas} {.spec.template.spec.containers[*].image}";
            let topic = deployment.replace(&lane.name, "aether");
            facts.insert(topic, workload(&namespace, &deployment, shown));
        }
        let reason = lane.get("mplan/platform", r#"{.status.conditions[?(@.type=="Finished")].reason}"#);
        State { reason, facts }
    }

    /// Who still holds a target.
    fn holders(&self) -> String {
        let path = "--output=jsonpath={range .items[*]}{.metadata.name}={.spec.holderIdentity} {end}";
        let leases = kubectl::run(&["--namespace", &self.lane.settings.namespace, "get", "leases", path]);
        let held =
            leases.split_whitespace().filter(|lease| lease.starts_with("wb-") && !lease.ends_with('='));
        held.collect::<Vec<_>>().join(" ")
    }

    /// Keeps what explains a violation, and makes the lane fit for the next visit; the folder's path.
    pub(crate) fn keep(&self, visit: &Visit) -> String {
        let folder = Path::new(CHECKOUT).join("target/crash").join(visit.to_string().replace(' ', "-"));
        fs::create_dir_all(&folder).expect("the target folder can be written");
        let settings = &self.lane.settings;
        for (name, from) in [("operator.log", settings.log()), ("points", settings.notes().join("points"))] {
            // What is not there explains nothing.
            let _ = fs::copy(from, folder.join(name));
        }
        for (name, what, form) in [
            ("records.yaml", "mplan,mrun,dbt", "--output=yaml"),
            ("workloads.yaml", "deployments,cronjobs,jobs,pods,configmaps", "--output=yaml"),
            ("events.txt", "events", "--output=wide"),
        ] {
            let shown = self.lane.try_kubectl(&["get", what, form]).unwrap_or_else(|said| said);
            fs::write(folder.join(name), shown).expect("the target folder can be written");
        }
        self.scrub();
        folder.display().to_string()
    }

    /// Takes away what a run left on the workloads.
    fn scrub(&self) {
        for namespace in [self.lane.name.clone(), format!("{}-be", self.lane.name)] {
            for what in ["deployments", "cronjobs"] {
                let here = ["--namespace", &namespace];
                let notes = ["annotate", what, "--all", "whimbrel.dev/claimed-by-", "whimbrel.dev/original-"];
                kubectl::attempt(&[&here[..], &notes].concat(), "");
                kubectl::attempt(
                    &[&here[..], &["label", what, "--all", "whimbrel.dev/claimed-"]].concat(),
                    "",
                );
            }
        }
        self.lane.kubectl(&["patch", "cronjob/nightly-sync", r#"--patch={"spec":{"suspend":false}}"#]);
    }
}

/// Makes a copy of the database that nobody can enter.
fn keep_as(database: &Database, copy: &str) {
    let sql = |statement: &str| database.sql("postgres", statement);
    sql("ALTER DATABASE shop ALLOW_CONNECTIONS false");
    sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'shop'");
    sql(&format!("CREATE DATABASE {copy} TEMPLATE shop ALLOW_CONNECTIONS false"));
    sql("ALTER DATABASE shop ALLOW_CONNECTIONS true");
}

const HISTORY: &str =
    "SELECT history, rank, key, kind, version, description, file, checksum, undone_at IS NOT NULL
    FROM whimbrel.history ORDER BY history, rank";
const JOURNAL: &str =
    "SELECT history, rank, key, state, statement, checksum FROM whimbrel.journal ORDER BY id";

/// A workload, and what of ours is on it.
fn workload(namespace: &str, name: &str, path: &str) -> String {
    let shown = format!("--output=jsonpath={path}{{\"\\n\"}}{{.metadata.labels}}{{.metadata.annotations}}");
    let text = kubectl::run(&["--namespace", namespace, "get", name, &shown]);
    let ours: Vec<&str> = text
        .match_indices("whimbrel.dev/")
        .map(|(at, _)| text[at..].split('"').next().unwrap_or_default())
        .collect();
    format!("{} {ours:?}", text.lines().next().unwrap_or_default())
}
