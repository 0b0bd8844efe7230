//! A Neo4j in the cluster that is backed up while its server is stopped, and put back from that backup.

use crate::lane::Platform;
use crate::{graph_store, wait};
use serde_json::{Value, json};

const PLAN: &str = "mplan/stopped";
const USERS: &str = "MATCH (u:User) RETURN u.id, u.tenant ORDER BY u.id";
const OURS: &str = "MATCH (s:__WhimbrelScript) RETURN s.key ORDER BY s.key";

fn target(lane: &Platform, uri: &str) -> Value {
    json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": {"name": "stopped", "namespace": lane.name},
        "spec": {
            "neo4j": {"uri": uri, "tls": {"mode": "Disable"}},
            "credentials": {"secretRef": {"name": graph_store::NAME}},
            "server": {"kind": "StatefulSet", "name": graph_store::NAME, "volumeClaim": graph_store::CLAIM},
            "backup": {
                "image": "localhost/neo4j:5", "storage": {"volumeClaim": {"name": "backups", "path": "graph"}},
                "pod": {"securityContext": {"runAsUser": 7474, "runAsGroup": 7474, "fsGroup": 7474}},
            },
        },
    })
}

/// Two scripts of which one has no undo, and a check that holds or not.
fn plan(lane: &Platform, version: &str, tenants: u32) -> String {
    let scripts = json!({
        "V001__tenants.cypher": "MATCH (u:User) SET u.tenant = 'tenant ' + toString(u.id % 4);\n",
        "V002__half.cypher": "MATCH (u:User) WHERE u.id > 100 DETACH DELETE u;\n",
    });
    graph_store::plan(lane, "stopped", version, &scripts, tenants)
}

#[test]
fn a_server_is_stopped_for_its_backup_and_for_what_brings_it_back() {
    let platform = crate::platform();
    let lane = &platform.0;
    let graph = graph_store::set_up(lane);
    graph.rows("UNWIND range(1, 200) AS id CREATE (:User {id: id})-[:KNOWS]->(:Place {id: id})");
    graph.rows("CREATE INDEX places FOR (p:Place) ON (p.id)");
    let before = graph.rows(USERS);

    // A check that does not hold, behind scripts that nothing but the backup brings back.
    lane.apply(&target(lane, &graph_store::uri(&graph)).to_string());
    lane.apply(&plan(lane, "1", 5));
    let finished = r#"{.status.conditions[?(@.type=="Finished")].reason}"#;
    wait(lane, PLAN, finished, "RolledBack");
    let run = lane.get(PLAN, "{.status.run.name}");
    let run = format!("mrun/{run}");
    assert_eq!(lane.get(&run, "{.status.backups[0].level}"), "Restored");
    let aside = lane.get(&run, "{.status.restores[0].aside}");
    assert_eq!(
        lane.get(
            "statefulset/graph-store",
            "{.spec.replicas} {.metadata.annotations.whimbrel\\.dev/claimed-by}"
        ),
        "1 "
    );
    assert_eq!(graph.rows(USERS), before);
    assert_eq!(graph.rows(OURS), Vec::<Vec<Value>>::new());
    let kept = lane.kubectl(&["exec", "graph-store-0", "--", "ls", &format!("/data/{aside}")]);
    assert!(kept.contains("databases"), "what was there is kept: {kept}");
    lane.wait_for_deployments();

    lane.apply(&plan(lane, "2", 4));
    wait(lane, PLAN, finished, "Succeeded");
    assert_eq!(graph.rows(OURS).len(), 2);
    assert_eq!(graph.rows("MATCH (u:User) RETURN count(u)"), [[json!(100)]]);
    lane.wait_for_deployments();
    lane.kubectl(&["delete", PLAN, "dbt/stopped", "--timeout=60s"]);
}
