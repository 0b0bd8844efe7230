//! A plan on a Neo4j database: applied and taken back, then applied for good, with the history of neo4j-migrations.
//!
//! The operator is a process of this machine, and so is the server: `testbed/neo4j up` and `eval "$(testbed/neo4j env)"`.

use crate::lane::Platform;
use crate::testbed::{empty, env, rows};
use crate::{annotate, every_dependent, wait};
use serde_json::{Value, json};

const STATE: &str = "MATCH (n) WHERE NOT any(l IN labels(n) WHERE l STARTS WITH '__') RETURN labels(n), properties(n) ORDER BY n.id";
const CONSTRAINTS: &str = "SHOW CONSTRAINTS YIELD name WHERE NOT name STARTS WITH '__' AND NOT name STARTS WITH 'unique_version' RETURN name";
const CHAIN: &str =
    "MATCH (m:__Neo4jMigration) WHERE m.version <> 'BASELINE' RETURN m.version ORDER BY m.version";

fn target(lane: &Platform, backup: Value) -> Value {
    json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": {"name": "graph", "namespace": lane.name},
        "spec": {
            "neo4j": {
                "uri": format!("neo4j://localhost:{}", env("PORT")),
                "tls": {"ca": {"configMapKeyRef": {"name": "graph-ca", "key": "ca.crt"}}},
                "histories": [{"name": "default", "format": "Neo4jMigrations"}],
            },
            "credentials": {"secretRef": {"name": "graph-admin"}},
            "backup": backup,
        },
    })
}

fn plan(lane: &Platform, version: &str) -> Value {
    let steps = json!([
        {"name": "users", "migrate": {"target": "graph", "scripts": {"configMap": {"name": "graph-cypher"}}}},
        {"name": "none-without", "verify": {"query": {
            "target": "graph", "statement": "MATCH (u:User) WHERE u.tenant IS NULL RETURN count(u)", "expect": {"equals": 0},
        }}},
        {"name": "look", "approve": {"message": "Shall it go on?"}},
    ]);
    json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": {"name": "graph", "namespace": lane.name},
        "spec": {"version": version, "dependents": every_dependent(lane), "stages": [{"name": "Data", "steps": steps}]},
    })
}

fn surroundings(lane: &Platform) -> Value {
    let metadata = |name: &str| json!({"name": name, "namespace": lane.name});
    let ca = std::fs::read_to_string(env("CA")).expect("the CA is readable");
    let scripts = json!({
        "V0001__tenants.cypher": "MATCH (u:User) WHERE u.tenant IS NULL SET u.tenant = 'tenant_' + u.id;\n",
        "U0001__tenants.cypher": "// whimbrel: undo keeps-data\nMATCH (u:User) WHERE u.tenant IS NOT NULL REMOVE u.tenant;\n",
        "V0002__unique.cypher": "CREATE CONSTRAINT user_tenant IF NOT EXISTS FOR (u:User) REQUIRE u.tenant IS UNIQUE;\n",
        "U0002__unique.cypher": "DROP CONSTRAINT user_tenant IF EXISTS;\n",
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata("graph-admin"),
         "stringData": {"username": env("USER"), "password": env("PASSWORD")}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("graph-ca"), "data": {"ca.crt": ca}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("graph-cypher"), "data": scripts},
    ]})
}

const PLAN: &str = "mplan/graph";
const READY: &str = r#"{.status.conditions[?(@.type=="Ready")].reason}"#;

#[test]
fn a_graph_is_migrated_and_taken_back() {
    let platform = crate::platform();
    let lane = &platform.0;
    empty();
    rows("UNWIND range(1, 20) AS id CREATE (:User {id: id})");
    let before = rows(STATE);
    lane.apply(&surroundings(lane).to_string());

    // No backup of it is taken, since nobody says which server to stop: that must be said.
    lane.apply(&target(lane, json!({})).to_string());
    lane.apply(&plan(lane, "1").to_string());
    wait(lane, PLAN, READY, "GuardBlocked");
    assert_eq!(
        lane.get("mplan/graph", "{.status.message}"),
        "step users: a backup of target graph shall reach Structure, and none of it is taken: name its server and volume (spec.server), or say backup.verification: None, in the target and the plan"
    );
    assert_eq!(rows(STATE), before);

    lane.apply(&target(lane, json!({"verification": "None"})).to_string());
    wait(lane, PLAN, READY, "AwaitingApproval");
    assert_eq!(rows(CHAIN), [[json!("0001")], [json!("0002")]]);
    assert_eq!(rows(CONSTRAINTS), [[json!("user_tenant")]]);
    assert_eq!(rows("MATCH (u:User) RETURN count(DISTINCT u.tenant)"), [[json!(20)]]);
    assert_eq!(
        rows("MATCH (l:__Neo4jMigrationsLock) RETURN count(l)"),
        [[json!(0)]],
        "the lock is held for one op"
    );
    let preview = lane.get("mplan/graph", "{.status.preview}");
    assert!(
        preview.contains("back of graph: undo scripts, else a person: no backup of it is taken"),
        "{preview}"
    );

    annotate(lane, PLAN, "abort", "1");
    wait(lane, PLAN, r#"{.status.conditions[?(@.type=="Finished")].reason}"#, "RolledBack");
    assert_eq!(rows(STATE), before);
    assert_eq!((rows(CHAIN).len(), rows(CONSTRAINTS).len()), (0, 0));

    lane.apply(&plan(lane, "2").to_string());
    wait(lane, PLAN, READY, "AwaitingApproval");
    annotate(lane, PLAN, "approve.look", &lane.get("mplan/graph", "{.status.run.planHash}"));
    wait(lane, PLAN, "{.status.phase}", "Succeeded");
    assert_eq!(rows(CHAIN), [[json!("0001")], [json!("0002")]]);
    assert_eq!(rows("MATCH (f:__WhimbrelFence) RETURN f.claimed, f.peerLock"), [[json!(false), json!("")]]);
    // The target's status follows the run's end.
    lane.kubectl(&["wait", "--for=jsonpath={.status.histories[0].count}=2", "dbt/graph", "--timeout=60s"]);
    lane.wait_for_deployments();
    lane.kubectl(&["delete", "mplan/graph", "dbt/graph", "--timeout=60s"]);
}
