//! The samples and the README's plan are what the API server admits.

use crate::{cluster::Namespace, kubectl::said};

#[test]
fn the_samples_are_admitted() {
    let namespace = Namespace::new("samples");
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples");
    let output =
        namespace.try_kubectl(&["apply", "--dry-run=server", "--validate=strict", "--kustomize", samples]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_plan_of_the_readme_is_admitted() {
    let namespace = Namespace::new("readme");
    let readme = include_str!("../../README.md");
    let plan = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a plan");
    let plan: serde_json::Value = serde_saphyr::from_str(plan).expect("it is YAML");
    namespace.kubectl(&["create", "rolebinding", "editor", "--clusterrole=cluster-admin", "--user=editor"]);
    assert_eq!(namespace.create("editor", &plan), Ok(()));
}
