//! Histories and journal: one node for each script that was begun, read with the chain of neo4j-migrations where a history
//! is that tool's.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::connect::text;
use super::packstream::Value;
use super::peer::Chain;
use super::settings::{Format, Settings};
use crate::engine::Partial;
use crate::script::{HistoryRow, Kind};

/// What the histories and the journal say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) histories: BTreeMap<String, Vec<HistoryRow>>,
    pub(super) partial: Vec<Partial>,
    /// What only we need to know of each partial script, in the order of `partial`.
    pub(super) halves: Vec<Half>,
    /// The rank that the next journal entry of each history gets; above every one that ever was.
    pub(super) next_rank: BTreeMap<String, u64>,
    /// Journal entries that are applied, by history and key, the newest last.
    pub(super) entries: Vec<Entry>,
    /// The chain of neo4j-migrations, if a history is that tool's.
    pub(super) chain: Chain,
}

/// Of a script that was begun and is not in its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) rank: u64,
    /// A statement outside of our transactions is under way: its number, and what was there before it.
    pub(super) outside: Option<(usize, String)>,
}

/// A journal entry of an applied script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) history: String,
    pub(super) key: String,
    pub(super) rank: u64,
}

/// All of the journal.
pub(super) const READ: &str = "MATCH (s:__WhimbrelScript) RETURN s.history, s.rank, s.key, s.kind, s.version, \
    s.description, s.file, s.checksum, s.state, s.run, s.statement, s.outside, s.before, s.startedAt \
    ORDER BY s.history, s.rank";

/// Reads the rows of [`READ`]. Declared histories without a row are there and empty.
pub(super) fn record(settings: &Settings, rows: &[Vec<Value>], chain: Chain) -> Record {
    let mut record = Record::default();
    for history in &settings.histories {
        record.histories.insert(history.name.clone(), Vec::new());
        record.next_rank.insert(history.name.clone(), 1);
    }
    for row in rows {
        record.take(settings, row);
    }
    for history in settings.histories.iter().filter(|it| it.format == Format::Neo4jMigrations) {
        record.histories.insert(history.name.clone(), chain.rows());
    }
    record.chain = chain;
    record
}

impl Record {
    fn take(&mut self, settings: &Settings, row: &[Value]) {
        let (history, key, rank) = (text(row.first()), text(row.get(2)), number(row.get(1)));
        let next = self.next_rank.entry(history.clone()).or_insert(1);
        *next = (*next).max(rank + 1);
        match text(row.get(8)).as_str() {
            state @ ("Started" | "Undoing") => {
                let at = usize::try_from(number(row.get(11))).unwrap_or(0);
                let outside = (at > 0).then(|| (at, text(row.get(12))));
                self.halves.push(Half { rank, outside });
                self.partial.push(Partial {
                    history,
                    key,
                    run_uid: text(row.get(9)),
                    statement: usize::try_from(number(row.get(10))).unwrap_or(0),
                    since: Timestamp::from_millisecond(number(row.get(13)).cast_signed()).ok(),
                    checksum: text(row.get(7)),
                    undoing: state == "Undoing",
                });
            }
            "Applied" => {
                if settings.format(&history) == Some(Format::Whimbrel)
                    && let Some(rows) = self.histories.get_mut(&history)
                {
                    rows.push(HistoryRow {
                        installed_rank: rank,
                        key: key.clone(),
                        kind: kind_of(&text(row.get(3))),
                        version: row.get(4).and_then(Value::as_text).and_then(|version| version.parse().ok()),
                        description: text(row.get(5)),
                        file: text(row.get(6)),
                        checksum: text(row.get(7)),
                    });
                }
                self.entries.push(Entry { history, key, rank });
            }
            _ => {}
        }
    }

    /// Where a partial script is in `partial` and `halves`.
    pub(super) fn half(&self, history: &str, key: &str) -> Option<usize> {
        self.partial.iter().position(|half| half.history == history && half.key == key)
    }

    /// The rank of a script's newest journal entry, applied or partial.
    pub(super) fn rank(&self, history: &str, key: &str) -> Option<u64> {
        let applied = self.entries.iter().rev().find(|it| it.history == history && it.key == key);
        applied.map(|it| it.rank).or_else(|| Some(self.halves.get(self.half(history, key)?)?.rank))
    }

    /// The key of a script of ours that was applied after `rank`.
    pub(super) fn younger(&self, history: &str, rank: u64) -> Option<&str> {
        self.entries.iter().find(|it| it.history == history && it.rank > rank).map(|it| it.key.as_str())
    }

    /// Takes out what stood at `rank`.
    pub(super) fn forget(&mut self, history: &str, rank: u64) {
        self.entries.retain(|it| it.history != history || it.rank != rank);
        if let Some(rows) = self.histories.get_mut(history) {
            rows.retain(|row| row.installed_rank != rank);
        }
        let gone = |at: &usize| self.partial[*at].history == history && self.halves[*at].rank == rank;
        if let Some(at) = (0..self.partial.len()).find(gone) {
            self.partial.remove(at);
            self.halves.remove(at);
        }
    }

    /// Puts an applied script in.
    pub(super) fn applied(&mut self, history: &str, rank: u64, row: HistoryRow) {
        let key = row.key.clone();
        self.forget_half(history, rank);
        if let Some(rows) = self.histories.get_mut(history) {
            rows.push(row);
        }
        self.entries.push(Entry { history: history.to_owned(), key, rank });
        self.next_rank.insert(history.to_owned(), rank + 1);
    }

    fn forget_half(&mut self, history: &str, rank: u64) {
        let gone = |at: &usize| self.partial[*at].history == history && self.halves[*at].rank == rank;
        if let Some(at) = (0..self.partial.len()).find(gone) {
            self.partial.remove(at);
            self.halves.remove(at);
        }
    }
}

/// The word for a kind in our nodes.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Versioned => "Versioned",
        Kind::Repeatable => "Repeatable",
    }
}

fn kind_of(word: &str) -> Kind {
    if word == kind(Kind::Repeatable) { Kind::Repeatable } else { Kind::Versioned }
}

pub(super) fn number(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or(0)
}
