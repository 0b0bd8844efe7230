//! A lane: namespaces and an operator of its own, in which one run follows another.
//!
//! The operator is a process of this machine with exactly the rights that the chart gives it. What else is in a lane is
//! the affair of whoever makes it, such as a [`Platform`].

mod database;
mod operator;
mod platform;

use crate::kubectl;
use crate::tools::path_of;
pub(crate) use operator::{Operator, Settings};
pub(crate) use platform::Platform;
use rand::distr::{Alphanumeric, SampleString as _};
use serde_json::{Value, json};
use std::fs;
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
}

impl Lane {
    /// Makes its namespaces, called as the lane with these endings, and what its operator needs.
    pub(crate) fn set_up(name: &str, endings: &[&str]) -> Self {
        let namespace = format!("wb-{name}");
        let folder = std::env::temp_dir().join(format!("whimbrel-{}-{name}", std::process::id()));
        let image = std::env::var("WHIMBREL_TEST_IMAGE")
            .expect("WHIMBREL_TEST_IMAGE names the image of backup Jobs: testbed/testbed image whimbrel");
        let watched: Vec<String> = endings.iter().map(|ending| format!("{name}{ending}")).collect();
        let settings = Settings { folder, namespace, watched: watched.join(","), image };
        fs::create_dir_all(settings.notes()).expect("a folder for the lane");
        remove(&settings);
        for namespace in &watched {
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
        let key = Alphanumeric.sample_string(&mut rand::rng(), 32);
        fs::write(settings.folder.join("hmac-key"), key).expect("a key for the lane");
        Self { name: name.to_owned(), settings }
    }

    /// An example in the lane's names.
    pub(crate) fn in_names(&self, example: &str) -> String {
        example.replace("aether", &self.name)
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
}

/// Removes what an earlier run of the tests left. No operator is there to take its finalizers off.
fn remove(settings: &Settings) {
    let namespaces: Vec<&str> = settings.watched.split(',').collect();
    for namespace in &namespaces {
        let here = ["--namespace", namespace];
        let left = kubectl::attempt(&[&here[..], &["get", "mplan,mrun,dbt", "--output=name"]].concat(), "");
        for object in String::from_utf8_lossy(&left.stdout).lines() {
            let free = ["patch", object, "--type=merge", r#"--patch={"metadata":{"finalizers":null}}"#];
            kubectl::attempt(&[&here[..], &free].concat(), "");
        }
    }
    let gone = ["delete", "namespace", &settings.namespace, "--ignore-not-found", "--timeout=180s"];
    kubectl::run(&[&gone[..], &namespaces].concat());
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
