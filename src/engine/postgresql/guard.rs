//! The one message in which a script runs, guarded at both ends.
//!
//! A script's text can end its transaction, change its role, free the lock or swallow what follows it. So what stands
//! before it brings the session into a known state, takes lock and fence and writes the journal; what stands after it
//! undoes whatever it set, proves that the transaction is still the one that was opened, writes the history, commits.

use postgres_protocol::escape::escape_literal;

use super::wire::{Outgoing, Rows};
use crate::engine::Fence;
use crate::script::{Executable, HistoryRow, Isolation};

/// How many statements complete before the first of a script in one transaction.
pub(super) const OPENING: usize = 7;

/// One message and where the script's own text begins in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    opening: String,
    pub(super) script: Executable<'a>,
    closing: String,
    /// Characters before the script, since the server counts positions in characters.
    pub(super) opening_chars: usize,
    /// Statements before the script.
    pub(super) before: usize,
}

impl Message<'_> {
    /// As the wire takes it: a COPY asks for its rows when so many statements have completed, ours among them.
    pub(super) fn outgoing(&self) -> Outgoing<'_> {
        let script = self.script.parts();
        let parts = [self.opening.as_str()].into_iter().chain(script).chain([self.closing.as_str()]);
        let rows = self.script.copies().map(|(before, rows)| Rows { completed: self.before + before, rows });
        Outgoing { parts: parts.collect(), rows: rows.collect() }
    }
}

/// What closes an applied script. No quote of any kind in it: an open one in the script must stay open, and be an
/// error at its own place.
pub(super) const CLOSE: &str = "SELECT whimbrel.close()";
/// What closes a statement of a script without a transaction.
pub(super) const CLOSE_STEP: &str = "SELECT whimbrel.moved()";
/// What closes an undone one.
pub(super) const CLOSE_UNDO: &str = "SELECT whimbrel.close_undo()";

/// What opens a script whose history row will be `row`. `kept_body` is stored with it.
pub(super) fn open(fence: &Fence, history: &str, row: &HistoryRow, kept_body: Option<&str>) -> String {
    let null = || "NULL".to_owned();
    let version = row.version.as_ref().map_or_else(null, |version| escape_literal(&version.to_string()));
    format!(
        "SELECT whimbrel.open({}, {}, {}, {}, {}, {}, {}, {version}, {}, {}, {}, {})",
        fence.token,
        escape_literal(&fence.run_uid),
        fence.run,
        escape_literal(history),
        row.installed_rank,
        escape_literal(&row.key),
        escape_literal(row.kind.word()),
        escape_literal(&row.description),
        escape_literal(&row.file),
        escape_literal(&row.checksum),
        kept_body.map_or_else(null, escape_literal),
    )
}

/// What opens the undo of the script `key` that stands at `rank`.
pub(super) fn open_undo(fence: &Fence, history: &str, rank: u64, key: &str) -> String {
    format!(
        "SELECT whimbrel.open_undo({}, {}, {}, {}, {rank}, {})",
        fence.token,
        escape_literal(&fence.run_uid),
        fence.run,
        escape_literal(history),
        escape_literal(key),
    )
}

/// The settings go back before BEGIN, since some of them decide how a transaction begins; cursors, prepared statements
/// and temporary tables after it, since they need a snapshot, and BEGIN takes no isolation level once there is one.
pub(super) fn guarded<'a>(
    opening: &str,
    isolation: Option<Isolation>,
    script: Executable<'a>,
    close: &str,
) -> Message<'a> {
    let level = isolation.map_or_else(String::new, |level| format!(" ISOLATION LEVEL {}", level.sql()));
    let opening = format!(
        "RESET ALL; SET SESSION AUTHORIZATION DEFAULT; BEGIN{level}; \
         CLOSE ALL; DEALLOCATE ALL; DISCARD TEMP; {opening};\n"
    );
    let closing = format!("\n;SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; {close}; COMMIT");
    Message { opening_chars: opening.chars().count(), opening, script, closing, before: OPENING }
}

/// As [`guarded`], for one statement of a script without a transaction: between the guard and the statement stand the
/// settings that the script has made so far, `count` statements.
pub(super) fn guarded_step<'a>(
    opening: &str,
    isolation: Option<Isolation>,
    (settings, count): (&str, usize),
    script: Executable<'a>,
) -> Message<'a> {
    let opening = format!("{opening};\n{}", settings.trim_end().trim_end_matches(';'));
    let message = guarded(opening.trim_end().trim_end_matches(';'), isolation, script, CLOSE_STEP);
    Message { before: OPENING + count, ..message }
}

