//! The session that holds lock and fence: applies scripts and takes them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::timeout;

use super::blockers;
use super::cancel::canceller;
use super::connect::Connection;
use super::fence::farewell;
use super::guard::{self, Message};
use super::history::{READ, record};
use super::position::place;
use super::schema::LOCK;
use super::settings::Settings;
use super::undo::{self, Taken};
use super::verdict::{self, Verdict, judge};
use super::wire::{ALL_ROWS, MOST_BYTES, NO_ROWS, Reply, ServerError, Status};
use crate::engine::canceller::Cancelled;
use crate::engine::error::DRIFT;
use crate::engine::record::Record;
use crate::engine::{
    BlockedBy, Canceller, Claim, EngineError, Fence, Partial, ScriptError, ScriptFailure, Session,
};
use crate::script::{Executable, HistoryRow, Kind, Script};

/// PostgreSQL counts what a session wrote when it likes, from this version on also when told to.
const FLUSHES_WHEN_TOLD: u32 = 150_000;

/// A connection that holds lock and fence of one PostgreSQL database.
pub struct PostgresqlSession {
    pub(super) settings: Arc<Settings>,
    pub(super) connection: Connection,
    pub(super) fence: Fence,
    pub(super) record: Record,
    cancelled: Cancelled,
    /// Why nothing more can be done here: what an earlier script said is still true, and only that.
    pub(super) broken: Option<ScriptFailure>,
}

impl PostgresqlSession {
    pub(super) fn new(settings: Arc<Settings>, connection: Connection, fence: Fence, record: Record) -> Self {
        Self { settings, connection, fence, record, cancelled: Cancelled::default(), broken: None }
    }

    /// Sends one guarded message and says what may be believed after it. `file` is the user's.
    pub(super) async fn run(&mut self, message: &Message<'_>, file: &str) -> Result<(), ScriptFailure> {
        self.may_run()?;
        let mut blocker = None;
        let reply = self.send(message, file, &mut blocker).await?;
        let verdict = judge(&reply, self.connection.wire.status(), message.before);
        if verdict == Verdict::Committed {
            return Ok(());
        }
        self.broken = self.recover().await.err();
        Err(match verdict {
            Verdict::Refused(error) => self.refused(message, file, &reply, error, blocker),
            other => failed(file, other),
        })
    }

    /// Whether this session may still run something for a script.
    pub(super) fn may_run(&self) -> Result<(), ScriptFailure> {
        match &self.broken {
            Some(broken) => Err(broken.clone()),
            None if self.cancelled.asked() => Err(ScriptFailure::Cancelled),
            None => Ok(()),
        }
    }

    /// Sends a message and reads its answer; who it waited for is left in `blocker`.
    pub(super) async fn send(
        &mut self,
        message: &Message<'_>,
        file: &str,
        blocker: &mut Option<BlockedBy>,
    ) -> Result<Reply, ScriptFailure> {
        let outgoing = message.outgoing();
        if outgoing.parts.iter().map(|part| part.len()).sum::<usize>() > MOST_BYTES {
            return Err(too_large(file));
        }
        let pid = self.connection.wire.pid();
        tokio::select! {
            biased;
            reply = self.connection.wire.guarded(file, &outgoing) => Ok(reply?),
            never = blockers::watch(&self.settings, &self.fence, pid, blocker) => match never {},
        }
    }

