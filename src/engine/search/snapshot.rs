//! Backups: a snapshot in a repository that the cluster has, and the proof of one.
//!
//! The cluster writes it, so nothing of the data passes through us. What must be known of it to prove it goes into its
//! own metadata: of whom it is, and digests of what was counted when it was taken.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::Search;
use super::answer::Answer;
use super::client::Client;
use super::proof::digest;
use super::restore::{ASIDE, COPY};
use super::store::INDEX;
use crate::engine::EngineError;

/// Names of indices that a proof restores and takes away again; nothing of a user's begins so.
pub(super) const PROVING: &str = "wb-verify-";

/// Between two looks at a snapshot that is being taken.
const LOOK: Duration = Duration::from_millis(500);

/// Whose snapshot it is. It counts only for exactly these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotOf {
    /// Uid of the plan.
    pub plan_uid: String,
    /// Number of the run.
    pub run: u64,
    /// Name of the target.
    pub target: String,
}

/// A snapshot that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotTaken {
    /// `<repository>/<snapshot>`
    pub path: String,
    /// When it began.
    pub at: Timestamp,
    /// Its size in the repository.
    pub bytes: u64,
    /// SHA-256 over what identifies it: its uuid and all that its metadata says.
    pub sha256: String,
    /// How many indices are in it.
    pub indices: u64,
    /// How many documents they have.
    pub documents: u64,
}

/// What is in the metadata of a snapshot of ours; a server takes at most 1024 bytes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    format: u32,
    pub(super) of: SnapshotOf,
    epoch: u64,
    pub(super) documents: u64,
    /// Digest of how many documents each index has.
    pub(super) counts: String,
    /// Digest of the mappings.
    pub(super) mappings: String,
}

const FORMAT: u32 = 1;

impl Search {
    /// Takes a snapshot of the target's indices and of its histories. Waits for its end.
    ///
    /// # Errors
    /// [`EngineError::Overtaken`] if a newer driver owns the target; a snapshot that is not complete.
    pub async fn take_snapshot(
        &self,
        repository: &str,
        name: &str,
        of: &SnapshotOf,
        epoch: u64,
    ) -> Result<SnapshotTaken, EngineError> {
        let client = self.client().await?;
        client.not_overtaken(epoch).await?;
        client.healthy().await?;
        client.save_for_snapshot(name).await?;
        let noted = client.noted(of, epoch).await?;
        let indices = format!("{}{},{INDEX}{}", self.settings.indices(), others(&client), peers(&client));
        let body = json!({
            "indices": indices, "ignore_unavailable": true, "include_global_state": false, "partial": false,
            "metadata": {"whimbrel": noted},
        });
        let path = format!("/_snapshot/{repository}/{name}");
        let made = client.effect("take a snapshot", Method::PUT, &path, Some(body.to_string())).await;
        let answer = made.map_err(|missed| client.error(missed))?;
        if !answer.is_success() {
            return Err(client.of_repository(repository, &answer));
        }
        let found = loop {
            let answer = client.expect(client.read(&path).await)?;
            match answer.text_at("/snapshots/0/state") {
                "IN_PROGRESS" | "STARTED" | "INIT" => sleep(LOOK).await,
                _ => break answer,
            }
        };
        client.complete(&found, of)?;
        client.not_overtaken(epoch).await?;
        let number = |pointer: &str| found.at(pointer).and_then(Value::as_i64).unwrap_or_default();
        Ok(SnapshotTaken {
            path: format!("{repository}/{name}"),
            at: Timestamp::from_millisecond(number("/snapshots/0/start_time_in_millis")).unwrap_or_default(),
            bytes: client.size(&path).await?,
            sha256: identity(&found),
            indices: found.at("/snapshots/0/indices").and_then(Value::as_array).map_or(0, Vec::len) as u64,
            documents: noted.documents,
        })
    }

