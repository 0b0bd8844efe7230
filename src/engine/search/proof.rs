//! What must be equal before and after: mappings, settings, aliases, counts, templates, pipelines.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::client::Client;
use super::defined::DEFINED;
use super::restore::base;
use crate::engine::{EngineError, Proof};

/// Settings that say when and how an index came to be, and not what it is.
const PASSING: [&str; 7] =
    ["uuid", "creation_date", "creation_date_string", "provided_name", "version", "resize", "routing"];

/// The kinds of what must be equal, each by index or by name.
pub(super) type Parts = BTreeMap<&'static str, Value>;

impl Client {
    pub(super) async fn proof(&self) -> Result<Proof, EngineError> {
        let record = self.record("").await?;
        let mut histories = BTreeMap::new();
        for (name, rows) in &record.histories {
            let mut hash = Sha256::new();
            for row in rows {
                for part in [&row.key, &row.checksum] {
                    hash.update(part.as_bytes());
                    hash.update([0]);
                }
            }
            histories.insert(name.clone(), short(hash));
        }
        let shown = digests(&self.parts().await?);
        Ok(Proof { histories, structure: shown.join(" ") })
    }

    /// All of it by name. An index that stands in for another has that one's name.
    pub(super) async fn parts(&self) -> Result<Parts, EngineError> {
        let indices = self.settings.indices();
        let of = |part: &str| format!("/{indices}/{part}?expand_wildcards=all&ignore_unavailable=true");
        // A document that was indexed a moment ago is in no count yet.
        self.expect(self.read(&of("_refresh")).await)?;
        let mut parts = Parts::new();
        for (name, path) in
            [("mappings", of("_mapping")), ("settings", of("_settings")), ("aliases", of("_alias"))]
        {
            let answer = self.expect(self.read(&path).await)?;
            parts.insert(name, self.users(answer.body));
        }
        parts.insert("counts", self.counts(&indices).await?);
        by_their_names(&mut parts);
        for (name, path) in DEFINED {
            parts.insert(name, Value::Object(self.defined(path).await?));
        }
        Ok(parts)
    }

    /// Without what is ours, and without what only passes.
    pub(super) fn users(&self, body: Value) -> Value {
        let Value::Object(indices) = body else { return Value::Null };
        let kept = indices.into_iter().filter(|(index, _)| !self.is_ours(index)).map(|(index, mut found)| {
            if let Some(settings) = found.pointer_mut("/settings/index").and_then(Value::as_object_mut) {
                settings.retain(|name, _| !PASSING.contains(&name.as_str()));
                without_defaults(settings);
            }
            (index, found)
        });
        Value::Object(kept.collect())
    }

    /// How many documents each index has.
    pub(super) async fn counts(&self, indices: &str) -> Result<Value, EngineError> {
        let path = format!(
            "/{indices}/_stats/docs?expand_wildcards=all&ignore_unavailable=true&filter_path=indices.*.primaries.docs.count"
        );
        let answer = self.expect(self.read(&path).await)?;
        let indices = answer.at("/indices").and_then(Value::as_object).cloned().unwrap_or_default();
        let count = |found: &Value| found["primaries"]["docs"]["count"].clone();
        let users = indices.iter().filter(|(index, _)| !self.is_ours(index));
        Ok(Value::Object(users.map(|(index, found)| (index.clone(), count(found))).collect()))
    }
}

/// A clone says what its source left to the server: how a document finds its shard, and which blocks it does not have.
fn without_defaults(settings: &mut serde_json::Map<String, Value>) {
    if settings.get("routing_partition_size").is_some_and(|size| size == "1") {
        settings.remove("routing_partition_size");
    }
    if let Some(blocks) = settings.get_mut("blocks").and_then(Value::as_object_mut) {
        blocks.retain(|_, block| !block.is_null() && block != "false");
        if blocks.is_empty() {
            settings.remove("blocks");
        }
    }
}

/// Gives an index that stands in for another behind an alias that one's name, and takes the alias out.
pub(super) fn by_their_names(parts: &mut Parts) {
    let aliases = parts.get("aliases").cloned().unwrap_or_default();
    let name = |index: &str| base(index, |alias| aliases[index]["aliases"].get(alias).is_some()).to_owned();
    for (kind, part) in parts.iter_mut() {
        let Value::Object(indices) = part else { continue };
        let renamed = std::mem::take(indices).into_iter().map(|(index, mut found)| {
            let known = name(&index);
            if *kind == "aliases"
                && known != index
                && let Some(aliases) = found["aliases"].as_object_mut()
            {
                aliases.remove(&known);
            }
            (known, found)
        });
        *indices = renamed.collect();
    }
}

/// `<kind>=<digest>` of each.
pub(super) fn digests(parts: &Parts) -> Vec<String> {
    // In the order in which runs have written them down before.
    let order = ["mappings", "settings", "aliases", "counts"].into_iter();
    let order = order.chain(DEFINED.map(|(name, _)| name));
    order.filter_map(|name| Some(format!("{name}={}", digest(parts.get(name)?.clone())))).collect()
}

/// The same for the same value, in whatever order the server wrote its keys.
pub(super) fn digest(value: Value) -> String {
    let mut hash = Sha256::new();
    hash.update(sorted(&value).to_string());
    short(hash)
}

/// With the keys of every object in order: `serde_json` keeps that in which the server wrote them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<_, _> =
                map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(all) => Value::Array(all.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn short(hash: Sha256) -> String {
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_index_that_stands_in_has_the_name_of_the_one_it_stands_for() {
        let before = Parts::from([
            ("mappings", json!({"a": {"mappings": {}}, "b-wb-7": {"mappings": {}}})),
            ("aliases", json!({"a": {"aliases": {"live": {}}}, "b-wb-7": {"aliases": {}}})),
        ]);
        let mut after = Parts::from([
            ("mappings", json!({"a-wb-7": {"mappings": {}}, "b-wb-7": {"mappings": {}}})),
            ("aliases", json!({"a-wb-7": {"aliases": {"a": {}, "live": {}}}, "b-wb-7": {"aliases": {}}})),
        ]);
        by_their_names(&mut after);
        assert_eq!(digests(&after), digests(&before));
    }

    #[test]
    fn what_a_clone_says_and_its_source_does_not() {
        let mut settings =
            json!({"routing_partition_size": "1", "blocks": {"write": null, "read": "false"}, "codec": "x"});
        without_defaults(settings.as_object_mut().unwrap());
        assert_eq!(settings, json!({"codec": "x"}));
        let mut kept = json!({"routing_partition_size": "2", "blocks": {"write": "true"}});
        without_defaults(kept.as_object_mut().unwrap());
        assert_eq!(kept, json!({"routing_partition_size": "2", "blocks": {"write": "true"}}));
    }

    #[test]
    fn the_order_of_keys_says_nothing() {
        assert_eq!(
            digest(json!({"a": {"x": 1, "y": 2}, "b": []})),
            digest(json!({"b": [], "a": {"y": 2, "x": 1}}))
        );
        assert_ne!(digest(json!({"a": [1, 2]})), digest(json!({"a": [2, 1]})));
    }
}
