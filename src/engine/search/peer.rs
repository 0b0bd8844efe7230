//! elasticsearch-evolution's index: its rows, and its lock, honoured and taken.
//!
//! The lock is a field of every document; the library waits while any of them is locked, for ever. Its own check and its own
//! writing are two requests, and it frees the lock whether it had won it or not. So ours is looked at again before every
//! request of a script, and one that is gone ends the session.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Client;
use super::store::{Version, Wrote};
use crate::engine::{BlockedBy, EngineError};
use crate::script::http::JAVA;
use crate::script::{HistoryRow, Kind, Script};

/// The id of the library's own lock entry; it passes over versions below 1.
pub(super) const LOCK: &str = "0.1";

/// In front of the owner in a lock entry of ours, where the library writes `-`.
const OURS: &str = "whimbrel ";

/// A document of the library.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Protocol {
    pub(super) version: String,
    pub(super) index_name: Option<String>,
    pub(super) script_name: String,
    pub(super) description: String,
    pub(super) checksum: i32,
    pub(super) execution_timestamp: String,
    pub(super) execution_runtime_in_millis: i32,
    pub(super) success: bool,
    pub(super) locked: bool,
}

/// What the library reads where a field is absent.
impl Default for Protocol {
    fn default() -> Self {
        Self {
            version: String::new(),
            index_name: None,
            script_name: String::new(),
            description: String::new(),
            checksum: 0,
            execution_timestamp: String::new(),
            execution_runtime_in_millis: 0,
            success: false,
            locked: true,
        }
    }
}

/// The rows of a history of the library.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Scripts that succeeded, oldest first.
    pub(super) applied: Vec<HistoryRow>,
    /// Scripts that failed, which the library would try again.
    pub(super) failed: Vec<Protocol>,
}

impl Client {
    /// The rows; none where the index is not there.
    pub(super) async fn peer_rows(&self, index: &str) -> Result<Rows, EngineError> {
        if !self.has_index(index).await? {
            return Ok(Rows::default());
        }
        let found: Vec<(Version, String, Protocol)> = self.find(index, json!({"match_all": {}})).await?;
        rows(found.into_iter().map(|(_, _, protocol)| protocol)).map_err(|reason| EngineError::Unsupported {
            at: self.settings.at(),
            reason: format!("{index}: {reason}"),
        })
    }

    /// Takes the library's lock, or says who has it. `owner` names a session of ours; a lock of one that is gone is ours.
    pub(super) async fn lock_peer(&self, index: &str, owner: &str) -> Result<(), EngineError> {
        let at = || self.settings.at();
        let busy = |what: String| EngineError::Busy { at: at(), by: BlockedBy::unnamed(what) };
        if !self.has_index(index).await? {
            let made = self
                .effect("make the other tool's index", http::Method::PUT, &format!("/{index}"), None)
                .await;
            let answer = made.map_err(|missed| self.error(missed))?;
            if !answer.is_success() && answer.code() != "resource_already_exists_exception" {
                return Err(self.said(&answer));
            }
        }
        let found: Option<(Version, Protocol)> = self.get(index, LOCK).await?;
        let over = match found {
            None => None,
            Some((version, lock)) if !lock.locked || lock.script_name.starts_with(OURS) => Some(version),
            Some(_) => return Err(busy(theirs(index))),
        };
        // Looked at before, so that nothing is written where an application is at work; and after, when ours can be seen.
        if self.locked_by_others(index).await? {
            return Err(busy(theirs(index)));
        }
        let entry = Protocol {
            version: LOCK.to_owned(),
            index_name: Some(index.to_owned()),
            script_name: format!("{OURS}{owner}"),
            description: "lock entry".to_owned(),
            execution_timestamp: now(),
            success: true,
            locked: true,
            ..Protocol::default()
        };
        let Wrote::Done(version) = self.put("take the other tool's lock", index, LOCK, over, &entry).await?
        else {
            return Err(busy(theirs(index)));
        };
        if self.locked_by_others(index).await? {
            self.delete("give the other tool's lock back", index, LOCK, version).await?;
            return Err(busy(theirs(index)));
        }
        Ok(())
    }