    /// Proves that a snapshot is there and complete; with `restored` that it gives back every document and mapping, by
    /// restoring it under other names into this very cluster, which needs as much room again. Gives its
    /// [`SnapshotTaken::sha256`].
    ///
    /// # Errors
    /// What keeps it from that.
    pub async fn prove_snapshot(
        &self,
        path: &str,
        of: &SnapshotOf,
        restored: bool,
    ) -> Result<String, EngineError> {
        let client = self.client().await?;
        let unfit = |reason: String| EngineError::Unsupported { at: self.settings.at(), reason };
        let (repository, _) =
            path.split_once('/').ok_or_else(|| unfit(format!("{path:?} names no snapshot")))?;
        let found =
            client.read(&format!("/_snapshot/{path}")).await.map_err(|missed| client.error(missed))?;
        if !found.is_success() {
            return Err(client.of_repository(repository, &found));
        }
        let noted = client.complete(&found, of)?;
        // Every node reads and writes there, and the files of each shard are listed.
        let verify = format!("/_snapshot/{repository}/_verify");
        client.expect(client.effect("verify the repository", Method::POST, &verify, None).await)?;
        let status = client.expect(client.read(&format!("/_snapshot/{path}/_status")).await)?;
        let failed = status.number_at("/snapshots/0/shards_stats/failed");
        if failed > 0 || status.text_at("/snapshots/0/state") != "SUCCESS" {
            return Err(unfit(format!("snapshot {path} lacks the files of {failed} shards")));
        }
        if restored {
            client.restores(path, of, &found, &noted).await?;
        }
        Ok(identity(&found))
    }
}

/// The other tool's index, for a list of indices.
fn peers(client: &Client) -> String {
    client.settings.evolution().map(|(_, index)| format!(",{index}")).unwrap_or_default()
}

/// What patterns may cover and no backup needs. The server takes an exclusion only behind a pattern.
fn others(client: &Client) -> String {
    let is_pattern = client.settings.indices().contains('*');
    if is_pattern { format!(",-{PROVING}*,-{COPY}*,-{ASIDE}*") } else { String::new() }
}

/// What makes a snapshot this one.
pub(super) fn identity(found: &Answer) -> String {
    let part = |pointer: &str| found.at(pointer).cloned().unwrap_or_default();
    let all = json!({
        "uuid": part("/snapshots/0/uuid"), "indices": part("/snapshots/0/indices"), "metadata": part("/snapshots/0/metadata"),
    });
    hex::encode(Sha256::digest(all.to_string()))
}

impl Client {
    /// A late Job of an older driver: whoever raised the token may be changing the indices already.
    pub(super) async fn not_overtaken(&self, epoch: u64) -> Result<(), EngineError> {
        if !self.has_index(INDEX).await? {
            return Ok(());
        }
        match self.fence().await? {
            Some((_, row)) if row.token > epoch => {
                Err(EngineError::Overtaken { at: self.settings.at(), token: row.token })
            }
            _ => Ok(()),
        }
    }

    /// What is counted now, with nobody writing.
    async fn noted(&self, of: &SnapshotOf, epoch: u64) -> Result<Noted, EngineError> {
        let indices = self.settings.indices();
        self.expect(
            self.read(&format!("/{indices}/_refresh?expand_wildcards=all&ignore_unavailable=true")).await,
        )?;
        let counts = self.counts(&indices).await?;
        let documents =
            counts.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
        let mappings = self.expect(
            self.read(&format!("/{indices}/_mapping?expand_wildcards=all&ignore_unavailable=true")).await,
        )?;
        let mappings = self.users(mappings.body);
        Ok(Noted {
            format: FORMAT,
            of: of.clone(),
            epoch,
            documents,
            counts: digest(counts),
            mappings: digest(mappings),
        })
    }

    /// A snapshot of ours that is complete, and what it says of itself.
    pub(super) fn complete(&self, found: &Answer, of: &SnapshotOf) -> Result<Noted, EngineError> {
        complete(found, of).map_err(|reason| EngineError::Unsupported { at: self.settings.at(), reason })
    }

    pub(super) fn of_repository(&self, repository: &str, answer: &Answer) -> EngineError {
        if answer.code() == "repository_missing_exception" {
            let reason = format!(
                "the cluster has no snapshot repository {repository}: make it (PUT _snapshot/{repository}), or correct backup.repository"
            );
            return EngineError::Unsupported { at: self.settings.at(), reason };
        }
        self.said(answer)
    }

    pub(super) async fn size(&self, path: &str) -> Result<u64, EngineError> {
        let status = self.expect(self.read(&format!("{path}/_status")).await)?;
        Ok(status.number_at("/snapshots/0/stats/total/size_in_bytes"))
    }

