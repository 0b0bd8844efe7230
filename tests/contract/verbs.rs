//! Who may say what: the chart's admission policies on a real API server, with the words they refuse in.

use crate::{
    cluster::{Namespace, eventually},
    kubectl::{run_with, said},
    tools::path_of,
};
use serde_json::{Value, json};
use std::process::Command;

/// A namespace under the chart's policies. bob may edit, alice may approve, carol is on call.
fn guarded(name: &str) -> Namespace {
    let namespace = Namespace::new(name);
    run_with(&["apply", "--server-side", "--force-conflicts", "--filename", "-"], &policies(&namespace.0));
    for (role, user) in [("edit", "bob"), ("whimbrel-approver", "alice"), ("whimbrel-on-call", "carol")] {
        namespace.kubectl(&["create", "rolebinding", user, "--clusterrole", role, "--user", user]);
    }
    namespace.create("bob", &plan(json!({}))).expect("an editor may write plans");
    namespace.create("bob", &target()).expect("an editor may write targets");
    // A policy takes a moment until the API server asks it.
    for kind in ["mplan", "dbt"] {
        let verb = if kind == "mplan" { "whimbrel.dev/approve=x" } else { "whimbrel.dev/adopt=x" };
        eventually("the policy is in force", || {
            let arguments = ["--as", "bob", "annotate", kind, "it", verb, "--dry-run=server"];
            !namespace.try_kubectl(&arguments).status.success()
        });
    }
    namespace
}

/// The policies and the roles for people, as Helm renders them for this namespace alone.
fn policies(namespace: &str) -> String {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/whimbrel");
    let watch = format!("watchNamespaces={{{namespace}}}");
    let mut helm = Command::new(path_of("helm"));
    helm.args([
        "template",
        "whimbrel",
        chart,
        "--kube-version=1.35.0",
        "--namespace",
        namespace,
        "--set",
        &watch,
    ]);
    for template in ["approval-policy", "rbac-people"] {
        helm.args(["--show-only", &format!("templates/{template}.yaml")]);
    }
    let output = helm.output().expect("helm starts");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn plan(annotations: Value) -> Value {
    json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan",
        "metadata": {"name": "it", "annotations": annotations},
        "spec": {"paused": true, "stages": [{"name": "Frontend", "steps": [
            {"name": "web", "rollout": {"kind": "Deployment", "name": "web", "images": {"web": "web:2"}}}]}]},
    })
}

fn target() -> Value {
    json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": {"name": "it"},
        "spec": {
            "postgresql": {"host": "postgres", "database": "shop", "tls": {"mode": "Disable"},
                "histories": [{"name": "default", "format": "Whimbrel"}], "backup": {"method": "Dump"}},
            "credentials": {"secretRef": {"name": "pg"}},
            "backup": {"image": "postgresql:15", "storage": {"volumeClaim": {"name": "backups", "path": "shop"}}},
        },
    })
}

/// Annotates as somebody. `Err` is what the policy says after its own name.
fn annotate(namespace: &Namespace, user: &str, kind: &str, annotation: &str) -> Result<(), String> {
    let output = namespace.try_kubectl(&["--as", user, "annotate", "--overwrite", kind, "it", annotation]);
    if output.status.success() {
        return Ok(());
    }
    let said = said(&output);
    Err(said.split_once("denied request: ").map(|it| it.1.to_owned()).unwrap_or(said))
}

#[test]
fn a_verb_needs_its_own_right() {
    let namespace = guarded("right");
    let ns = &namespace.0;
    for (user, kind, verb, subresource, doing) in [
        ("bob", "mplan", "approve", "migrationplans/approve", "approving"),
        ("bob", "mplan", "approve.go-live", "migrationplans/approve", "approving"),
        ("alice", "mplan", "override.data-loss", "migrationplans/override", "overriding a guard"),
        ("alice", "mplan", "rollback", "migrationplans/rollback", "rolling back"),
        ("alice", "mplan", "resolve", "migrationplans/resolve", "resolving a held run"),
        ("bob", "mplan", "abandon", "migrationplans/abandon", "abandoning a held run"),
        ("bob", "dbt", "adopt", "databasetargets/adopt", "adopting a history"),
    ] {
        let (resource, right) = subresource.split_once('/').unwrap();
        assert_eq!(
            annotate(&namespace, user, kind, &format!("whimbrel.dev/{verb}=7 by {user}")),
            Err(format!(
                "whimbrel.dev/{verb}: {doing} needs the right \"update\" on {subresource}, which {user} does not have in \
                 namespace {ns}; give it: kubectl create role whimbrel-{right} --namespace={ns} --verb=update \
                 --resource={resource}.whimbrel.dev/{right}, and bind it"
            ))
        );
        assert_eq!(annotate(&namespace, "carol", kind, &format!("whimbrel.dev/{verb}=7 by carol")), Ok(()));
    }
    assert_eq!(annotate(&namespace, "alice", "mplan", "whimbrel.dev/approve=4be1 by alice"), Ok(()));
}

