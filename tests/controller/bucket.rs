//! Backups in a bucket, from pods: taken, proven, pruned and put back by the operator's own Jobs, on a MinIO in the cluster.

use crate::lane::Platform;
use crate::minio::{BUCKET, Minio};
use crate::{every_dependent, wait, workloads};
use serde_json::{Value, json};

const PLAN: &str = "mplan/stored";
const TARGET: &str = "dbt/stored";
/// A database of these tests' own: one that was restored is another one to every target that knew it.
const DATABASE: &str = "stored";
const FINISHED: &str = r#"{.status.conditions[?(@.type=="Finished")].reason}"#;

fn target(lane: &Platform, minio: &Minio, bucket: &str) -> String {
    let target = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": {"name": "stored", "namespace": lane.name},
        "spec": {
            "postgresql": {"host": lane.database.address, "database": DATABASE, "tls": {"mode": "Disable"}},
            "credentials": {"secretRef": {"name": "pg-admin"}},
            "backup": {
                "image": "localhost/postgresql:15", "verification": "Restored",
                "storage": {"s3": minio.storage(bucket)}, "retention": {"keepLast": 1},
            },
        },
    });
    target.to_string()
}

/// A plan with these scripts, none of which has an undo, and a check that so many items are left.
fn plan(lane: &Platform, version: &str, scripts: &[&str], left: u32) -> String {
    let metadata = json!({"name": "stored", "namespace": lane.name});
    let scripts = scripts.iter().zip(1..).map(|(text, n)| (format!("V00{n}__stored.sql"), json!(text)));
    let statement = "SELECT count(*) FROM items";
    let steps = json!([
        {"name": "items", "migrate": {"target": "stored", "scripts": {"configMap": {"name": "stored"}}}},
        {"name": "left", "verify": {"query": {"target": "stored", "statement": statement, "expect": {"equals": left}}}},
    ]);
    let items = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": scripts.collect::<serde_json::Map<_, _>>()},
        {"apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": metadata, "spec": {
            "version": version, "rollbackWindow": "0s", "dependents": every_dependent(lane),
            "stages": [{"name": "Data", "steps": steps}],
        }},
    ]);
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Applies a plan and waits until this run of it has ended.
fn ended(lane: &Platform, plan: &str, run: u32, how: &str) {
    lane.apply(plan);
    wait(lane, PLAN, "{.status.run.number}", &run.to_string());
    wait(lane, PLAN, FINISHED, how);
}

fn made(lane: &Platform) {
    lane.database.sql("shop", &[&format!("CREATE DATABASE {DATABASE}")]);
    let items = "CREATE TABLE items AS SELECT n AS id, 'item ' || n AS name FROM generate_series(1, 1000) n";
    lane.database.sql(DATABASE, &[items]);
}

fn removed(lane: &Platform, minio: Minio, asides: &[&str]) {
    lane.kubectl(&["delete", PLAN, TARGET, "--timeout=60s"]);
    lane.kubectl(&["delete", "mrun", "--all", "--timeout=60s"]);
    minio.remove(lane);
    for database in [&[DATABASE], asides].concat() {
        lane.database.sql("shop", &[&format!("DROP DATABASE IF EXISTS \"{database}\" WITH (FORCE)")]);
    }
}

/// The keys of a run's backup.
fn of_run(run: u32) -> [String; 3] {
    ["attempt.json", "data/dump.pgc", "manifest.json"]
        .map(|name| format!("some/where/stored/{run}/stored-1/{name}"))
}

