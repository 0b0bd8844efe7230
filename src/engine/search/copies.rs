//! Indices restored from a snapshot under other names, compared with what was counted when it was taken, and taken away
//! again. A proof does it, and so does a restore.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::Client;
use super::proof::digest;
use super::snapshot::Noted;
use crate::engine::EngineError;

/// Between two looks at work of the cluster: a small index is there at once.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// Work whose shards stay unassigned over so many of the longest looks, while nothing moves, has failed.
const STUCK: u32 = 20;

impl Client {
    /// Has the server restore `indices` of a snapshot under names that begin with `before`, and waits until they are whole.
    /// `more` are members of the request.
    pub(super) async fn restore_copies(
        &self,
        path: &str,
        before: &str,
        indices: &[&str],
        more: Value,
    ) -> Result<(), EngineError> {
        if indices.is_empty() {
            return Ok(());
        }
        let mut body = json!({
            "indices": indices.join(","), "include_global_state": false, "include_aliases": false,
            "rename_pattern": "^(.+)$", "rename_replacement": format!("{before}$1"),
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let restore = format!("/_snapshot/{path}/_restore");
        self.expect(self.effect("restore copies", Method::POST, &restore, Some(body.to_string())).await)?;
        self.until_whole(&format!("{before}*"), indices.len()).await
    }

    /// Until `many` indices that `pattern` covers are there, and the primary of every shard of theirs.
    pub(super) async fn until_whole(&self, pattern: &str, many: usize) -> Result<(), EngineError> {
        let path = format!(
            "/_cluster/health/{pattern}?level=indices&expand_wildcards=all&filter_path=initializing_shards,number_of_pending_tasks,indices.*.number_of_shards,indices.*.active_primary_shards"
        );
        let (mut stuck, mut pause) = (0, FIRST_LOOK);
        loop {
            let health = self.expect(self.read(&path).await)?;
            let indices = health.at("/indices").and_then(Value::as_object).cloned().unwrap_or_default();
            let lacks = |(_, of): &(&String, &Value)| of["active_primary_shards"] != of["number_of_shards"];
            let incomplete: Vec<String> =
                indices.iter().filter(lacks).map(|(name, _)| name.clone()).collect();
            if incomplete.is_empty() && indices.len() >= many {
                return Ok(());
            }
            let moving =
                health.number_at("/initializing_shards") + health.number_at("/number_of_pending_tasks");
            stuck = if moving == 0 && pause == LAST_LOOK { stuck + 1 } else { 0 };
            if stuck > STUCK {
                let which = match incomplete.first() {
                    Some(name) => format!("primary shards of {name} are not assigned"),
                    None => format!("only {} of {many} indices {pattern} are there", indices.len()),
                };
                return Err(EngineError::Unsupported {
                    at: self.settings.at(),
                    reason: format!(
                        "{which}: see GET _cluster/allocation/explain, and whether the disks have room for it"
                    ),
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Compares the copies whose names begin with `before` with what was noted of their originals. `is_users`: of an
    /// original. Gives how many documents each has.
    pub(super) async fn compare_copies(
        &self,
        before: &str,
        noted: &Noted,
        is_users: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, u64>, EngineError> {
        let unfit = |reason: String| EngineError::Unsupported { at: self.settings.at(), reason };
        let pattern = format!("{before}*");
        self.expect(self.read(&format!("/{pattern}/_refresh?expand_wildcards=all")).await)?;
        let path =
            format!("/{pattern}/_stats/docs?expand_wildcards=all&filter_path=indices.*.primaries.docs.count");
        let found = self.expect(self.read(&path).await)?;
        let original =
            |index: &String| index.strip_prefix(before).filter(|it| is_users(it)).map(str::to_owned);
        let renamed = |found: &Value| -> BTreeMap<String, Value> {
            let all = found.as_object().into_iter().flatten();
            all.filter_map(|(index, of)| Some((original(index)?, of.clone()))).collect()
        };
        let counts: BTreeMap<String, Value> = renamed(found.at("/indices").unwrap_or(&Value::Null))
            .into_iter()
            .map(|(index, of)| (index, of["primaries"]["docs"]["count"].clone()))
            .collect();
        let documents: u64 = counts.values().filter_map(Value::as_u64).sum();
        if digest(json!(counts)) != noted.counts {
            return Err(unfit(format!(
                "the snapshot does not give back what was in the indices: {documents} documents in {} indices, there were {}",
                counts.len(),
                noted.documents
            )));
        }
        let mappings = self.expect(self.read(&format!("/{pattern}/_mapping?expand_wildcards=all")).await)?;
        if digest(json!(renamed(&mappings.body))) != noted.mappings {
            return Err(unfit("the snapshot does not give back the mappings of the indices".to_owned()));
        }
        Ok(counts.into_iter().filter_map(|(index, count)| Some((index, count.as_u64()?))).collect())
    }

    /// By their names, one by one: a server may refuse patterns here.
    pub(super) async fn take_away(&self, before: &str) -> Result<(), EngineError> {
        let path = format!("/{before}*?expand_wildcards=all&filter_path=*.settings.index.uuid");
        let there = self.expect(self.read(&path).await)?;
        for index in there.body.as_object().into_iter().flatten().map(|(index, _)| index) {
            self.delete_index("take a copy away", index).await?;
        }
        Ok(())
    }

    /// Deletes one index; one that is gone is deleted.
    pub(super) async fn delete_index(&self, what: &str, index: &str) -> Result<(), EngineError> {
        let gone = self.effect(what, Method::DELETE, &format!("/{index}"), None).await;
        let answer = gone.map_err(|missed| self.error(missed))?;
        if answer.is_success() || answer.status == 404 { Ok(()) } else { Err(self.said(&answer)) }
    }
}
