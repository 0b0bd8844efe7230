//! A Neo4j as a scene: a process of this machine, with one database.

use crate::act::Base;
use crate::http::Http;
use crate::lane::Lane;
use crate::scene::Scene;
use crate::server::Server;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

/// The server, emptied before each act.
pub(crate) struct Graph {
    lane: Lane,
    server: Server,
    http: Http,
}

impl Graph {
    /// A lane whose operator may go to the server.
    pub(crate) fn set_up(number: usize) -> Self {
        let lane = Lane::set_up(&format!("crash-graph-{number}"), &[""]);
        let server = Server::of_lane(number);
        let metadata = |name: &str| json!({"name": name, "namespace": lane.name});
        let ca = fs::read_to_string(server.get("CA")).expect("the CA is readable");
        let mut items = runner(&lane.name);
        items.extend([
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("graph-admin"),
                "stringData": {"username": server.get("USER"), "password": server.get("PASSWORD")}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("graph-ca"), "data": {"ca.crt": ca}}),
        ]);
        lane.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
        let http = server.http();
        Self { lane, server, http }
    }
}

impl Scene for Graph {
    fn lane(&self) -> &Lane {
        &self.lane
    }

    fn target(&self) -> (&'static str, String) {
        let target = json!({
            "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget",
            "metadata": {"name": "makers", "namespace": self.lane.name},
            "spec": {
                "neo4j": {
                    "uri": format!("neo4j://localhost:{}", self.server.get("PORT")),
                    "tls": {"ca": {"configMapKeyRef": {"name": "graph-ca", "key": "ca.crt"}}},
                    "histories": [{"name": "default", "format": "Neo4jMigrations"}],
                },
                "credentials": {"secretRef": {"name": "graph-admin"}},
                "backup": {"verification": "None"},
            },
        });
        ("makers", target.to_string())
    }

    /// Our own nodes and constraints go too: each act finds a server that has never seen us.
    fn reset(&mut self, _: Base) -> Result<(), String> {
        self.http.empty();
        self.http.rows("UNWIND range(1, 20) AS id CREATE (:Maker {id: id, n: 1})");
        Ok(())
    }

    fn facts(&self) -> Result<BTreeMap<String, String>, String> {
        let shown = |query: &str| {
            self.http.rows(query).into_iter().map(|row| format!("{}\n", Value::from(row))).collect()
        };
        Ok(FACTS.iter().map(|(topic, query)| ((*topic).to_owned(), shown(query))).collect())
    }
}

/// What is compared. Ids, times and tokens are not in it.
const FACTS: &[(&str, &str)] = &[
    (
        "nodes",
        "MATCH (n) WHERE none(l IN labels(n) WHERE l STARTS WITH '__') \
         RETURN labels(n), properties(n) ORDER BY labels(n)[0], coalesce(n.id, n.code)",
    ),
    (
        "relationships",
        "MATCH (a)-[r]->(b) WHERE none(l IN labels(a) WHERE l STARTS WITH '__') \
         RETURN a.id, type(r), properties(r), b.code ORDER BY a.id, type(r), b.code",
    ),
    (
        "indexes",
        "SHOW INDEXES YIELD name, type, state, labelsOrTypes, properties \
         RETURN name, type, state, labelsOrTypes, properties ORDER BY name",
    ),
    ("constraints", "SHOW CONSTRAINTS YIELD name, type RETURN name, type ORDER BY name"),
    (
        "chain",
        "MATCH (m:__Neo4jMigration) OPTIONAL MATCH (m)-[:MIGRATED_TO]->(next) \
         RETURN m.version, m.description, m.type, m.source, m.checksum, next.version ORDER BY m.version",
    ),
    ("lock", "MATCH (l:__Neo4jMigrationsLock) RETURN count(l)"),
    (
        "journal",
        "MATCH (s:__WhimbrelScript) RETURN s.history, s.rank, s.key, s.state, s.statement, s.outside, s.checksum \
         ORDER BY s.history, s.rank",
    ),
    ("fence", "MATCH (f:__WhimbrelFence) RETURN f.claimed, f.peerLock"),
];

/// Whom the plans of a namespace act as, and its rights.
fn runner(namespace: &str) -> Vec<Value> {
    let account = json!({"kind": "ServiceAccount", "name": "whimbrel", "namespace": namespace});
    let role =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "whimbrel-runner"});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "whimbrel", "namespace": namespace}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "whimbrel-runner", "namespace": namespace}, "roleRef": role, "subjects": [account]}),
    ]
}
