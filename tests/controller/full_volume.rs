//! A backup volume without room for the backup: what the plan says, what stays, and the way on once there is room.

use crate::lane::Platform;
use crate::{annotate, every_dependent, wait, workloads};
use serde_json::json;

const PLAN: &str = "mplan/full";
const TARGET: &str = "dbt/full";
/// A database of this test's own.
const DATABASE: &str = "full";
const FINISHED: &str = r#"{.status.conditions[?(@.type=="Finished")].reason}"#;
/// A claim of this size is a file system of this size; what fills it leaves less than the dump takes, which hardly compresses.
const SIZE: u64 = 8 << 20;
const LEFT: u64 = 512 << 10;
const ROWS: &str = "CREATE TABLE items AS SELECT n AS id, md5(n::text) || md5((n * 7)::text) AS t FROM generate_series(1, 60000) n";

fn objects(lane: &Platform) -> String {
    let metadata = json!({"name": "full", "namespace": lane.name});
    let target = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": metadata,
        "spec": {
            "postgresql": {"host": lane.database.address, "database": DATABASE, "tls": {"mode": "Disable"}},
            "credentials": {"secretRef": {"name": "pg-admin"}},
            "backup": {
                "image": "localhost/postgresql:15", "verification": "Artifact",
                "storage": {"volumeClaim": {"name": "small", "path": "full"}},
            },
        },
    });
    let scripts = json!({
        "V001__full.sql": "ALTER TABLE items ADD note text", "U001__full.sql": "ALTER TABLE items DROP note",
    });
    let step =
        json!({"name": "notes", "migrate": {"target": "full", "scripts": {"configMap": {"name": "full"}}}});
    let items = json!([
        target,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": scripts},
        {"apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": metadata, "spec": {
            "version": "1", "dependents": every_dependent(lane), "stages": [{"name": "Data", "steps": [step]}],
        }},
    ]);
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// What a command says in a pod that mounts the volume.
fn on_the_volume(lane: &Platform, command: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "on-small", "namespace": lane.name},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "look", "image": "localhost/postgresql:15", "command": ["sh", "-ec", format!("cd /small; {command}")],
                "volumeMounts": [{"name": "small", "mountPath": "/small"}],
            }],
            "volumes": [{"name": "small", "persistentVolumeClaim": {"claimName": "small"}}],
        },
    });
    lane.apply(&pod.to_string());
    wait(lane, "pod/on-small", "{.status.phase}", "Succeeded");
    let said = lane.kubectl(&["logs", "on-small"]);
    lane.kubectl(&["delete", "pod", "on-small", "--timeout=60s"]);
    said.trim().to_owned()
}

/// A sentence with an N for every number that is a word of it, and those numbers.
fn without_numbers(said: &str) -> (String, Vec<u64>) {
    let numbers = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    let words = said.split(' ').map(|word| if word.parse::<u64>().is_ok() { "N" } else { word });
    (words.collect::<Vec<_>>().join(" "), numbers)
}

#[test]
fn a_full_volume_is_said_with_numbers_and_a_retry_goes_well_once_there_is_room() {
    let platform = crate::platform();
    let lane = &platform.0;
    lane.database.sql("shop", &[&format!("CREATE DATABASE \"{DATABASE}\"")]);
    lane.database.sql(DATABASE, &[ROWS]);
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "small", "namespace": lane.name},
        "spec": {"storageClassName": "bounded", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": SIZE.to_string()}}},
    });
    lane.apply(&claim.to_string());
    on_the_volume(lane, &format!("head -c {} /dev/zero >filler", SIZE - LEFT));
    lane.wait_for_deployments();
    let (before, rows) = (workloads(lane), lane.database.dump_of(DATABASE));

    lane.apply(&objects(lane));
    wait(lane, PLAN, FINISHED, "Aborted");
    let (said, numbers) = without_numbers(&lane.get(PLAN, "{.status.message}"));
    assert_eq!(
        said,
        format!(
            "ended before anything was changed, everything is as before: backup of full: the backup volume is full: N bytes free after N bytes of a backup of a database of N bytes. Enlarge the claim, or remove backups that are not needed from /backups/full. Mend what the sentence names, then retry. A changed plan starts again by itself; the same one by kubectl annotate mplan -n {} full --overwrite whimbrel.dev/retry=\"1 by <you>\"",
            lane.name
        )
    );
    let [free, written, database] = numbers[..] else { panic!("{numbers:?}") };
    assert!(free < LEFT && 0 < written && written <= LEFT && LEFT < database, "{numbers:?}");
    assert_eq!(lane.get(PLAN, r#"{.status.conditions[?(@.type=="Stalled")].reason}"#), "BackupGateFailed");
    assert_eq!(lane.get(TARGET, "{.status.backups}") + &lane.get("mrun/full-1", "{.status.backups}"), "");
    assert_eq!(on_the_volume(lane, "find . -type f"), "./filler", "nothing of it is left");
    lane.wait_for_deployments();
    assert_eq!(workloads(lane), before);
    assert_eq!(lane.database.dump_of(DATABASE), rows);

    on_the_volume(lane, "rm filler");
    annotate(lane, PLAN, "retry", "1");
    wait(lane, PLAN, "{.status.run.number}", "2");
    wait(lane, PLAN, FINISHED, "Succeeded");
    wait(lane, TARGET, "{.status.backups[*].run}", "full-2");
    assert_eq!(on_the_volume(lane, "find . -name manifest.json"), "./full/full/2/full-1/manifest.json");
    assert_eq!(
        lane.database.sql(DATABASE, &["SELECT count(*) FROM items WHERE note IS NULL"]).trim(),
        "60000"
    );
    lane.kubectl(&["delete", PLAN, TARGET, "--timeout=60s"]);
    // The pods of its Jobs use the volume until they go with it.
    lane.kubectl(&["delete", "mrun", "--all", "--timeout=60s"]);
    lane.kubectl(&["delete", "pvc/small", "--timeout=60s"]);
    lane.database.sql("shop", &[&format!("DROP DATABASE \"{DATABASE}\" WITH (FORCE)")]);
}
