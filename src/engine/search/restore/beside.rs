//! What runs in the restore's Job: copies of a snapshot beside the indices, complete and proven. The originals are only
//! looked at.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::names::{COPY, copy};
use super::note::{Copied, Note, Saved, Step};
use super::seen::All;
use crate::engine::EngineError;
use crate::engine::search::Search;
use crate::engine::search::answer::Answer;
use crate::engine::search::client::Client;
use crate::engine::search::snapshot::{Noted, SnapshotOf, identity};
use crate::engine::search::store::{INDEX, Version};

/// A snapshot that is to be restored beside.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// `<repository>/<snapshot>`
    pub path: &'a str,
    /// What identifies it: what was proven, and nothing else, is restored.
    pub sha256: &'a str,
    /// Whose it must be.
    pub of: &'a SnapshotOf,
    /// Number of the run that restores it, in the names of what it makes.
    pub run: u64,
    /// Uid of its record.
    pub run_uid: &'a str,
    /// The driver's epoch; a target with a higher token is not touched.
    pub epoch: u64,
}

impl Search {
    /// Restores the target's indices and histories under other names, and compares them with what was counted when the
    /// snapshot was taken. Gives how many indices and documents the copies have.
    ///
    /// Idempotent: what an earlier attempt of the same run left half done is made anew; what it completed is taken as it is.
    ///
    /// # Errors
    /// Another snapshot than the one that was proven; whatever keeps its copies from being equal to what it was taken of.
    pub async fn restore_beside(&self, beside: &Beside<'_>) -> Result<(u64, u64), EngineError> {
        let client = self.client().await?;
        client.not_overtaken(beside.epoch).await?;
        let unfit = |reason: String| EngineError::Unsupported { at: self.settings.at(), reason };
        let name = match beside.path.split_once('/') {
            Some((_, name)) => name,
            None => return Err(unfit(format!("{:?} names no snapshot", beside.path))),
        };
        let over = match client.note(beside.run_uid).await? {
            Some((_, note)) if note.sha256 == beside.sha256 && client.stands(&note).await? => {
                return Ok(counted(&note));
            }
            // The driver may be exchanging indices for these copies.
            Some((_, note)) if note.step > Step::Copied => {
                return Err(unfit(format!(
                    "run {} has begun to put {} back, and its copies are gone: restore the rest by hand",
                    note.run, note.path
                )));
            }
            Some((version, _)) => Some(version),
            None => None,
        };
        let found = client.proven(beside).await?;
        let noted = client.complete(&found, beside.of)?;
        let before = format!("{COPY}{}-", beside.run);
        client.take_away(&before).await?;
        let all = found.at("/snapshots/0/indices").and_then(Value::as_array).cloned().unwrap_or_default();
        let all: Vec<&str> =
            all.iter().filter_map(Value::as_str).filter(|name| client.comes_back(name)).collect();
        if let Some(long) = all.iter().find(|name| copy(beside.run, name).len() > super::names::MOST_BYTES) {
            return Err(unfit(format!("the name {long} is too long for a copy beside it")));
        }
        client.restore_copies(beside.path, &before, &all, json!({})).await?;
        let saved = match all.contains(&INDEX) {
            true => client.saved(&copy(beside.run, INDEX), name).await?,
            false => None,
        };
        let Some(saved) = saved else {
            return Err(unfit(format!(
                "snapshot {} does not hold the aliases of its indices: an older version of Whimbrel took it. Restore it by hand",
                beside.path
            )));
        };
        let note = client.prove_copies(beside, &before, &noted, saved).await?;
        client.finish_copies(over, &note).await?;
        Ok(counted(&note))
    }
}

fn counted(note: &Note) -> (u64, u64) {
    (note.copies.len() as u64, note.copies.values().map(|copy| copy.documents).sum())
}

impl Client {
    /// An index of the target, or one of its histories.
    fn comes_back(&self, index: &str) -> bool {
        !self.is_ours(index) || self.is_history(index)
    }

    /// Whether it keeps a history of the target.
    pub(super) fn is_history(&self, index: &str) -> bool {
        index == INDEX || self.settings.evolution().is_some_and(|(_, kept)| kept == index)
    }

    /// Whether the copies of a note are all there, or have been put in their place.
    async fn stands(&self, note: &Note) -> Result<bool, EngineError> {
        if note.step >= Step::Placed {
            return Ok(true);
        }
        let there = self.copies_of(note.run).await?;
        let is_there = |(index, uuid): (&String, &String)| {
            there.get(&copy(note.run, index)).is_some_and(|seen| seen.uuid == *uuid)
        };
        let copies = note.copies.iter().map(|(index, copy)| (index, &copy.uuid));
        Ok(copies.chain(&note.histories).all(is_there))
    }

    /// The copies that a run's Job has made.
    pub(super) async fn copies_of(&self, run: u64) -> Result<All, EngineError> {
        self.seen(&format!("{COPY}{run}-*")).await
    }

    /// The snapshot, if it is the one that was proven.
    async fn proven(&self, beside: &Beside<'_>) -> Result<Answer, EngineError> {
        let path = format!("/_snapshot/{}", beside.path);
        let found = self.read(&path).await.map_err(|missed| self.error(missed))?;
        if !found.is_success() {
            let repository = beside.path.split('/').next().unwrap_or_default();
            return Err(self.of_repository(repository, &found));
        }
        match identity(&found) {
            same if same == beside.sha256 => Ok(found),
            other => Err(EngineError::Unsupported {
                at: self.settings.at(),
                reason: format!(
                    "snapshot {} is not the one that was proven: it has {other}, that one had {}",
                    beside.path, beside.sha256
                ),
            }),
        }
    }

    /// Compares, and says what each copy is.
    async fn prove_copies(
        &self,
        beside: &Beside<'_>,
        before: &str,
        noted: &Noted,
        saved: Saved,
    ) -> Result<Note, EngineError> {
        let documents = self.compare_copies(before, noted, |index| !self.is_ours(index)).await?;
        let mut note = Note::new(beside.run_uid, beside.run, beside.epoch, beside.path, beside.sha256);
        let mut aliases: BTreeMap<_, _> = saved.aliases;
        for (name, seen) in self.copies_of(beside.run).await? {
            let Some(index) = name.strip_prefix(before).map(str::to_owned) else { continue };
            match documents.get(&index) {
                _ if self.is_history(&index) => {
                    note.histories.insert(index, seen.uuid);
                }
                Some(documents) => {
                    let copied = Copied {
                        documents: *documents,
                        blocked: seen.is_blocked(),
                        aliases: aliases.remove(&index).unwrap_or_default(),
                        uuid: seen.uuid,
                    };
                    note.copies.insert(index, copied);
                }
                None => {}
            }
        }
        Ok(note)
    }

    /// Closes the copies to writes, so that they can be cloned, and writes the note: from then on they count.
    async fn finish_copies(&self, over: Option<Version>, note: &Note) -> Result<(), EngineError> {
        for (index, copied) in &note.copies {
            if !copied.blocked {
                self.set(
                    "close a copy to writes",
                    &copy(note.run, index),
                    json!({"index.blocks.write": true}),
                )
                .await?;
            }
        }
        self.not_overtaken(note.token).await?;
        self.write_note(over, note).await?;
        Ok(())
    }

    /// Changes settings of an index.
    pub(super) async fn set(&self, what: &str, index: &str, settings: Value) -> Result<(), EngineError> {
        let path = format!("/{index}/_settings");
        let set = self.effect(what, Method::PUT, &path, Some(settings.to_string())).await;
        self.expect(set).map(drop)
    }
}
