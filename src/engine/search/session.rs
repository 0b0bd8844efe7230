//! The session that holds lease and lock, and what a driver asks of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::client::{Client, Missed};
use super::fence::ID;
use super::lease::Held;
use super::record::{Entry, Record, SCRIPT, State};
use super::settings::Kept;
use super::store::{INDEX, Version, Wrote};
use super::walk::{Of, blocked, filled};
use crate::engine::canceller::Cancelled;
use crate::engine::record::Begun;
use crate::engine::{BlockedBy, Canceller, Claim, EngineError, Fence, Partial, ScriptFailure, Session};
use crate::script::http::{Class, requests};
use crate::script::{Dialect, HistoryRow, Kind, Script};

/// An entry that was written, and its version; none where there was none to write.
pub(super) type Put = Result<Option<(Version, Entry)>, ScriptFailure>;

pub(super) const FINISH: &str = "finish a script";

/// A session with a search cluster.
pub struct SearchSession {
    pub(super) client: Arc<Client>,
    pub(super) fence: Fence,
    pub(super) held: Held,
    pub(super) record: Record,
    pub(super) identity: String,
    /// Names us in the other tool's lock.
    pub(super) owner: String,
    pub(super) cancelled: Cancelled,
    /// The X-Opaque-Id of the request that runs now.
    pub(super) now: Arc<Mutex<Option<String>>>,
}

impl From<Missed> for ScriptFailure {
    /// Of what does not belong to a script: its own requests are judged where they are sent.
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::NotSent(error) => as_failure(error),
            Missed::Lost(reason) => Self::Lost { reason },
        }
    }
}

/// What went wrong around a script's requests: entering again says it better.
pub(super) fn as_failure(error: EngineError) -> ScriptFailure {
    match error {
        EngineError::Busy { by, .. } => ScriptFailure::Blocked(by),
        other => ScriptFailure::Lost { reason: other.to_string() },
    }
}

/// What a write of `entry` came to.
fn noted(wrote: Result<Wrote, EngineError>, entry: Entry) -> Put {
    match wrote.map_err(as_failure)? {
        Wrote::Done(version) => Ok(Some((version, entry))),
        // Also what an earlier try has written whose answer was lost: entering again reads it.
        Wrote::Stale => Err(ScriptFailure::LockLost),
    }
}

impl SearchSession {
    pub(super) fn kept(&self, history: &str) -> Option<&Kept> {
        self.client.settings.histories.iter().find(|known| known.name == history).map(|known| &known.kept)
    }

    /// Writes an entry over the version that was read. Whoever else wrote it has the target.
    pub(super) async fn write(&mut self, what: &str, entry: Entry) -> Result<(), ScriptFailure> {
        let put = self.put(what, Some(entry)).await;
        self.wrote(put)
    }

    /// The request of [`Self::write`], which others may travel beside; what it came to is for [`Self::wrote`].
    pub(super) async fn put(&self, what: &str, entry: Option<Entry>) -> Put {
        let Some(entry) = entry else { return Ok(None) };
        let over = self.record.version(&entry);
        let id = Entry::id(&entry.history, &entry.key);
        noted(self.client.put(what, INDEX, &id, over, &entry).await, entry)
    }

    /// As [`Self::put`] of two scripts' entries, each with its name: in one request where there are two.
    pub(super) async fn put_both(&self, [first, second]: [(&str, Option<Entry>); 2]) -> [Put; 2] {
        let ((_, Some(one)), (what, Some(other))) = (&first, &second) else {
            return [self.put(first.0, first.1).await, self.put(second.0, second.1).await];
        };
        let document = |entry: &Entry| {
            let document = serde_json::to_value(entry).expect("an entry is JSON");
            (Entry::id(&entry.history, &entry.key), self.record.version(entry), document)
        };
        match self.client.put_all(what, INDEX, &[document(one), document(other)]).await {
            Ok([wrote_one, wrote_other]) => {
                [noted(wrote_one, one.clone()), noted(wrote_other, other.clone())]
            }
            Err(error) => [Ok(None), Err(as_failure(error))],
        }
    }

    pub(super) fn wrote(&mut self, put: Put) -> Result<(), ScriptFailure> {
        if let Some((version, entry)) = put? {
            self.record.wrote(version, entry, &self.fence.run_uid);
        }
        Ok(())
    }

    /// Whether an effect may begin: nobody has cancelled, the lease holds, and so does the other tool's lock.
    pub(super) async fn may_go_on(&self) -> Result<(), ScriptFailure> {
        self.is_held().await?;
        self.holds_lock().await
    }

    /// The part of it that costs no request as long as the heart beats in time.
    pub(super) async fn is_held(&self) -> Result<(), ScriptFailure> {
        if self.cancelled.asked() {
            return Err(ScriptFailure::Cancelled);
        }
        self.held.check(&self.client).await
    }

