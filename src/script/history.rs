//! A row of a history, as the target's engine reads it.

use serde::{Deserialize, Serialize};

use super::{Kind, Script, Version};

/// One applied script. Only rows that count are handed out: an undone one is as if it had never run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryRow {
    /// The script's key. Repeatable scripts have one row per run.
    pub key: String,
    /// Absent for repeatable scripts.
    pub version: Option<Version>,
    /// Once, or again after every change.
    pub kind: Kind,
    /// The script's description when it ran.
    pub description: String,
    /// The script's checksum when it ran.
    pub checksum: String,
    /// The script's file name when it ran.
    pub file: String,
    /// The order in which rows were written; only grows.
    pub installed_rank: u64,
}

impl HistoryRow {
    /// The row that applying `script` writes.
    pub fn of(script: &Script, installed_rank: u64) -> Self {
        HistoryRow {
            key: script.key.clone(),
            version: script.version.clone(),
            kind: script.kind,
            description: script.description.clone(),
            checksum: script.checksum.clone(),
            file: script.file.clone(),
            installed_rank,
        }
    }
}
