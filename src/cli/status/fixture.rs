//! Plans and runs as the API server would give them, for tests.

use crate::api::{MigrationPlan, MigrationRun};
use serde_json::{Value, json};

fn plan(status: Value) -> MigrationPlan {
    serde_json::from_value(json!({
        "apiVersion": "whimbrel.dev/v1alpha1",
        "kind": "MigrationPlan",
        "metadata": {"name": "platform", "namespace": "aether", "generation": 4},
        "spec": {
            "version": "2026.11.0",
            "stages": [{"name": "Services", "steps": [
                {"name": "backend", "rollout": {"kind": "Deployment", "name": "backend"}}]}],
        },
        "status": status,
    }))
    .unwrap()
}

fn run(status: &Value) -> MigrationRun {
    serde_json::from_value(json!({
        "apiVersion": "whimbrel.dev/v1alpha1",
        "kind": "MigrationRun",
        "metadata": {"name": "platform-3", "namespace": "aether", "generation": 2},
        "spec": {"plan": {"name": "platform", "uid": "u", "generation": 4}, "number": 3, "intentHash": "sha256:1d"},
        "status": status,
    }))
    .unwrap()
}

fn condition(of: &str, status: &str, reason: &str) -> Value {
    json!({"type": of, "status": status, "reason": reason, "message": "", "observedGeneration": 4,
           "lastTransitionTime": "2026-11-20T02:14:05Z"})
}

fn op(state: &str, from: &str) -> Value {
    json!({"state": state, "epoch": 1, "attempt": 1, "startedAt": format!("2026-11-20T{from}Z")})
}

fn time(of: &str) -> String {
    format!("2026-11-20T{of}Z")
}

fn backup() -> Value {
    json!({"target": "tas", "path": "aether/platform/3", "at": time("02:12:40"), "level": "Restored", "bytes": 1_600_000})
}

fn workload(name: &str, state: &str) -> Value {
    json!({"kind": "Deployment", "namespace": "aether", "name": name, "state": state})
}

fn step(name: &str, state: &str) -> Value {
    json!({"name": name, "state": state})
}

/// A script waits for a lock.
pub(super) fn migrating() -> (MigrationPlan, MigrationRun) {
    let entities = json!({"name": "entities", "state": "Waiting", "startedAt": time("02:13:00"),
                          "message": "since 02:14:05Z waits for lock held by pid 412 (app=billing)"});
    let plan = plan(json!({
        "observedGeneration": 4,
        "phase": "Migrating",
        "progress": "0/2",
        "message": "entities: since 02:14:05Z waits for lock held by pid 412 (app=billing)",
        "run": {"number": 3, "name": "platform-3", "generation": 4, "epoch": 1},
        "stages": [
            {"name": "Data", "steps": [entities, step("users", "Skipped")]},
            {"name": "Services", "steps": [step("backend", "Pending")]},
        ],
        "backups": [backup()],
        "workloads": [workload("backend", "Quiesced"), workload("worker", "Quiesced"), workload("edge", "Untouched")],
        "conditions": [condition("Ready", "Unknown", "Progressing"), condition("Reconciling", "True", "Progressing")],
    }));
    let run = run(&json!({
        "epoch": 1,
        "downFrom": time("02:12:00"),
        "ops": {
            "trial/tas": op("Done", "02:10:00"),
            "claim": op("Done", "02:10:01"),
            "quiesce/deployment.aether.backend": op("Done", "02:12:00"),
            "quiesce/deployment.aether.worker": op("Done", "02:12:00"),
            "stop-server/statefulset.aether.graph": op("Done", "02:12:05"),
            "backup/tas": op("Done", "02:12:10"),
            "start-server/statefulset.aether.graph": op("Done", "02:12:40"),
            "apply/entities": op("Intent", "02:13:00"),
        },
    }));
    (plan, run)
}

/// All done.
pub(super) fn succeeded() -> (MigrationPlan, MigrationRun) {
    let plan = plan(json!({
        "observedGeneration": 4,
        "phase": "Succeeded",
        "progress": "1/1",
        "message": "2026.11.0 is in place; workloads were down 02:12:00Z to 02:14:00Z",
        "run": {"number": 3, "name": "platform-3", "generation": 4, "epoch": 1},
        "stages": [{"name": "Services", "steps": [{"name": "backend", "state": "Done",
                    "startedAt": time("02:13:00"), "finishedAt": time("02:14:00")}]}],
        "backups": [backup()],
        "workloads": [workload("backend", "RolledOut"), workload("worker", "GivenBack")],
        "conditions": [condition("Ready", "True", "Succeeded")],
    }));
    let run = run(&json!({
        "epoch": 1, "outcome": "Succeeded", "downFrom": time("02:12:00"), "downTo": time("02:14:00"), "downtime": "2m",
        "ops": {
            "quiesce/deployment.aether.backend": op("Done", "02:12:00"),
            "rollout/backend": op("Done", "02:13:00"),
            "verify-final": op("Done", "02:14:00"),
            "release": op("Done", "02:14:01"),
        },
    }));
    (plan, run)
}

/// The undo would drop what was written.
pub(super) fn held() -> (MigrationPlan, MigrationRun) {
    let message = "Held, 1 workload stays down: the undo of V7__orders.sql would drop what was written. Ways on: (1) give up what was written: kubectl annotate …";
    let plan = plan(json!({
        "observedGeneration": 4,
        "phase": "Held",
        "progress": "1/2",
        "message": message,
        "run": {"number": 3, "name": "platform-3", "generation": 4, "epoch": 1},
        "stages": [
            {"name": "Data", "steps": [step("entities", "Done")]},
            {"name": "Services", "steps": [{"name": "login", "state": "Failed", "message": "the answer is 0, expected 1"}]},
        ],
        "failure": {"code": "DataLoss", "message": "x", "nextAction": "give up what was written: kubectl annotate …"},
        "workloads": [workload("backend", "KeptDown")],
        "conditions": [condition("Ready", "False", "Held"), condition("Stalled", "True", "Held")],
    }));
    let mut weigh = op("Failed", "02:15:10");
    weigh["note"] = json!("the undo of V7__orders.sql would drop what was written");
    let run = run(&json!({
        "epoch": 1, "direction": "Back", "outcome": "Held", "downFrom": time("02:12:00"),
        "ops": {
            "back/quiesce/deployment.aether.backend": op("Done", "02:15:00"),
            "back/prove-quiet/tas": op("Done", "02:15:05"),
            "back/weigh": weigh,
        },
    }));
    (plan, run)
}

/// A step asks.
pub(super) fn approval() -> (MigrationPlan, MigrationRun) {
    let plan = plan(json!({
        "observedGeneration": 4,
        "phase": "AwaitingApproval",
        "progress": "1/2",
        "message": "go-live: Does it work? Yes: kubectl annotate …",
        "run": {"number": 3, "name": "platform-3", "generation": 4, "epoch": 1},
        "stages": [{"name": "Services", "steps": [step("backend", "Done"), step("go-live", "Waiting")]}],
        "conditions": [condition("Ready", "Unknown", "AwaitingApproval"),
                       condition("Reconciling", "True", "AwaitingApproval")],
    }));
    (plan, run(&json!({"epoch": 1})))
}

/// Just created.
pub(super) fn unseen() -> MigrationPlan {
    plan(json!({"observedGeneration": -1}))
}
