//! Histories and journal, read from Whimbrel's own tables.

use jiff::Timestamp;

use super::settings::History;
use super::wire::Set;
use crate::engine::Partial;
use crate::engine::record::{Half, Record};
use crate::script::{HistoryRow, Kind};

impl Record {
    /// The rank at which a script stands: its newest row, or the row it would have had if it is partial.
    pub(super) fn rank(&self, history: &str, key: &str) -> Option<u64> {
        let rows = self.histories.get(history)?;
        let row = rows.iter().rev().find(|row| row.key == key).map(|row| row.installed_rank);
        row.or_else(|| self.half(history, key).map(|half| half.rank))
    }
}

/// Three queries; what a schema of format 1 has no column for is NULL. Their sets are read by [`record`]. Times are in microseconds since 1970, whatever DateStyle says.
pub(super) const READ: &str = "\
SELECT history, rank, key, kind, version, description, file, checksum FROM whimbrel.history \
 WHERE undone_at IS NULL ORDER BY history, rank; \
SELECT history, rank, key, run_uid, statement, (extract(epoch FROM started_at) * 1000000)::bigint, checksum, state, \
 to_jsonb(j) ->> 'outside_at', to_jsonb(j) ->> 'before' \
 FROM whimbrel.journal j WHERE state IN ('Started', 'Undoing') ORDER BY id; \
SELECT history, max(rank) + 1 FROM \
 (SELECT history, rank FROM whimbrel.history UNION ALL SELECT history, rank FROM whimbrel.journal) r GROUP BY history";

/// Reads the sets of [`READ`]. Declared histories without a row are there and empty.
pub(super) fn record(declared: &[History], sets: &[Set]) -> Record {
    let mut record = Record::declared(declared.iter().map(|history| history.name.as_str()));
    for row in rows(sets, 0) {
        if let Some(history) = record.histories.get_mut(text(row, 0)) {
            history.push(HistoryRow {
                installed_rank: number(row, 1),
                key: text(row, 2).to_owned(),
                kind: Kind::of_word(text(row, 3)),
                version: row[4].as_deref().and_then(|version| version.parse().ok()),
                description: text(row, 5).to_owned(),
                file: text(row, 6).to_owned(),
                checksum: text(row, 7).to_owned(),
            });
        }
    }
    for row in rows(sets, 1) {
        let outside = row[8].as_ref().map(|_| text(row, 9).to_owned());
        let partial = Partial {
            history: text(row, 0).to_owned(),
            key: text(row, 2).to_owned(),
            run_uid: text(row, 3).to_owned(),
            statement: usize::try_from(number(row, 4)).unwrap_or(0),
            since: timestamp(row[5].as_deref()),
            checksum: text(row, 6).to_owned(),
            undoing: text(row, 7) == "Undoing",
        };
        record.take_half(Half { rank: number(row, 1), outside }, partial);
    }
    for row in rows(sets, 2) {
        record.next_rank.insert(text(row, 0).to_owned(), number(row, 1));
    }
    record
}

/// A point in time from microseconds since 1970.
pub(super) fn timestamp(microseconds: Option<&str>) -> Option<Timestamp> {
    Timestamp::from_microsecond(microseconds?.parse().ok()?).ok()
}

fn rows(sets: &[Set], index: usize) -> impl Iterator<Item = &Vec<Option<String>>> {
    sets.get(index).into_iter().flat_map(|set| &set.rows)
}

fn text(row: &[Option<String>], column: usize) -> &str {
    row[column].as_deref().unwrap_or_default()
}

fn number(row: &[Option<String>], column: usize) -> u64 {
    text(row, column).parse().unwrap_or(0)
}
