//! What a person should know about a script before it runs, one vocabulary for all engines.

mod data;
mod undo;

use serde::{Deserialize, Serialize};

use super::pattern::Words;
use super::split::{Item, Statement, scan};
use super::transaction;

/// What can be said about a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// It drops, narrows, deletes or overwrites what may hold data; in doubt, a statement is this.
    Destructive,
    /// It locks a table against readers or writers for as long as the table is large.
    Locking,
    /// No undo script can bring back what it takes away: only a restore can.
    Irreversible,
    /// It fails, or does more, when it runs again.
    NotIdempotent,
    /// The server refuses it in a transaction.
    NonTransactional,
    /// It touches every row.
    Unbounded,
}

/// What lint says about one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What it is.
    pub class: Class,
    /// Which statement of the file, from 1.
    pub statement: usize,
    /// Where the statement begins, from 1.
    pub line: usize,
    /// Where the statement begins, in characters, from 1.
    pub column: usize,
    /// The words that say so, as `DROP TABLE`.
    pub what: String,
}

impl Finding {
    /// What the words `what` of a statement say.
    pub(super) fn of(statement: &Statement, class: Class, what: impl Into<String>) -> Self {
        let Statement { number, line, column, .. } = *statement;
        Self { class, statement: number, line, column, what: what.into() }
    }
}

/// What a text is for: the same statement means more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Versioned,
    Repeatable,
    Undo,
}

/// What there is to say about `text`, statement by statement, up to what cannot be split: such a text is refused
/// before.
pub(super) fn lint(text: &str, used: Use) -> impl Iterator<Item = Finding> {
    let statements = scan(text).filter_map(|item| match item {
        Ok(Item::Statement(statement)) => Some(statement),
        _ => None,
    });
    statements.flat_map(move |statement| of_statement(&statement, text, used))
}

fn of_statement(statement: &Statement, text: &str, used: Use) -> Vec<Finding> {
    let words = Words::of(statement, text);
    let mut findings = Vec::new();
    let mut find =
        |class, what: Option<String>| findings.extend(what.map(|what| Finding::of(statement, class, what)));
    match used {
        Use::Undo => find(Class::Destructive, undo::may_lose_data(words)),
        Use::Versioned | Use::Repeatable => {
            find(Class::Destructive, data::loses_data(words).or_else(|| data::drops(words)));
            find(Class::Irreversible, data::loses_data(words).or_else(|| data::never_taken_back(words)));
        }
    }
    find(Class::Locking, locks(words));
    find(Class::NonTransactional, transaction::refused_inside(words).map(str::to_owned));
    find(Class::Unbounded, unbounded(words));
    if used == Use::Repeatable {
        find(Class::NotIdempotent, not_idempotent(words));
    }
    findings
}

fn locks(words: Words<'_>) -> Option<String> {
    if words.has("CONCURRENTLY") {
        return None;
    }
    let always =
        ["CREATE UNIQUE? INDEX", "REINDEX", "CLUSTER", "VACUUM FULL", "REFRESH MATERIALIZED VIEW", "LOCK"];
    always.into_iter().find_map(|begins| words.begins(begins)).or_else(|| scans_table(words))
}

/// An ALTER TABLE that reads or writes all of the table under its lock.
fn scans_table(words: Words<'_>) -> Option<String> {
    words.begins("ALTER TABLE")?;
    let checks =
        words.has("SET NOT NULL") || words.has("ADD CONSTRAINT|CHECK|FOREIGN|PRIMARY|UNIQUE|EXCLUDE");
    let checked_now = checks && !words.has("NOT VALID") && !words.has("USING INDEX");
    let rewrites = data::changes_type(words) || words.has("SET LOGGED|UNLOGGED|TABLESPACE");
    (checked_now || rewrites).then(|| "ALTER TABLE that reads every row".to_owned())
}

