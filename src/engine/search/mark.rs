//! The write mark: what every write to the target's indices moves, and no read does.
//!
//! A shard numbers its operations, and the numbers survive restarts and moves, which counters of statistics do not. What
//! is no operation (mappings, settings, aliases, indices that come and go) has versions in the cluster's state.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::client::Client;
use super::enter::PEER;
use super::restore::{ASIDE, COPY};
use super::settings::Kept;
use super::snapshot::PROVING;
use super::store::INDEX;
use crate::engine::{EngineError, Quiet};

impl Client {
    /// The mark, or why there is none. A search server has no sessions, so silence is seen by it alone.
    pub(super) async fn quiet(&self) -> Result<Quiet, EngineError> {
        let mut quiet = Quiet { foreign: Vec::new(), obstacles: Vec::new(), mark: None };
        let indices = self.settings.indices();
        let stats = self.stats().await?;
        let state = format!(
            "/_cluster/state/metadata/{indices}?expand_wildcards=all&ignore_unavailable=true&filter_path=metadata.indices.*.mapping_version,metadata.indices.*.settings_version,metadata.indices.*.aliases_version"
        );
        let state = self.expect(self.read(&state).await)?;
        match mark(&stats, &state, |index| self.is_ours(index)) {
            Ok(mark) => quiet.mark = Some(mark),
            Err(why) => quiet.obstacles.push(why),
        }
        Ok(quiet)
    }

    /// The part of the mark that only operations on documents move: no setting and no alias does.
    pub(super) async fn operations(&self) -> Result<String, EngineError> {
        let stats = self.stats().await?;
        let parts = operations(&stats, |index| self.is_ours(index));
        parts.map(short).map_err(|reason| EngineError::Unsupported { at: self.settings.at(), reason })
    }

    async fn stats(&self) -> Result<Answer, EngineError> {
        let path = format!(
            "/{}/_stats/indexing?level=shards&expand_wildcards=all&ignore_unavailable=true&filter_path=_shards.failed,indices.*.uuid,indices.*.shards",
            self.settings.indices()
        );
        self.expect(self.read(&path).await)
    }

    /// Indices that hold histories and locks, and those that stand beside others: a proof's, a restore's.
    pub(super) fn is_ours(&self, index: &str) -> bool {
        let kept = self.settings.histories.iter().any(|history| match &history.kept {
            Kept::Evolution { index: kept } => kept == index,
            Kept::Own => false,
        });
        let beside = [PROVING, COPY, ASIDE].iter().any(|before| index.starts_with(before));
        kept || beside || index == INDEX || index == PEER || index == ".tasks"
    }
}

/// The number of the last operation of every shard.
fn operations(stats: &Answer, ours: impl Fn(&str) -> bool) -> Result<BTreeMap<String, String>, String> {
    if stats.number_at("/_shards/failed") > 0 {
        return Err("the statistics of some shards can't be read, so nothing shows whether somebody writes"
            .to_owned());
    }
    let mut parts = BTreeMap::new();
    let indices = stats.at("/indices").and_then(Value::as_object);
    for (index, found) in indices.into_iter().flatten().filter(|(index, _)| !ours(index)) {
        let uuid = found["uuid"].as_str().unwrap_or_default();
        for (shard, copies) in found["shards"].as_object().into_iter().flatten() {
            let numbers = copies.as_array().into_iter().flatten();
            let primary = numbers.clone().find(|copy| copy["routing"]["primary"] == true);
            let number = primary.and_then(|copy| copy["seq_no"]["max_seq_no"].as_i64());
            let Some(number) = number else {
                return Err(format!(
                    "shard {shard} of {index} does not say how many operations it has taken"
                ));
            };
            parts.insert(format!("{index}/{uuid}/{shard}"), number.to_string());
        }
    }
    Ok(parts)
}

fn mark(stats: &Answer, state: &Answer, ours: impl Fn(&str) -> bool) -> Result<String, String> {
    let mut parts = operations(stats, &ours)?;
    let indices = state.at("/metadata/indices").and_then(Value::as_object);
    for (index, found) in indices.into_iter().flatten().filter(|(index, _)| !ours(index)) {
        parts.insert(format!("{index} state"), found.to_string());
    }
    Ok(short(parts))
}

fn short(parts: BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (part, value) in parts {
        hash.update(part);
        hash.update("=");
        hash.update(value);
        hash.update("\n");
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(number: &str) -> Answer {
        let body = format!(
            r#"{{"_shards":{{"failed":0}},"indices":{{"a":{{"uuid":"u","shards":{{"0":[{{"routing":{{"primary":true}},"seq_no":{{"max_seq_no":{number}}}}}]}}}},".whimbrel":{{"uuid":"w","shards":{{}}}}}}}}"#
        );
        Answer::of(200, body.as_bytes())
    }

    #[test]
    fn a_write_moves_it_and_ours_do_not() {
        let state = Answer::of(200, br#"{"metadata":{"indices":{"a":{"mapping_version":1}}}}"#);
        let of = |number| mark(&stats(number), &state, |index| index == ".whimbrel");
        assert_eq!(of("4"), of("4"));
        assert_ne!(of("4"), of("5"));
        let mapped = Answer::of(200, br#"{"metadata":{"indices":{"a":{"mapping_version":2}}}}"#);
        assert_ne!(mark(&stats("4"), &mapped, |_| false), of("4"));
        assert!(of("null").unwrap_err().contains("shard 0 of a"));
    }
}