    /// Writes into our own tables what must be there before the script goes on, in a transaction of its own. Not refused
    /// to a session that was cancelled: what has happened must be written down.
    pub(super) async fn write(&mut self, file: &str, call: &str) -> Result<(), ScriptFailure> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let text = format!("RESET ALL; SET SESSION AUTHORIZATION DEFAULT; BEGIN; {call}; COMMIT");
        let what = format!("{file}: journal");
        let reply = self.connection.wire.effect(&what, &text, NO_ROWS).await?;
        let committed = reply.last_tag == "COMMIT" && self.connection.wire.status() == Status::Idle;
        let Some(error) = reply.error else {
            let reason = "the journal's transaction ended by something else than its COMMIT".to_owned();
            return if committed { Ok(()) } else { Err(ScriptFailure::Lost { reason }) };
        };
        self.broken = self.recover().await.err();
        Err(match verdict::opening(&error) {
            Verdict::Refused(error) if error.code == "57014" && self.cancelled.asked() => {
                ScriptFailure::Cancelled
            }
            Verdict::Refused(error) if passes(&error) => ScriptFailure::Blocked(gone_by_now(&error)),
            other => failed(file, other),
        })
    }

    /// A script that is filled with secrets is kept out of the server's log, where the role may decide about that; what
    /// it is told before its message is about that message, and what opens it is about its errors.
    async fn quietly(&mut self, script: &Script, opening: String) -> String {
        if !script.values.have_secrets() || self.broken.is_some() {
            return opening;
        }
        // Whatever is wrong here is met again by the script itself.
        let _ = self.connection.wire.query(&guard::unlogged(), NO_ROWS).await;
        guard::unlogged_errors(&opening)
    }

    /// A failed script may have left settings behind and freed the lock. Without the lock nothing more may be done.
    pub(super) async fn recover(&mut self) -> Result<(), ScriptFailure> {
        // PostgreSQL passes one cancel request on as two signals, to the backend and to its process group; the second may
        // come after the statement's answer, and would end what is sent next.
        self.cancelled.settled().await;
        let in_transaction = self.connection.wire.status() != Status::Idle;
        let reply = self.connection.wire.query(&guard::recovery(in_transaction, LOCK), ALL_ROWS).await;
        let reply = reply?;
        let locked =
            reply.sets.iter().flat_map(|set| &set.rows).flatten().any(|value| value.as_deref() == Some("t"));
        if reply.error.is_none() && locked { Ok(()) } else { Err(ScriptFailure::LockLost) }
    }

    pub(super) fn refused(
        &self,
        message: &Message<'_>,
        file: &str,
        reply: &Reply,
        error: ServerError,
        blocker: Option<BlockedBy>,
    ) -> ScriptFailure {
        match error.code.as_str() {
            _ if passes(&error) => ScriptFailure::Blocked(blocker.unwrap_or_else(|| gone_by_now(&error))),
            "57014" if self.cancelled.asked() => ScriptFailure::Cancelled,
            _ => {
                let place = place(message, reply, &error);
                ScriptFailure::from(ScriptError {
                    hint: hint(&error),
                    message: place.message.unwrap_or_else(|| error.text(self.settings.diagnostics_full)),
                    code: error.code,
                    file: file.to_owned(),
                    statement: place.statement,
                    line: place.line,
                    column: place.column,
                })
            }
        }
    }

    /// A script that ended its own transaction may have rolled the journal's row back with it. Written again, so that
    /// the target itself says that something is half done; refused as a duplicate where it is still there.
    async fn note(&mut self, opening: &str) {
        if self.broken.is_some() {
            return;
        }
        let wire = &mut self.connection.wire;
        let noted = match wire
            .effect("note what is half done", &format!("BEGIN; {opening}; COMMIT"), NO_ROWS)
            .await
        {
            Ok(reply) if reply.error.is_some() => wire.query("ROLLBACK", NO_ROWS).await,
            noted => noted,
        };
        match noted {
            Err(gone) => self.broken = Some(gone.into()),
            Ok(_) => {
                if let Ok(sets) = self.connection.read(&self.settings, READ).await {
                    self.record = record(&self.settings.histories, &sets);
                }
            }
        }
    }
}

/// Lock timeout, deadlock, serialization failure: another transaction was in the way.
fn passes(error: &ServerError) -> bool {
    matches!(error.code.as_str(), "55P03" | "40P01" | "40001")
}

fn gone_by_now(error: &ServerError) -> BlockedBy {
    let what = format!("{} ({}); whoever it was is gone by now", error.message, error.code);
    BlockedBy::unnamed(what)
}

/// The failure for a verdict that is not about the script's own statements.
fn failed(file: &str, verdict: Verdict) -> ScriptFailure {
    let refused = |code: &str, message: String, hint: &str| {
        ScriptFailure::of_file(file, code, message, (!hint.is_empty()).then_some(hint))
    };
    match verdict {
        Verdict::Committed => ScriptFailure::Unknown { evidence: "it is done".to_owned() },
        Verdict::Refused(error) => refused(&error.code, error.text(false), ""),
        Verdict::LockLost => ScriptFailure::LockLost,
        Verdict::Overtaken(token) => ScriptFailure::Overtaken { token },
        Verdict::EndedItself => refused(
            "WB003",
            "the script ended its own transaction with ROLLBACK; nothing of it is applied".to_owned(),
            "Take COMMIT, ROLLBACK and PREPARE TRANSACTION out of it: a script runs in one transaction.",
        ),
        Verdict::Twice => refused(DRIFT, "it was begun before by another run".to_owned(), ""),
        Verdict::Elsewhere(message) => refused(DRIFT, message, ""),
        Verdict::NotThere => refused(DRIFT, "it is not in the history".to_owned(), ""),
        Verdict::Younger(key) => {
            refused(DRIFT, format!("the younger script {key} is in the history"), "Undo that one first.")
        }
        Verdict::Unknown(evidence) => ScriptFailure::Unknown { evidence },
    }
}