fn unbounded(words: Words<'_>) -> Option<String> {
    let every_row = words.begins("UPDATE|DELETE").filter(|_| !words.has("WHERE"))?;
    Some(format!("{every_row} without WHERE"))
}

/// For repeatable scripts, which run again after every change.
fn not_idempotent(words: Words<'_>) -> Option<String> {
    let makes = words.begins("CREATE").filter(|_| !words.has("OR REPLACE") && !words.has("IF NOT EXISTS"));
    let drops = words.begins("DROP").filter(|_| !words.has("IF EXISTS"));
    let adds = words.begins("INSERT").filter(|_| !words.has("ON CONFLICT") && !words.has("NOT EXISTS"));
    let alters = words.begins("ALTER TABLE").filter(|_| words.has("ADD") && !words.has("IF NOT EXISTS"));
    makes.or(drops).or(adds).or(alters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, used: Use) -> Vec<(Class, usize, String)> {
        lint(text, used).map(|f| (f.class, f.statement, f.what)).collect()
    }

    fn has(text: &str, used: Use, class: Class) -> bool {
        lint(text, used).any(|finding| finding.class == class)
    }

    #[test]
    fn one_line_per_thing_to_know() {
        let text = "SELECT 1;\n  DROP TABLE a;\nUPDATE t SET a = 1;";
        let drop = |class| Finding { class, statement: 2, line: 2, column: 3, what: "DROP TABLE".to_owned() };
        let update = Finding {
            class: Class::Unbounded,
            statement: 3,
            line: 3,
            column: 1,
            what: "UPDATE without WHERE".to_owned(),
        };
        assert_eq!(
            lint(text, Use::Versioned).collect::<Vec<_>>(),
            [drop(Class::Destructive), drop(Class::Irreversible), update]
        );
        assert_eq!(lint("SELECT '", Use::Versioned).count(), 0);
    }

    #[test]
    fn locking() {
        for text in [
            "CREATE INDEX i ON t (a)",
            "CREATE UNIQUE INDEX i ON t (a)",
            "ALTER TABLE t ALTER a TYPE bigint",
            "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)",
            "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES b",
            "LOCK TABLE t",
            "REFRESH MATERIALIZED VIEW v",
            "VACUUM FULL t",
        ] {
            assert!(has(text, Use::Versioned, Class::Locking), "{text}");
        }
        for text in [
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            "ALTER TABLE t ADD COLUMN a int",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
            "ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
            "CREATE TABLE t (a int PRIMARY KEY)",
        ] {
            assert!(!has(text, Use::Versioned, Class::Locking), "{text}");
        }
    }

    #[test]
    fn unbounded() {
        assert!(has("DELETE FROM t", Use::Versioned, Class::Unbounded));
        assert!(has("UPDATE t SET a = 'WHERE'", Use::Undo, Class::Unbounded));
        assert!(!has("UPDATE t SET a = 1 WHERE b", Use::Versioned, Class::Unbounded));
    }

    #[test]
    fn a_repeatable_script_runs_again() {
        for text in [
            "CREATE VIEW v AS SELECT 1",
            "DROP VIEW v",
            "INSERT INTO t VALUES (1)",
            "ALTER TABLE t ADD a int",
        ] {
            assert!(has(text, Use::Repeatable, Class::NotIdempotent), "{text}");
            assert!(!has(text, Use::Versioned, Class::NotIdempotent), "{text}");
        }
        for text in [
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "CREATE TABLE IF NOT EXISTS t ()",
            "DROP VIEW IF EXISTS v",
            "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
            "GRANT SELECT ON t TO a",
        ] {
            assert_eq!(
                found(text, Use::Repeatable).iter().filter(|f| f.0 == Class::NotIdempotent).count(),
                0,
                "{text}"
            );
        }
    }

    #[test]
    fn non_transactional() {
        let class = Class::NonTransactional;
        assert_eq!(found("VACUUM t", Use::Versioned), [(class, 1, "VACUUM".to_owned())]);
    }
}
