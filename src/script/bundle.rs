//! What a source is after reading: scripts in order, each with its undo, checksum and directives.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use super::lint::{self, Class, Finding, Use};
use super::{Executable, Layout, Values, Version, cypher, http};

/// The ordered scripts of one step, from one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// How the files are named.
    pub layout: Layout,
    /// Versioned scripts by version, then repeatable ones by description.
    pub scripts: Vec<Script>,
    /// `sha256:<64 hex>` over the sorted names and checksums of all files, undo files included.
    pub digest: String,
}

/// One migration file and, where there is one, the file that takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Unique within a history: the version (`12`, `1.2`), or `R:` and the description of a repeatable script.
    pub key: String,
    /// Once, or again after every change.
    pub kind: Kind,
    /// Absent for repeatable scripts.
    pub version: Option<Version>,
    /// From the file name, with blanks between the words.
    pub description: String,
    /// The user's file name.
    pub file: String,
    /// The text as the user wrote it, without a byte order mark.
    pub body: String,
    /// `sha256:<64 hex>`, see [`checksum`](super::checksum).
    pub checksum: String,
    /// What takes the script back. Absent: only a restore can.
    pub undo: Option<Undo>,
    /// What the author says about the script in `-- whimbrel:` comments.
    pub directives: Directives,
    /// The language of both bodies.
    pub dialect: Dialect,
    /// What both bodies are filled with when they are run; neither body nor checksum holds any of it.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    pub values: Values,
}

/// The file that takes a script back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// The user's file name.
    pub file: String,
    /// The text as the user wrote it, without a byte order mark.
    pub body: String,
    /// `sha256:<64 hex>`, see [`checksum`](super::checksum).
    pub checksum: String,
    /// What the author says about the undo in `-- whimbrel:` comments.
    pub directives: Directives,
}

/// How often a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Once, in the order of the versions.
    Versioned,
    /// After the versioned ones, whenever its checksum differs from that of its last run.
    Repeatable,
}

impl Kind {
    /// The word for it in the histories that Whimbrel keeps in targets.
    pub fn word(self) -> &'static str {
        match self {
            Self::Versioned => "Versioned",
            Self::Repeatable => "Repeatable",
        }
    }

    /// What a word in a history means.
    pub fn of_word(word: &str) -> Self {
        if word == Self::Repeatable.word() { Self::Repeatable } else { Self::Versioned }
    }
}

/// The language of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// SQL as PostgreSQL 13 to 18 read it.
    Postgresql,
    /// Cypher as Neo4j 5 reads it.
    Cypher,
    /// Requests to a search server.
    Http,
}

/// What an author says in `-- whimbrel: ...` comments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directives {
    /// `isolation: <level>`: the level of the script's transaction. Default: the server's.
    pub isolation: Option<Isolation>,
    /// `undo keeps-data`, in an undo file: it loses nothing, whatever lint thinks.
    pub undo_keeps_data: bool,
    /// `undo partial-ok`, in an undo file: it also takes back a script that stopped half way.
    pub undo_partial_ok: bool,
    /// `no-transaction`: statement by statement, those that the server refuses in a transaction outside of one. In Cypher
    /// nobody says it: it is so where a script changes the schema or commits batches.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_transaction: bool,
    /// `mixed: true`, beside `no-transaction`: the author knows that statements of both kinds are in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed: bool,
    /// `restartable`, in Cypher: batches that were cut may run again from the start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restartable: bool,
    /// `probe <query>`, in Cypher: its first value before and after is told where batches were cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
}

/// The isolation level of a script's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// `read-committed`
    ReadCommitted,
    /// `repeatable-read`
    RepeatableRead,
    /// `serializable`
    Serializable,
}

impl Isolation {
    /// The words that stand behind `ISOLATION LEVEL` in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        }
    }
}

