//! The script that a person is shown, run as it stands. Only `kubectl` and the pod's folders are ours.

use super::exec_kubectl;
use super::world::{World, sql};
use serde_json::{Value, json};
use std::{fs, process::Command};
use whimbrel::{
    api::{run::BackupRecord, target::DatabaseTargetSpec},
    backup::{ByHand, Of},
    engine::postgresql::aside,
};

/// Runs the script for a backup that is kept here; the error is what it said.
pub(crate) fn by_hand(world: &World, taken: &Value, storage: &Value) -> Result<(), String> {
    let port: u16 = std::env::var("WHIMBREL_TEST_POSTGRES_PORT")
        .expect("the test made it so")
        .parse()
        .expect("the test made it so");
    let spec: DatabaseTargetSpec = serde_json::from_value(json!({
        "postgresql": {"host": "localhost", "port": port, "database": world.database,
            "tls": {"ca": {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}}},
        "credentials": {"secretRef": {"name": "pg-admin"}},
        "backup": {"image": "registry/pg:15", "storage": storage},
    }))
    .expect("the test made it so");
    let backup: BackupRecord = serde_json::from_value(json!({
        "target": world.database, "path": taken["path"], "at": "2026-11-20T02:14:00Z", "level": "Artifact", "bytes": taken["bytes"],
        "sha256": taken["sha256"],
    }))
    .expect("the test made it so");
    let of = Of { plan_uid: "u-1".into(), run: 7, target: world.database.clone() };
    let by_hand = ByHand {
        namespace: "aether",
        spec: &spec,
        of: &of,
        backup: &backup,
        run: 7,
        replicas: 1,
        whimbrel_image: "registry/whimbrel:0.1",
    };
    exec_kubectl::put_into(&world.path("private"));
    let path = format!(
        "{}:{}",
        world.path("private").display(),
        std::env::var("PATH").expect("the test made it so")
    );
    let mut script = by_hand.script().expect("the target says how its backups are made");
    let here = |folder: &str| world.path(folder).display().to_string();
    for (there, here) in [
        ("/credentials/", format!("{}/", here("credentials"))),
        ("/backups/", format!("{}/", here("backups"))),
        ("=/bucket ", format!("={} ", here("bucket"))),
        ("/tmp/backup", here("private/backup")),
        ("/tmp/fetched.json", here("private/fetched.json")),
        ("/whimbrel-bin/whimbrel", env!("CARGO_BIN_EXE_whimbrel").to_owned()),
    ] {
        script = script.replace(there, &here);
    }
    let output =
        Command::new("sh").args(["-c", &script]).env("PATH", &path).output().expect("the test made it so");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let verbs = fs::read_to_string(world.path("private/verbs")).expect("it was called");
    assert!(verbs.ends_with("delete\nrun\nwait\nexec\ndelete\n"), "{verbs}");
    Ok(())
}

#[test]
fn the_script_brings_the_database_back_and_keep_the_broken_one() {
    let world = World::new(
        "wb_hand",
        "CREATE TABLE a (t text); INSERT INTO a VALUES ('x'), ('y');
         REVOKE CONNECT ON DATABASE wb_hand FROM PUBLIC; ALTER DATABASE wb_hand SET search_path = a, public;",
    );
    let taken = world.backup().ok("backup");
    sql(&world.database, "DROP TABLE a; CREATE TABLE half_migrated (x int)");
    by_hand(&world, &taken, &json!({"volumeClaim": {"name": "backups"}})).unwrap();
    assert_eq!(sql("wb_hand", "SELECT count(*) FROM public.a"), "2");
    assert_eq!(sql("wb_hand", "SHOW search_path"), "a, public", "settings of the database are back");
    assert_eq!(
        sql("postgres", "SELECT has_database_privilege('pg_monitor', 'wb_hand', 'CONNECT')"),
        "f",
        "grants are back"
    );
    let aside = aside("wb_hand", 7);
    assert_eq!(sql(&aside, "SELECT count(*) FROM half_migrated"), "0", "the broken one is still there");
    sql("postgres", &format!("DROP DATABASE \"{aside}\""));
}
