//! The note of a restore: one document per run in Whimbrel's own index, written over the version that was read.
//!
//! The Job makes it when its copies are complete, with the uuid of each; [`super::swap`] writes every step into it before
//! the step's first effect.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::engine::search::client::Client;
use crate::engine::search::store::{INDEX, Version, Wrote};
use crate::engine::{BlockedBy, EngineError};

/// The kind of a [`Note`].
const RESTORE: &str = "restore";
/// The kind of a [`Saved`].
pub(in crate::engine::search) const BACKUP: &str = "backup";

/// How far a restore has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Step {
    /// The copies stand beside, complete and proven. Nothing of the target is touched.
    Copied,
    /// The target's indices take no writes any more, and are being cloned.
    Keeping,
    /// Every index that was there has a clone that was counted: they may go.
    Kept,
    /// The copies are in their place. Templates, pipelines and the histories are being put back.
    Placed,
    /// Everything is as the stamp says. The copies are not needed any more.
    Proven,
    /// The copies are taken away.
    Done,
}

/// What is known of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) kind: String,
    pub(super) run_uid: String,
    pub(super) run: u64,
    /// The epoch that wrote it last.
    pub(super) token: u64,
    /// `<repository>/<snapshot>` and what identifies it.
    pub(super) path: String,
    pub(super) sha256: String,
    pub(super) step: Step,
    /// By the name of the index in the snapshot.
    pub(super) copies: BTreeMap<String, Copied>,
    /// The indices of histories among the copies, with their uuids.
    pub(super) histories: BTreeMap<String, String>,
    /// By name, what was there and goes aside.
    pub(super) aside: BTreeMap<String, Aside>,
    /// Digest of the operations that the indices had taken when they were to be closed to writes.
    pub(super) operations: String,
}

/// A copy of one index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copied {
    pub(super) uuid: String,
    pub(super) documents: u64,
    /// Closed to writes when the snapshot was taken.
    pub(super) blocked: bool,
    /// As they were when the snapshot was taken.
    pub(super) aliases: Map<String, Value>,
}

/// An index that goes aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Aside {
    pub(super) uuid: String,
    /// Closed to writes before we closed it.
    pub(super) blocked: bool,
}

/// What a snapshot does not say of itself, written before it is taken into an index that is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine::search) struct Saved {
    kind: String,
    /// By index.
    pub(super) aliases: BTreeMap<String, Map<String, Value>>,
    /// The uuids of all indices that the cluster had, whoever's they were. No two clocks say which came first: a server dates
    /// a snapshot by a time that it reads a few times in a second, and an index by another.
    pub(super) uuids: BTreeSet<String>,
}

impl Note {
    pub(super) fn id(run_uid: &str) -> String {
        format!("{RESTORE}:{run_uid}")
    }

    pub(super) fn new(run_uid: &str, run: u64, token: u64, path: &str, sha256: &str) -> Self {
        Self {
            kind: RESTORE.to_owned(),
            run_uid: run_uid.to_owned(),
            run,
            token,
            path: path.to_owned(),
            sha256: sha256.to_owned(),
            step: Step::Copied,
            copies: BTreeMap::new(),
            histories: BTreeMap::new(),
            aside: BTreeMap::new(),
            operations: String::new(),
        }
    }

    /// The name of the snapshot in its repository.
    pub(super) fn snapshot(&self) -> &str {
        self.path.split_once('/').map_or(&self.path, |(_, name)| name)
    }

    /// Between the first change of the target and the proof that it is whole.
    pub(super) fn is_half_done(&self) -> bool {
        self.step > Step::Copied && self.step < Step::Proven
    }
}

impl Client {
    pub(super) async fn note(&self, run_uid: &str) -> Result<Option<(Version, Note)>, EngineError> {
        if !self.has_index(INDEX).await? {
            return Ok(None);
        }
        self.get(INDEX, &Note::id(run_uid)).await
    }

    pub(super) async fn write_note(
        &self,
        over: Option<Version>,
        note: &Note,
    ) -> Result<Version, EngineError> {
        match self.put("note a step of the restore", INDEX, &Note::id(&note.run_uid), over, note).await? {
            Wrote::Done(version) => Ok(version),
            // Also what an earlier try has written whose answer was lost: the next one reads it.
            Wrote::Stale => {
                let what = "the note of its restore changed meanwhile".to_owned();
                let by = BlockedBy { what, since: None, sql: None, pid: None };
                Err(EngineError::Busy { at: self.settings.at(), by })
            }
        }
    }

    pub(super) async fn forget_note(&self, run_uid: &str, over: Version) -> Result<Wrote, EngineError> {
        self.delete("forget a restore", INDEX, &Note::id(run_uid), over).await
    }

    /// Nobody works in a target of which half was put back by another run.
    pub(in crate::engine::search) async fn refuse_half_restored(
        &self,
        run_uid: &str,
    ) -> Result<(), EngineError> {
        let notes: Vec<(Version, String, Note)> =
            self.find(INDEX, json!({"term": {"kind": RESTORE}})).await?;
        let half = notes.into_iter().find(|(_, _, note)| note.is_half_done() && note.run_uid != run_uid);
        let Some((_, id, Note { run, path, .. })) = half else { return Ok(()) };
        let reason = format!(
            "run {run} has begun to put snapshot {path} back and did not end. Put it back by hand (docs/engines/elasticsearch.md), \
             then delete document {id} of {INDEX}"
        );
        Err(EngineError::Unsupported { at: self.settings.at(), reason })
    }

    /// Writes what the snapshot `name` can't hold, before it is taken.
    pub(in crate::engine::search) async fn save_for_snapshot(&self, name: &str) -> Result<(), EngineError> {
        self.make_index().await?;
        let path =
            format!("/{}/_alias?expand_wildcards=all&ignore_unavailable=true", self.settings.indices());
        let found = self.expect(self.read(&path).await)?;
        let all = self.users(found.body);
        let of = |(index, found): (&String, &Value)| {
            (index.clone(), found["aliases"].as_object().cloned().unwrap_or_default())
        };
        let aliases = all.as_object().into_iter().flatten().map(of).collect();
        let saved = Saved { kind: BACKUP.to_owned(), aliases, uuids: self.uuids().await? };
        let id = format!("{BACKUP}:{name}");
        let over = self.get::<Saved>(INDEX, &id).await?.map(|(version, _)| version);
        match self.put("save the aliases of a snapshot", INDEX, &id, over, &saved).await? {
            Wrote::Done(_) => Ok(()),
            Wrote::Stale => {
                let what = "another Job takes the same snapshot".to_owned();
                let by = BlockedBy { what, since: None, sql: None, pid: None };
                Err(EngineError::Busy { at: self.settings.at(), by })
            }
        }
    }

    /// What was saved for the snapshot `name`, from the `index` in which it is.
    pub(super) async fn saved(&self, index: &str, name: &str) -> Result<Option<Saved>, EngineError> {
        Ok(self.get(index, &format!("{BACKUP}:{name}")).await?.map(|(_, saved)| saved))
    }
}