    /// The other part of it: whether the other tool's lock is still ours.
    pub(super) async fn holds_lock(&self) -> Result<(), ScriptFailure> {
        if let Some((_, index)) = self.client.settings.evolution() {
            let holds = self.client.holds_peer(index, &self.owner).await.map_err(as_failure)?;
            if !holds {
                return Err(ScriptFailure::LockLost);
            }
        }
        Ok(())
    }

    fn row(&self, history: &str, key: &str) -> Option<&HistoryRow> {
        self.record.histories.get(history)?.iter().rev().find(|row| row.key == key)
    }

    /// The script as begun by this run, now or before. What says so is written with the first request that changes
    /// something: until then nothing is to be known of it.
    fn begin(&mut self, history: &str, script: &Script) -> Result<(), ScriptFailure> {
        if script.dialect != Dialect::Http || script.kind != Kind::Versioned {
            return Err(ScriptFailure::drift(script, "it is no versioned script of requests"));
        }
        if self.row(history, &script.key).is_some() {
            return Err(ScriptFailure::drift(script, "it is in the history already"));
        }
        let over = self.record.entry(history, &script.key);
        if let Some(entry) = over.filter(|entry| entry.state != State::Undone) {
            let Entry { run_uid, checksum, state, .. } = &entry;
            return Begun { run_uid, checksum, undoing: *state != State::Started }
                .goes_on(script, &self.fence.run_uid);
        }
        self.failed_elsewhere(history, script)?;
        // The end of its undo that nobody came to say: what is said now is over it.
        self.record.owed.take_if(|owed| owed.history == history && owed.key == script.key);
        self.record.ahead = Some(self.new_entry(history, script, State::Started));
        Ok(())
    }

    /// The other tool tries again what it recorded as failed, also where the answer was only late. That is safe for what may
    /// be done twice.
    fn failed_elsewhere(&self, history: &str, script: &Script) -> Result<(), ScriptFailure> {
        let Some(failed) = self.record.failed.get(&(history.to_owned(), script.key.clone())) else {
            return Ok(());
        };
        let all = requests(&script.values.filled(&script.body)).unwrap_or_default();
        let Some(once) =
            all.iter().find(|request| matches!(request.class(), Class::Once | Class::Task { again: false }))
        else {
            return Ok(());
        };
        let index = match self.kept(history) {
            Some(Kept::Evolution { index }) => index,
            _ => INDEX,
        };
        Err(ScriptFailure::Unknown {
            evidence: format!(
                "elasticsearch-evolution recorded it as failed at {}, and request {} ({once}) may have been done all the same. If it was not, delete document {} of {index}",
                failed.execution_timestamp, once.number, failed.version
            ),
        })
    }

    fn new_entry(&self, history: &str, script: &Script, state: State) -> Entry {
        Entry {
            kind: SCRIPT.to_owned(),
            history: history.to_owned(),
            key: script.key.clone(),
            version: script.version.clone(),
            description: script.description.clone(),
            file: script.file.clone(),
            checksum: script.checksum.clone(),
            java: crate::script::http::java_hash(&script.body),
            rank: self.record.next_rank(history),
            state,
            run_uid: self.fence.run_uid.clone(),
            token: self.fence.token,
            done: 0,
            part: None,
            sent: None,
            at: Timestamp::now(),
        }
    }

    /// What is to be undone, as begun by this run, now or before.
    async fn begin_undo(&mut self, history: &str, script: &Script) -> Result<(), ScriptFailure> {
        let row = self.row(history, &script.key).cloned();
        let entry = self.record.entry(history, &script.key).cloned();
        let entry = match (entry, &row) {
            (Some(entry), _) if entry.state == State::Undoing => {
                if entry.run_uid != self.fence.run_uid {
                    return Err(ScriptFailure::drift(
                        script,
                        format!("run {} began to undo it", entry.run_uid),
                    ));
                }
                return Ok(());
            }
            (Some(entry), None) if entry.state == State::Started => {
                self.end_what_runs(&entry).await?;
                Entry { part: Some(entry.done), ..entry }
            }
            (_, None) => return Err(ScriptFailure::drift(script, "it is not in the history")),
            (Some(entry), Some(_)) => Entry { part: None, ..entry },
            // The other tool applied it.
            (None, Some(_)) => self.new_entry(history, script, State::Applied),
        };
        if let Some(row) = &row {
            let rows = self.record.histories.get(history).into_iter().flatten();
            let younger = rows.filter(|other| other.installed_rank > row.installed_rank);
            if let Some(younger) = younger.max_by_key(|other| other.installed_rank) {
                let message = format!("the younger script {} is in the history", younger.key);
                return Err(ScriptFailure::drift(script, message));
            }
        }
        self.may_go_on().await?;
        let (run_uid, token) = (self.fence.run_uid.clone(), self.fence.token);
        let entry = Entry {
            state: State::Undoing,
            run_uid,
            token,
            done: 0,
            sent: None,
            at: Timestamp::now(),
            ..entry
        };
        self.write("begin an undo", entry).await
    }

