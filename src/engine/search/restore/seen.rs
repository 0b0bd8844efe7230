//! The indices of a target as the cluster's state has them, and what keeps one from being put back by itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::engine::EngineError;
use crate::engine::search::client::Client;

/// One index.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine::search) struct Seen {
    pub(super) uuid: String,
    pub(super) is_open: bool,
    pub(super) is_system: bool,
    pub(super) aliases: Vec<String>,
    /// What is below `index` of its settings.
    pub(super) settings: Value,
}

/// By name.
pub(in crate::engine::search) type All = BTreeMap<String, Seen>;

impl Seen {
    fn setting(&self, pointer: &str) -> &str {
        self.settings.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn is_true(&self, pointer: &str) -> bool {
        self.setting(pointer) == "true"
    }

    /// Takes no writes.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_true("/blocks/write")
    }

    /// The uuid of the index that it was cloned from; empty: of none.
    pub(super) fn clone_of(&self) -> &str {
        self.setting("/resize/source/uuid")
    }

    /// How many copies its shards have: a clone takes these from the server's defaults, and everything else from its source.
    pub(super) fn copies(&self) -> Value {
        let mut copies = serde_json::Map::new();
        for (pointer, name) in [
            ("/number_of_replicas", "index.number_of_replicas"),
            ("/auto_expand_replicas", "index.auto_expand_replicas"),
        ] {
            if let Some(value) = self.settings.pointer(pointer).filter(|value| !value.is_null()) {
                copies.insert(name.to_owned(), value.clone());
            }
        }
        Value::Object(copies)
    }

    /// Why it is a person's affair to put it back; none: it is not.
    pub(super) fn obstacle(&self, name: &str) -> Option<String> {
        let why = match () {
            () if name.starts_with(".ds-") => {
                "belongs to a data stream, whose indices can't be exchanged one by one"
            }
            () if self.is_system || name.starts_with('.') => {
                "is an index of the system, which the server's own features keep"
            }
            () if !self.is_open => {
                "is closed, so nothing in it can be counted. Open it, or take it out of the target's indices"
            }
            () if self.is_true("/hidden") => "is hidden, as indices are that a feature of the server keeps",
            () if !self.setting("/lifecycle/name").is_empty() => {
                "is managed by a lifecycle policy, which may roll it over, shrink or delete it meanwhile"
            }
            () if self.setting("/store/type").contains("snapshot") => "is mounted from a snapshot",
            () if self.is_true("/xpack/ccr/following_index") => "follows an index of another cluster",
            () => {
                let block = ["read_only", "read_only_allow_delete", "metadata", "read"]
                    .into_iter()
                    .find(|block| self.is_true(&format!("/blocks/{block}")))?;
                return Some(format!(
                    "index {name} has the block index.blocks.{block}. Lift it, or restore by hand"
                ));
            }
        };
        Some(format!("index {name} {why}"))
    }
}

impl Client {
    /// The indices that `pattern` covers, ours too.
    pub(in crate::engine::search) async fn seen(&self, pattern: &str) -> Result<All, EngineError> {
        let path = format!(
            "/_cluster/state/metadata/{pattern}?expand_wildcards=all&ignore_unavailable=true&filter_path=metadata.indices.*.state,metadata.indices.*.aliases,metadata.indices.*.system,metadata.indices.*.settings"
        );
        let answer = self.expect(self.read(&path).await)?;
        let indices = answer.at("/metadata/indices").and_then(Value::as_object);
        Ok(indices.into_iter().flatten().map(|(name, found)| (name.clone(), seen(found))).collect())
    }

    /// The uuids of all indices of the cluster.
    pub(super) async fn uuids(&self) -> Result<BTreeSet<String>, EngineError> {
        let path = "/_cluster/state/metadata?filter_path=metadata.indices.*.settings.index.uuid";
        let answer = self.expect(self.read(path).await)?;
        let indices = answer.at("/metadata/indices").and_then(Value::as_object);
        Ok(indices.into_iter().flatten().map(|(_, found)| seen(found).uuid).collect())
    }

    /// Those that belong to the target.
    pub(super) async fn of_target(&self) -> Result<All, EngineError> {
        let mut all = self.seen(&self.settings.indices()).await?;
        all.retain(|name, _| !self.is_ours(name));
        Ok(all)
    }
}

fn seen(found: &Value) -> Seen {
    let settings = found["settings"]["index"].clone();
    let aliases = found["aliases"].as_array().into_iter().flatten();
    Seen {
        uuid: settings["uuid"].as_str().unwrap_or_default().to_owned(),
        is_open: found["state"] == "open",
        is_system: found["system"] == true,
        aliases: aliases.filter_map(Value::as_str).map(str::to_owned).collect(),
        settings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(name: &str, state: &str, settings: Value) -> String {
        seen(&json!({"state": state, "aliases": ["a"], "settings": {"index": settings}}))
            .obstacle(name)
            .unwrap_or_default()
    }

    #[test]
    fn what_a_person_must_put_back() {
        assert_eq!(of("a", "open", json!({"uuid": "u", "blocks": {"write": "true"}})), "");
        assert_eq!(
            of("a", "open", json!({"hidden": "false", "lifecycle": {"indexing_complete": "true"}})),
            ""
        );
        assert!(
            of(".ds-logs-000001", "open", json!({}))
                .starts_with("index .ds-logs-000001 belongs to a data stream")
        );
        assert!(of(".kibana_1", "open", json!({})).contains("of the system"));
        assert!(of("a", "close", json!({})).starts_with("index a is closed"));
        assert!(of("a", "open", json!({"hidden": "true"})).contains("is hidden"));
        assert!(of("a", "open", json!({"lifecycle": {"name": "hot"}})).contains("lifecycle policy"));
        assert!(of("a", "open", json!({"store": {"type": "remote_snapshot"}})).contains("mounted"));
        assert_eq!(
            of("a", "open", json!({"blocks": {"read_only": "true"}})),
            "index a has the block index.blocks.read_only. Lift it, or restore by hand"
        );
    }

    #[test]
    fn a_clone_is_told_how_many_copies_it_has() {
        let found = seen(&json!({"state": "open", "settings": {"index": {
            "number_of_replicas": "0", "auto_expand_replicas": "0-1", "resize": {"source": {"uuid": "s"}}}}}));
        assert_eq!(
            found.copies(),
            json!({"index.number_of_replicas": "0", "index.auto_expand_replicas": "0-1"})
        );
        assert_eq!(found.clone_of(), "s");
    }
}
