//! Everything that can go wrong at a database, as the sentences a person reads.
//!
//! `at` is always `<target> (<host>:<port>/<database>)`. Nothing in here ever carries a credential, and a server's
//! DETAIL and CONTEXT, which may quote rows, only where the settings ask for full diagnostics.

use std::fmt;

use jiff::Timestamp;

use crate::script::Script;

/// Why a database could not be looked at or entered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No connection could be made.
    #[error(
        "{at} is not reachable: {reason}. Check host, port and network policies, and that the server runs."
    )]
    Unreachable {
        /// Where.
        at: String,
        /// What the network or the server said.
        reason: String,
    },
    /// The server does not accept who we are, or we have no credentials to show.
    #[error("{at}: no login: {reason}. Check the Secret in spec.credentials.")]
    Authentication {
        /// Where.
        at: String,
        /// What the server said.
        reason: String,
    },
    /// No encrypted connection as the settings demand it.
    #[error("{at}: no TLS connection: {reason}. {fix}")]
    Tls {
        /// Where.
        at: String,
        /// What did not fit.
        reason: String,
        /// What to change.
        fix: String,
    },
    /// The server takes no writes.
    #[error("{at} is not the primary: {reason}. Give the address of the server that takes writes.")]
    NotPrimary {
        /// Where.
        at: String,
        /// How that shows.
        reason: String,
    },
    /// Somebody between us and the server hands out server sessions: a lock taken there belongs to everybody.
    #[error("{at} is a connection pooler: {reason}. Give the server's own address.")]
    Pooler {
        /// Where.
        at: String,
        /// How that shows.
        reason: String,
    },
    /// Another database than the target says.
    #[error(
        "{at} is another database: expected identity {expected}, found {found}. Correct the address, or spec.identity.expect."
    )]
    Identity {
        /// Where.
        at: String,
        /// What the target expects.
        expected: String,
        /// What the server says.
        found: String,
    },
    /// The server's past has changed since this process last saw it: a failover, a restore. Said once per change;
    /// every history must be read again before anything is believed.
    #[error(
        "{at} has another past than before: lineage was {expected}, is {found}. Its histories are read again before anything goes on."
    )]
    Lineage {
        /// Where.
        at: String,
        /// What it was.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The role lacks a right.
    #[error("{at}: {what}. A database administrator must run: {grant}")]
    Privilege {
        /// Where.
        at: String,
        /// Which role lacks what.
        what: String,
        /// The SQL that grants it.
        grant: String,
    },
    /// Another tool keeps a history in this database, and nothing has been adopted from it.
    #[error("{at} is not empty and carries the history of another tool: {}. Its format is not declared in spec histories, and scripts could be applied twice.", .tables.join(", "))]
    Foreign {
        /// Where.
        at: String,
        /// The tables, as `schema.table (tool)`.
        tables: Vec<String>,
    },
    /// Somebody is in the way; wait and try again.
    #[error("{at} is busy: {by}")]
    Busy {
        /// Where.
        at: String,
        /// Who, and since when.
        by: BlockedBy,
    },
    /// A higher epoch has the fence: stop, do nothing more.
    #[error("{at} was taken over by epoch {token}; this driver stops")]
    Overtaken {
        /// Where.
        at: String,
        /// The token in the fence row.
        token: u64,
    },
    /// Another run holds the target.
    #[error("{at} is claimed by {holder}")]
    Claimed {
        /// Where.
        at: String,
        /// `run <number> of <plan> (cluster <id>)`.
        holder: String,
    },
    /// The connection went; what it was doing is to be read after a new [`crate::engine::Engine::enter`].
    #[error("{at}: the connection was lost: {reason}")]
    Lost {
        /// Where.
        at: String,
        /// What was last heard.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{at}: the server says: {message} ({code})")]
    Server {
        /// Where.
        at: String,
        /// SQLSTATE.
        code: String,
        /// The server's own words.
        message: String,
    },
    /// The restored copy was not swapped in; nothing was changed.
    #[error("{at} can't be put back from its backup: {reason}")]
    NotRestorable {
        /// Where.
        at: String,
        /// Why, and what would help.
        reason: String,
    },
    /// The server or a setting of it is nothing this engine can work with.
    #[error("{at}: {reason}")]
    Unsupported {
        /// Where.
        at: String,
        /// What, and what would help.
        reason: String,
    },
}

/// Why a script is not in its history now. Each variant says what may be believed about its effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFailure {
    /// Surely not applied: the server refused it and took everything back. Of a script without a transaction the
    /// statements before the one that is named stay; the hint says so, and the script is partial.
    #[error(transparent)]
    Failed(Box<ScriptError>),
    /// Surely not applied, and not the script's fault: try again later.
    #[error("the script had to give way: {0}")]
    Blocked(BlockedBy),
    /// Not applied: a higher epoch has the fence.
    #[error("the target was taken over by epoch {token}")]
    Overtaken {
        /// The token in the fence row.
        token: u64,
    },
    /// Not applied: somebody else has the lock.
    #[error("the lock on the target is lost; another session holds it")]
    LockLost,
    /// Surely not applied: ended on our own request.
    #[error("the script was cancelled before it was done; nothing of it is applied")]
    Cancelled,
    /// The connection went. Read the outcome after a new [`crate::engine::Engine::enter`].
    #[error("the connection was lost: {reason}")]
    Lost {
        /// What was last heard.
        reason: String,
    },
    /// Part of it may be applied, and nothing in the target can tell. Never tried again.
    #[error("nobody can tell what of the script is applied: {evidence}")]
    Unknown {
        /// What is known.
        evidence: String,
    },
}