    /// What a script has started must not go on while it is taken back: a task would make again what its undo deletes.
    async fn end_what_runs(&self, entry: &Entry) -> Result<(), ScriptFailure> {
        let Some(sent) = &entry.sent else { return Ok(()) };
        let Some(id) = self.client.running(&sent.opaque).await? else { return Ok(()) };
        self.client.cancel(&id).await;
        Err(blocked(format!(
            "request {} of {} still runs at the server and is being cancelled",
            sent.number, entry.file
        )))
    }

    /// The entry in its last state, its history first: the history is the truth.
    async fn finish(&mut self, of: &Of<'_>, state: State) -> Result<(), ScriptFailure> {
        let entry = self.entry(of)?;
        let ended = Entry { state, sent: None, ..entry.clone() };
        if let Some(Kept::Evolution { index }) = self.kept(of.history).cloned() {
            let client = self.client.clone();
            let written = match state {
                State::Applied => {
                    let took = Timestamp::now().duration_since(entry.at).as_millis();
                    client.write_peer_row(&index, of.script, i32::try_from(took).unwrap_or(i32::MAX)).await
                }
                _ => client.forget_peer_row(&index, &of.script.key).await,
            };
            written.map_err(as_failure)?;
            if state == State::Applied {
                self.record.ahead = None;
                self.record.owed = Some(ended);
                return Ok(());
            }
        }
        self.write(FINISH, ended).await
    }
}

impl Session for SearchSession {
    fn histories(&self) -> &BTreeMap<String, Vec<HistoryRow>> {
        &self.record.histories
    }

    fn lineage(&self) -> &str {
        &self.identity
    }

    fn partial(&self) -> &[Partial] {
        &self.record.partial
    }

    async fn apply(&mut self, history: &str, script: &Script) -> Result<HistoryRow, ScriptFailure> {
        self.begin(history, script)?;
        let requests = filled(&script.file, &script.values.filled(&script.body))?;
        let of = Of { history, script, file: &script.file, requests: &requests, undo: false };
        self.walk(&of).await?;
        self.finish(&of, State::Applied).await?;
        let rank = self.entry(&of)?.rank;
        let row = HistoryRow::of(script, rank);
        self.record.histories.entry(history.to_owned()).or_default().push(row.clone());
        self.record.look_for_partial(&self.fence.run_uid);
        Ok(row)
    }

    async fn undo(&mut self, history: &str, script: &Script) -> Result<(), ScriptFailure> {
        let Some(undo) = &script.undo else {
            return Err(ScriptFailure::no_undo(script, "it has no undo file"));
        };
        let requests = filled(&undo.file, &script.values.filled(&undo.body))?;
        self.begin_undo(history, script).await?;
        let of = Of { history, script, file: &undo.file, requests: &requests, undo: true };
        self.walk(&of).await?;
        self.finish(&of, State::Undone).await?;
        if let Some(rows) = self.record.histories.get_mut(history) {
            rows.retain(|row| row.key != script.key);
        }
        self.record.look_for_partial(&self.fence.run_uid);
        Ok(())
    }

    fn canceller(&self) -> Canceller {
        let (client, now) = (self.client.clone(), self.now.clone());
        self.cancelled.canceller(move || {
            let (client, now) = (client.clone(), now.clone());
            Box::pin(async move {
                let opaque = now.lock().expect("nobody panics while holding it").clone();
                let Some(opaque) = opaque else { return };
                if let Ok(Some(id)) = client.running(&opaque).await {
                    client.cancel(&id).await;
                }
            })
        })
    }

    async fn leave(self, claim: Claim) -> Result<(), EngineError> {
        // Without it the script stands as begun and in its history, which is applied all the same, and the next session says so.
        // Whoever has been overtaken writes nothing more.
        if self.held.check(&self.client).await.is_ok()
            && let Err(failure) = self.put(FINISH, self.record.owed.clone()).await
        {
            tracing::debug!(%failure, "the end of a script was not written");
        }
        let Self { client, held, owner, .. } = self;
        if let Some((_, index)) = client.settings.evolution() {
            client.unlock_peer(index, &owner).await?;
        }
        let (version, mut row) = held.give_back().await;
        row.claimed = claim == Claim::Keep;
        match client.put("leave", INDEX, ID, Some(version), &row).await? {
            Wrote::Done(_) => Ok(()),
            Wrote::Stale => match client.fence().await? {
                Some((_, found)) if found.token > row.token => {
                    Err(EngineError::Overtaken { at: client.settings.at(), token: found.token })
                }
                // A beat whose answer was lost, or another session of this run: the lease ends by itself.
                _ => Err(EngineError::Busy {
                    at: client.settings.at(),
                    by: BlockedBy::unnamed("the fence changed while the session left"),
                }),
            },
        }
    }
}
