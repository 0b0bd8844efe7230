//! What must be equal before and after: mappings, settings, aliases, counts, templates, pipelines.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::client::Client;
use crate::engine::{EngineError, Proof};

/// Settings that say when and how an index came to be, and not what it is.
const PASSING: [&str; 7] =
    ["uuid", "creation_date", "creation_date_string", "provided_name", "version", "resize", "routing"];

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
        let indices = self.settings.indices();
        let of = |part: &str| format!("/{indices}/{part}?expand_wildcards=all");
        // A document that was indexed a moment ago is in no count yet.
        self.expect(self.read(&of("_refresh")).await)?;
        let mut parts = Vec::new();
        for (name, path) in
            [("mappings", of("_mapping")), ("settings", of("_settings")), ("aliases", of("_alias"))]
        {
            let answer = self.expect(self.read(&path).await)?;
            parts.push((name, self.users(answer.body)));
        }
        parts.push(("counts", self.counts(&indices).await?));
        for (name, path) in [
            ("templates", "/_index_template"),
            ("components", "/_component_template"),
            ("legacytemplates", "/_template"),
            ("pipelines", "/_ingest/pipeline"),
        ] {
            parts.push((name, self.defined(path).await?));
        }
        let shown: Vec<String> =
            parts.into_iter().map(|(name, value)| format!("{name}={}", digest(value))).collect();
        Ok(Proof { histories, structure: shown.join(" ") })
    }

    /// Without what is ours, and without what only passes.
    pub(super) fn users(&self, body: Value) -> Value {
        let Value::Object(indices) = body else { return Value::Null };
        let kept = indices.into_iter().filter(|(index, _)| !self.is_ours(index)).map(|(index, mut found)| {
            if let Some(settings) = found.pointer_mut("/settings/index").and_then(Value::as_object_mut) {
                settings.retain(|name, _| !PASSING.contains(&name.as_str()));
            }
            (index, found)
        });
        Value::Object(kept.collect())
    }

    /// How many documents each index has.
    pub(super) async fn counts(&self, indices: &str) -> Result<Value, EngineError> {
        let path =
            format!("/{indices}/_stats/docs?expand_wildcards=all&filter_path=indices.*.primaries.docs.count");
        let answer = self.expect(self.read(&path).await)?;
        let indices = answer.at("/indices").and_then(Value::as_object).cloned().unwrap_or_default();
        let count = |found: &Value| found["primaries"]["docs"]["count"].clone();
        let users = indices.iter().filter(|(index, _)| !self.is_ours(index));
        Ok(Value::Object(users.map(|(index, found)| (index.clone(), count(found))).collect()))
    }

    /// What is defined for the whole cluster, where the server knows such things and we may see them.
    async fn defined(&self, path: &str) -> Result<Value, EngineError> {
        let answer = self.read(path).await.map_err(|missed| self.error(missed))?;
        match answer.status {
            404 => Ok(Value::Null),
            _ if answer.is_success() => Ok(answer.body),
            _ => Err(self.said(&answer)),
        }
    }
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
    fn the_order_of_keys_says_nothing() {
        assert_eq!(
            digest(json!({"a": {"x": 1, "y": 2}, "b": []})),
            digest(json!({"b": [], "a": {"y": 2, "x": 1}}))
        );
        assert_ne!(digest(json!({"a": [1, 2]})), digest(json!({"a": [2, 1]})));
    }
}