/// What is wrong with a script, at its place in the user's own file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// SQLSTATE, or one of ours: `HistoryDrift`, `NoUndo`.
    pub code: String,
    /// The server's own words, with DETAIL and CONTEXT only under full diagnostics.
    pub message: String,
    /// The user's file.
    pub file: String,
    /// Which statement of the file, from 1.
    pub statement: Option<usize>,
    /// Line in the file, from 1.
    pub line: Option<u32>,
    /// Column in characters, from 1.
    pub column: Option<u32>,
    /// What would help.
    pub hint: Option<String>,
}

impl std::error::Error for ScriptError {}

impl From<ScriptError> for ScriptFailure {
    fn from(error: ScriptError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// The code of a history that is not as the driver believed.
pub(super) const DRIFT: &str = "HistoryDrift";

impl ScriptFailure {
    /// About a script as a whole, and no statement of it. `file` is the user's.
    pub(super) fn of_file(file: &str, code: &str, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self::from(ScriptError {
            code: code.to_owned(),
            message: message.into(),
            file: file.to_owned(),
            statement: None,
            line: None,
            column: None,
            hint: hint.map(str::to_owned),
        })
    }

    /// The history, or the journal, is not as the driver believed.
    pub(super) fn drift(script: &Script, message: impl Into<String>) -> Self {
        Self::of_file(&script.file, DRIFT, message, None)
    }

    /// The script has no way back; `why` is the end of a sentence.
    pub(super) fn no_undo(script: &Script, why: &str) -> Self {
        Self::of_file(&script.file, "NoUndo", format!("the script can't be taken back: {why}"), None)
    }

    /// Whether it says for sure that nothing of the statement it is about is applied.
    pub(super) fn is_sure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Blocked(_) | Self::Cancelled)
    }

    /// Of a script that stops after its first `done` statements: the hint says that they stay.
    pub(super) fn stays(self, done: usize) -> Self {
        let Self::Failed(mut error) = self else { return self };
        let there = match done {
            1 => "Statement 1 of it is applied and stays.".to_owned(),
            done => format!("Statements 1 to {done} of it are applied and stay."),
        };
        error.hint = Some(match error.hint.take() {
            Some(hint) => format!("{} {there}", hint.trim_end()),
            None => there,
        });
        Self::Failed(error)
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if let Some(statement) = self.statement {
            write!(f, " (statement {statement})")?;
        }
        write!(f, ": {} ({})", self.message, self.code)?;
        match &self.hint {
            Some(hint) => write!(f, ". {hint}"),
            None => Ok(()),
        }
    }
}

/// A server's words as far as they go on: at most `most` characters, since some errors quote the whole rest of a script.
pub(super) fn bounded(words: String, most: usize) -> String {
    match words.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// Who or what is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedBy {
    /// A part of a sentence: `lock held by pid 412 (app=billing) on public.users`.
    pub what: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What a database administrator must run, if a person must act.
    pub sql: Option<String>,
    /// The process at the server.
    pub pid: Option<i32>,
}

impl BlockedBy {
    /// Somebody of whom no more is known than the sentence says.
    pub(super) fn unnamed(what: impl Into<String>) -> Self {
        Self { what: what.into(), since: None, sql: None, pid: None }
    }
}

impl fmt::Display for BlockedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(since) = self.since {
            write!(f, ", since {since}")?;
        }
        match &self.sql {
            Some(sql) => write!(f, ". To end it: {sql}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_an_end_between_two_characters() {
        assert_eq!(bounded("ää".to_owned(), 2), "ää");
        assert_eq!(bounded("äää".to_owned(), 2), "ää…");
    }

    #[test]
    fn what_stays_of_a_script_is_in_the_hint() {
        let failure = |hint| ScriptFailure::of_file("V1__a.sql", "42601", "syntax error", hint);
        assert_eq!(
            failure(None).stays(1).to_string(),
            "V1__a.sql: syntax error (42601). Statement 1 of it is applied and stays."
        );
        assert_eq!(
            failure(Some("Mend it. ")).stays(3).to_string(),
            "V1__a.sql: syntax error (42601). Mend it. Statements 1 to 3 of it are applied and stay."
        );
        assert_eq!(ScriptFailure::Cancelled.stays(3), ScriptFailure::Cancelled);
    }
}
