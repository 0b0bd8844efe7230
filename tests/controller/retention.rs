//! Retention on a real cluster: runs take backups, and what nothing keeps any more leaves the volume.

use crate::lane::Platform;
use crate::{every_dependent, wait};
use serde_json::json;
use std::time::{Duration, Instant};

/// Two prunes, each with a pod of its own, on a machine that may be busy.
const DEADLINE: Duration = Duration::from_secs(180);

/// The target, a plan with this many scripts, and the scripts.
fn objects(lane: &Platform, scripts: u32) -> String {
    let metadata = json!({"name": "kept", "namespace": lane.name});
    let data: serde_json::Map<String, serde_json::Value> = (1..=scripts)
        .flat_map(|n| {
            [
                (format!("V00{n}__kept.sql"), json!(format!("CREATE TABLE kept_{n} (id int);"))),
                (format!("U00{n}__kept.sql"), json!(format!("DROP TABLE kept_{n};"))),
            ]
        })
        .collect();
    let target = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": metadata,
        "spec": {
            "postgresql": {"host": lane.database.address, "database": "shop", "tls": {"mode": "Disable"}, "histories": [{"name": "kept"}]},
            "credentials": {"secretRef": {"name": "pg-admin"}},
            "backup": {
                "image": "localhost/postgresql:15", "verification": "Artifact",
                "storage": {"volumeClaim": {"name": "backups", "path": "retention"}}, "retention": {"keepLast": 1},
            },
        },
    });
    let bundle = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    let step = json!({"name": "entities", "migrate": {"target": "kept", "history": "kept", "scripts": {"configMap": {"name": "kept"}}}});
    let plan = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": metadata,
        "spec": {
            "version": scripts.to_string(), "rollbackWindow": "0s", "dependents": every_dependent(lane),
            "stages": [{"name": "Data", "steps": [step]}],
        },
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [target, bundle, plan]}).to_string()
}

/// Waits until a field of the target is this; `kubectl wait` can't wait for the length of a list.
fn until(lane: &Platform, path: &str, value: &str) {
    let begun = Instant::now();
    while lane.get("dbt/kept", path) != value {
        assert!(begun.elapsed() < DEADLINE, "{path} is not {value}: {}", lane.get("dbt/kept", "{.status}"));
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The backups on the volume, as a pod sees them that mounts it.
fn on_the_volume(lane: &Platform) -> String {
    let look = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "look", "namespace": lane.name},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "look", "image": "localhost/postgresql:15",
                "command": ["sh", "-c", "cd /backups/retention && find . -mindepth 3 -maxdepth 3 | sort"],
                "volumeMounts": [{"name": "backups", "mountPath": "/backups"}],
            }],
            "volumes": [{"name": "backups", "persistentVolumeClaim": {"claimName": "backups"}}],
        },
    });
    lane.apply(&look.to_string());
    wait(lane, "pod/look", "{.status.phase}", "Succeeded");
    let seen = lane.kubectl(&["logs", "look"]);
    lane.kubectl(&["delete", "pod", "look", "--timeout=60s"]);
    seen.trim().to_owned()
}

#[test]
fn what_nothing_keeps_leaves_the_volume_and_people_are_told() {
    let platform = crate::platform();
    let lane = &platform.0;
    for version in 1..=3 {
        lane.apply(&objects(lane, version));
        wait(lane, "mplan/kept", "{.status.run.number}", &version.to_string());
        wait(lane, "mplan/kept", "{.status.phase}", "Succeeded");
    }
    until(lane, "{.status.deleted[*].run}", "kept-2 kept-1");
    wait(lane, "dbt/kept", r#"{.status.conditions[?(@.type=="Retained")].status}"#, "True");
    assert_eq!(lane.get("dbt/kept", "{.status.backups[*].run}"), "kept-3");
    assert_eq!(lane.get("dbt/kept", "{.status.pruning}"), "");
    assert_eq!(on_the_volume(lane), "./kept/3/kept-1");
    let described = lane.kubectl(&["describe", "dbt/kept"]);
    assert!(described.contains("neither keepLast nor keepFor keeps it"), "{described}");
    let events = lane.kubectl(&[
        "get",
        "events",
        "--field-selector=reason=BackupDeleted",
        "--output=jsonpath={.items[*].message}",
    ]);
    for run in ["kept-1", "kept-2"] {
        assert!(
            events.contains(&format!("by run {run} is deleted: neither keepLast nor keepFor keeps it")),
            "{events}"
        );
    }
    let jobs =
        lane.kubectl(&["get", "jobs", "--output=jsonpath={.items[*].metadata.ownerReferences[0].kind}"]);
    assert!(!jobs.contains("DatabaseTarget"), "its Jobs are removed: {jobs}");
    lane.kubectl(&["delete", "mplan/kept", "dbt/kept", "--timeout=60s"]);
    lane.kubectl(&["delete", "mrun", "--all", "--timeout=60s"]);
    lane.database.sql(
        "shop",
        &["DROP TABLE kept_1, kept_2, kept_3; DELETE FROM whimbrel.history; DELETE FROM whimbrel.journal"],
    );
}
