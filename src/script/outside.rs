//! A script without a transaction, statement by statement: how each runs, and how to see afterwards whether one happened
//! whose answer was lost.

use std::ops::Range;

use super::Script;
use super::pattern::Words;
use super::split::{Item, Statement, TokenKind, scan};
use super::transaction::refused_inside;

/// One statement of a script without a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The statement.
    pub statement: Statement,
    /// How it runs.
    pub how: How,
}

/// How a statement of such a script runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// `SET` and `RESET`: before every statement behind it again, since each begins in a clean session.
    Setting,
    /// In a transaction of its own, together with its entry in the journal.
    Inside,
    /// Bare, since the server wants it so.
    Outside(Outside),
}

/// A name as it stands in the script, quotes, dots and all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub String);

/// What a bare statement does, as far as its effect can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// `CREATE INDEX CONCURRENTLY`: an index that is there, fits and is valid.
    CreateIndex {
        /// It has UNIQUE.
        unique: bool,
        /// It is content with an index of that name.
        if_not_exists: bool,
        /// The index; never qualified.
        index: Name,
        /// The table, perhaps qualified.
        table: Name,
        /// What stands behind the table, from 0 in the text of the script.
        definition: Range<usize>,
    },
    /// `DROP INDEX CONCURRENTLY`: gone.
    DropIndex(Name),
    /// `REINDEX ... CONCURRENTLY`: may run again, and may leave indexes behind that end in `_ccnew` or `_ccold`.
    Reindex,
    /// Does the same again: VACUUM, CLUSTER, REINDEX, ALTER DATABASE ... SET TABLESPACE.
    Repeats,
    /// A database that must be there (`true`) or gone.
    Database(Name, bool),
    /// A tablespace that must be there (`true`) or gone.
    Tablespace(Name, bool),
    /// `ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY`: the table and its partition.
    Detach(Name, Name),
    /// Nothing in the database tells whether it happened.
    NoProbe,
}

impl Script {
    /// The statements of a script without a transaction; up to what cannot be split.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        scan(&self.body).filter_map(|item| match item {
            Ok(Item::Statement(statement)) => {
                let how = how(&statement, &self.body);
                Some(Step { statement, how })
            }
            _ => None,
        })
    }
}

/// How `statement` of `text` runs.
pub(super) fn how(statement: &Statement, text: &str) -> How {
    let words = Words::of(statement, text);
    match refused_inside(words) {
        Some(name) => How::Outside(outside(name, words, statement, text)),
        None if words.begins("SET|RESET").is_some() => How::Setting,
        None => How::Inside,
    }
}

fn outside(name: &str, words: Words<'_>, statement: &Statement, text: &str) -> Outside {
    let reader = Reader { statement, text, words };
    let found = match name {
        "CREATE INDEX CONCURRENTLY" => reader.create_index(),
        "DROP INDEX CONCURRENTLY" => {
            reader.behind("DROP INDEX CONCURRENTLY", "IF EXISTS").map(Outside::DropIndex)
        }
        "REINDEX CONCURRENTLY" => Some(Outside::Reindex),
        "REINDEX of more than a table" if words.has("CONCURRENTLY") => Some(Outside::Reindex),
        "REINDEX of more than a table"
        | "VACUUM"
        | "CLUSTER of all tables"
        | "ALTER DATABASE ... SET TABLESPACE" => Some(Outside::Repeats),
        "CREATE DATABASE" => reader.behind("CREATE DATABASE", "").map(|name| Outside::Database(name, true)),
        "DROP DATABASE" => {
            reader.behind("DROP DATABASE", "IF EXISTS").map(|name| Outside::Database(name, false))
        }
        "CREATE TABLESPACE" => {
            reader.behind("CREATE TABLESPACE", "").map(|name| Outside::Tablespace(name, true))
        }
        "DROP TABLESPACE" => {
            reader.behind("DROP TABLESPACE", "IF EXISTS").map(|name| Outside::Tablespace(name, false))
        }
        "DETACH PARTITION CONCURRENTLY" => reader.detach(),
        _ => None,
    };
    found.unwrap_or(Outside::NoProbe)
}

struct Reader<'a> {
    statement: &'a Statement,
    text: &'a str,
    words: Words<'a>,
}

