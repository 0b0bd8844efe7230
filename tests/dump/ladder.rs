//! A dump, and what each level proves of it.

use std::fs;

use serde_json::json;

use crate::server::{World, until};

#[test]
fn a_dump_of_a_stopped_server_is_proven_up_to_the_graph_that_comes_back() {
    let world = World::new();
    let done = world.dump();
    let progress = "whimbrel: progress ";
    assert!(done.output.contains(progress) && done.output.contains("files dumped"), "{}", done.output);
    let backup = done.ok("backup");
    assert_eq!(backup["path"], "release/7/graph-1");
    assert_eq!(backup["files"], 1);
    assert_eq!(backup["kept"]["count"], 1, "counted as a finished backup: {backup}");
    assert!(backup["databaseBytes"].as_u64() > Some(100_000), "{backup}");
    let folder = world.path("backups/release/7/graph-1");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("is there")).expect("JSON");
    assert_eq!(manifest["engine"], "neo4j");
    assert_eq!(manifest["of"], json!({"planUid": "9b7f", "run": 7, "target": "graph"}));
    assert_eq!(manifest["source"]["database"], "neo4j");
    assert_eq!(manifest["files"][0]["path"], "neo4j.dump");
    assert_eq!(manifest["files"][0]["size"], backup["bytes"]);
    for level in ["Artifact", "Structure", "Restored"] {
        let proven = world.prove("release/7/graph-1", level, Some(&world.proof)).ok("verify");
        assert_eq!(proven["level"], level);
        assert_eq!(proven["sha256"], backup["sha256"]);
        assert_eq!(proven["restoreSeconds"].is_null(), level != "Restored");
    }
    // A second attempt has a place of its own.
    assert_eq!(world.dump().ok("backup")["path"], "release/7/graph-1-2");
    // The server's own settings and files are as they were: it starts and has everything.
    let server = world.server();
    assert_eq!(server.proof(), world.proof);
    server.stop();
}

#[test]
fn what_is_damaged_or_other_than_expected_is_not_proven() {
    let world = World::new();
    let backup = world.dump().ok("backup");
    let path = backup["path"].as_str().expect("a path");
    let mut other = world.proof.clone();
    other.structure = other.structure.replace("samples=", "samples=0");
    other.histories.insert("default".to_owned(), "sha256:0".to_owned());
    let done = world.prove(path, "Restored", Some(&other));
    assert_eq!(
        done.message(),
        "the backup does not give back what was in the database: history default has other scripts; its samples differ"
    );
    assert_eq!(done.code, Some(42));
    let done = world.prove(path, "Restored", None);
    assert!(
        done.message().starts_with("there is nothing to compare a restored store with"),
        "{}",
        done.message()
    );
    let dump = world.path("backups").join(path).join("data/neo4j.dump");
    let mut bytes = fs::read(&dump).expect("is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&dump, &bytes).expect("room");
    let done = world.prove(path, "Artifact", None);
    assert_eq!(
        done.message(),
        "the backup is damaged: neo4j.dump has another SHA-256 than when it was written"
    );
    // With the digest of the damaged bytes only Neo4j's own reader finds it.
    let manifest = world.path("backups").join(path).join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("is there");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["files"][0]["sha256"] = sha256(&bytes).into();
    fs::write(&manifest, json.to_string()).expect("room");
    let done = world.prove(path, "Structure", None);
    assert_ne!(done.code, Some(0), "{}", done.result);
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// A pod that is told to go leaves no server behind.
#[test]
fn told_to_stop_a_proof_stops_its_server_and_sees_it_gone() {
    let world = World::new();
    let backup = world.dump().ok("backup");
    let mut command =
        world.prove_command(backup["path"].as_str().expect("a path"), "Restored", Some(&world.proof));
    let mut child = command.spawn().expect("starts");
    let marker = format!("--config-dir={}", world.path("scratch-proof").display());
    until("the private server runs", || running(&marker));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    assert_eq!(child.wait().expect("a child").code(), Some(1));
    assert!(!running(&marker), "it is gone when the worker is");
    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("result")).expect("is there")).expect("JSON");
    assert_eq!(result["failed"]["message"], "stopped by a signal before it was done");
}

fn running(marker: &str) -> bool {
    let all = fs::read_dir("/proc").expect("is there").flatten();
    all.map(|it| it.path().join("cmdline"))
        .filter_map(|it| fs::read(it).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(marker))
}
