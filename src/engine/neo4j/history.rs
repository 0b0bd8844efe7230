//! Histories and journal: one node for each script that was begun, read with the chain of neo4j-migrations where a history
//! is that tool's.

use jiff::Timestamp;

use super::connect::text;
use super::packstream::Value;
use super::peer::Chain;
use super::settings::{Format, Settings};
use crate::engine::Partial;
use crate::engine::record::{self, Half};
use crate::script::{HistoryRow, Kind};

/// What the histories and the journal say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) known: record::Record,
    /// Journal entries that are applied, by history and key, the newest last.
    pub(super) entries: Vec<Entry>,
    /// The chain of neo4j-migrations, if a history is that tool's.
    pub(super) chain: Chain,
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
    let names = settings.histories.iter().map(|history| history.name.as_str());
    let mut record = Record { known: record::Record::declared(names), ..Record::default() };
    for row in rows {
        record.take(settings, row);
    }
    for history in settings.peers() {
        record.known.histories.insert(history.name.clone(), chain.rows());
    }
    record.chain = chain;
    record
}

impl Record {
    fn take(&mut self, settings: &Settings, row: &[Value]) {
        let (history, key, rank) = (text(row.first()), text(row.get(2)), number(row.get(1)));
        let next = self.known.next_rank.entry(history.clone()).or_insert(1);
        *next = (*next).max(rank + 1);
        match text(row.get(8)).as_str() {
            state @ ("Started" | "Undoing") => {
                let at = usize::try_from(number(row.get(11))).unwrap_or(0);
                let outside = (at > 0).then(|| text(row.get(12)));
                let partial = Partial {
                    history,
                    key,
                    run_uid: text(row.get(9)),
                    statement: usize::try_from(number(row.get(10))).unwrap_or(0),
                    since: Timestamp::from_millisecond(number(row.get(13)).cast_signed()).ok(),
                    checksum: text(row.get(7)),
                    undoing: state == "Undoing",
                };
                self.known.take_half(Half { rank, outside }, partial);
            }
            "Applied" => {
                if settings.format(&history) == Some(Format::Whimbrel)
                    && let Some(rows) = self.known.histories.get_mut(&history)
                {
                    rows.push(HistoryRow {
                        installed_rank: rank,
                        key: key.clone(),
                        kind: Kind::of_word(&text(row.get(3))),
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

    /// The rank of a script's newest journal entry, applied or partial.
    pub(super) fn rank(&self, history: &str, key: &str) -> Option<u64> {
        let applied = self.entries.iter().rev().find(|it| it.history == history && it.key == key);
        applied.map(|it| it.rank).or_else(|| self.known.half(history, key).map(|half| half.rank))
    }

    /// The key of a script of ours that was applied after `rank`.
    pub(super) fn younger(&self, history: &str, rank: u64) -> Option<&str> {
        self.entries.iter().find(|it| it.history == history && it.rank > rank).map(|it| it.key.as_str())
    }

    /// Takes out what stood at `rank`.
    pub(super) fn forget(&mut self, history: &str, rank: u64) {
        self.entries.retain(|it| it.history != history || it.rank != rank);
        self.known.forget(history, rank);
    }

    /// Puts an applied script in.
    pub(super) fn applied(&mut self, history: &str, rank: u64, row: HistoryRow) {
        let key = row.key.clone();
        self.known.applied(history, rank, row);
        self.entries.push(Entry { history: history.to_owned(), key, rank });
    }
}

pub(super) fn number(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or(0)
}
