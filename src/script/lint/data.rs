//! Which statements take data away, or what others stand on.

use super::Words;

/// The words of a statement after which data is gone that no undo script can bring back.
pub(super) fn loses_data(words: Words<'_>) -> Option<String> {
    const GONE: &str = "TABLE|SCHEMA|SEQUENCE|DATABASE|OWNED|SERVER|FOREIGN";
    let begins = [format!("DROP {GONE}"), "TRUNCATE".to_owned(), "DELETE".to_owned()];
    let plainly = begins.iter().find_map(|pattern| words.begins(pattern));
    plainly.or_else(|| drops_column(words)).or_else(|| narrows(words)).or_else(|| hidden(words))
}

/// The words of a statement that drops a definition which others stand on; its data, if any, are made from other data.
pub(super) fn drops(words: Words<'_>) -> Option<String> {
    let definition =
        words.begins("DROP VIEW|MATERIALIZED|TYPE|DOMAIN|EXTENSION|LANGUAGE|ROLE|USER|GROUP|TABLESPACE");
    definition.or_else(|| {
        words.begins("DROP").filter(|_| words.has("CASCADE")).map(|drop| format!("{drop} ... CASCADE"))
    })
}

/// The words of a statement that keeps all data and can yet not be taken back.
pub(super) fn never_taken_back(words: Words<'_>) -> Option<String> {
    words
        .begins("ALTER TYPE")
        .filter(|_| words.has("ADD VALUE"))
        .map(|_| "ALTER TYPE ... ADD VALUE".to_owned())
}

/// An ALTER that gives a column or an attribute another type, `text` apart, which holds any value of another. Whether
/// a value fits can't be told from the statement.
fn narrows(words: Words<'_>) -> Option<String> {
    let widens = |i: usize| words.is(i + 1, "text") && !words.has("USING");
    (!type_changes(words).all(widens)).then(|| "ALTER ... TYPE".to_owned())
}

/// An ALTER TABLE that gives a column another type.
pub(super) fn changes_type(words: Words<'_>) -> bool {
    type_changes(words).next().is_some()
}

/// Where the new types stand: behind `ALTER c TYPE`, `ALTER COLUMN c SET DATA TYPE` and the like.
fn type_changes(words: Words<'_>) -> impl Iterator<Item = usize> {
    let alters = words.begins("ALTER TABLE|TYPE|FOREIGN").is_some();
    let behind = move |i: usize| words.is(i - 2, "ALTER|COLUMN|ATTRIBUTE") || words.is(i - 1, "DATA");
    (3..words.len()).filter(move |i| alters && words.is(*i, "TYPE") && behind(*i))
}

/// An ALTER that drops a column or an attribute; COLUMN may be left out.
fn drops_column(words: Words<'_>) -> Option<String> {
    words.begins("ALTER TABLE|TYPE|FOREIGN")?;
    let of_column = |i: usize| i >= 2 && words.is(i - 2, "ALTER|COLUMN"); // ALTER c DROP DEFAULT
    let spared = |i: usize| {
        words.is(i + 1, "CONSTRAINT") || of_column(i) && words.is(i + 1, "DEFAULT|NOT|EXPRESSION|IDENTITY")
    };
    let lossy = (2..words.len()).any(|i| words.is(i, "DROP") && !spared(i));
    lossy.then(|| "ALTER ... DROP COLUMN".to_owned())
}