#[test]
fn a_run_keeps_its_backup_in_a_bucket_and_is_restored_from_it() {
    let platform = crate::platform();
    let lane = &platform.0;
    let minio = Minio::set_up(lane);
    made(lane);
    let scripts =
        ["CREATE TABLE more (id int)", "CREATE TABLE most (id int)", "DELETE FROM items WHERE id > 100"];
    minio.admit(lane, &minio.secret_key);
    lane.apply(&target(lane, &minio, BUCKET));

    ended(lane, &plan(lane, "1", &scripts[..1], 1000), 1, "Succeeded");
    assert_eq!(minio.keys(), of_run(1));
    let [_, dump, manifest] = of_run(1);
    assert!(minio.get(&dump).starts_with(b"PGDMP"), "the engine's own format");
    let manifest: Value = serde_json::from_slice(&minio.get(&manifest)).expect("a manifest is JSON");
    assert_eq!(manifest["source"]["database"], DATABASE);
    assert_eq!(lane.get("mrun/stored-1", "{.status.backups[0].level}"), "Restored");

    // The second makes the first one more than what is kept.
    ended(lane, &plan(lane, "2", &scripts[..2], 1000), 2, "Succeeded");
    wait(lane, TARGET, "{.status.deleted[0].run}", "stored-1");
    assert_eq!(lane.get(TARGET, "{.status.backups[*].run}"), "stored-2");
    assert_eq!(minio.keys(), of_run(2));
    let events =
        ["get", "events", "--field-selector=reason=BackupDeleted", "--output=jsonpath={.items[*].message}"];
    let events = lane.kubectl(&events);
    assert!(events.contains("by run stored-1 is deleted: neither keepLast nor keepFor keeps it"), "{events}");

    // Rows are gone for good, and the check behind them does not hold: only the bucket has them.
    let before = lane.database.dump_of(DATABASE);
    ended(lane, &plan(lane, "3", &scripts, 1000), 3, "RolledBack");
    assert_eq!(
        lane.get(PLAN, r#"{.status.conditions[?(@.type=="RolledBack")].reason}"#),
        "RestoredFromBackup"
    );
    assert_eq!(lane.database.dump_of(DATABASE), before);
    let aside = lane.get("mrun/stored-3", "{.status.restores[0].aside}");
    lane.database.sql("shop", &[&format!("ALTER DATABASE \"{aside}\" ALLOW_CONNECTIONS true")]);
    assert_eq!(
        lane.database.sql(&aside, &["SELECT count(*) FROM items"]).trim(),
        "100",
        "what was there is kept"
    );
    let said = lane.get(PLAN, "{.status.message}");
    assert!(said.contains(&aside), "{said}");
    lane.wait_for_deployments();
    removed(lane, minio, &[&aside]);
}

#[test]
fn a_wrong_key_and_a_bucket_that_is_not_there_are_said_and_change_nothing() {
    let platform = crate::platform();
    let lane = &platform.0;
    let minio = Minio::set_up(lane);
    made(lane);
    lane.wait_for_deployments();
    let (before, rows) = (workloads(lane), lane.database.dump_of(DATABASE));
    let not_the_key = "not-the-secret-of-this-server";
    let cases = [
        (
            BUCKET,
            not_the_key,
            "SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your key and signing method; correct secretKey in the Secret of spec.backup.storage.s3.credentials",
        ),
        (
            "there-is-none",
            minio.secret_key.as_str(),
            "NoSuchBucket: The specified bucket does not exist; create it, or correct spec.backup.storage.s3.bucket",
        ),
    ];
    for (run, (bucket, secret_key, sentence)) in (1..).zip(cases) {
        minio.admit(lane, secret_key);
        lane.apply(&target(lane, &minio, bucket));
        ended(lane, &plan(lane, bucket, &["CREATE TABLE more (id int)"], 1000), run, "Aborted");
        let (name, endpoint) = (&lane.name, &minio.endpoint);
        assert_eq!(
            lane.get(PLAN, "{.status.message}"),
            format!(
                "ended before anything was changed, everything is as before: backup of stored: bucket {bucket} at {endpoint}: stored/{run}/stored-1/attempt.json: {sentence}. Mend what the sentence names, then retry. A changed plan starts again by itself; the same one by kubectl annotate mplan -n {name} stored --overwrite whimbrel.dev/retry=\"{run} by <you>\""
            )
        );
        let everything = lane.kubectl(&["get", "mplan,mrun,dbt,events,jobs", "--output=json"]);
        assert!(!everything.contains(not_the_key), "a secret is shown");
        lane.wait_for_deployments();
        assert_eq!(workloads(lane), before);
        assert_eq!(lane.database.dump_of(DATABASE), rows);
    }
    assert_eq!(minio.keys(), [""; 0]);
    assert_eq!(lane.get(TARGET, "{.status.backups}"), "");
    removed(lane, minio, &[]);
}
