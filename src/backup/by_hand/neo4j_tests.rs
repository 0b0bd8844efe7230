//! What the script of a Neo4j says, and in which order.

use crate::api::{run::BackupRecord, target::DatabaseTargetSpec};
use crate::backup::{ByHand, Of};
use serde_json::{Value, json};

fn script(server: Value) -> Option<String> {
    script_from(server, json!({"volumeClaim": {"name": "backups"}}))
}

fn script_from(server: Value, storage: Value) -> Option<String> {
    script_of(&spec(server, storage))
}

fn spec(server: Value, storage: Value) -> Value {
    json!({
        "neo4j": {"uri": "neo4j://graph:7687", "database": "Graph"}, "server": server,
        "credentials": {"secretRef": {"name": "graph"}},
        "backup": {"image": "neo4j:5", "storage": storage},
    })
}

fn script_of(spec: &Value) -> Option<String> {
    let spec: DatabaseTargetSpec = serde_json::from_value(spec.clone()).unwrap();
    let backup: BackupRecord = serde_json::from_value(json!({
        "target": "graph", "path": "plan/7/graph-1", "at": "2026-11-20T02:14:00Z", "level": "Restored", "bytes": 5, "sha256": "ab12",
    }))
    .unwrap();
    let of = Of { plan_uid: "9b7f".into(), run: 7, target: "graph".into() };
    let (namespace, whimbrel_image) = ("aether", "registry/whimbrel:0.1");
    ByHand { namespace, spec: &spec, of: &of, backup: &backup, run: 7, replicas: 1, whimbrel_image }.script()
}

#[test]
fn the_server_is_stopped_first_and_started_last() {
    let server =
        json!({"kind": "StatefulSet", "name": "graph", "volumeClaim": "data-graph-0", "dataPath": "data"});
    let script = script(server).unwrap();
    let [_, aside, stop, gone, _, run, wait, exec, delete, start] = script.lines().collect::<Vec<_>>()[..]
    else {
        panic!("{script}")
    };
    assert_eq!(
        aside,
        "# The server is stopped. The store of graph goes to /data/wb-by-hand-r7/aside on its volume, and is kept; the volume needs room for a second one."
    );
    assert_eq!(stop, "kubectl -n aether scale statefulset/graph --replicas=0 &&");
    assert_eq!(
        gone,
        "kubectl -n aether wait pod --for=delete --timeout=10m -l \"$(kubectl -n aether get statefulset/graph -o go-template='{{range $name, $value := .spec.selector.matchLabels}}{{$name}}={{$value}},{{end}}' | sed 's/,$//')\" &&"
    );
    assert!(
        run.contains("data-graph-0") && wait.contains("Ready") && delete.contains("delete pod"),
        "{script}"
    );
    let loads = exec.find("NEO4J_CONF=/tmp/neo4j/conf neo4j-admin database load graph --from-path=/backups/plan/7/graph-1/data; mkdir /server/data/wb-by-hand-r7/aside");
    let moves = exec.find("mv databases/graph /server/data/wb-by-hand-r7/aside/databases/");
    assert!(loads.is_some() && loads < moves, "nothing is moved before the dump is loaded: {exec}");
    assert_eq!(start, "kubectl -n aether scale statefulset/graph --replicas=1");
}

#[test]
fn what_is_in_a_bucket_is_fetched_before_anything_is_loaded() {
    let server =
        json!({"kind": "StatefulSet", "name": "graph", "volumeClaim": "data-graph-0", "dataPath": "data"});
    let script = script_from(server, json!({"s3": {"bucket": "backups"}})).unwrap();
    let fetch = script.find("/whimbrel-bin/whimbrel worker fetch --bucket=backups");
    let load = script.find("neo4j-admin database load graph --from-path=/tmp/backup; ");
    assert!(fetch.is_some() && fetch < load, "{script}");
}

#[test]
fn an_export_is_named_and_nothing_is_run() {
    let server = json!({"kind": "StatefulSet", "name": "graph", "volumeClaim": "data-graph-0"});
    let mut spec = spec(server, json!({"volumeClaim": {"name": "backups"}}));
    spec["neo4j"]["backup"] = json!({"method": "Apoc"});
    let script = script_of(&spec).unwrap();
    assert!(script.contains("plan/7/graph-1/data/graph.cypher below the storage's path"), "{script}");
    assert!(script.lines().all(|line| line.starts_with('#')), "{script}");
}

#[test]
fn a_server_that_nobody_names_has_no_script() {
    assert_eq!(script(json!({"kind": "StatefulSet", "name": "graph"})), None);
}
