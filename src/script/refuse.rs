//! What a script may not hold, found before anything is touched: each refusal names the place and the way out.

use super::directives::{self, Role};
use super::outside::{self, How, Outside};
use super::pattern::Words;
use super::split::{Item, Statement, scan};
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
    #[error("the server refuses {0} in a transaction: write -- whimbrel: no-transaction, or {way_out}", way_out = way_out(.0))]
    NonTransactional(&'static str),
    /// It is about the whole server, and no way back is known to it.
    #[error(
        "ALTER SYSTEM changes the whole server, and nothing here could take it back: let the server's owner set it"
    )]
    WholeServer,
    /// An index that could not be found again after a lost answer.
    #[error(
        "this index has no name, so nothing could tell whether it was made when an answer is lost: write CREATE INDEX CONCURRENTLY <name> ON ..."
    )]
    Unnamed,
    /// A setting that ends with its own statement.
    #[error(
        "SET LOCAL ends with its transaction, which in a script without one is its own: write SET, it holds for the statements behind it"
    )]
    LocalSetting,
    /// It frees the lock that keeps a second writer out; its words.
    #[error("{0} frees the lock that keeps a second writer out: remove it")]
    FreesLocks(String),
    /// Something else in the line of the semicolon of a `COPY ... FROM stdin`.
    #[error(
        "what stands behind the semicolon of this COPY would run after its data: write it on a line behind \\."
    )]
    BehindCopy,
    /// The text would be read as what it is not; the words.
    #[error(
        "{0}: a script is UTF-8, and rows behind it would be read as something else: remove it, or save the file as UTF-8 and write SET client_encoding = 'UTF8'"
    )]
    OtherEncoding(String),
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
            Refusal::WholeServer => "WholeServer",
            Refusal::Unnamed => "Unnamed",
            Refusal::LocalSetting => "LocalSetting",
            Refusal::FreesLocks(_) => "FreesLocks",
            Refusal::BehindCopy => "BehindCopy",
            Refusal::OtherEncoding(_) => "OtherEncoding",
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
    let mut directives = Directives::default();
    let mut kinds = Kinds::default();
    for item in scan(text) {
        match item {
            Ok(Item::Comment(found)) => {
                errors.extend(directives::take(&mut directives, file, text, &found, role).err());
            }
            Ok(Item::Backslash(found)) if psql::is_skipped(text, &found.range) => {}
            Ok(Item::Backslash(found)) => {
                let command = psql::command(text, &found.range).to_owned();
                errors.push(ScriptError::MetaCommand { at: Place::of(file, &found), command });
            }
            Ok(Item::Statement(statement)) => match refusal(&statement, text) {
                Some(refusal) => errors.push(refused(file, &statement, refusal)),
                None => kinds.take(file, text, &statement),
            },
            Err(unclosed) => {
                let at = Place::at(file, text, unclosed.offset);
                errors.push(ScriptError::Unclosed { at, what: unclosed.what });
            }
        }
    }
    kinds.finish(file, &directives, errors);
    directives
}

fn refused(file: &str, statement: &Statement, refusal: Refusal) -> ScriptError {
    let at = Place { file: file.to_owned(), line: statement.line, column: statement.column };
    ScriptError::Refused { at, statement: statement.number, refusal }
}

/// What depends on whether the script runs in one transaction, which a comment behind its statements may say.
#[derive(Default)]
struct Kinds {
    /// Refused in one transaction.
    in_one: Vec<ScriptError>,
    /// Refused without.
    without: Vec<ScriptError>,
    /// The first that the server wants outside.
    outside: Option<(usize, &'static str)>,
    /// The first that runs inside, settings apart.
    inside: Option<(Place, usize)>,
}

impl Kinds {
    fn take(&mut self, file: &str, text: &str, statement: &Statement) {
        let words = Words::of(statement, text);
        let name = transaction::refused_inside(words);
        match outside::how(statement, text) {
            How::Setting if words.begins("SET LOCAL").is_some() => {
                self.without.push(refused(file, statement, Refusal::LocalSetting));
            }
            How::Setting => {}
            How::Inside => {
                let at = Place { file: file.to_owned(), line: statement.line, column: statement.column };
                self.inside.get_or_insert((at, statement.number));
            }
            How::Outside(_) => {
                self.outside.get_or_insert((statement.number, name.unwrap_or_default()));
            }
        }
        let Some(name) = name else { return };
        self.in_one.push(refused(file, statement, Refusal::NonTransactional(name)));
        match name {
            "ALTER SYSTEM" => self.without.push(refused(file, statement, Refusal::WholeServer)),
            "CREATE INDEX CONCURRENTLY"
                if outside::how(statement, text) == How::Outside(Outside::NoProbe) =>
            {
                self.without.push(refused(file, statement, Refusal::Unnamed));
            }
            _ => {}
        }
    }

    fn finish(self, file: &str, directives: &Directives, errors: &mut Vec<ScriptError>) {
        if !directives.no_transaction {
            errors.extend(self.in_one);
            errors.extend(directives.mixed.then(|| ScriptError::MixedAlone { file: file.to_owned() }));
            return;
        }
        errors.extend(self.without);
        if let (Some((at, statement)), Some((outside, name)), false) =
            (self.inside, self.outside, directives.mixed)
        {
            errors.push(ScriptError::Mixed { at, statement, outside, name });
        }
    }
}

fn refusal(statement: &Statement, text: &str) -> Option<Refusal> {
    let words = Words::of(statement, text);
    if let Some(words) = frees_locks(words) {
        return Some(Refusal::FreesLocks(words));
    }
    if let Some(words) = transaction::ends_it(words) {
        return Some(Refusal::OwnTransaction(words));
    }
    if let Some(words) = transaction::sets_it(words) {
        return Some(Refusal::SetTransaction(words));
    }
    if let Some(words) = other_encoding(words) {
        return Some(Refusal::OtherEncoding(words));
    }
    if let Some(copy) = &statement.copy {
        return copy.crowded.then_some(Refusal::BehindCopy);
    }
    (words.begins("COPY").is_some() && words.has("TO STDOUT")).then_some(Refusal::CopyToStdout)
}

/// `SET client_encoding` or `SET NAMES` to anything but UTF-8.
fn other_encoding(words: Words<'_>) -> Option<String> {
    let begins = words.begins("SET LOCAL|SESSION? CLIENT_ENCODING|NAMES")?;
    let letters =
        |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let utf8 = |text: &str| matches!(letters(text).as_str(), "utf8" | "unicode");
    (!words.strings().any(utf8) && !words.has("UTF8|UNICODE|DEFAULT")).then_some(begins)
}

/// Also in the text of a DO, which is executed; functions are only made here, and the guard watches them.
fn frees_locks(words: Words<'_>) -> Option<String> {
    const ALL: &str = "pg_advisory_unlock_all";
    let in_do = words.begins("DO").is_some() && words.strings().any(|text| text.to_lowercase().contains(ALL));
    words.begins("DISCARD ALL").or_else(|| (in_do || words.has(ALL)).then(|| format!("{ALL}()")))
}
