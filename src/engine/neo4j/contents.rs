//! What is in a graph, as two short digests: how much of everything, and a sample of it read to the last property.
//!
//! Both are the same before a dump and after it is loaded, and nothing of Whimbrel's or of neo4j-migrations is in them.

use sha2::{Digest, Sha256};

use super::connect::Connection;
use super::packstream::Value;
use super::settings::Settings;
use crate::engine::EngineError;

/// How many of each label and type are read from either end. The server keeps them in the order of their ids, which a dump
/// keeps too, so nothing is sorted and a graph of any size costs the same.
const EACH_END: usize = 25;

/// Counts of names, and the sample of what has them.
pub(super) struct Contents {
    pub(super) counts: Vec<String>,
    sample: Sha256,
}

impl Contents {
    pub(super) fn new() -> Self {
        Self { counts: Vec::new(), sample: Sha256::new() }
    }

    /// The digest of everything that was sampled.
    pub(super) fn sample(self) -> String {
        hex::encode(self.sample.finalize())
    }

    /// Takes in the nodes of a label.
    pub(super) async fn nodes(
        &mut self,
        connection: &mut Connection,
        settings: &Settings,
        label: &str,
        count: u64,
    ) -> Result<(), EngineError> {
        self.counts.push(format!("node {label} {count}"));
        let quoted = label.replace('`', "``");
        for order in ["", " DESC"] {
            let query = format!(
                "MATCH (n:`{quoted}`) WITH n ORDER BY n{order} LIMIT {EACH_END} RETURN id(n), labels(n), properties(n)"
            );
            self.take(connection, settings, &query).await?;
        }
        Ok(())
    }

    /// Takes in the relationships of a type.
    pub(super) async fn relationships(
        &mut self,
        connection: &mut Connection,
        settings: &Settings,
        kind: &str,
        count: u64,
    ) -> Result<(), EngineError> {
        self.counts.push(format!("relationship {kind} {count}"));
        let quoted = kind.replace('`', "``");
        for order in ["", " DESC"] {
            let query = format!(
                "MATCH ()-[r:`{quoted}`]->() WITH r ORDER BY r{order} LIMIT {EACH_END} \
                 RETURN id(r), [id(startNode(r)), id(endNode(r))], properties(r)"
            );
            self.take(connection, settings, &query).await?;
        }
        Ok(())
    }

    async fn take(
        &mut self,
        connection: &mut Connection,
        settings: &Settings,
        query: &str,
    ) -> Result<(), EngineError> {
        let set = connection.read(settings, query, Value::map([])).await?;
        for row in set.rows {
            let mut bytes = Vec::new();
            for value in row {
                sorted(value).encode(&mut bytes);
            }
            self.sample.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            self.sample.update(&bytes);
        }
        Ok(())
    }
}

/// Labels come in the order in which their names were first used, which is nobody's affair. Lists of properties are as they are.
fn sorted(value: Value) -> Value {
    match value {
        Value::List(values) if values.iter().all(|value| matches!(value, Value::Text(_))) => {
            let mut texts: Vec<String> =
                values.iter().filter_map(Value::as_text).map(str::to_owned).collect();
            texts.sort();
            Value::List(texts.into_iter().map(Value::Text).collect())
        }
        value => value,
    }
}