/// The server would end the connection at such a message, and that would look like an answer that was lost.
fn too_large(file: &str) -> ScriptFailure {
    ScriptFailure::of_file(
        file,
        "54000",
        "its statements are more than the server takes in one message (1 GB; rows of COPY do not count)",
        Some("Cut it into several versions, or write its rows as COPY ... FROM stdin."),
    )
}

/// What would help, for errors whose text does not say it.
fn hint(error: &ServerError) -> Option<String> {
    let ours = match error.code.as_str() {
        "55P04" => "Put what uses the new enum value into a second script.",
        "25001" => {
            "This can't run inside a transaction, or must be its first statement; for the isolation level write -- whimbrel: isolation: serializable."
        }
        "42501" => {
            "Grant the role this right, or let the owner of the object be the role in spec.credentials."
        }
        _ => return error.hint.clone(),
    };
    Some(ours.to_owned())
}

impl Session for PostgresqlSession {
    fn histories(&self) -> &BTreeMap<String, Vec<HistoryRow>> {
        &self.record.histories
    }

    fn lineage(&self) -> &str {
        &self.connection.server.lineage
    }

    fn partial(&self) -> &[Partial] {
        &self.record.partial
    }

    async fn apply(&mut self, history: &str, script: &Script) -> Result<HistoryRow, ScriptFailure> {
        if script.directives.no_transaction {
            return self.apply_in_steps(history, &script.filled()).await;
        }
        let rank = self.record.admit(history, script)?;
        let row = HistoryRow::of(script, rank);
        let kept = (script.kind == Kind::Repeatable).then_some(script.body.as_str());
        let opening = guard::open(&self.fence, history, &row, kept);
        let opening = self.quietly(script, opening).await;
        let filled = script.filled();
        let message =
            guard::guarded(&opening, script.directives.isolation, filled.executable(), guard::CLOSE);
        let outcome = self.run(&message, &script.file).await;
        if let Err(ScriptFailure::Unknown { .. }) = outcome {
            self.note(&opening).await;
        }
        outcome?;
        self.record.applied(history, rank, row.clone());
        Ok(row)
    }

    async fn undo(&mut self, history: &str, script: &Script) -> Result<(), ScriptFailure> {
        let Some(rank) = self.record.rank(history, &script.key) else {
            return Err(ScriptFailure::drift(script, "it is not in the history"));
        };
        let Taken { file, text, isolation } =
            undo::text(&mut self.connection, &self.settings, history, rank, script).await?;
        let opening = guard::open_undo(&self.fence, history, rank, &script.key);
        let opening = self.quietly(script, opening).await;
        let message = guard::guarded(&opening, isolation, Executable::of(&text), guard::CLOSE_UNDO);
        let outcome = self.run(&message, file).await;
        if let Err(ScriptFailure::Unknown { .. }) = outcome {
            self.note(&opening).await;
        }
        outcome?;
        self.record.forget(history, rank);
        Ok(())
    }

    fn canceller(&self) -> Canceller {
        canceller(self.settings.clone(), &self.connection, &self.cancelled)
    }

    async fn leave(self, claim: Claim) -> Result<(), EngineError> {
        let Self { settings, mut connection, fence, .. } = self;
        let flush = connection.server.number >= FLUSHES_WHEN_TOLD;
        let said = connection.wire.effect("leave", &farewell(&fence, claim, flush), ALL_ROWS).await;
        let reply = said.map_err(|lost| lost.at(settings.at()))?;
        // The lock is free and the claim written; a server that is slow to hang up changes nothing of that.
        let _ = timeout(settings.connect_timeout, connection.wire.terminate()).await;
        match reply.error {
            None => Ok(()),
            Some(error) => Err(super::connect::server_said(&settings, error)),
        }
    }
}