    /// Restores everything under other names, compares, and takes it away again whatever came of it.
    async fn restores(
        &self,
        path: &str,
        of: &SnapshotOf,
        found: &Answer,
        noted: &Noted,
    ) -> Result<(), EngineError> {
        let before = format!("{PROVING}{}-", of.run);
        self.take_away(&before).await?;
        let proven = self.restore_and_compare(path, &before, found, noted).await;
        self.take_away(&before).await?;
        proven
    }

    async fn restore_and_compare(
        &self,
        path: &str,
        before: &str,
        found: &Answer,
        noted: &Noted,
    ) -> Result<(), EngineError> {
        let all = found.at("/snapshots/0/indices").and_then(Value::as_array).cloned().unwrap_or_default();
        let users: Vec<&str> =
            all.iter().filter_map(Value::as_str).filter(|index| !self.is_ours(index)).collect();
        let more = json!({
            "index_settings": {"index.number_of_replicas": 0, "index.auto_expand_replicas": false},
            "ignore_index_settings": ["index.blocks.write", "index.blocks.read_only", "index.blocks.read_only_allow_delete"],
        });
        self.restore_copies(path, before, &users, more).await?;
        self.compare_copies(before, noted, |_| true).await.map(drop)
    }
}

fn complete(found: &Answer, of: &SnapshotOf) -> Result<Noted, String> {
    let name = found.text_at("/snapshots/0/snapshot");
    let noted = found.at("/snapshots/0/metadata/whimbrel").cloned().unwrap_or_default();
    let noted: Noted = serde_json::from_value(noted).map_err(|_| {
        format!("snapshot {name} is none of this version of Whimbrel: its metadata does not say so")
    })?;
    if noted.of != *of {
        return Err(format!(
            "snapshot {name} is the backup of target {} in run {} of plan {}, not of target {} in run {}",
            noted.of.target, noted.of.run, noted.of.plan_uid, of.target, of.run
        ));
    }
    let (state, failed) =
        (found.text_at("/snapshots/0/state"), found.number_at("/snapshots/0/shards/failed"));
    if state == "SUCCESS" && failed == 0 {
        return Ok(noted);
    }
    let why = found.text_at("/snapshots/0/failures/0/reason");
    let why = if why.is_empty() {
        String::new()
    } else {
        format!(": {}", why.chars().take(200).collect::<String>())
    };
    Err(format!(
        "snapshot {name} ended {state}, without {failed} of {} shards, and counts for nothing{why}. See that all primary shards are assigned, and that the repository has room",
        found.number_at("/snapshots/0/shards/total")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(run: u64) -> SnapshotOf {
        SnapshotOf { plan_uid: "9b7f".to_owned(), run, target: "search".to_owned() }
    }

    fn found(state: &str, failed: u64, run: u64) -> Answer {
        let noted = Noted {
            format: FORMAT,
            of: of(run),
            epoch: 3,
            documents: 7,
            counts: "c".repeat(32),
            mappings: "m".repeat(32),
        };
        assert!(json!({ "whimbrel": noted }).to_string().len() < 1024, "a server takes no more");
        let body = json!({"snapshots": [{
            "snapshot": "wb-1", "uuid": "u", "state": state, "metadata": {"whimbrel": noted},
            "shards": {"total": 4, "failed": failed}, "failures": if failed > 0 { json!([{"reason": "node left"}]) } else { json!([]) },
        }]});
        Answer::of(200, body.to_string().as_bytes())
    }

    #[test]
    fn only_a_complete_one_of_this_run_counts() {
        assert_eq!(complete(&found("SUCCESS", 0, 7), &of(7)).unwrap().documents, 7);
        assert_eq!(
            complete(&found("PARTIAL", 2, 7), &of(7)).unwrap_err(),
            "snapshot wb-1 ended PARTIAL, without 2 of 4 shards, and counts for nothing: node left. See that all primary shards are assigned, and that the repository has room"
        );
        assert_eq!(
            complete(&found("SUCCESS", 0, 6), &of(7)).unwrap_err(),
            "snapshot wb-1 is the backup of target search in run 6 of plan 9b7f, not of target search in run 7"
        );
        let foreign = Answer::of(200, br#"{"snapshots":[{"snapshot":"nightly","state":"SUCCESS"}]}"#);
        assert_eq!(
            complete(&foreign, &of(7)).unwrap_err(),
            "snapshot nightly is none of this version of Whimbrel: its metadata does not say so"
        );
        assert_ne!(identity(&found("SUCCESS", 0, 6)), identity(&found("SUCCESS", 0, 7)));
    }
}
