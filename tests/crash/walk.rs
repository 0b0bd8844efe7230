//! One act in a lane: from its base, struck or not, to what the world is after it.

use crate::act::{ACTS, Act, Base, Then};
use crate::cluster::{Objects, apply, is_rolled_out, objects};
use crate::kubectl;
use crate::lane::{CHECKOUT, Database, Lane, Operator};
use crate::spent::{Part, Spent};
use crate::state::State;
use crate::visit::Visit;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A run that has not ended by then hangs.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// How long everything else may take.
const DONE_WITHIN: Duration = Duration::from_secs(120);

const PLAN: &str = "platform";

/// A lane that acts are walked in.
pub(crate) struct Walker {
    lane: Lane,
    /// How the platform looks at the base of an act, once it was brought there.
    bases: BTreeMap<Base, BTreeMap<String, String>>,
    upgraded: bool,
    /// Who gives the verbs.
    me: String,
    /// Where the time went.
    pub(crate) spent: Spent,
}

impl Walker {
    /// A lane of this number, its database kept as the base of act 1.
    pub(crate) fn set_up(number: usize) -> Self {
        let lane = Lane::set_up(&format!("crash-{number}"));
        keep_as(&lane.database, "base_new");
        // Act 3 has two halves and one file of scripts; here either half may be the first.
        for act in ACTS {
            apply(&lane.demo(act.file), |kind| kind == "ConfigMap");
        }
        let me = kubectl::run(&["auth", "whoami", "--output=jsonpath={.status.userInfo.username}"]);
        Self { lane, bases: BTreeMap::new(), upgraded: false, me, spent: Spent::default() }
    }

    /// Walks one act from its base to its end. `Err`: it did not end, or could not be read.
    pub(crate) fn walk(&mut self, act: &Act, visit: Option<&Visit>) -> Result<State, String> {
        if act.base == Base::Upgraded && !self.upgraded {
            let first = &ACTS[0];
            self.walk(first, None).map_err(|why| format!("{}, to have its base: {why}", first.name))?;
        }
        self.spent.begin();
        self.reset(act.base)?;
        self.spent.end(Part::Reset);
        let fault = visit.map(|visit| format!("{}@{}", visit.mode, visit.point));
        let operator = Operator::start(&self.lane.settings, fault.as_deref());
        let ended = self.play(act);
        drop(operator);
        self.spent.end(Part::Stop);
        ended?;
        let state = self.state()?;
        self.spent.end(Part::State);
        if visit.is_none() && act.name == ACTS[0].name && !self.upgraded {
            keep_as(&self.lane.database, "base_upgraded");
            self.upgraded = true;
        }
        Ok(state)
    }

    fn play(&mut self, act: &Act) -> Result<(), String> {
        apply(&self.lane.demo("target.yaml"), |_| true);
        let ready = |target: &Value| has(target, "Ready", "True");
        self.until("DatabaseTarget", "shop", DONE_WITHIN, ready)?;
        self.spent.end(Part::Start);
        apply(&act.hastened(&self.lane.demo(act.file)), |_| true);
        self.until("MigrationPlan", PLAN, ENDS_WITHIN, |plan| has(plan, "Finished", "True"))?;
        match act.then {
            Then::Nothing => {}
            Then::AcceptsLoss => {
                self.until("MigrationPlan", PLAN, DONE_WITHIN, phase("Held"))?;
                let accepted =
                    format!("{} until=2999-01-01T00:00:00Z why=crash test by {}", self.run(), self.me);
                self.say("override.data-loss", &accepted);
                self.until("MigrationPlan", PLAN, ENDS_WITHIN, phase("RolledBack"))?;
            }
            Then::RollsBack => {
                self.until("MigrationPlan", PLAN, DONE_WITHIN, phase("Succeeded"))?;
                self.say("rollback", &format!("{} by {}", self.run(), self.me));
                self.until("MigrationPlan", PLAN, ENDS_WITHIN, phase("RolledBack"))?;
            }
        }
        self.spent.end(Part::Act);
        Ok(())
    }

