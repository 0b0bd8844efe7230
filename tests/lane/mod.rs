//! A lane: namespaces, a platform, a database server and an operator of its own, in which one run follows another.
//!
//! The operator is a process of this machine with exactly the rights that the chart gives it; the rest is the demo's
//! platform (`examples/demo`) under the lane's names.

mod database;
mod operator;

use crate::kubectl;
use crate::tools::path_of;
pub(crate) use database::Database;
pub(crate) use operator::{Operator, Settings};
use rand::distr::{Alphanumeric, SampleString as _};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where the project is.
pub(crate) const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");

/// What all lanes share: the CRDs, the roles of the chart, the approval policies.
pub(crate) fn prepare_cluster() {
    helm("wb-lanes", "replicas=0");
}

fn helm(namespace: &str, values: &str) {
    let output = Command::new(path_of("helm"))
        .args(["upgrade", "--install", "whimbrel", "--namespace", namespace, "--create-namespace"])
        .arg(format!("{CHECKOUT}/charts/whimbrel"))
        .args(["--set", values])
        .env("KUBECONFIG", kubectl::kubeconfig())
        .output()
        .expect("helm starts");
    assert!(output.status.success(), "helm: {}", String::from_utf8_lossy(&output.stderr));
}

/// One lane.
pub(crate) struct Lane {
    /// The plan's namespace; takes the place of `aether` in the demo's files.
    pub(crate) name: String,
    /// What its operator is told.
    pub(crate) settings: Settings,
    /// Its database server.
    pub(crate) database: Database,
}

impl Lane {
    /// Makes everything that a lane needs, up to a platform that runs.
    pub(crate) fn set_up(name: &str) -> Self {
        let namespace = format!("wb-{name}");
        let folder = std::env::temp_dir().join(format!("whimbrel-{}-{name}", std::process::id()));
        let image = std::env::var("WHIMBREL_TEST_IMAGE")
            .expect("WHIMBREL_TEST_IMAGE names the image of backup Jobs: testbed/testbed image whimbrel");
        let settings = Settings { folder, namespace, watched: format!("{name},{name}-be"), image };
        fs::create_dir_all(settings.notes()).expect("a folder for the lane");
        remove_lane(name);
        for namespace in settings.watched.split(',') {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            kubectl::run_with(&["apply", "--filename=-"], &object.to_string());
        }
        helm(
            &settings.namespace,
            &format!(
                "crds.enabled=false,replicas=0,runnerRole.create=false,peopleRoles.create=false,approval.policy=false,watchNamespaces={{{}}}",
                settings.watched
            ),
        );
        write_kubeconfig(&settings);
        let secret = |length| Alphanumeric.sample_string(&mut rand::rng(), length);
        fs::write(settings.folder.join("hmac-key"), secret(32)).expect("a key for the lane");
        let database = Database { address: String::new(), password: secret(24) };
        let mut lane = Self { name: name.to_owned(), settings, database };
        lane.platform();
        lane
    }

    fn platform(&mut self) {
        let backend = format!("{}-be", self.name);
        let password = &self.database.password;
        let url = format!("postgres://admin:{password}@postgres.{}.svc/shop?sslmode=disable", self.name);
        let secret = |namespace: &str, secret: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": namespace}, "stringData": data});
        let items = [
            secret(&self.name, "pg-admin", json!({"username": "admin", "password": password})),
            secret(&self.name, "database", json!({"url": url})),
            secret(&backend, "database", json!({"url": url})),
        ];
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
        self.apply(&self.demo("platform.yaml"));
        self.kubectl(&["rollout", "status", "statefulset/postgres", "--timeout=180s"]);
        self.database.address = self.get("service/postgres", "{.spec.clusterIP}");
        self.database.sql(
            "shop",
            &[
                "CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL)",
                "INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 1000) n",
            ],
        );
        self.wait_for_deployments();
    }

    /// A file of the demo in this lane's names.
    pub(crate) fn demo(&self, file: &str) -> String {
        self.renamed(&Path::new(CHECKOUT).join("examples/demo").join(file))
    }

    /// A file in this lane's names. The operator is a process of this machine, which has no DNS of the cluster: targets
    /// name the server's address.
    pub(crate) fn renamed(&self, path: &Path) -> String {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.replace("host: postgres.aether.svc", &format!("host: {}", self.database.address))
            .replace("aether", &self.name)
    }

    /// Applies objects; they must be admitted.
    pub(crate) fn apply(&self, objects: &str) {
        kubectl::run_with(&["apply", "--filename=-"], objects);
    }

    /// Runs kubectl in the plan's namespace; it must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl::run(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Runs kubectl in the plan's namespace; the error is what it said.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = kubectl::attempt(&[&["--namespace", &self.name], arguments].concat(), "");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(kubectl::said(&output))
        }
    }

    /// A field of an object.
    pub(crate) fn get(&self, what: &str, path: &str) -> String {
        self.kubectl(&["get", what, &format!("--output=jsonpath={path}")])
    }

    /// The deployments of the platform, with their namespaces.
    pub(crate) fn deployments(&self) -> [(String, String); 3] {
        let name = &self.name;
        [
            (name.clone(), "audimodal".to_owned()),
            (name.clone(), name.clone()),
            (format!("{name}-be"), format!("{name}-backend")),
        ]
    }

    /// Waits until every deployment of the platform is as its spec says.
    pub(crate) fn wait_for_deployments(&self) {
        for (namespace, name) in self.deployments() {
            let deployment = format!("deployment/{name}");
            kubectl::run(&["--namespace", &namespace, "rollout", "status", &deployment, "--timeout=180s"]);
        }
    }
}

/// Removes what an earlier run of the tests left. No operator is there to take its finalizers off.
fn remove_lane(name: &str) {
    let here = ["--namespace", name];
    let left = kubectl::attempt(&[&here[..], &["get", "mplan,mrun,dbt", "--output=name"]].concat(), "");
    for object in String::from_utf8_lossy(&left.stdout).lines() {
        let free = ["patch", object, "--type=merge", r#"--patch={"metadata":{"finalizers":null}}"#];
        kubectl::attempt(&[&here[..], &free].concat(), "");
    }
    let (backend, own) = (format!("{name}-be"), format!("wb-{name}"));
    let gone = ["delete", "namespace", name, &backend, &own, "--ignore-not-found", "--timeout=180s"];
    kubectl::run(&gone);
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
