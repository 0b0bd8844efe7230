//! The script that a person is shown, run as it stands. Only `kubectl` and the pod's folders are ours.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use whimbrel::api::{run::BackupRecord, target::DatabaseTargetSpec};
use whimbrel::backup::{ByHand, Of};

use crate::exec_kubectl;
use crate::put_back::dumped_and_changed;
use crate::server::{World, path};

/// Runs the script for a backup; the error is what it said.
pub(crate) fn by_hand(world: &World, taken: &Value) -> Result<(), String> {
    let storage = match &world.bucket {
        Some(bucket) => json!({"s3": {
            "endpoint": bucket.endpoint, "bucket": bucket.name, "prefix": "some/where", "pathStyle": true,
            "credentials": {"secretRef": {"name": "minio"}}, "ca": {"configMapKeyRef": {"name": "minio-ca", "key": "ca.pem"}}}}),
        None => json!({"volumeClaim": {"name": "backups"}}),
    };
    let spec: DatabaseTargetSpec = serde_json::from_value(json!({
        "neo4j": {"uri": "neo4j://graph:7687"}, "credentials": {"secretRef": {"name": "graph"}},
        "server": {"kind": "StatefulSet", "name": "graph", "volumeClaim": "data-graph-0", "dataPath": "data"},
        "backup": {"image": "neo4j:5", "storage": storage},
    }))
    .expect("a good target");
    let backup: BackupRecord = serde_json::from_value(json!({
        "target": "graph", "path": taken["path"], "at": "2026-11-20T02:14:00Z", "level": "Restored", "bytes": 5,
        "sha256": taken["sha256"],
    }))
    .expect("a good record");
    let of = Of { plan_uid: "9b7f".into(), run: 7, target: "graph".into() };
    let (namespace, whimbrel_image) = ("aether", "registry/whimbrel:0.1");
    let by_hand =
        ByHand { namespace, spec: &spec, of: &of, backup: &backup, run: 7, replicas: 1, whimbrel_image };
    let tools = world.path("tools");
    fs::create_dir_all(&tools).expect("room");
    exec_kubectl::put_into(&tools);
    let mut folders = vec![tools];
    folders.extend(std::env::split_paths(&path()));
    let script = by_hand.script().expect("the target says how its backups are made");
    let here = |name: &str| world.path(name).display().to_string();
    let places = [
        ("/server/data", here("data")),
        ("/backups/", format!("{}/", here("backups"))),
        ("/tmp/neo4j", here("neo4j")),
        ("=/bucket ", format!("={} ", here("bucket"))),
        ("/tmp/backup", here("fetched")),
        ("/tmp/fetched.json", here("fetched.json")),
        ("/whimbrel-bin/whimbrel", env!("CARGO_BIN_EXE_whimbrel").to_owned()),
    ];
    let script = places.iter().fold(script, |script, (there, here)| script.replace(there, here));
    let ran = Command::new("sh")
        .args(["-c", &script])
        .env("PATH", std::env::join_paths(folders).expect("no colon in it"))
        .output()
        .expect("there is a shell");
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
    }
}

#[test]
fn the_script_puts_a_dump_back_and_keeps_what_was_there() {
    let world = World::new();
    let taken = dumped_and_changed(&world);
    let dump = world.path("backups").join(taken["path"].as_str().expect("a text")).join("data/neo4j.dump");
    let elsewhere = world.path("elsewhere.dump");
    fs::rename(&dump, &elsewhere).expect("it is there");
    by_hand(&world, &taken).expect_err("there is no dump");
    assert!(world.data().join("databases/neo4j").is_dir(), "nothing was moved");
    fs::rename(&elsewhere, &dump).expect("it is there");
    by_hand(&world, &taken).unwrap();
    let verbs = fs::read_to_string(world.path("tools/verbs")).expect("it was called");
    assert!(verbs.ends_with("scale\nget\nwait\ndelete\nrun\nwait\nexec\ndelete\nscale\n"), "{verbs}");
    let server = world.server();
    assert_eq!(server.proof(), world.proof);
    assert_eq!(server.value("MATCH (p:Person) RETURN count(p)"), "400");
    server.stop();
    let aside = world.data().join("wb-by-hand-r7/aside");
    assert!(aside.join("databases/neo4j").is_dir() && aside.join("transactions/neo4j").is_dir());
    // Twice would put the restored store where the other one is.
    let again = by_hand(&world, &taken).unwrap_err();
    assert!(again.contains("aside") && again.contains("exists"), "{again}");
    assert!(world.data().join("databases/neo4j").is_dir(), "nothing was moved");
}