/// What is not at the beginning: a DELETE under WITH, MERGE or EXPLAIN, and what a DO may execute.
fn hidden(words: Words<'_>) -> Option<String> {
    if words.begins("WITH|MERGE|EXPLAIN").is_some() {
        let deletes = words.has("DELETE FROM") || words.has("THEN DELETE");
        return deletes.then(|| "DELETE".to_owned());
    }
    words.begins("DO")?;
    let dangerous =
        |word: &str| ["DROP", "DELETE", "TRUNCATE", "EXECUTE"].iter().any(|d| word.eq_ignore_ascii_case(d));
    let holds = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(dangerous);
    words.strings().any(holds).then(|| "DO that may drop or delete".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::super::split::split;
    use super::*;

    fn ask(rule: fn(Words<'_>) -> Option<String>, text: &str) -> Option<String> {
        rule(Words::of(&split(text).unwrap().statements[0], text))
    }

    #[test]
    fn data_is_gone() {
        for (text, what) in [
            ("DROP TABLE IF EXISTS t", "DROP TABLE"),
            ("drop schema s", "DROP SCHEMA"),
            ("TRUNCATE t", "TRUNCATE"),
            ("DELETE FROM t WHERE a", "DELETE"),
            ("ALTER TABLE t DROP COLUMN a", "ALTER ... DROP COLUMN"),
            ("ALTER TABLE t DROP a", "ALTER ... DROP COLUMN"),
            ("ALTER TABLE t DROP identity", "ALTER ... DROP COLUMN"),
            ("ALTER TABLE t ALTER a DROP DEFAULT, DROP b", "ALTER ... DROP COLUMN"),
            ("ALTER TABLE ONLY s.t DROP IF EXISTS a", "ALTER ... DROP COLUMN"),
            ("ALTER TYPE c DROP ATTRIBUTE a", "ALTER ... DROP COLUMN"),
            ("ALTER TABLE t ALTER a TYPE varchar(10)", "ALTER ... TYPE"),
            ("ALTER TABLE t ALTER COLUMN \"A\" SET DATA TYPE int", "ALTER ... TYPE"),
            ("ALTER TABLE t ALTER a TYPE text USING left(a, 1)", "ALTER ... TYPE"),
            ("ALTER TABLE t ALTER a TYPE text, ALTER b TYPE int", "ALTER ... TYPE"),
            ("WITH d AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM d", "DELETE"),
            ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "DELETE"),
            ("DO $$ BEGIN execute 'x'; END $$", "DO that may drop or delete"),
        ] {
            assert_eq!(ask(loses_data, text).as_deref(), Some(what), "{text}");
        }
    }

    #[test]
    fn data_stays() {
        for text in [
            "CREATE TABLE drop_me (a int)",
            "ALTER TABLE t ALTER a DROP NOT NULL",
            "ALTER TABLE t ALTER COLUMN a DROP DEFAULT",
            "ALTER TABLE t ALTER a DROP IDENTITY IF EXISTS",
            "ALTER TABLE t DROP CONSTRAINT c",
            "ALTER TABLE t ALTER a TYPE text",
            "ALTER TABLE t ALTER a TYPE text, ALTER COLUMN b SET DATA TYPE text",
            "ALTER TABLE t ADD COLUMN type int",
            "ALTER TABLE t RENAME COLUMN type TO kind",
            "DROP INDEX i",
            "DROP VIEW v",
            "INSERT INTO t SELECT 'DELETE FROM t'",
            "UPDATE t SET a = 1 WHERE b",
            "DO $$ BEGIN RAISE NOTICE 'updated'; END $$",
            "WITH a AS (SELECT 1) SELECT * FROM a",
        ] {
            assert_eq!(ask(loses_data, text), None, "{text}");
        }
    }

    #[test]
    fn definitions_and_one_way_streets() {
        assert_eq!(ask(drops, "DROP VIEW v").as_deref(), Some("DROP VIEW"));
        assert_eq!(ask(drops, "DROP FUNCTION f CASCADE").as_deref(), Some("DROP ... CASCADE"));
        assert_eq!(ask(drops, "DROP FUNCTION f"), None);
        assert_eq!(
            ask(never_taken_back, "ALTER TYPE e ADD VALUE IF NOT EXISTS 'x'").as_deref(),
            Some("ALTER TYPE ... ADD VALUE")
        );
        assert_eq!(ask(never_taken_back, "ALTER TYPE e RENAME VALUE 'a' TO 'b'"), None);
    }
}
