//! What a script may not hold, found before anything is touched: each refusal names the place and the way out.

use super::directives::{self, Role};
use super::pattern::Words;
use super::split::{Lines, Split, split};
use super::{Directives, Place, ScriptError, psql, transaction};

/// Why a statement is refused. The text goes on from "statement n: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It begins or ends a transaction; its words.
    #[error(
        "{0} would break the one transaction that holds the script and its history row: remove it (SAVEPOINT and ROLLBACK TO are fine)"
    )]
    OwnTransaction(String),
    /// It sets the transaction's properties; its words.
    #[error(
        "{0} comes too late, the transaction has begun: write -- whimbrel: isolation: serializable (or repeatable-read, read-committed)"
    )]
    SetTransaction(String),
    /// The server wants it outside of a transaction; its name.
    #[error("the server refuses {0} in a transaction, and -- whimbrel: no-transaction is not built yet: {way_out}", way_out = way_out(.0))]
    NonTransactional(&'static str),
    /// It frees the lock that keeps a second writer out; its words.
    #[error("{0} frees the lock that keeps a second writer out: remove it")]
    FreesLocks(String),
    /// Rows in the script.
    #[error("COPY ... FROM stdin is not built yet: write INSERTs, or load the data with a job step")]
    CopyFromStdin,
    /// Rows to nowhere.
    #[error("COPY ... TO stdout has nowhere to go: remove it")]
    CopyToStdout,
}

impl Refusal {
    /// A stable word for metrics, status and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::OwnTransaction(_) => "OwnTransaction",
            Refusal::SetTransaction(_) => "SetTransaction",
            Refusal::NonTransactional(_) => "NonTransactional",
            Refusal::FreesLocks(_) => "FreesLocks",
            Refusal::CopyFromStdin => "CopyFromStdin",
            Refusal::CopyToStdout => "CopyToStdout",
        }
    }
}

fn way_out(name: &str) -> &'static str {
    if name.contains("CONCURRENTLY") {
        "leave CONCURRENTLY out, dependents are stopped while scripts run"
    } else {
        "take it out of the script, and run it by hand"
    }
}

/// Reads the directives of `text` and adds to `errors` all that it may not hold.
pub(super) fn examine(file: &str, text: &str, role: Role, errors: &mut Vec<ScriptError>) -> Directives {
    let split = match split(text) {
        Ok(split) => split,
        Err(unclosed) => {
            let at = Place::at(file, text, &Lines::new(text), unclosed.offset);
            errors.push(ScriptError::Unclosed { at, what: unclosed.what });
            return Directives::default();
        }
    };
    let place = |offset| Place::at(file, text, &split.lines, offset);
    if let Some(line) = dump_with_data(text, &split) {
        errors.push(ScriptError::DumpWithData { file: file.to_owned(), line });
        return Directives::default();
    }
    for range in split.backslashes.iter().filter(|range| !psql::is_skipped(text, range)) {
        let command = psql::command(text, range).to_owned();
        errors.push(ScriptError::MetaCommand { at: place(range.start), command });
    }
    for statement in &split.statements {
        if let Some(refusal) = refusal(Words::of(statement, text)) {
            let at = place(statement.range.start);
            errors.push(ScriptError::Refused { at, statement: statement.number, refusal });
        }
    }
    directives::read(file, text, &split, role, errors)
}

fn refusal(words: Words<'_>) -> Option<Refusal> {
    if let Some(words) = frees_locks(words) {
        return Some(Refusal::FreesLocks(words));
    }
    if let Some(words) = transaction::ends_it(words) {
        return Some(Refusal::OwnTransaction(words));
    }
    if let Some(words) = transaction::sets_it(words) {
        return Some(Refusal::SetTransaction(words));
    }
    if let Some(name) = transaction::refused_inside(words) {
        return Some(Refusal::NonTransactional(name));
    }
    let copy = words.begins("COPY").is_some();
    match copy {
        true if words.has("FROM STDIN") => Some(Refusal::CopyFromStdin),
        true if words.has("TO STDOUT") => Some(Refusal::CopyToStdout),
        _ => None,
    }
}

/// Also in the text of a DO, which is executed; functions are only made here, and the guard watches them.
fn frees_locks(words: Words<'_>) -> Option<String> {
    const ALL: &str = "pg_advisory_unlock_all";
    let in_do = words.begins("DO").is_some() && words.strings().any(|text| text.to_lowercase().contains(ALL));
    words.begins("DISCARD ALL").or_else(|| (in_do || words.has(ALL)).then(|| format!("{ALL}()")))
}

/// The line of the first COPY FROM stdin in what pg_dump wrote.
fn dump_with_data(text: &str, split: &Split) -> Option<usize> {
    let dump = |range: &std::ops::Range<usize>| text[range.clone()].contains("PostgreSQL database dump");
    split.comments.iter().any(dump).then_some(())?;
    split.statements.iter().find(|statement| statement.copy_data.is_some()).map(|statement| statement.line)
}
