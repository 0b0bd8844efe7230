//! An OpenSearch as a scene: that of `examples/search`, in the lane's own namespace.

use crate::act::Base;
use crate::curl::Curl;
use crate::lane::{CHECKOUT, Lane};
use crate::scene::Scene;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The server, emptied before each act.
pub(crate) struct Search {
    lane: Lane,
    server: Curl,
}

/// What elasticsearch-evolution writes, and what we do.
const RECORDS: [&str; 2] = ["es_evolution", ".whimbrel"];

impl Search {
    /// A lane with a server, and a repository for snapshots.
    pub(crate) fn set_up(name: &str) -> Self {
        let lane = Lane::set_up(name, &[""]);
        let path = Path::new(CHECKOUT).join("examples/search/platform.yaml");
        let platform =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        lane.apply(&platform.replace("library", name));
        lane.kubectl(&["rollout", "status", "statefulset/search", "--timeout=300s"]);
        let url = format!("http://{}:9200", lane.get("service/search", "{.spec.clusterIP}"));
        let search = Self { lane, server: Curl { url, secure: None } };
        let repository = json!({"type": "fs", "settings": {"location": "/snapshots/backups"}});
        search.must("PUT", "/_snapshot/backups", &repository.to_string());
        search
    }

    fn must(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, answer) = self.server.request(method, path, Some(body));
        assert!(status < 300 && answer["errors"] != true, "{method} {path}: {status} {answer}");
        answer
    }

    /// The indices that the server has not made for itself.
    fn indices(&self) -> impl Iterator<Item = String> {
        let all = self.server.indices().into_iter();
        all.filter(|name| !name.starts_with('.') || RECORDS.contains(&name.as_str()))
    }

    /// Mapping, settings and aliases of an index, without what the server makes up.
    fn made(&self, index: &str) -> String {
        let mut made = self.server.get(&format!("/{index}"))[index].take();
        if let Some(settings) = made["settings"]["index"].as_object_mut() {
            settings.retain(|key, _| !["creation_date", "uuid", "version", "resize"].contains(&key.as_str()));
        }
        made.to_string()
    }

    /// Its documents by id.
    fn documents(&self, index: &str) -> BTreeMap<String, Value> {
        self.server.request("POST", &format!("/{index}/_refresh"), None);
        let mut found = self.server.get(&format!("/{index}/_search?size=1000"));
        let hits = found["hits"]["hits"].take();
        let document =
            |hit: &Value| (hit["_id"].as_str().unwrap_or_default().to_owned(), hit["_source"].clone());
        hits.as_array().into_iter().flatten().map(document).collect()
    }
}

impl Scene for Search {
    fn lane(&self) -> &Lane {
        &self.lane
    }

    fn target(&self) -> (&'static str, String) {
        let target = json!({
            "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget",
            "metadata": {"name": "makers", "namespace": self.lane.name},
            "spec": {
                "opensearch": {
                    "url": self.server.url,
                    "indices": ["makers*"],
                    "tls": {"mode": "Disable"},
                    "histories": [{"name": "default", "format": "ElasticsearchEvolution"}],
                    "backup": {"repository": "backups"},
                },
                // Whoever takes a dead session over waits for as long as its last request may take.
                "timeouts": {"statement": "5s"},
                "backup": {"verification": "Restored"},
            },
        });
        ("makers", target.to_string())
    }

    /// Our own index and the library's go too, and snapshots: each act finds a server that has never seen us.
    fn reset(&mut self, _: Base) -> Result<(), String> {
        self.server.request("DELETE", "/_snapshot/backups/wb-*", None);
        for index in self.indices() {
            self.server.request("DELETE", &format!("/{index}"), None);
        }
        self.server.request("DELETE", "/_ingest/pipeline/makers*", None);
        let part = json!({"template": {"settings": {"number_of_shards": 1}}});
        self.must("PUT", "/_component_template/makers", &part.to_string());
        let made = json!({"settings": {"number_of_replicas": 0}, "aliases": {"makers": {}}});
        self.must("PUT", "/makers-1", &made.to_string());
        let mut bulk = String::new();
        for id in 1..=20 {
            let _ = writeln!(bulk, "{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"n\":1}}");
        }
        self.must("POST", "/makers-1/_bulk?refresh=true", &bulk);
        Ok(())
    }

    fn facts(&self) -> Result<BTreeMap<String, String>, String> {
        let mut facts = BTreeMap::new();
        for index in self.indices() {
            let record = RECORDS.contains(&index.as_str());
            let mut shown = if record { String::new() } else { self.made(&index) };
            for (id, document) in self.documents(&index) {
                let (id, document) = if record { lasting_record(&id, &document) } else { (id, document) };
                let _ = write!(shown, "\n{id} {document}");
            }
            facts.insert(index, shown.replace(&self.lane.name, "aether"));
        }
        for kind in ["_component_template", "_ingest/pipeline"] {
            facts.insert(kind.to_owned(), self.server.get(&format!("/{kind}/makers*")).to_string());
        }
        Ok(facts)
    }
}

/// A record and its id without what differs from run to run.
fn lasting_record(id: &str, record: &Value) -> (String, Value) {
    let id = record["run_uid"].as_str().map_or_else(|| id.to_owned(), |uid| id.replace(uid, "(run)"));
    (id, lasting(record))
}

/// Times, uids, tokens and digests of them are left out, however deep; of a lease stays whether somebody has it.
fn lasting(value: &Value) -> Value {
    const FRESH: [&str; 11] = [
        "at",
        "token",
        "run_uid",
        "sent",
        "uuid",
        "uuids",
        "sha256",
        "operations",
        "histories",
        "executionTimestamp",
        "executionRuntimeInMillis",
    ];
    match value {
        Value::Object(all) => {
            let all = all.iter().filter(|(key, _)| !FRESH.contains(&key.as_str()));
            all.map(|(key, value)| match key.as_str() {
                "lease" => (key.clone(), json!(!value.is_null())),
                _ => (key.clone(), lasting(value)),
            })
            .collect()
        }
        Value::Array(all) => all.iter().map(lasting).collect(),
        plain => plain.clone(),
    }
}
