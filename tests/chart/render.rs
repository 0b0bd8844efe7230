//! Runs helm and reads what it rendered.

use crate::tools::path_of;
use serde_json::Value;
use std::process::{Command, Output};

/// The repository.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The chart's folder.
pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/whimbrel");

/// One rendered object.
pub(crate) struct Manifest {
    pub(crate) body: Value,
}

impl Manifest {
    pub(crate) fn kind(&self) -> &str {
        self.body["kind"].as_str().expect("every object has a kind")
    }

    pub(crate) fn name(&self) -> &str {
        self.body["metadata"]["name"].as_str().expect("every object has a name")
    }

    pub(crate) fn is_role(&self) -> bool {
        ["Role", "ClusterRole"].contains(&self.kind())
    }

    /// The rules of a role; none for other kinds.
    pub(crate) fn rules(&self) -> &[Value] {
        let rules = self.body["rules"].as_array();
        rules.filter(|_| self.is_role()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The chart with these `--set` values, as objects.
pub(crate) fn rendered(values: &[&str]) -> Vec<Manifest> {
    objects(&text(values))
}

/// The chart with these `--set` values, comments and all.
pub(crate) fn text(values: &[&str]) -> String {
    let output = helm_template(values);
    assert!(output.status.success(), "helm template: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("helm prints UTF-8")
}

/// What helm says when it refuses these values.
pub(crate) fn refused(values: &[&str]) -> String {
    let output = helm_template(values);
    assert!(!output.status.success(), "{values:?} must be refused");
    String::from_utf8(output.stderr).expect("helm prints UTF-8")
}

/// A YAML file of the repository.
pub(crate) fn yaml_file(path: &str) -> Value {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a program that must succeed, and gives what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

fn helm_template(values: &[&str]) -> Output {
    let mut helm = Command::new(path_of("helm"));
    // A version of helm built without its release flags believes in Kubernetes 1.20.
    helm.args(["template", "whimbrel", CHART, "--namespace", "whimbrel-system", "--kube-version", "1.35.0"]);
    for value in values {
        helm.args(["--set", value]);
    }
    helm.output().expect("helm starts")
}

fn objects(text: &str) -> Vec<Manifest> {
    let bodies: Vec<Value> = serde_saphyr::from_multiple(text).expect("helm renders YAML");
    bodies.into_iter().filter(|body| !body.is_null()).map(|body| Manifest { body }).collect()
}
