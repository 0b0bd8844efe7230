//! A look from outside: reads only, nothing held.

use serde_json::Value;

use super::client::Client;
use super::enter::foreign;
use super::store::INDEX;
use crate::engine::{EngineError, Look};

impl Client {
    pub(super) async fn look(&self) -> Result<Look, EngineError> {
        let server = self.server().await?;
        let mut warnings = self.healthy().await?;
        let record = self.record("").await?;
        for ((history, _), failed) in &record.failed {
            warnings.push(format!(
                "history {history} says that {} failed at {}: it is applied again",
                failed.script_name, failed.execution_timestamp
            ));
        }
        let claim = match self.has_index(INDEX).await? {
            true => self.fence().await?.map(|(_, row)| row).filter(|row| row.claimed).map(|row| row.seen()),
            false => None,
        };
        let indices = self.settings.indices();
        let counts = self.counts(&indices).await?;
        let path = format!(
            "/{indices}/_stats/store?expand_wildcards=all&ignore_unavailable=true&filter_path=_all.primaries.store.size_in_bytes"
        );
        let size = self.expect(self.read(&path).await)?;
        Ok(Look {
            version: server.version,
            lineage: server.identity.clone(),
            identity: server.identity,
            histories: record.histories,
            foreign_tables: foreign(self).await?,
            empty: counts.as_object().is_none_or(serde_json::Map::is_empty),
            sessions: Vec::new(),
            // It has no sessions. Its write mark sees every write, which is more than a list of them would.
            quiet_provable: Ok(()),
            warnings,
            claim,
            bytes: size.at("/_all/primaries/store/size_in_bytes").and_then(Value::as_u64).unwrap_or_default(),
        })
    }
}
