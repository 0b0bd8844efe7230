//! A Neo4j in the cluster that is backed up while its server is stopped, and put back from that backup.

use crate::http::Http;
use crate::lane::Platform;
use crate::{every_dependent, wait};
use serde_json::{Value, json};

const PLAN: &str = "mplan/stopped";
const USERS: &str = "MATCH (u:User) RETURN u.id, u.tenant ORDER BY u.id";
const OURS: &str = "MATCH (s:__WhimbrelScript) RETURN s.key ORDER BY s.key";

/// A server of its own, on a volume of its own.
fn server(lane: &Platform, password: &str) -> String {
    let metadata = json!({"name": "graph-store", "namespace": lane.name});
    let labels = json!({"app": "graph-store"});
    let container = json!({
        "name": "neo4j", "image": "localhost/neo4j:5",
        "env": [{"name": "NEO4J_AUTH", "valueFrom": {"secretKeyRef": {"name": "graph-store", "key": "auth"}}}],
        "ports": [{"containerPort": 7687}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 7474}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    });
    let spec = json!({
        "securityContext": {"runAsUser": 7474, "runAsGroup": 7474, "fsGroup": 7474},
        "terminationGracePeriodSeconds": 120, "containers": [container],
    });
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let secret = json!({"username": "neo4j", "password": password, "auth": format!("neo4j/{password}")});
    let items = json!([
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": secret},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata,
         "spec": {"selector": labels, "ports": [{"name": "bolt", "port": 7687}, {"name": "http", "port": 7474}]}},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": {
            "replicas": 1, "serviceName": "graph-store", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec}, "volumeClaimTemplates": [claim],
        }},
    ]);
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn target(lane: &Platform, address: &str) -> Value {
    json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": {"name": "stopped", "namespace": lane.name},
        "spec": {
            "neo4j": {"uri": format!("neo4j://{address}:7687"), "tls": {"mode": "Disable"}},
            "credentials": {"secretRef": {"name": "graph-store"}},
            "server": {"kind": "StatefulSet", "name": "graph-store", "volumeClaim": "data-graph-store-0"},
            "backup": {
                "image": "localhost/neo4j:5", "storage": {"volumeClaim": {"name": "backups", "path": "graph"}},
                "pod": {"securityContext": {"runAsUser": 7474, "runAsGroup": 7474, "fsGroup": 7474}},
            },
        },
    })
}

/// Two scripts of which one has no undo, and a check that holds or not.
fn plan(lane: &Platform, version: &str, tenants: u32) -> String {
    let metadata = json!({"name": "stopped", "namespace": lane.name});
    let scripts = json!({
        "V001__tenants.cypher": "MATCH (u:User) SET u.tenant = 'tenant ' + toString(u.id % 4);\n",
        "V002__half.cypher": "MATCH (u:User) WHERE u.id > 100 DETACH DELETE u;\n",
    });
    let statement = "MATCH (u:User) RETURN count(DISTINCT u.tenant)";
    let steps = json!([
        {"name": "graph", "migrate": {"target": "stopped", "scripts": {"configMap": {"name": "stopped"}}}},
        {"name": "tenants", "verify": {"query": {"target": "stopped", "statement": statement, "expect": {"equals": tenants}}}},
    ]);
    let plan = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": metadata,
        "spec": {"version": version, "dependents": every_dependent(lane), "stages": [{"name": "Data", "steps": steps}]},
    });
    let sources = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": scripts});
    json!({"apiVersion": "v1", "kind": "List", "items": [sources, plan]}).to_string()
}

#[test]
fn a_server_is_stopped_for_its_backup_and_for_what_brings_it_back() {
    let platform = crate::platform();
    let lane = &platform.0;
    let password = lane.database.password.clone();
    lane.apply(&server(lane, &password));
    lane.kubectl(&["rollout", "status", "statefulset/graph-store", "--timeout=180s"]);
    let host = lane.get("service/graph-store", "{.spec.clusterIP}");
    let graph = Http { host: host.clone(), port: 7474, user: "neo4j".to_owned(), password };
    graph.rows("UNWIND range(1, 200) AS id CREATE (:User {id: id})-[:KNOWS]->(:Place {id: id})");
    graph.rows("CREATE INDEX places FOR (p:Place) ON (p.id)");
    let before = graph.rows(USERS);

    // A check that does not hold, behind scripts that nothing but the backup brings back.
    lane.apply(&target(lane, &host).to_string());
    lane.apply(&plan(lane, "1", 5));
    let finished = r#"{.status.conditions[?(@.type=="Finished")].reason}"#;
    wait(lane, PLAN, finished, "RolledBack");
    let run = lane.get(PLAN, "{.status.run.name}");
    let (run, graph_store) = (format!("mrun/{run}"), "statefulset/graph-store");
    assert_eq!(lane.get(&run, "{.status.backups[0].level}"), "Restored");
    let aside = lane.get(&run, "{.status.restores[0].aside}");
    assert_eq!(
        lane.get(graph_store, "{.spec.replicas} {.metadata.annotations.whimbrel\\.dev/claimed-by}"),
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
    lane.kubectl(&["delete", graph_store, "--timeout=120s"]);
}
