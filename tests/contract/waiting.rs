//! `kubectl wait` returns where it should and nowhere else, on the real kinds.

use crate::{
    cluster::Namespace,
    kubectl::run_with,
    phases::{Phased, phases},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn it_returns_for_these_conditions_only() {
    let namespace = Namespace::new("wait");
    let all: Vec<(String, Phased)> = phases()
        .into_iter()
        .filter(|it| !it.deleting)
        .enumerate()
        .map(|(index, it)| (format!("plan-{index}"), it))
        .collect();
    put(&namespace, &all);
    for condition in ["Ready", "Finished", "Succeeded", "Stalled"] {
        let for_it = format!("--for=condition={condition}");
        let output = namespace.try_kubectl(&["wait", &for_it, "--timeout=0", "mplan", "--all"]);
        let met: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| {
                line.strip_prefix("migrationplan.whimbrel.dev/")?.strip_suffix(" condition met")
            })
            .map(str::to_owned)
            .collect();
        for (name, it) in &all {
            let wanted = it.expect.waits.iter().any(|waits| waits == condition);
            assert_eq!(met.contains(name), wanted, "{}: kubectl wait {for_it}", it.name);
        }
    }
}

/// Makes a plan at generation 3 for each place, and lets it stand there.
fn put(namespace: &Namespace, all: &[(String, Phased)]) {
    let list = |object: &dyn Fn(&str, &Phased) -> Value| {
        let items: Vec<Value> = all.iter().map(|(name, it)| object(name, it)).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
    };
    let apply = ["--namespace", &namespace.0, "apply", "--server-side", "--filename", "-"];
    for paused in [true, false, true] {
        run_with(&apply, &list(&|name, _| plan(name, json!({"spec": spec(paused)}))));
    }
    let status = list(&|name, it| plan(name, json!({"spec": spec(true), "status": dated(&it.status)})));
    run_with(&[&apply[..], &["--subresource=status"]].concat(), &status);

    let served: Value =
        serde_json::from_str(&namespace.kubectl(&["get", "mplan", "--output=json"])).expect("JSON");
    let served = served["items"].as_array().expect("a list");
    assert_eq!(served.len(), all.len());
    for (name, it) in all {
        let one = served.iter().find(|one| one["metadata"]["name"] == *name).expect("it was made");
        assert_eq!(one["metadata"]["generation"], 3, "{}", it.name);
        assert_eq!(
            one["status"]["conditions"],
            dated(&it.status)["conditions"],
            "{}: nothing was dropped",
            it.name
        );
    }
}

fn plan(name: &str, more: Value) -> Value {
    let mut plan = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": {"name": name},
    });
    plan.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    plan
}

fn spec(paused: bool) -> Value {
    let rollout = json!({"kind": "Deployment", "name": "web", "images": {"web": "web:2"}});
    json!({"paused": paused, "stages": [{"name": "Frontend", "steps": [{"name": "web", "rollout": rollout}]}]})
}

/// The conditions with the time that the API demands.
fn dated(status: &Value) -> Value {
    let mut status = status.clone();
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        condition["lastTransitionTime"] = json!("2026-11-20T02:14:05Z");
    }
    status
}
