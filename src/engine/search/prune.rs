//! Deletes a snapshot whose time is over, and nothing that another tool or another target has taken.

use std::time::Duration;

use http::Method;
use tokio::time::sleep;

use super::Search;
use super::answer::Answer;
use super::client::{Client, Missed};
use super::restore::BACKUP;
use super::snapshot::{Noted, SnapshotOf, identity};
use super::store::{INDEX, Version};
use crate::engine::EngineError;

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotGone {
    /// It is deleted; so large was it, though other snapshots may share its files.
    Deleted(u64),
    /// It was not there.
    Absent,
    /// It is left as it is, because.
    Refused(String),
}

/// Names of our snapshots begin so.
const OURS: &str = "wb-";

/// Between two looks at a snapshot that the server deletes.
const LOOK: Duration = Duration::from_secs(1);

impl Search {
    /// Deletes the snapshot at `path`, if it is the one that `of` has taken and `sha256` identifies. Waits for its end.
    ///
    /// # Errors
    /// What keeps it from knowing; a snapshot that is not the one meant is [`SnapshotGone::Refused`].
    pub async fn delete_snapshot(
        &self,
        path: &str,
        of: &SnapshotOf,
        sha256: &str,
    ) -> Result<SnapshotGone, EngineError> {
        let refused = |why: String| Ok(SnapshotGone::Refused(why));
        let Some((repository, name)) = path.split_once('/') else {
            return refused(format!("{path:?} names no snapshot"));
        };
        if !name.starts_with(OURS) || name.contains(['*', ',', '/']) {
            return refused(format!("{name} is no name that Whimbrel gives a snapshot"));
        }
        let client = self.client().await?;
        // Asked for by itself: some servers answer for a snapshot in a repository that is gone as if there were none.
        let kept =
            client.read(&format!("/_snapshot/{repository}")).await.map_err(|missed| client.error(missed))?;
        if kept.status == 404 {
            return refused(format!("the cluster has no snapshot repository {repository} any more"));
        }
        client.expect(Ok(kept))?;
        let at = format!("/_snapshot/{path}");
        let found = client.read(&at).await.map_err(|missed| client.error(missed))?;
        match found.code().as_str() {
            _ if found.is_success() => {}
            "snapshot_missing_exception" => return Ok(SnapshotGone::Absent),
            _ => return Err(client.said(&found)),
        }
        if let Some(why) = other_than(&found, of, sha256) {
            return refused(why);
        }
        let bytes = client.size(&at).await?;
        client.delete_to_the_end(&at).await?;
        client.forget_saved(name).await?;
        Ok(SnapshotGone::Deleted(bytes))
    }
}

impl Client {
    /// It may take longer than any request; said again it is the same.
    async fn delete_to_the_end(&self, at: &str) -> Result<(), EngineError> {
        loop {
            match self.effect("delete a snapshot", Method::DELETE, at, None).await {
                Ok(answer) if answer.is_success() || answer.status == 404 => return Ok(()),
                // It is being deleted, or another one is.
                Ok(answer) if matches!(answer.status, 409 | 429 | 502..=504) => {}
                Ok(answer) => return Err(self.said(&answer)),
                Err(Missed::Lost(reason)) => {
                    tracing::info!(reason, "it is seen whether the snapshot is deleted")
                }
                Err(missed) => return Err(self.error(missed)),
            }
            sleep(LOOK).await;
        }
    }

    /// What was saved for it is of no use without it.
    async fn forget_saved(&self, name: &str) -> Result<(), EngineError> {
        let id = format!("{BACKUP}:{name}");
        if !self.has_index(INDEX).await? {
            return Ok(());
        }
        let found: Option<(Version, serde_json::Value)> = self.get(INDEX, &id).await?;
        if let Some((version, _)) = found {
            self.delete("forget what was saved for a snapshot", INDEX, &id, version).await?;
        }
        Ok(())
    }
}

/// Why it is not the one that is meant.
fn other_than(found: &Answer, of: &SnapshotOf, sha256: &str) -> Option<String> {
    let noted = found.at("/snapshots/0/metadata/whimbrel").cloned().unwrap_or_default();
    let Ok(noted) = serde_json::from_value::<Noted>(noted) else {
        return Some("its metadata does not say that Whimbrel took it".to_owned());
    };
    if noted.of != *of {
        return Some(format!(
            "it is the backup of target {} in run {} of plan {}, not of target {} in run {}",
            noted.of.target, noted.of.run, noted.of.plan_uid, of.target, of.run
        ));
    }
    if found.text_at("/snapshots/0/state") == "IN_PROGRESS" {
        return Some("it is being taken".to_owned());
    }
    let is = identity(found);
    (is != sha256).then(|| format!("it has {is}, recorded was {sha256}: it is another one of the same name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_one_that_is_meant() {
        let of = SnapshotOf { plan_uid: "p".to_owned(), run: 3, target: "search".to_owned() };
        let found = |metadata: serde_json::Value| {
            let body = json!({"snapshots": [{"uuid": "u", "indices": ["a"], "state": "SUCCESS", "metadata": metadata}]});
            Answer::of(200, body.to_string().as_bytes())
        };
        let ours = found(
            json!({"whimbrel": {"format": 1, "of": of, "epoch": 1, "documents": 1, "counts": "c", "mappings": "m"}}),
        );
        assert_eq!(other_than(&ours, &of, &identity(&ours)), None);
        assert!(
            other_than(&ours, &of, "x")
                .unwrap()
                .ends_with("recorded was x: it is another one of the same name")
        );
        let another = SnapshotOf { run: 4, ..of.clone() };
        assert_eq!(
            other_than(&ours, &another, &identity(&ours)).unwrap(),
            "it is the backup of target search in run 3 of plan p, not of target search in run 4"
        );
        let foreign = found(json!({"taken_by": "nightly"}));
        assert_eq!(
            other_than(&foreign, &of, "x").unwrap(),
            "its metadata does not say that Whimbrel took it"
        );
    }
}