    /// The number of the plan's newest run.
    fn run(&self) -> Value {
        self.objects("MigrationPlan").get(PLAN)["status"]["run"]["number"].clone()
    }

    /// Gives a verb.
    fn say(&self, verb: &str, value: &str) {
        let annotations = json!({ format!("whimbrel.dev/{verb}"): value });
        self.objects("MigrationPlan").merge(PLAN, &json!({"metadata": {"annotations": annotations}}));
    }

    /// Watches an object of the plan's namespace until it is so; the error says how it was in the end.
    fn until(
        &self,
        kind: &str,
        name: &str,
        within: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<(), String> {
        let waited = self.objects(kind).until(name, within, is_so);
        waited.map_err(|last| {
            let status = &last["status"];
            format!(
                "after {} s {kind} {name} says {}: {}",
                within.as_secs(),
                status["phase"],
                status["message"]
            )
        })
    }

    fn objects(&self, kind: &str) -> Objects {
        objects(kind, &self.lane.name)
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
    fn reset(&mut self, base: Base) -> Result<(), String> {
        self.forget_plans();
        let copy = match base {
            Base::New => "base_new",
            Base::Upgraded => "base_upgraded",
        };
        let again = format!("CREATE DATABASE shop TEMPLATE {copy}");
        let aside = self.asides();
        let drops = aside.lines().map(|name| format!("DROP DATABASE \"{name}\""));
        let all: Vec<String> = drops.chain(["DROP DATABASE shop WITH (FORCE)".to_owned(), again]).collect();
        self.lane.database.sql("postgres", &all.iter().map(String::as_str).collect::<Vec<_>>());
        // What came back by itself is left alone: applying it again and waiting for it would only cost time.
        if self.bases.get(&base).is_some_and(|base| *base == self.platform()) {
            return Ok(());
        }
        let file = self.platform_file(base);
        let flags =
            file.split("---").find(|part| part.contains("name: feature-flags")).expect("the demo's flags");
        kubectl::run_with(&["replace", "--filename=-"], flags);
        self.lane.apply(&file);
        self.wait_for_deployments()?;
        self.bases.insert(base, self.platform());
        Ok(())
    }

    /// Removes plans, runs and targets, whoever still holds them, and the claims. No operator runs.
    fn forget_plans(&self) {
        for kind in ["MigrationPlan", "MigrationRun", "DatabaseTarget"] {
            self.objects(kind).remove_all();
        }
        objects("Lease", &self.lane.settings.namespace).remove_all();
    }

    fn platform_file(&self, base: Base) -> String {
        let file = self.lane.demo("platform.yaml");
        match base {
            Base::New => file,
            Base::Upgraded => file
                .replace("demo-app:1.0", "demo-app:2.0")
                .replace(r#"new_spaces: "false""#, r#"new_spaces: "true", release: "2026.11.0""#),
        }
    }

    /// The databases that were put aside for a copy of them, and copies that were not needed.
    fn asides(&self) -> String {
        let query = r"SELECT datname FROM pg_database WHERE datname LIKE 'wb\_%' ORDER BY 1";
        self.lane.database.sql("postgres", &[query])
    }

    /// All that must be as in the undisturbed run.
    fn state(&self) -> Result<State, String> {
        let database = &self.lane.database;
        // The way back waits for nobody's pods: who rolled back has given replicas and images back, and that is all.
        self.wait_for_deployments()?;
        let asked = [HISTORY, r"\echo --", JOURNAL, r"\echo --", FENCE];
        let records = database.sql("shop", &asked);
        let mut facts = self.platform();
        facts.insert("dump".to_owned(), database.dump());
        facts.insert("aside".to_owned(), self.asides());
        for (topic, text) in ["history", "journal", "fence"].into_iter().zip(records.split("--\n")) {
            facts.insert(topic.to_owned(), text.to_owned());
        }
        facts.insert("leases".to_owned(), self.holders());
        facts.insert("jobs".to_owned(), self.active_jobs());
        let plan = self.objects("MigrationPlan").get(PLAN);
        let finished = condition(&plan, "Finished").cloned().unwrap_or_default();
        Ok(State { reason: finished["reason"].as_str().unwrap_or_default().to_owned(), facts })
    }

    /// The workloads and the flags, and what of ours is on them.
    fn platform(&self) -> BTreeMap<String, String> {
        let lane = &self.lane;
        let mut facts = BTreeMap::new();
        for (namespace, name) in lane.deployments() {
            let found = objects("Deployment", &namespace).get(&name);
            // Whether it is ready was waited for; on a busy machine that comes and goes.
            let spec = &found["spec"];
            let containers = spec["template"]["spec"]["containers"].as_array().expect("it has containers");
            let images: Vec<&Value> = containers.iter().map(|it| &it["image"]).collect();
            let shown = format!("{} {images:?} {:?}", spec["replicas"], ours(&found));
            facts.insert(name.replace(&lane.name, "aether"), shown);
        }
        let cron = self.objects("CronJob").get("nightly-sync");
        facts.insert("cronjob".to_owned(), format!("{} {:?}", cron["spec"]["suspend"], ours(&cron)));
        let flags = self.objects("ConfigMap").get("feature-flags");
        facts.insert("flags".to_owned(), flags["data"].to_string());
        facts
    }

    fn wait_for_deployments(&self) -> Result<(), String> {
        for (namespace, name) in self.lane.deployments() {
            let rolled_out = objects("Deployment", &namespace).until(&name, DONE_WITHIN, is_rolled_out);
            rolled_out.map_err(|last| format!("{name} is not rolled out: {}", last["status"]))?;
        }
        Ok(())
    }

    /// Who still holds a target.
    fn holders(&self) -> String {
        let leases = objects("Lease", &self.lane.settings.namespace).list();
        let held = leases.iter().filter_map(|lease| {
            let name = lease["metadata"]["name"].as_str().filter(|name| name.starts_with("wb-"))?;
            let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?;
            Some(format!("{name}={holder}"))
        });
        held.collect::<Vec<_>>().join(" ")
    }

    /// Jobs of ours that still work.
    fn active_jobs(&self) -> String {
        let jobs = self.objects("Job").list();
        let active = jobs.iter().filter(|job| job["status"]["active"].as_i64().unwrap_or(0) > 0);
        active.map(|job| job["metadata"]["name"].to_string()).collect::<Vec<_>>().join(" ")
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
    let made = format!("CREATE DATABASE {copy} TEMPLATE shop ALLOW_CONNECTIONS false");
    database.sql(
        "postgres",
        &[
            "ALTER DATABASE shop ALLOW_CONNECTIONS false",
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'shop'",
            &made,
            "ALTER DATABASE shop ALLOW_CONNECTIONS true",
        ],
    );
}

const HISTORY: &str =
    "SELECT history, rank, key, kind, version, description, file, checksum, undone_at IS NOT NULL
    FROM whimbrel.history ORDER BY history, rank";
const JOURNAL: &str =
    "SELECT history, rank, key, state, statement, checksum FROM whimbrel.journal ORDER BY id";

const FENCE: &str = "SELECT claimed, entry IS NULL FROM whimbrel.fence";

/// The labels, annotations and field managers of ours that an object has.
fn ours(object: &Value) -> Vec<String> {
    let metadata = &object["metadata"];
    let marks = [&metadata["labels"], &metadata["annotations"]].into_iter().filter_map(Value::as_object);
    let marks = marks.flat_map(|all| all.keys().cloned()).filter(|key| key.starts_with("whimbrel.dev/"));
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    let managers = managers.filter_map(|entry| entry["manager"].as_str());
    marks.chain(managers.filter(|name| name.starts_with("whimbrel")).map(str::to_owned)).collect()
}

/// Whether a plan is in a phase.
fn phase(wanted: &'static str) -> impl Fn(&Value) -> bool {
    move |plan: &Value| plan["status"]["phase"] == wanted
}

fn condition<'o>(object: &'o Value, kind: &str) -> Option<&'o Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Whether a condition stands, said of the newest generation.
fn has(object: &Value, kind: &str, status: &str) -> bool {
    condition(object, kind).is_some_and(|found| {
        found["status"] == status && found["observedGeneration"] == object["metadata"]["generation"]
    })
}
