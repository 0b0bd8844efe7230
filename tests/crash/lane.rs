//! A lane: namespaces, a platform, a database server and an operator of its own, in which one visit follows another.

use crate::act::{Act, Base};
use crate::kubectl;
use crate::operator::{Operator, Settings};
use crate::state::State;
use crate::tools::path_of;
use crate::visit::Visit;
use rand::distr::{Alphanumeric, SampleString as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
/// A run that has not ended by then hangs.
const ENDS_WITHIN: &str = "--timeout=300s";

/// What all lanes share: the CRDs, the roles of the chart, the approval policies.
pub(crate) fn prepare_cluster() {
    helm("wb-crash", &["--set", "replicas=0"]);
}

fn helm(namespace: &str, values: &[&str]) {
    let output = Command::new(path_of("helm"))
        .args(["upgrade", "--install", "whimbrel", "--namespace", namespace, "--create-namespace"])
        .arg(format!("{CHECKOUT}/charts/whimbrel"))
        .args(values)
        .env("KUBECONFIG", kubectl::kubeconfig())
        .output()
        .expect("helm starts");
    assert!(output.status.success(), "helm: {}", String::from_utf8_lossy(&output.stderr));
}

/// One lane.
pub(crate) struct Lane {
    /// The plan's namespace; takes the place of `aether` in the demo's files.
    name: String,
    settings: Settings,
    database: Database,
    upgraded: bool,
}

/// The lane's database server.
struct Database {
    address: String,
    password: String,
}

impl Lane {
    /// Makes everything that a lane needs, up to a platform that runs.
    pub(crate) fn set_up(number: usize) -> Self {
        let (name, namespace) = (format!("crash-{number}"), format!("wb-crash-{number}"));
        let folder = std::env::temp_dir().join(format!("whimbrel-crash-{}-{number}", std::process::id()));
        let watched = format!("{name},{name}-be");
        let image = std::env::var("WHIMBREL_TEST_IMAGE").expect("WHIMBREL_TEST_IMAGE: `make crash` sets it");
        let settings = Settings { folder, namespace, watched, image };
        fs::create_dir_all(settings.notes()).expect("a folder for the lane");
        let rights = format!(
            "crds.enabled=false,replicas=0,runnerRole.create=false,peopleRoles.create=false,approval.policy=false,watchNamespaces={{{}}}",
            settings.watched
        );
        helm(&settings.namespace, &["--set", &rights]);
        write_kubeconfig(&settings);
        fs::write(settings.folder.join("hmac-key"), Alphanumeric.sample_string(&mut rand::rng(), 32))
            .expect("a key for the lane");
        let password = Alphanumeric.sample_string(&mut rand::rng(), 24);
        let mut lane =
            Self { database: Database { address: String::new(), password }, name, settings, upgraded: false };
        lane.platform();
        lane
    }

    fn platform(&mut self) {
        let (name, password) = (self.name.clone(), self.database.password.clone());
        let backend = format!("{name}-be");
        let url = format!("postgres://admin:{password}@postgres.{name}.svc/shop?sslmode=disable");
        let secret = |namespace: &str, secret: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": namespace}, "stringData": data});
        let namespace =
            |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let items = [
            namespace(&name),
            namespace(&backend),
            secret(&name, "pg-admin", json!({"username": "admin", "password": password})),
            secret(&name, "database", json!({"url": url})),
            secret(&backend, "database", json!({"url": url})),
        ];
        apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
        apply(&self.platform_file(Base::New));
        let waits = ["--namespace", &name, "rollout", "status", "statefulset/postgres", "--timeout=180s"];
        kubectl::run(&waits);
        let ip = ["--namespace", &name, "get", "service", "postgres", "--output=jsonpath={.spec.clusterIP}"];
        self.database.address = kubectl::run(&ip);
        self.database.sql(
            "shop",
            "CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL);
             INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 1000) n;",
        );
        self.database.keep_as("base_new");
    }

    /// Walks one act from its base to its end. `Err`: it did not end, or could not be read.
    pub(crate) fn walk(&mut self, act: &Act, visit: Option<&Visit>) -> Result<State, String> {
        if act.base == Base::Upgraded && !self.upgraded {
            let first = &crate::act::ACTS[0];
            self.walk(first, None).map_err(|why| format!("{}, to have its base: {why}", first.name))?;
            self.database.keep_as("base_upgraded");
            self.upgraded = true;
        }
        self.reset(act.base);
        let notes = self.settings.notes();
        fs::remove_dir_all(&notes)
            .and_then(|()| fs::create_dir(&notes))
            .expect("the lane's folder can be written");
        let operator = Operator::start(&self.settings, visit);
        let ended = self.play(act);
        drop(operator);
        ended?;
        Ok(self.state())
    }

    fn play(&self, act: &Act) -> Result<(), String> {
        let plan = |arguments: &[&str]| {
            let output = kubectl::attempt(&[&["--namespace", &self.name], arguments].concat(), "");
            if output.status.success() {
                Ok(())
            } else {
                Err(format!("{}; {}", kubectl::said(&output), self.says()))
            }
        };
        // The operator is a process of this machine, which has no DNS of the cluster.
        let host = format!("postgres.{}.svc", self.name);
        apply(&self.file("target.yaml").replace(&host, &self.database.address));
        plan(&["wait", "--for=condition=Ready", "dbt/shop", "--timeout=60s"])?;
        apply(&self.file(act.file));
        plan(&["wait", "--for=condition=Finished", "mplan/platform", ENDS_WITHIN])?;
        if !act.accepts_loss {
            return Ok(());
        }
        plan(&["wait", "--for=jsonpath={.status.phase}=Held", "mplan/platform", "--timeout=30s"])?;
        let whoami = kubectl::run(&["auth", "whoami", "--output=jsonpath={.status.userInfo.username}"]);
        let run = self.get("mplan/platform", "{.status.run.number}");
        let accepted = format!(
            "whimbrel.dev/override.data-loss={run} until=2999-01-01T00:00:00Z why=crash test by {whoami}"
        );
        plan(&["annotate", "mplan/platform", "--overwrite", &accepted])?;
        plan(&["wait", "--for=jsonpath={.status.phase}=RolledBack", "mplan/platform", ENDS_WITHIN])
    }

    /// The plan's own words, for a failure.
    fn says(&self) -> String {
        let output = kubectl::attempt(
            &[
                "--namespace",
                &self.name,
                "get",
                "mplan/platform",
                "--output=jsonpath={.status.phase}: {.status.message}",
            ],
            "",
        );
        format!("the plan says {:?}", String::from_utf8_lossy(&output.stdout))
    }

    fn get(&self, what: &str, path: &str) -> String {
        kubectl::run(&["--namespace", &self.name, "get", what, &format!("--output=jsonpath={path}")])
    }

    /// The names of the points that the operator passed, in order.
    pub(crate) fn points(&self) -> Vec<String> {
        let text = fs::read_to_string(self.settings.notes().join("points")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The point that was struck, if the run came to it.
    pub(crate) fn struck(&self) -> Option<String> {
        fs::read_to_string(self.settings.notes().join("struck")).ok().map(|text| text.trim().to_owned())
    }

    /// Keeps what explains a violation, and makes the lane fit for the next visit; the folder's path.
    pub(crate) fn keep(&self, visit: &Visit) -> String {
        let folder = Path::new(CHECKOUT).join("target/crash").join(visit.to_string().replace(' ', "-"));
        fs::create_dir_all(&folder).expect("the target folder can be written");
        for (name, from) in
            [("operator.log", self.settings.log()), ("points", self.settings.notes().join("points"))]
        {
            let _ = fs::copy(from, folder.join(name));
        }
        let namespace = ["--namespace", &self.name];
        for (name, what) in [
            ("records.yaml", "mplan,mrun,dbt"),
            ("workloads.yaml", "deployments,cronjobs,jobs,pods,configmaps"),
            ("events.txt", "events"),
        ] {
            let form = if name.ends_with("yaml") { "--output=yaml" } else { "--output=wide" };
            let output = kubectl::attempt(&[&namespace[..], &["get", what, form]].concat(), "");
            let _ = fs::write(folder.join(name), output.stdout);
        }
        for namespace in [self.name.clone(), format!("{}-be", self.name)] {
            for what in ["deployments", "cronjobs"] {
                let all = ["--namespace", &namespace, "annotate", what, "--all"];
                kubectl::attempt(
                    &[&all[..], &["whimbrel.dev/claimed-by-", "whimbrel.dev/original-"]].concat(),
                    "",
                );
                kubectl::attempt(
                    &["--namespace", &namespace, "label", what, "--all", "whimbrel.dev/claimed-"],
                    "",
                );
            }
        }
        kubectl::attempt(
            &[
                "--namespace",
                &self.name,
                "patch",
                "cronjob/nightly-sync",
                "--patch={\"spec\":{\"suspend\":false}}",
            ],
            "",
        );
        folder.display().to_string()
    }

    /// Back to what an act starts from. No operator runs.
    fn reset(&self, base: Base) {
        let kinds = "mplan,mrun,dbt";
        let namespace = ["--namespace", &self.name];
        let left = kubectl::run(&[&namespace[..], &["get", kinds, "--output=name"]].concat());
        for object in left.lines() {
            let free = [
                &namespace[..],
                &["patch", object, "--type=merge", r#"--patch={"metadata":{"finalizers":null}}"#],
            ];
            kubectl::attempt(&free.concat(), "");
        }
        kubectl::run(&[&namespace[..], &["delete", kinds, "--all", "--timeout=60s"]].concat());
        kubectl::run(&["--namespace", &self.settings.namespace, "delete", "lease", "--all"]);
        self.database.take(match base {
            Base::New => "base_new",
            Base::Upgraded => "base_upgraded",
        });
        let file = self.platform_file(base);
        let flags =
            file.split("---").find(|part| part.contains("name: feature-flags")).expect("the demo's flags");
        kubectl::run_with(&["replace", "--filename=-"], flags);
        apply(&file);
        for (namespace, deployment) in self.deployments() {
            let waits = ["--namespace", &namespace, "rollout", "status", &deployment, "--timeout=180s"];
            kubectl::run(&waits);
        }
    }

    fn deployments(&self) -> [(String, String); 3] {
        let name = &self.name;
        [
            (name.clone(), "deployment/audimodal".to_owned()),
            (name.clone(), format!("deployment/{name}")),
            (format!("{name}-be"), format!("deployment/{name}-backend")),
        ]
    }

    /// A file of the demo in this lane's names.
    fn file(&self, file: &str) -> String {
        let path = Path::new(CHECKOUT).join("examples/demo").join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.replace("aether", &self.name)
    }

    fn platform_file(&self, base: Base) -> String {
        let file = self.file("platform.yaml");
        match base {
            Base::New => file,
            Base::Upgraded => file
                .replace("demo-app:1.0", "demo-app:2.0")
                .replace(r#"new_spaces: "false""#, r#"new_spaces: "true", release: "2026.11.0""#),
        }
    }

    /// All that must be as in the undisturbed run.
    fn state(&self) -> State {
        let mut facts = BTreeMap::from([
            ("dump".to_owned(), self.database.dump()),
            ("history".to_owned(), self.database.sql("shop", HISTORY)),
            ("journal".to_owned(), self.database.sql("shop", JOURNAL)),
            (
                "fence".to_owned(),
                self.database.sql("shop", "SELECT claimed, entry IS NULL FROM whimbrel.fence"),
            ),
            ("flags".to_owned(), self.get("configmap/feature-flags", "{.data}")),
            ("cronjob".to_owned(), workload(&self.name, "cronjob/nightly-sync", "{.spec.suspend}")),
        ]);
        for (namespace, deployment) in self.deployments() {
            let shown = "{.spec.replicas} {.status.readyReplicas} {.spec.template.spec.containers[*].image}";
            let topic = deployment.replace(&self.name, "aether");
            facts.insert(topic, workload(&namespace, &deployment, shown));
        }
        let holders = ["--namespace", &self.settings.namespace, "get", "leases"];
        let path = "--output=jsonpath={range .items[*]}{.metadata.name}={.spec.holderIdentity} {end}";
        let leases = kubectl::run(&[&holders[..], &[path]].concat());
        let held =
            leases.split_whitespace().filter(|lease| lease.starts_with("wb-") && !lease.ends_with('='));
        facts.insert("leases".to_owned(), held.collect());
        let reason = self.get("mplan/platform", r#"{.status.conditions[?(@.type=="Finished")].reason}"#);
        State { reason, facts }
    }
}

const HISTORY: &str =
    "SELECT history, rank, key, kind, version, description, file, checksum, undone_at IS NOT NULL
    FROM whimbrel.history ORDER BY history, rank";
const JOURNAL: &str =
    "SELECT history, rank, key, state, statement, checksum FROM whimbrel.journal ORDER BY id";

/// A workload, and what of ours is on it.
fn workload(namespace: &str, name: &str, path: &str) -> String {
    let shown = format!(
        "--output=jsonpath={path}{{\"\\n\"}}{{.metadata.labels}}{{\"\\n\"}}{{.metadata.annotations}}"
    );
    let text = kubectl::run(&["--namespace", namespace, "get", name, &shown]);
    let ours = text.match_indices("whimbrel.dev/").map(|(at, _)| &text[at..text.len().min(at + 40)]);
    let ours: Vec<&str> = ours.collect();
    format!("{} {ours:?}", text.lines().next().unwrap_or_default())
}

impl Database {
    fn sql(&self, database: &str, statement: &str) -> String {
        let arguments = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"];
        self.tool("psql", database, &[&arguments[..], &["--command", statement]].concat())
    }

    /// The user's data and schema, without Whimbrel's own and without the line that pg_dump makes up each time.
    fn dump(&self) -> String {
        let text = self.tool("pg_dump", "shop", &["--exclude-schema=whimbrel"]);
        text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    }

    /// Makes a copy of the database that nobody can enter.
    fn keep_as(&self, copy: &str) {
        self.sql("postgres", "ALTER DATABASE shop ALLOW_CONNECTIONS false");
        self.sql(
            "postgres",
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'shop'",
        );
        self.sql("postgres", &format!("CREATE DATABASE {copy} TEMPLATE shop ALLOW_CONNECTIONS false"));
        self.sql("postgres", "ALTER DATABASE shop ALLOW_CONNECTIONS true");
    }

    /// The database as the copy.
    fn take(&self, copy: &str) {
        self.sql("postgres", "DROP DATABASE shop WITH (FORCE)");
        self.sql("postgres", &format!("CREATE DATABASE shop TEMPLATE {copy}"));
    }

    fn tool(&self, tool: &str, database: &str, arguments: &[&str]) -> String {
        let output = Command::new(tool)
            .args(["--host", &self.address, "--username", "admin"])
            .args(arguments)
            .arg(database)
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10")
            .output()
            .unwrap_or_else(|error| panic!("{tool}: {error}"));
        assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

fn apply(objects: &str) {
    kubectl::run_with(&["apply", "--filename=-"], objects);
}

/// The cluster's kubeconfig with the token of the operator's own account: its rights, and no others.
fn write_kubeconfig(settings: &Settings) {
    let text = kubectl::run(&["config", "view", "--raw", "--minify", "--output=json"]);
    let mut config: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
    let account =
        ["--namespace", &settings.namespace, "create", "token", "whimbrel-operator", "--duration=24h"];
    config["users"][0]["user"] = json!({"token": kubectl::run(&account).trim()});
    fs::write(settings.folder.join("kubeconfig"), config.to_string())
        .expect("the lane's folder can be written");
}
