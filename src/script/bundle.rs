//! What a source is after reading: scripts in order, each with its undo, checksum and directives.

use serde::{Deserialize, Serialize};

use super::{Layout, Version};

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

/// The language of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// SQL as PostgreSQL 13 to 18 read it.
    Postgresql,
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
