//! The pending scripts of one step, and where a target stands in them.

use super::{Kind, Program};
use crate::script::{HistoryRow, Script};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The pending scripts of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The target.
    pub target: String,
    /// The series of scripts.
    pub history: String,
    /// The scripts in the order in which they are applied.
    pub scripts: Vec<Script>,
    /// How many rows the history had when the program was compiled.
    pub base_count: usize,
    /// Their digest.
    pub base: String,
}

/// The history is neither the frozen one nor that plus what this run applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Drift {
    /// Rows that were there when the run began are gone or different.
    #[error(
        "history {history} of {target} is not the one the run began with: {there} rows now, {then} then, or another checksum"
    )]
    Base {
        /// The target.
        target: String,
        /// The history.
        history: String,
        /// Rows now.
        there: usize,
        /// Rows when compiled.
        then: usize,
    },
    /// Somebody else added a row.
    #[error(
        "history {history} of {target} has {found}, which this run did not apply (it expects {expected})"
    )]
    Foreign {
        /// The target.
        target: String,
        /// The history.
        history: String,
        /// The key that is there.
        found: String,
        /// What should be there.
        expected: String,
    },
}

impl Pending {
    /// The pending scripts against a history as it is now.
    pub fn new(target: &str, history: &str, scripts: Vec<Script>, rows: &[HistoryRow]) -> Self {
        Self {
            target: target.to_owned(),
            history: history.to_owned(),
            scripts,
            base_count: rows.len(),
            base: history_digest(rows),
        }
    }

    /// How many of the scripts are in, given the rows of the history in applied order.
    ///
    /// # Errors
    /// When the history is neither the one the program was compiled against nor that plus a prefix of the scripts.
    pub fn applied(&self, rows: &[HistoryRow]) -> Result<usize, Drift> {
        self.prefix(&mut self.scripts.iter(), rows)
    }

    /// How many of these scripts are in, beginning where this step begins.
    fn prefix(
        &self,
        scripts: &mut dyn Iterator<Item = &Script>,
        rows: &[HistoryRow],
    ) -> Result<usize, Drift> {
        let base = rows.get(..self.base_count).unwrap_or_default();
        if rows.len() < self.base_count || history_digest(base) != self.base {
            return Err(Drift::Base {
                target: self.target.clone(),
                history: self.history.clone(),
                there: rows.len(),
                then: self.base_count,
            });
        }
        let mine = &rows[self.base_count..];
        for row in mine {
            let expected = scripts.next();
            if expected.is_none_or(|script| script.key != row.key || !script.has_checksum(&row.checksum)) {
                return Err(Drift::Foreign {
                    target: self.target.clone(),
                    history: self.history.clone(),
                    found: row.key.clone(),
                    expected: expected.map_or_else(|| "nothing more".to_owned(), |script| script.key.clone()),
                });
            }
        }
        Ok(mine.len())
    }
}

impl Program {
    /// How many scripts of a step are in, given the rows of its history in applied order: after it, other steps of the
    /// run may have added theirs to the same history. A step without scripts has none.
    ///
    /// # Errors
    /// When the history is neither the one the program was compiled against nor that plus a prefix of what the steps of
    /// the run apply to it.
    pub fn applied(&self, step: &str, rows: &[HistoryRow]) -> Result<usize, Drift> {
        let Some(own) = self.bundles.get(step) else { return Ok(0) };
        let same: Vec<(&str, &Pending)> = self
            .forward
            .iter()
            .flatten()
            .filter(|op| matches!(op.kind, Kind::Apply { .. }))
            .filter_map(|op| Some((op.step.as_deref()?, self.bundles.get(op.step.as_deref()?)?)))
            .filter(|(_, other)| (&other.target, &other.history) == (&own.target, &own.history))
            .collect();
        let first = same.first().map_or(own, |(_, first)| *first);
        let all = first.prefix(&mut same.iter().flat_map(|(_, pending)| &pending.scripts), rows)?;
        let before: usize =
            same.iter().take_while(|(name, _)| *name != step).map(|(_, pending)| pending.scripts.len()).sum();
        Ok(all.saturating_sub(before).min(own.scripts.len()))
    }
}

/// The running digest of a history: keys and checksums in applied order.
pub fn history_digest(rows: &[HistoryRow]) -> String {
    let mut hash = Sha256::new();
    for row in rows {
        hash.update(row.key.as_bytes());
        hash.update([0]);
        hash.update(row.checksum.as_bytes());
        hash.update([0]);
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}