/// A statement outside of a transaction: alone in its message, or the server refuses it.
pub(super) fn bare(script: Executable<'_>) -> Message<'_> {
    Message { opening: String::new(), script, closing: String::new(), opening_chars: 0, before: 0 }
}

/// What stands alone before a statement outside of a transaction, which would refuse to share its message.
pub(super) fn clean(settings: &str) -> String {
    format!(
        "RESET ALL; SET SESSION AUTHORIZATION DEFAULT; CLOSE ALL; DEALLOCATE ALL; DISCARD TEMP; {settings}"
    )
}

/// Moves the cursor in the journal.
pub(super) struct Move<'a> {
    pub(super) fence: &'a Fence,
    pub(super) history: &'a str,
    pub(super) rank: u64,
}

impl Move<'_> {
    /// From `done` statements to `next`; `outside` is whether a statement outside was and will be under way, with what was
    /// there before it.
    pub(super) fn to(&self, done: usize, next: usize, was: bool, goes: Option<&str>) -> String {
        let Move { fence, history, rank } = self;
        let before = goes.map_or_else(|| "NULL".to_owned(), escape_literal);
        let goes = goes.is_some();
        format!(
            "SELECT whimbrel.move({}, {}, {}, {rank}, {done}, {next}, {was}, {goes}, {before})",
            fence.token,
            escape_literal(&fence.run_uid),
            escape_literal(history),
        )
    }

    /// Nothing has happened.
    pub(super) fn forget(&self) -> String {
        let Move { fence, history, rank } = self;
        format!(
            "SELECT whimbrel.forget({}, {}, {}, {rank})",
            fence.token,
            escape_literal(&fence.run_uid),
            escape_literal(history),
        )
    }
}

/// Only a superuser may decide what the server logs.
const MAY_DECIDE: &str = "FROM pg_catalog.pg_roles WHERE rolname = session_user AND rolsuper";

/// What keeps the next message out of the server's log: that is decided when the message comes, before its own RESET.
pub(super) fn unlogged() -> String {
    format!("SELECT pg_catalog.set_config('log_statement', 'none', false) {MAY_DECIDE}")
}

/// An opening after which no error logs the message that it stands in. It must come first: the opening itself may fail.
pub(super) fn unlogged_errors(opening: &str) -> String {
    let quiet = format!(
        "SELECT (SELECT pg_catalog.set_config('log_min_error_statement', 'panic', true) {MAY_DECIDE}), "
    );
    opening.replacen("SELECT ", &quiet, 1)
}

/// What brings a session back into a known state after a script failed in it: not only the transaction is gone, the
/// lock may be too. One row, one column: whether the lock is ours.
pub(super) fn recovery(in_transaction: bool, lock: i64) -> String {
    let rollback = if in_transaction { "ROLLBACK; " } else { "" };
    format!(
        "{rollback}RESET ALL; SET SESSION AUTHORIZATION DEFAULT; UNLISTEN *; SELECT pg_catalog.pg_try_advisory_lock({lock})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An open quote, dollar quote, comment or identifier in a script must find nothing behind it that closes it.
    #[test]
    fn what_closes_a_script_has_no_quote_in_it() {
        for close in [CLOSE, CLOSE_STEP, CLOSE_UNDO] {
            let Message { closing, .. } = guarded("SELECT 'opening'", None, Executable::of("BODY"), close);
            assert!(closing.starts_with('\n'), "a comment at the end of a script ends with its line");
            assert!(!closing.contains(['\'', '"', '$'].as_slice()) && !closing.contains("*/"), "{closing}");
        }
    }

    #[test]
    fn the_opening_is_measured_in_characters_and_statements() {
        let script = Executable::of("COPY t FROM stdin;\n1\n\\.\nBODY");
        let message = guarded("SELECT 'ü'", Some(Isolation::Serializable), script, CLOSE);
        let Outgoing { parts, rows } = message.outgoing();
        assert_eq!(rows, [Rows { completed: OPENING, rows: "1\n" }]);
        let opening: String = parts.concat().chars().take(message.opening_chars).collect();
        assert!(
            opening.ends_with("SELECT 'ü';\n") && opening.contains("BEGIN ISOLATION LEVEL SERIALIZABLE;")
        );
        assert_eq!(opening.matches(';').count(), OPENING);
    }

    #[test]
    fn settings_stand_between_guard_and_statement() {
        for (settings, count) in [("", 0), ("SET a = 1; ", 1), ("SET a = 1; SET b = 2; ", 2)] {
            let message = guarded_step("SELECT 1", None, (settings, count), Executable::of("BODY"));
            assert_eq!(message.opening.matches(';').count(), message.before, "{}", message.opening);
            assert!(message.opening.ends_with(";\n"));
        }
    }
}