#[test]
fn nobody_speaks_for_another() {
    let namespace = guarded("signature");
    for value in ["4be1 by carol", "4be1", "4be1 by alice!", "4be1 by alice by carol", "4be1 byalice"] {
        assert_eq!(
            annotate(&namespace, "alice", "mplan", &format!("whimbrel.dev/approve={value}")),
            Err("whimbrel.dev/approve: the value must end with \" by alice\": it says who is approving, and you are alice"
                .to_owned()),
            "{value}"
        );
    }
}

#[test]
fn a_name_that_could_end_like_anothers_is_refused() {
    let namespace = guarded("name");
    let user = "mallory by alice";
    namespace.kubectl(&[
        "create",
        "rolebinding",
        "mallory",
        "--clusterrole=whimbrel-approver",
        "--user",
        user,
    ]);
    let refused = annotate(&namespace, user, "mplan", &format!("whimbrel.dev/approve=4be1 by {user}"));
    assert!(refused.unwrap_err().starts_with("whimbrel.dev/approve: the value must end with"));
}

#[test]
fn no_plan_is_born_approved() {
    let namespace = guarded("born");
    let mut born = plan(json!({"whimbrel.dev/approve": "4be1 by bob"}));
    born["metadata"]["name"] = json!("born");
    let refused = namespace.create("bob", &born).unwrap_err();
    assert!(refused.contains("approving needs the right \"update\" on migrationplans/approve"), "{refused}");
}

#[test]
fn what_was_said_stays_and_stopping_is_free() {
    let namespace = guarded("free");
    assert_eq!(annotate(&namespace, "alice", "mplan", "whimbrel.dev/approve=4be1 by alice"), Ok(()));
    // bob changes something else on the approved plan, stops the run, and takes the approval away: all his to do.
    assert_eq!(annotate(&namespace, "bob", "mplan", "team=shop"), Ok(()));
    assert_eq!(annotate(&namespace, "bob", "mplan", "whimbrel.dev/abort=7 by bob"), Ok(()));
    assert_eq!(annotate(&namespace, "bob", "mplan", "whimbrel.dev/retry=7 by bob"), Ok(()));
    assert_eq!(annotate(&namespace, "bob", "mplan", "whimbrel.dev/approve-"), Ok(()));
    // But not bring it back.
    assert!(annotate(&namespace, "bob", "mplan", "whimbrel.dev/approve=4be1 by alice").is_err());
}

#[test]
fn status_is_no_side_door() {
    let namespace = guarded("door");
    let patch = json!({"metadata": {"annotations": {"whimbrel.dev/approve": "4be1 by alice"}}, "status": {"message": "x"}});
    namespace.kubectl(&[
        "patch",
        "mplan",
        "it",
        "--subresource=status",
        "--type=merge",
        "--patch",
        &patch.to_string(),
    ]);
    let annotations = namespace.kubectl(&["get", "mplan", "it", "--output=jsonpath={.metadata.annotations}"]);
    assert!(!annotations.contains("approve"), "{annotations}");
}

#[test]
fn runs_are_the_operators_alone() {
    let namespace = guarded("runs");
    for user in ["bob", "alice", "carol"] {
        for verb in ["create", "update", "patch", "delete"] {
            let output =
                namespace.try_kubectl(&["--as", user, "auth", "can-i", verb, "migrationruns.whimbrel.dev"]);
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "no", "{user} {verb}");
        }
    }
}
