//! The session that holds the fence: applies scripts and takes them back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;

use super::blockers;
use super::cancel::canceller;
use super::connect::Connection;
use super::fence::{self, Pass};
use super::history::Record;
use super::packstream::Value;
use super::replan::Replan;
use super::settings::{Format, Settings};
use super::wire::{NO_ROWS, ServerError, Set};
use crate::engine::canceller::Cancelled;
use crate::engine::{
    BlockedBy, Canceller, Claim, EngineError, Fence, Partial, ScriptError, ScriptFailure, Session,
};
use crate::script::cypher::{peer_checksum, raw_version};
use crate::script::split::Statement;
use crate::script::{HistoryRow, Script};

/// A connection that holds the fence of one Neo4j database.
pub struct Neo4jSession {
    pub(super) settings: Arc<Settings>,
    pub(super) connection: Connection,
    pub(super) fence: Fence,
    pub(super) pass: Pass,
    pub(super) record: Record,
    pub(super) cancelled: Cancelled,
    /// Why nothing more can be done here: what an earlier script said is still true, and only that.
    pub(super) broken: Option<ScriptFailure>,
    /// What plans ahead; none before the first change of the schema.
    pub(super) replan: Option<Replan>,
}

/// Which script of which history, at which rank of the journal, and since when.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) history: &'a str,
    /// Filled.
    pub(super) script: &'a Script,
    /// As it is kept: what its checksum is about.
    pub(super) kept: &'a Script,
    pub(super) rank: u64,
    pub(super) began: Instant,
}

impl Neo4jSession {
    pub(super) fn new(
        settings: Arc<Settings>,
        connection: Connection,
        fence: Fence,
        pass: Pass,
        record: Record,
    ) -> Self {
        let cancelled = Cancelled::default();
        Self { settings, connection, fence, pass, record, cancelled, broken: None, replan: None }
    }

    /// Whether this session may still run something for a script.
    pub(super) fn may_run(&self) -> Result<(), ScriptFailure> {
        match &self.broken {
            Some(broken) => Err(broken.clone()),
            None if self.cancelled.asked() => Err(ScriptFailure::Cancelled),
            None => Ok(()),
        }
    }

    /// Runs a statement of a script in the transaction that is open; a refusal takes all of it back.
    pub(super) async fn theirs(
        &mut self,
        file: &str,
        text: &str,
        statement: &Statement,
    ) -> Result<(), ScriptFailure> {
        let (answer, blocker) = self.watched(statement.text(text)).await?;
        match answer {
            Ok(_) => Ok(()),
            Err(error) => Err(self.gave_way(file, (text, statement), error, blocker).await),
        }
    }

    /// Runs a statement, and looks who it waits for.
    pub(super) async fn watched(
        &mut self,
        query: &str,
    ) -> Result<(Result<Set, ServerError>, Option<BlockedBy>), ScriptFailure> {
        let Self { settings, connection, fence, .. } = self;
        let Connection { wire, server, .. } = connection;
        let mut blocker = None;
        let answer = tokio::select! {
            biased;
            answer = wire.run(query, Value::map([]), NO_ROWS) => answer,
            never = blockers::watch(settings, fence, &server.connection, &mut blocker) => match never {},
        };
        Ok((answer?, blocker))
    }

    /// As [`Self::took_back`], for a statement that may have been ended because it waited too long for `blocker`.
    pub(super) async fn gave_way(
        &mut self,
        file: &str,
        at: (&str, &Statement),
        error: ServerError,
        blocker: Option<BlockedBy>,
    ) -> ScriptFailure {
        let blocker = blocker.filter(|_| is_ended(&error));
        match (self.took_back(file, Some(at), error).await, blocker) {
            (ScriptFailure::Failed(_) | ScriptFailure::Blocked(_), Some(by)) => ScriptFailure::Blocked(by),
            (failure, _) => failure,
        }
    }

    /// Takes the open transaction back, whatever is in it.
    pub(super) async fn reset(&mut self) -> Result<(), ScriptFailure> {
        Ok(self.connection.wire.reset().await?)
    }

    /// The transaction was refused: it is taken back, and the failure says why.
    pub(super) async fn took_back(
        &mut self,
        file: &str,
        at: Option<(&str, &Statement)>,
        error: ServerError,
    ) -> ScriptFailure {
        if let Err(gone) = self.reset().await {
            self.broken = Some(gone.clone());
            return gone;
        }
        self.refused(file, at, &error)
    }