impl Reader<'_> {
    /// `CREATE [UNIQUE] INDEX CONCURRENTLY [IF NOT EXISTS] name ON [ONLY] table ...`
    fn create_index(&self) -> Option<Outside> {
        let unique = self.words.is(1, "UNIQUE");
        let at = 3 + usize::from(unique);
        let if_not_exists = self.follows(at, &["IF", "NOT", "EXISTS"]);
        let (index, at) = self.name(if if_not_exists { at + 3 } else { at })?;
        if self.words.is(at - 1, "ON") || !self.words.is(at, "ON") {
            return None; // no name: the word was ON itself
        }
        let (table, at) = self.name(if self.words.is(at + 1, "ONLY") { at + 2 } else { at + 1 })?;
        let behind = self.statement.tokens.get(at)?.range.start;
        Some(Outside::CreateIndex {
            unique,
            if_not_exists,
            index,
            table,
            definition: behind..self.statement.range.end,
        })
    }

    /// `ALTER TABLE [IF EXISTS] [ONLY] table DETACH PARTITION partition CONCURRENTLY`
    fn detach(&self) -> Option<Outside> {
        let at = if self.follows(2, &["IF", "EXISTS"]) { 4 } else { 2 };
        let (table, at) = self.name(if self.words.is(at, "ONLY") { at + 1 } else { at })?;
        let (partition, _) = self.follows(at, &["DETACH", "PARTITION"]).then(|| self.name(at + 2))??;
        Some(Outside::Detach(table, partition))
    }

    /// The one name behind these words.
    fn behind(&self, words: &str, optional: &str) -> Option<Name> {
        let at = words.split(' ').count();
        let optional: Vec<&str> = optional.split(' ').filter(|word| !word.is_empty()).collect();
        let at = if self.follows(at, &optional) { at + optional.len() } else { at };
        Some(self.name(at)?.0)
    }

    fn follows(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.words.is(at + n, word))
    }

    /// The name that begins at token `at`, and the token behind it.
    fn name(&self, mut at: usize) -> Option<(Name, usize)> {
        let tokens = &self.statement.tokens;
        let part = |at: usize| {
            tokens.get(at).filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted))
        };
        let start = part(at)?.range.start;
        while self.words.is(at + 1, ".") && part(at + 2).is_some() {
            at += 2;
        }
        Some((Name(self.text[start..tokens[at].range.end].to_owned()), at + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::split::split;
    use super::*;

    fn ask(text: &str) -> How {
        how(&split(text).unwrap().statements[0], text)
    }

    fn name(name: &str) -> Name {
        Name(name.to_owned())
    }

    #[test]
    fn an_index_by_name_table_and_definition() {
        for (text, unique, if_not_exists, index, table) in [
            ("CREATE INDEX CONCURRENTLY i ON t (a)", false, false, "i", "t"),
            (
                "create unique index concurrently if not exists \"I x\" on only s.\"T\" using btree (a, b)",
                true,
                true,
                "\"I x\"",
                "s.\"T\"",
            ),
        ] {
            let How::Outside(Outside::CreateIndex {
                definition,
                unique: u,
                if_not_exists: e,
                index: i,
                table: t,
            }) = ask(text)
            else {
                panic!("{text}: {:?}", ask(text))
            };
            assert_eq!((u, e, i, t), (unique, if_not_exists, name(index), name(table)), "{text}");
            assert!(
                text[definition.clone()].starts_with(['(', 'u']) && definition.end == text.len(),
                "{text}"
            );
        }
        for text in ["CREATE INDEX CONCURRENTLY ON t (a)", "CREATE UNIQUE INDEX CONCURRENTLY ON ONLY t (a)"] {
            assert_eq!(ask(text), How::Outside(Outside::NoProbe), "{text}");
        }
    }

    #[test]
    fn what_can_be_looked_up() {
        for (text, outside) in [
            ("DROP INDEX CONCURRENTLY IF EXISTS s.i", Outside::DropIndex(name("s.i"))),
            ("DROP INDEX CONCURRENTLY i CASCADE", Outside::DropIndex(name("i"))),
            ("REINDEX TABLE CONCURRENTLY t", Outside::Reindex),
            ("REINDEX (VERBOSE) DATABASE CONCURRENTLY d", Outside::Reindex),
            ("REINDEX DATABASE d", Outside::Repeats),
            ("VACUUM (ANALYZE) t", Outside::Repeats),
            ("CREATE DATABASE \"D\" OWNER o", Outside::Database(name("\"D\""), true)),
            ("DROP DATABASE IF EXISTS d", Outside::Database(name("d"), false)),
            ("CREATE TABLESPACE s LOCATION '/x'", Outside::Tablespace(name("s"), true)),
            ("DROP TABLESPACE s", Outside::Tablespace(name("s"), false)),
            ("ALTER TABLE a.t DETACH PARTITION a.p CONCURRENTLY", Outside::Detach(name("a.t"), name("a.p"))),
            ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", Outside::NoProbe),
        ] {
            assert_eq!(ask(text), How::Outside(outside), "{text}");
        }
    }

    #[test]
    fn what_needs_no_probe() {
        for text in ["SET lock_timeout = '5s'", "RESET ALL", "SET ROLE a"] {
            assert_eq!(ask(text), How::Setting, "{text}");
        }
        for text in ["ALTER TYPE e ADD VALUE 'x'", "CREATE INDEX i ON t (a)", "UPDATE t SET a = 1"] {
            assert_eq!(ask(text), How::Inside, "{text}");
        }
    }
}
