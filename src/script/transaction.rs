//! Statements that do not go together with the one transaction of a script.

use super::pattern::Words;

/// The words of a statement that would begin or end the script's transaction, in which its history row is written.
pub(super) fn ends_it(words: Words<'_>) -> Option<String> {
    if words.begins("ROLLBACK WORK|TRANSACTION? TO").is_some() {
        return None; // back to a savepoint
    }
    ["START TRANSACTION", "PREPARE TRANSACTION", "COMMIT|ROLLBACK PREPARED?", "BEGIN|END|ABORT"]
        .into_iter()
        .find_map(|pattern| words.begins(pattern))
}

/// `SET TRANSACTION`, which the server allows before the first statement only; ours come before it.
pub(super) fn sets_it(words: Words<'_>) -> Option<String> {
    words.begins("SET LOCAL|SESSION? TRANSACTION")
}

/// How a statement begins, what else is in it (nothing: `""`), and its name, for the server to refuse it in a
/// transaction.
const REFUSED_INSIDE: [(&str, &str, &str); 14] = [
    ("CREATE UNIQUE? INDEX CONCURRENTLY", "", "CREATE INDEX CONCURRENTLY"),
    ("DROP INDEX CONCURRENTLY", "", "DROP INDEX CONCURRENTLY"),
    ("REINDEX", "CONCURRENTLY", "REINDEX CONCURRENTLY"),
    ("REINDEX DATABASE|SYSTEM|SCHEMA", "", "REINDEX of more than a table"),
    ("REINDEX (", ") DATABASE|SYSTEM|SCHEMA", "REINDEX of more than a table"),
    ("ALTER TABLE", "CONCURRENTLY", "DETACH PARTITION CONCURRENTLY"),
    ("VACUUM", "", "VACUUM"),
    ("CREATE DATABASE", "", "CREATE DATABASE"),
    ("DROP DATABASE", "", "DROP DATABASE"),
    ("ALTER DATABASE", "SET TABLESPACE", "ALTER DATABASE ... SET TABLESPACE"),
    ("CREATE TABLESPACE", "", "CREATE TABLESPACE"),
    ("DROP TABLESPACE", "", "DROP TABLESPACE"),
    ("ALTER SYSTEM", "", "ALTER SYSTEM"),
    ("DISCARD ALL", "", "DISCARD ALL"),
];

/// The name of a statement that the server refuses in a transaction. Those whose answer depends on the server's
/// state are left to the server: it refuses them loudly and nothing is applied.
pub(super) fn refused_inside(words: Words<'_>) -> Option<&'static str> {
    let all = |pattern: &str| {
        words.begins(pattern).is_some_and(|matched| matched.split(' ').count() == words.len())
    };
    if all("CLUSTER VERBOSE?") {
        return Some("CLUSTER of all tables");
    }
    if words.begins("CREATE SUBSCRIPTION").is_some() && !words.has("CONNECT|CREATE_SLOT = FALSE") {
        return Some("CREATE SUBSCRIPTION with a new slot");
    }
    let fits = |(begins, has, _): &(&str, &str, &str)| {
        words.begins(begins).is_some() && (has.is_empty() || words.has(has))
    };
    REFUSED_INSIDE.iter().find(|rule| fits(rule)).map(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::super::split::split;
    use super::*;

    fn ask<T>(rule: fn(Words<'_>) -> Option<T>, text: &str) -> Option<T> {
        rule(Words::of(&split(text).unwrap().statements[0], text))
    }

    #[test]
    fn what_ends_a_transaction() {
        for text in [
            "BEGIN",
            "begin work",
            "START TRANSACTION",
            "COMMIT",
            "COMMIT AND CHAIN",
            "END",
            "ABORT",
            "ROLLBACK",
            "PREPARE TRANSACTION 'a'",
            "COMMIT PREPARED 'a'",
            "ROLLBACK PREPARED 'a'",
        ] {
            assert!(ask(ends_it, text).is_some(), "{text}");
        }
        for text in [
            "SAVEPOINT a",
            "ROLLBACK TO a",
            "ROLLBACK WORK TO SAVEPOINT a",
            "RELEASE a",
            "PREPARE p AS SELECT 1",
            "SELECT 'COMMIT'",
        ] {
            assert_eq!(ask(ends_it, text), None, "{text}");
        }
    }

    #[test]
    fn what_the_server_refuses_inside() {
        for (text, words) in [
            ("create index concurrently i on t (a)", "CREATE INDEX CONCURRENTLY"),
            ("DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY"),
            ("REINDEX TABLE CONCURRENTLY t", "REINDEX CONCURRENTLY"),
            ("REINDEX (VERBOSE) DATABASE d", "REINDEX of more than a table"),
            ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "DETACH PARTITION CONCURRENTLY"),
            ("VACUUM FULL t", "VACUUM"),
            ("ALTER SYSTEM SET a = 1", "ALTER SYSTEM"),
            ("ALTER DATABASE d SET TABLESPACE s", "ALTER DATABASE ... SET TABLESPACE"),
            ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", "CREATE SUBSCRIPTION with a new slot"),
            ("CLUSTER", "CLUSTER of all tables"),
        ] {
            assert_eq!(ask(refused_inside, text), Some(words), "{text}");
        }
        for text in [
            "CREATE INDEX i ON t (a)",
            "ALTER TABLE t DETACH PARTITION p",
            "REINDEX TABLE t",
            "CLUSTER t USING i",
            "ALTER DATABASE d SET work_mem = '1MB'",
            "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (connect = false)",
            "ALTER TYPE e ADD VALUE 'x'",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
            "SELECT vacuum FROM t",
        ] {
            assert_eq!(ask(refused_inside, text), None, "{text}");
        }
    }
}