    /// What a refusal means, once nothing of the transaction is left.
    pub(super) fn refused(
        &self,
        file: &str,
        at: Option<(&str, &Statement)>,
        error: &ServerError,
    ) -> ScriptFailure {
        if self.cancelled.asked() && is_ended(error) {
            return ScriptFailure::Cancelled;
        }
        if passes(error) {
            let what = format!("{} ({}); whoever it was is gone by now", error.words(false), error.code);
            return ScriptFailure::Blocked(BlockedBy::unnamed(what));
        }
        let place = at.map(|(text, statement)| place(text, statement, error));
        ScriptFailure::from(ScriptError {
            hint: hint(error, self.connection.server.enterprise),
            message: error.words(self.settings.diagnostics_full),
            code: error.code.clone(),
            file: file.to_owned(),
            statement: at.map(|(_, statement)| statement.number),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
        })
    }

    /// The rank of the script's next journal entry, unless the history says that it must not run.
    pub(super) fn admit(&self, history: &str, script: &Script) -> Result<u64, ScriptFailure> {
        let rank = self.record.known.admit(history, script)?;
        if self.is_peers(history) && raw_version(&script.file).is_none() {
            return Err(ScriptFailure::of_file(
                &script.file,
                "HistoryFormat",
                "a history of neo4j-migrations holds files of that tool's names only",
                Some("Name the file V001__text.cypher, or declare a history in Whimbrel's format."),
            ));
        }
        Ok(rank)
    }

    pub(super) fn is_peers(&self, history: &str) -> bool {
        self.settings.format(history) == Some(Format::Neo4jMigrations)
    }

    /// The row of an applied script, as the history will say it when it is read again.
    pub(super) fn row(&self, of: Of<'_>) -> HistoryRow {
        if !self.is_peers(of.history) {
            return HistoryRow::of(of.kept, of.rank);
        }
        let rank = self.record.known.histories.get(of.history).map_or(0, Vec::len) as u64 + 1;
        HistoryRow { checksum: peer_checksum(&of.kept.body), ..HistoryRow::of(of.kept, rank) }
    }
}

/// Somebody ended the transaction; while it waited for a lock it is told so by another code.
fn is_ended(error: &ServerError) -> bool {
    error.code.contains("Terminated") || error.code.ends_with("LockClientStopped")
}

/// Another transaction was in the way. `MemoryPoolOutOfMemory` is transient by name only: it will be so again.
fn passes(error: &ServerError) -> bool {
    ["DeadlockDetected", "LockClientStopped", "LockAcquisitionTimeout", "OutdatedSnapshot"]
        .iter()
        .any(|it| error.code.ends_with(it))
}

/// What would help, for errors whose text does not say it.
fn hint(error: &ServerError, enterprise: bool) -> Option<String> {
    let says = |word: &str| error.code.contains(word) || error.message.contains(word);
    let ours = match () {
        () if !enterprise && says("Enterprise Edition") => {
            "The server is Community Edition, which has no such thing."
        }
        () if !enterprise && says("UnsupportedAdministrationCommand") => {
            "The server is Community Edition, which has no such command."
        }
        () if says("TransactionStartFailed") => {
            "CALL { … } IN TRANSACTIONS can't run inside a transaction: write it as a statement of its own."
        }
        () if says("ForbiddenDueToTransactionType") => "Schema and data go into two scripts.",
        () if says("MemoryPoolOutOfMemory") => "Do it in batches: CALL { … } IN TRANSACTIONS.",
        () if says("TransactionTimedOut") => "Raise timeouts.statement, or do it in batches.",
        () => return None,
    };
    Some(ours.to_owned())
}

/// Where in the file an error is: the server counts within the statement.
fn place(text: &str, statement: &Statement, error: &ServerError) -> (u32, u32) {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let Some((line, column)) = error.position() else {
        return (number(statement.line), number(statement.column));
    };
    // Beyond its end something is missing, and the end is all there is to point at.
    let lines = statement.text(text).lines().count();
    let column = if line == 1 { statement.column + column - 1 } else { column };
    (number(statement.line + line.min(lines) - 1), number(column))
}

impl Session for Neo4jSession {
    fn histories(&self) -> &BTreeMap<String, Vec<HistoryRow>> {
        &self.record.known.histories
    }

    fn lineage(&self) -> &str {
        &self.connection.server.lineage
    }

    fn partial(&self) -> &[Partial] {
        &self.record.known.partial
    }

    async fn apply(&mut self, history: &str, script: &Script) -> Result<HistoryRow, ScriptFailure> {
        self.apply_script(history, script).await
    }

    async fn undo(&mut self, history: &str, script: &Script) -> Result<(), ScriptFailure> {
        self.undo_script(history, script).await
    }

    fn canceller(&self) -> Canceller {
        canceller(self.settings.clone(), &self.connection, &self.fence, &self.cancelled)
    }

    async fn leave(self, claim: Claim) -> Result<(), EngineError> {
        let Self { settings, mut connection, pass, .. } = self;
        let said = fence::farewell(&mut connection, &settings, &pass, claim).await;
        // The lock is free and the claim written; a server that is slow to hang up changes nothing of that.
        let _ = timeout(settings.connect_timeout, connection.wire.goodbye()).await;
        said
    }
}