    /// Whether the lock still is ours, and ours alone. One search says both: whoever takes or frees this lock refreshes, the
    /// library as we do, so what it changed is seen.
    pub(super) async fn holds_peer(&self, index: &str, owner: &str) -> Result<bool, EngineError> {
        let path = format!("/{index}/_search?allow_partial_search_results=false");
        let query = json!({"size": 2, "query": {"term": {"locked": true}}});
        let answer = self.ask(&path, query.to_string()).await.map_err(|missed| self.error(missed))?;
        if answer.status == 404 {
            return Ok(false);
        }
        let answer = self.expect(Ok(answer))?;
        let locks = answer.at("/hits/hits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let [lock] = locks else { return Ok(false) };
        let name = lock["_source"]["scriptName"].as_str().unwrap_or_default();
        Ok(lock["_id"] == LOCK && name.strip_prefix(OURS) == Some(owner))
    }

    /// Gives the lock up if it still is ours, and lets everybody see that and the rows.
    pub(super) async fn unlock_peer(&self, index: &str, owner: &str) -> Result<(), EngineError> {
        if let Some(version) = self.own_lock(index, owner).await? {
            self.delete("give the other tool's lock back", index, LOCK, version).await?;
            self.expect(self.read(&format!("/{index}/_refresh")).await)?;
        }
        Ok(())
    }

    async fn own_lock(&self, index: &str, owner: &str) -> Result<Option<Version>, EngineError> {
        let found: Option<(Version, Protocol)> = self.get(index, LOCK).await?;
        let ours = |lock: &Protocol| lock.locked && lock.script_name.strip_prefix(OURS) == Some(owner);
        Ok(found.filter(|(_, lock)| ours(lock)).map(|(version, _)| version))
    }

    /// As the library looks: a document that says so, our own entry apart.
    async fn locked_by_others(&self, index: &str) -> Result<bool, EngineError> {
        self.expect(self.read(&format!("/{index}/_refresh")).await)?;
        let query = json!({"query": {"bool": {
            "filter": [{"term": {"locked": true}}],
            "must_not": [{"ids": {"values": [LOCK]}}],
        }}});
        let answer = self.expect(self.ask(&format!("/{index}/_count"), query.to_string()).await)?;
        Ok(answer.number_at("/count") > 0)
    }

    /// Writes a row as the library does, without a refresh: who reads rows under the lock refreshes first. Not locked: the
    /// entry is, and nobody would free a row after a crash.
    pub(super) async fn write_peer_row(
        &self,
        index: &str,
        script: &Script,
        took: i32,
    ) -> Result<(), EngineError> {
        let row = Protocol {
            version: script.key.clone(),
            index_name: None,
            script_name: script.file.clone(),
            description: script.description.clone(),
            checksum: crate::script::http::java_hash(&script.body),
            execution_timestamp: now(),
            execution_runtime_in_millis: took,
            success: true,
            locked: false,
        };
        let body = serde_json::to_string(&row).expect("a row is JSON");
        let path = format!("/{index}/_doc/{}?wait_for_active_shards=1", script.key);
        self.expect(self.effect("write the other tool's row", http::Method::PUT, &path, Some(body)).await)?;
        Ok(())
    }

    /// Takes a row out.
    pub(super) async fn forget_peer_row(&self, index: &str, key: &str) -> Result<(), EngineError> {
        let path = format!("/{index}/_doc/{key}?refresh=true");
        let gone = self.effect("take the other tool's row out", http::Method::DELETE, &path, None).await;
        let answer = gone.map_err(|missed| self.error(missed))?;
        if answer.is_success() || answer.status == 404 { Ok(()) } else { Err(self.said(&answer)) }
    }
}

fn theirs(index: &str) -> String {
    format!(
        "documents of {index} are locked: an application with elasticsearch-evolution migrates, or was killed while it did. If none runs, free it with POST {index}/_update_by_query and the script ctx._source.locked=false"
    )
}

/// As Java's ISO_OFFSET_DATE_TIME reads it, to the millisecond.
fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Rows in the order in which they were written.
fn rows(all: impl Iterator<Item = Protocol>) -> Result<Rows, String> {
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for protocol in all {
        let version: crate::script::Version = protocol.version.parse().map_err(|error| format!("{error}"))?;
        if version.to_string().split('.').next() == Some("0") {
            continue;
        }
        if !protocol.success {
            failed.push(protocol);
            continue;
        }
        let at: Option<Timestamp> = protocol.execution_timestamp.parse().ok();
        found.push((at, version, protocol));
    }
    found.sort_by(|(a, one, _), (b, other, _)| a.cmp(b).then_with(|| one.cmp(other)));
    let row = |(rank, (_, version, protocol)): (usize, (_, crate::script::Version, Protocol))| HistoryRow {
        key: version.to_string(),
        version: Some(version),
        kind: Kind::Versioned,
        description: protocol.description,
        checksum: format!("{JAVA}{}", protocol.checksum),
        file: protocol.script_name,
        installed_rank: rank as u64 + 1,
    };
    Ok(Rows { applied: found.into_iter().enumerate().map(row).collect(), failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_as_the_library_writes_them() {
        let text = r#"[
            {"version":"1.10","scriptName":"V001.10__b.http","description":"b","checksum":164793414,"executionTimestamp":"2024-05-01T12:00:01.5+02:00","executionRuntimeInMillis":7,"success":true,"locked":false,"indexName":null},
            {"version":"1","scriptName":"V001.00__a.http","description":"a","checksum":-1490137267,"executionTimestamp":"2024-05-01T10:00:00Z","success":true,"locked":false},
            {"version":"0.1","scriptName":"-","description":"lock entry","checksum":0,"executionTimestamp":"2024-05-01T10:00:00Z","success":true,"locked":true},
            {"version":"2","scriptName":"V2__c.http","description":"c","checksum":1,"executionTimestamp":"2024-05-01T10:00:00Z","success":false}
        ]"#;
        let all: Vec<Protocol> = serde_json::from_str(text).unwrap();
        assert!(all[3].locked, "a field that is absent is locked");
        let rows = rows(all.into_iter()).unwrap();
        let shown: Vec<_> =
            rows.applied.iter().map(|row| (row.key.as_str(), row.checksum.as_str())).collect();
        assert_eq!(shown, [("1", "java:-1490137267"), ("1.10", "java:164793414")]);
        assert_eq!(rows.failed[0].script_name, "V2__c.http");
    }

    #[test]
    fn a_row_goes_there_and_back() {
        let row = Protocol { version: "1".to_owned(), success: true, ..Protocol::default() };
        let text = serde_json::to_value(&row).unwrap();

        assert_eq!(text["executionRuntimeInMillis"], 0);
        assert_eq!(serde_json::from_value::<Protocol>(text).unwrap(), row);
        assert!(now().ends_with('Z') && now().contains('.'), "{}", now());
    }
}
