//! Whether an undo may lose data. What is not known to keep it loses it: the rows that services wrote since the
//! script ran would be gone, and nobody would have said so.

use super::Words;
use super::data::{drops, loses_data};

/// Statements that keep all data, whatever else is in them.
const KEEPS: [&str; 12] = [
    "CREATE",
    "COMMENT",
    "GRANT",
    "REVOKE",
    "SET",
    "RESET",
    "ANALYZE",
    "SAVEPOINT|RELEASE",
    "LOCK",
    "REFRESH",
    "ALTER INDEX|VIEW|FUNCTION|PROCEDURE|ROUTINE|TRIGGER|POLICY|SCHEMA|DEFAULT|PUBLICATION|EVENT|DOMAIN|MATERIALIZED|RULE",
    "DROP INDEX|FUNCTION|PROCEDURE|ROUTINE|AGGREGATE|TRIGGER|RULE|POLICY|OPERATOR|CAST|STATISTICS|EVENT|PUBLICATION|COLLATION",
];

/// Functions that a SELECT may call and keep its word. `setval` is not one: it moves a sequence back.
const HARMLESS: [&str; 8] = ["set_config", "count", "min", "max", "now", "exists", "in", "values"];

/// The words of a statement that may lose data.
pub(super) fn may_lose_data(words: Words<'_>) -> Option<String> {
    if let Some(surely) = loses_data(words).or_else(|| drops(words)) {
        return Some(surely);
    }
    let keeps = KEEPS.iter().any(|pattern| words.begins(pattern).is_some())
        || words.begins("ALTER TABLE|TYPE|FOREIGN").is_some() && !words.has("CASCADE")
        || words.begins("INSERT").is_some() && !words.has("DO UPDATE") && harmless_calls(words)
        || words.begins("SELECT|VALUES|WITH").is_some() && !writes(words) && harmless_calls(words);
    (!keeps).then(|| {
        words.begins("UPDATE|DO|SELECT|WITH|INSERT|MERGE|CALL|ALTER|DROP|EXECUTE").unwrap_or_else(unknown)
    })
}

fn unknown() -> String {
    "a statement that lint does not know".to_owned()
}

fn writes(words: Words<'_>) -> bool {
    words.has("UPDATE|MERGE|DELETE")
}

/// No function is called that could do anything.
fn harmless_calls(words: Words<'_>) -> bool {
    let harmless = |name: &str| HARMLESS.iter().any(|known| known.eq_ignore_ascii_case(name));
    words.calls().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::super::super::split::split;
    use super::*;

    fn ask(text: &str) -> Option<String> {
        may_lose_data(Words::of(&split(text).unwrap().statements[0], text))
    }

    #[test]
    fn in_doubt_destructive() {
        for (text, what) in [
            ("DROP TABLE t", "DROP TABLE"),
            ("DROP VIEW v", "DROP VIEW"),
            ("DROP TYPE e", "DROP TYPE"),
            ("ALTER TABLE t DROP COLUMN IF EXISTS tags", "ALTER ... DROP COLUMN"),
            ("ALTER TABLE t ALTER a TYPE int", "ALTER ... TYPE"),
            ("ALTER TABLE t DROP CONSTRAINT c CASCADE", "ALTER"),
            ("DELETE FROM t", "DELETE"),
            ("UPDATE t SET a = b WHERE c", "UPDATE"),
            ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1", "INSERT"),
            ("WITH u AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM u", "WITH"),
            ("DO $$ BEGIN PERFORM f(); END $$", "DO"),
            ("SELECT setval('s', 1)", "SELECT"),
            ("SELECT take_back()", "SELECT"),
            ("CALL take_back()", "CALL"),
            ("INSERT INTO t SELECT take_back()", "INSERT"),
            ("ALTER SEQUENCE s RESTART", "ALTER"),
            ("NOTIFY c", "a statement that lint does not know"),
        ] {
            assert_eq!(ask(text).as_deref(), Some(what), "{text}");
        }
    }

    #[test]
    fn what_keeps_data() {
        for text in [
            "DROP INDEX IF EXISTS i",
            "DROP FUNCTION f(int)",
            "ALTER TABLE t DROP CONSTRAINT c",
            "ALTER TABLE t ADD COLUMN a int",
            "ALTER TABLE t RENAME TO u",
            "CREATE OR REPLACE VIEW v AS SELECT f(a) FROM t",
            "INSERT INTO t (a) VALUES (1)",
            "INSERT INTO s.t (a) VALUES (1)",
            "SELECT pg_catalog.set_config('search_path', '', false)",
            "COMMENT ON TABLE t IS 'x'",
            "REVOKE ALL ON t FROM a",
        ] {
            assert_eq!(ask(text), None, "{text}");
        }
    }
}