impl Script {
    /// The script with its variables filled in, in the undo too: as it is sent. What is kept, hashed and shown is the other
    /// one.
    pub fn filled(&self) -> Cow<'_, Self> {
        if self.values.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut filled = self.clone();
        filled.values = Values::default();
        filled.body = self.values.fill(&self.body);
        if let Some(undo) = &mut filled.undo {
            undo.body = self.values.fill(&undo.body);
        }
        Cow::Owned(filled)
    }

    /// Whether the history's checksum is that of this text: ours, or the one that another tool writes in its own history.
    pub fn has_checksum(&self, applied: &str) -> bool {
        self.checksum_like(applied) == applied
    }

    /// The checksum of this text in the form in which the history has `applied`.
    pub fn checksum_like(&self, applied: &str) -> Cow<'_, str> {
        match self.dialect {
            Dialect::Cypher if !applied.starts_with("sha256:") => {
                Cow::Owned(cypher::peer_checksum(&self.body))
            }
            Dialect::Http if !applied.starts_with("sha256:") => {
                Cow::Owned(format!("{}{}", http::JAVA, http::java_hash(&self.body)))
            }
            _ => Cow::Borrowed(&self.checksum),
        }
    }

    /// What is sent to the server, of a script that is filled.
    pub fn executable(&self) -> Executable<'_> {
        match self.dialect {
            Dialect::Postgresql => Executable::of(&self.body),
            Dialect::Cypher | Dialect::Http => Executable::whole(&self.body),
        }
    }

    /// What lint says about the script.
    pub fn findings(&self) -> Vec<Finding> {
        let used = match self.kind {
            Kind::Versioned => Use::Versioned,
            Kind::Repeatable => Use::Repeatable,
        };
        self.dialect.lint(&self.values.filled(&self.body), used).collect()
    }

    /// What lint says about the undo; nothing without one. `undo keeps-data` does not silence it.
    pub fn undo_findings(&self) -> Vec<Finding> {
        self.lint_undo().collect()
    }

    /// Whether the undo, if there is one, may lose rows that were written since the script ran: lint calls it
    /// Destructive and its author does not say `undo keeps-data`.
    pub fn undo_loses_data(&self) -> bool {
        let keeps = self.undo.as_ref().is_none_or(|undo| undo.directives.undo_keeps_data);
        !keeps && self.lint_undo().any(|finding| finding.class == Class::Destructive)
    }

    /// Whether the script takes away what no undo script can bring back.
    pub fn is_irreversible(&self) -> bool {
        self.dialect
            .lint(&self.values.filled(&self.body), Use::Versioned)
            .any(|finding| finding.class == Class::Irreversible)
    }

    fn lint_undo(&self) -> impl Iterator<Item = Finding> {
        self.undo.iter().flat_map(|undo| {
            self.dialect.lint(&self.values.filled(&undo.body), Use::Undo).collect::<Vec<_>>()
        })
    }
}

impl Dialect {
    fn lint(self, text: &str, used: Use) -> impl Iterator<Item = Finding> {
        let (sql, cypher, http) = match self {
            Dialect::Postgresql => (Some(lint::lint(text, used)), None, None),
            Dialect::Cypher => (None, Some(cypher::lint(text, used)), None),
            Dialect::Http => (None, None, Some(http::lint(text, used))),
        };
        sql.into_iter().flatten().chain(cypher.into_iter().flatten()).chain(http.into_iter().flatten())
    }

    /// The language's name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Postgresql => "SQL",
            Dialect::Cypher => "Cypher",
            Dialect::Http => "HTTP requests",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::read_bundle;
    use super::*;

    fn script(up: &str, down: &str) -> Script {
        let files = [("V001-add-session-tags-up.sql", up), ("V001-add-session-tags-down.sql", down)];
        let files: BTreeMap<_, _> =
            files.map(|(file, text)| (file.to_owned(), text.as_bytes().to_vec())).into();
        read_bundle(files, None, Dialect::Postgresql).unwrap().scripts.remove(0)
    }

    const UP: &str = "-- Add tags column\nALTER TABLE s ADD COLUMN IF NOT EXISTS tags TEXT[];\n\
                      CREATE INDEX IF NOT EXISTS i ON s USING GIN (tags);\nCOMMENT ON COLUMN s.tags IS 'x';\n";
    const DOWN: &str = "-- Rollback\nDROP INDEX IF EXISTS i;\n\nALTER TABLE s\nDROP COLUMN IF EXISTS tags;\n";

    #[test]
    fn the_undo_of_a_new_column_loses_what_was_written_to_it() {
        let script = script(UP, DOWN);
        assert!(script.undo_loses_data() && !script.is_irreversible());
        let findings = script.undo_findings();
        assert_eq!((findings[0].class, findings[0].statement, findings[0].line), (Class::Destructive, 2, 4));
        assert_eq!(
            script.findings().iter().map(|f| (f.class, f.statement)).collect::<Vec<_>>(),
            [(Class::Locking, 2)]
        );
    }

    #[test]
    fn the_author_knows_better() {
        let script = script(UP, &format!("-- whimbrel: undo keeps-data\n{DOWN}"));
        assert!(!script.undo_loses_data());
        assert_eq!(script.undo_findings().len(), 1);
    }

    #[test]
    fn without_an_undo_nothing_can_be_lost_by_it() {
        let without = Script { undo: None, ..script("DROP TABLE s;", DOWN) };
        assert!(!without.undo_loses_data() && without.is_irreversible());
        assert_eq!(without.undo_findings(), vec![]);
    }
}
