//! A graph whose server goes on: exported by APOC, from pods, into a bucket, before its scripts run.

use crate::lane::Platform;
use crate::minio::{BUCKET, Minio};
use crate::{graph_store, wait};
use serde_json::{Value, json};

const PLAN: &str = "mplan/exported";
const FINISHED: &str = r#"{.status.conditions[?(@.type=="Finished")].reason}"#;
const USERS: &str = "MATCH (u:User) RETURN u.id, u.tenant ORDER BY u.id";

fn target(lane: &Platform, uri: &str, minio: &Minio, verification: &Value) -> String {
    let metadata = json!({"name": "exported", "namespace": lane.name});
    let target = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": metadata,
        "spec": {
            "neo4j": {"uri": uri, "tls": {"mode": "Disable"}, "backup": {"method": "Apoc"}},
            "credentials": {"secretRef": {"name": graph_store::NAME}},
            "backup": {"verification": verification, "storage": {"s3": minio.storage(BUCKET)}},
        },
    });
    target.to_string()
}

/// Two scripts, each with an undo that keeps data, and a check that holds or not.
fn plan(lane: &Platform, version: &str, tenants: u32) -> String {
    let scripts = json!({
        "V001__tenants.cypher": "MATCH (u:User) WHERE u.tenant IS NULL SET u.tenant = 'tenant ' + toString(u.id % 4);\n",
        "U001__tenants.cypher": "// whimbrel: undo keeps-data\nMATCH (u:User) WHERE u.tenant STARTS WITH 'tenant ' REMOVE u.tenant;\n",
        "V002__tenant.cypher": "CREATE INDEX user_tenant FOR (u:User) ON (u.tenant);\n",
        "U002__tenant.cypher": "DROP INDEX user_tenant IF EXISTS;\n",
    });
    graph_store::plan(lane, "exported", version, &scripts, tenants)
}

#[test]
fn a_graph_that_runs_is_exported_before_its_scripts() {
    let platform = crate::platform();
    let lane = &platform.0;
    let minio = Minio::set_up(lane);
    minio.admit(lane, &minio.secret_key);
    let graph = graph_store::set_up(lane);
    let uri = graph_store::uri(&graph);
    graph.rows("CREATE CONSTRAINT user_id FOR (u:User) REQUIRE u.id IS UNIQUE");
    graph.rows("UNWIND range(1, 200) AS id CREATE (:User {id: id})-[:KNOWS]->(:Place {id: id})");
    let before = graph.rows(USERS);

    // An export proves less than what a target asks for that says nothing.
    lane.apply(&target(lane, &uri, &minio, &Value::Null));
    lane.apply(&plan(lane, "1", 5));
    wait(lane, PLAN, r#"{.status.conditions[?(@.type=="Ready")].reason}"#, "GuardBlocked");
    let said = lane.get(PLAN, "{.status.message}");
    assert!(
        said.contains("an export proves no more than Artifact: say backup.verification: Artifact"),
        "{said}"
    );
    assert_eq!(minio.keys(), [""; 0]);

    // A check that does not hold, behind scripts that their undo files take back.
    lane.apply(&target(lane, &uri, &minio, &json!("Artifact")));
    wait(lane, PLAN, FINISHED, "RolledBack");
    let run = lane.get(PLAN, "{.status.run.name}");
    assert_eq!(lane.get(&format!("mrun/{run}"), "{.status.backups[0].level}"), "Artifact");
    assert_eq!(graph.rows(USERS), before);
    assert_eq!(graph.rows("SHOW INDEXES YIELD name WHERE name = 'user_tenant'"), Vec::<Vec<Value>>::new());
    let folder = format!("some/where/exported/1/{run}");
    let kept = ["attempt.json", "data/neo4j.cypher", "manifest.json"].map(|name| format!("{folder}/{name}"));
    assert_eq!(minio.keys(), kept);
    let text = String::from_utf8(minio.get(&kept[1])).expect("statements are text");
    assert!(text.contains("CREATE CONSTRAINT user_id") && text.contains(":Place"), "{text}");
    let manifest: Value = serde_json::from_slice(&minio.get(&kept[2])).expect("a manifest is JSON");
    assert_eq!(manifest["source"]["relationships"], 200);
    lane.wait_for_deployments();

    lane.apply(&plan(lane, "2", 4));
    wait(lane, PLAN, FINISHED, "Succeeded");
    assert_eq!(graph.rows("MATCH (u:User) RETURN count(DISTINCT u.tenant)"), [[json!(4)]]);
    assert_eq!(graph.rows("MATCH (f:__WhimbrelFence) RETURN f.claimed"), [[json!(false)]]);
    lane.wait_for_deployments();
    lane.kubectl(&["delete", PLAN, "dbt/exported", "--timeout=60s"]);
    lane.kubectl(&["delete", "mrun", "--all", "--timeout=60s"]);
    minio.remove(lane);
}
