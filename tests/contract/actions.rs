//! The actions on Argo CD's screen, run in Argo CD's own sandbox: what they write, and when they are offered.

use crate::judges::sandboxed;
use serde_json::{Value, json};

const ACTIONS: &str = include_str!("../../config/argocd/actions.yaml");

fn plan(phase: &str) -> Value {
    json!({
        "apiVersion": "whimbrel.dev/v1alpha1",
        "kind": "MigrationPlan",
        "metadata": {"name": "aether-platform", "namespace": "aether", "generation": 1},
        "spec": {"stages": [{"name": "Services", "steps": [
            {"name": "backend", "rollout": {"kind": "Deployment", "name": "backend"}},
            {"name": "go-live", "approve": {"message": "Logged in by hand and it works?"}},
        ]}]},
        "status": {"phase": phase, "run": {"number": 7, "planHash": "4be1"}},
    })
}

fn actions() -> Value {
    serde_saphyr::from_str(ACTIONS).expect("actions.yaml is well-formed")
}

/// Runs an action and gives what the Lua expression `shown` makes of the object it returns.
fn after(action: &str, object: &Value, shown: &str) -> String {
    let actions = actions();
    let body = actions["definitions"]
        .as_array()
        .and_then(|all| all.iter().find(|it| it["name"] == action))
        .and_then(|it| it["action.lua"].as_str())
        .unwrap_or_else(|| panic!("actions.yaml has no action {action}"));
    // A health script is the only one the tool runs; so the object comes out through its message.
    let script = format!(
        "local function act()\n{body}\nend\nlocal it = act()\nreturn {{status = \"Healthy\", message = tostring({shown})}}"
    );
    sandboxed(&script, object)["message"].as_str().expect("a message").to_owned()
}

fn offered(object: &Value) -> Vec<String> {
    let actions = actions();
    let body = actions["discovery.lua"].as_str().expect("discovery.lua");
    let offered = |name: &&str| {
        let script = format!(
            "local function all()\n{body}\nend\nreturn {{status = \"Healthy\", message = tostring(all().{name}.disabled)}}"
        );
        sandboxed(&script, object)["message"] == "false"
    };
    ["approve", "pause", "resume", "abort", "retry"]
        .iter()
        .filter(|it| offered(it))
        .map(|it| (*it).to_owned())
        .collect()
}

#[test]
fn each_names_what_it_acts_on_and_who() {
    let by = "by system:serviceaccount:argocd:argocd-server";
    let annotation = |verb: &str| format!("it.metadata.annotations[\"whimbrel.dev/{verb}\"]");
    let waiting = plan("AwaitingApproval");
    assert_eq!(after("approve", &waiting, &annotation("approve")), format!("4be1 {by}"));
    assert_eq!(after("abort", &plan("Migrating"), &annotation("abort")), format!("7 {by}"));
    assert_eq!(after("retry", &plan("RolledBack"), &annotation("retry")), format!("7 {by}"));
    assert_eq!(after("pause", &waiting, "it.spec.paused"), "true");
    assert_eq!(after("resume", &waiting, "it.spec.paused"), "false");
}

#[test]
fn a_gate_between_steps_is_approved_by_its_name() {
    let mut waiting = plan("AwaitingApproval");
    waiting["status"]["step"] = json!("go-live");
    let by = "by system:serviceaccount:argocd:argocd-server";
    let annotations = "it.metadata.annotations";
    assert_eq!(
        after("approve", &waiting, &format!("{annotations}[\"whimbrel.dev/approve.go-live\"]")),
        format!("4be1 {by}")
    );
    assert_eq!(after("approve", &waiting, &format!("{annotations}[\"whimbrel.dev/approve\"]")), "nil");
}

#[test]
fn only_what_helps_is_offered() {
    assert_eq!(offered(&plan("AwaitingApproval")), ["approve", "pause", "abort"]);
    assert_eq!(offered(&plan("Migrating")), ["pause", "abort"]);
    assert_eq!(offered(&plan("RolledBack")), ["retry"]);
    assert_eq!(
        offered(&plan("Held")),
        Vec::<String>::new(),
        "a held run is for people with resolve and abandon"
    );
    let mut paused = plan("Paused");
    paused["spec"]["paused"] = json!(true);
    assert_eq!(offered(&paused), ["resume", "abort"]);
}
