//! A Neo4j in the cluster, with APOC, on a volume of its own: one for all tests that need one.

use crate::every_dependent;
use crate::http::Http;
use crate::lane::Platform;
use serde_json::{Value, json};

/// Its workload, Service and Secret are called so.
pub(crate) const NAME: &str = "graph-store";
/// The claim of its data.
pub(crate) const CLAIM: &str = "data-graph-store-0";

/// Makes it where it is not there, waits until it is ready, and empties it.
pub(crate) fn set_up(lane: &Platform) -> Http {
    let password = lane.database.password.clone();
    lane.apply(&objects(lane, &password));
    lane.kubectl(&["rollout", "status", &format!("statefulset/{NAME}"), "--timeout=180s"]);
    let host = lane.get(&format!("service/{NAME}"), "{.spec.clusterIP}");
    let graph = Http { host, port: 7474, user: "neo4j".to_owned(), password };
    graph.empty();
    graph
}

/// How a target calls it.
pub(crate) fn uri(graph: &Http) -> String {
    format!("neo4j://{}:7687", graph.host)
}

/// A plan, and the ConfigMap of its scripts, on the target that is called as both are: they give each user one of four tenants, and
/// a check behind them holds only where `tenants` is four.
pub(crate) fn plan(lane: &Platform, name: &str, version: &str, scripts: &Value, tenants: u32) -> String {
    let metadata = json!({"name": name, "namespace": lane.name});
    let statement = "MATCH (u:User) RETURN count(DISTINCT u.tenant)";
    let steps = json!([
        {"name": "graph", "migrate": {"target": name, "scripts": {"configMap": {"name": name}}}},
        {"name": "tenants", "verify": {"query": {"target": name, "statement": statement, "expect": {"equals": tenants}}}},
    ]);
    let plan = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": metadata,
        "spec": {"version": version, "dependents": every_dependent(lane), "stages": [{"name": "Data", "steps": steps}]},
    });
    let sources = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": scripts});
    json!({"apiVersion": "v1", "kind": "List", "items": [sources, plan]}).to_string()
}

fn objects(lane: &Platform, password: &str) -> String {
    let metadata = json!({"name": NAME, "namespace": lane.name});
    let labels = json!({"app": NAME});
    let container = json!({
        "name": "neo4j", "image": "localhost/neo4j:5",
        "env": [
            {"name": "NEO4J_AUTH", "valueFrom": {"secretKeyRef": {"name": NAME, "key": "auth"}}},
            {"name": "NEO4J_PLUGINS", "value": r#"["apoc"]"#},
        ],
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
            "replicas": 1, "serviceName": NAME, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec}, "volumeClaimTemplates": [claim],
        }},
    ]);
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}
