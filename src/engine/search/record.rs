//! Histories and journal, read from the target.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::peer::Protocol;
use super::settings::Kept;
use super::store::{INDEX, Version};
use crate::engine::{EngineError, Partial};
use crate::script::http::JAVA;
use crate::script::{HistoryRow, Kind};

/// Where a script stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Begun and not finished.
    Started,
    /// In its history.
    Applied,
    /// Its undo was begun and not finished.
    Undoing,
    /// Taken back, or begun and nothing of it is there.
    Undone,
}

/// A script in our journal, which is its row too where the history is our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) kind: String,
    pub(super) history: String,
    pub(super) key: String,
    pub(super) version: Option<crate::script::Version>,
    pub(super) description: String,
    pub(super) file: String,
    /// Our own checksum.
    pub(super) checksum: String,
    /// That of elasticsearch-evolution.
    pub(super) java: i32,
    pub(super) rank: u64,
    pub(super) state: State,
    pub(super) run_uid: String,
    pub(super) token: u64,
    /// How many requests are done, of the script or of its undo.
    pub(super) done: usize,
    /// How many of the script were done when its undo began; `None`: all.
    pub(super) part: Option<usize>,
    /// The request that is under way, or whose answer never came.
    pub(super) sent: Option<Sent>,
    pub(super) at: Timestamp,
}

/// A request, from before it is sent until its answer is understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) number: usize,
    /// Its X-Opaque-Id.
    pub(super) opaque: String,
    /// The task that it started, once that is known.
    pub(super) task: Option<String>,
    /// Whether what it makes or takes away was there before it.
    pub(super) before: Option<bool>,
    /// How often it was sent.
    pub(super) tries: u32,
}

/// In our index, the kind of an [`Entry`].
pub(super) const SCRIPT: &str = "script";

/// What the histories and the journal say.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) histories: BTreeMap<String, Vec<HistoryRow>>,
    pub(super) entries: BTreeMap<(String, String), (Version, Entry)>,
    /// An entry as the next write will have it: a script whose first request says that it is begun, or whose end says that
    /// its last request is done.
    pub(super) ahead: Option<Entry>,
    /// The end of a script that is in another tool's history already, which is the truth. Nothing waits for ours: it is written
    /// beside what the next script asks first, or when the session leaves.
    pub(super) owed: Option<Entry>,
    pub(super) partial: Vec<Partial>,
    /// What another tool recorded as failed, by history and key.
    pub(super) failed: BTreeMap<(String, String), Protocol>,
}

impl Entry {
    pub(super) fn id(history: &str, key: &str) -> String {
        format!("{SCRIPT}:{history}:{key}")
    }

    fn place(&self) -> (String, String) {
        (self.history.clone(), self.key.clone())
    }
}

impl Record {
    /// The rank of the next row of a history; above every one that ever was.
    pub(super) fn next_rank(&self, history: &str) -> u64 {
        let of =
            self.entries.values().filter(|(_, entry)| entry.history == history).map(|(_, entry)| entry.rank);
        let rows = self.histories.get(history).into_iter().flatten().map(|row| row.installed_rank);
        of.chain(rows).max().unwrap_or(0) + 1
    }

    /// As it is in the target, or will be with the next write.
    pub(super) fn entry(&self, history: &str, key: &str) -> Option<&Entry> {
        let unwritten = [&self.ahead, &self.owed].into_iter().flatten();
        let unwritten = unwritten.into_iter().find(|entry| entry.history == history && entry.key == key);
        unwritten.or_else(|| Some(&self.entries.get(&(history.to_owned(), key.to_owned()))?.1))
    }

    /// The version over which the entry is written.
    pub(super) fn version(&self, entry: &Entry) -> Option<Version> {
        self.entries.get(&entry.place()).map(|(version, _)| *version)
    }

    /// Notes what was written.
    pub(super) fn wrote(&mut self, version: Version, entry: Entry, run_uid: &str) {
        for unwritten in [&mut self.ahead, &mut self.owed] {
            unwritten.take_if(|it| it.place() == entry.place());
        }
        self.entries.insert(entry.place(), (version, entry));
        self.look_for_partial(run_uid);
    }

    /// The end that a session did not come to say, of a script that another tool's history has, or has no more: that is the
    /// truth, and what a run writes to it is the last of a script and of an undo. There is one at most.
    fn unsaid(&self, history: &str) -> Option<Entry> {
        let row = |entry: &Entry| self.histories.get(history)?.iter().find(|row| row.key == entry.key);
        let state = |entry: &Entry| match (entry.state, row(entry)) {
            (State::Started, Some(row)) if row.checksum == entry.checksum => Some(State::Applied),
            (State::Undoing, None) if entry.part.is_none() => Some(State::Undone),
            _ => None,
        };
        let mut of = self.entries.values().map(|(_, entry)| entry).filter(|entry| entry.history == history);
        of.find_map(|entry| {
            let done = entry.sent.as_ref().map_or(entry.done, |sent| sent.number.max(entry.done));
            Some(Entry { state: state(entry)?, done, sent: None, ..entry.clone() })
        })
    }

    /// Takes what is half done out of the entries again, after one of them changed.
    pub(super) fn look_for_partial(&mut self, run_uid: &str) {
        let histories = &self.histories;
        let owed = |entry: &Entry| self.owed.as_ref().is_some_and(|owed| owed.place() == entry.place());
        let row = |entry: &Entry| {
            let rows = histories.get(&entry.history)?;
            rows.iter().find(|row| row.key == entry.key)
        };
        let entries = self.entries.values().map(|(_, entry)| entry).filter(|entry| !owed(entry));
        self.partial = entries.filter_map(|entry| half(entry, row(entry), run_uid)).collect();
        self.partial.sort_by_key(|half| half.since);
    }
}

/// An entry that is begun and in no history. An undo that our own run has begun is gone on with: of a whole script it is
/// still in its history, and of a part the part is still there.
fn half(entry: &Entry, row: Option<&HistoryRow>, run_uid: &str) -> Option<Partial> {
    let ours = entry.run_uid == run_uid;
    let undoing = match entry.state {
        State::Started if row.is_none() => false,
        State::Undoing if !ours => true,
        State::Undoing if entry.part.is_some() => false,
        _ => return None,
    };
    Some(Partial {
        history: entry.history.clone(),
        key: entry.key.clone(),
        run_uid: entry.run_uid.clone(),
        statement: entry.part.unwrap_or(entry.done),
        since: Some(entry.at),
        checksum: entry.checksum.clone(),
        undoing,
    })
}

impl Client {
    /// Reads everything. Evidence only under the lease.
    pub(super) async fn record(&self, run_uid: &str) -> Result<Record, EngineError> {
        let mut record = Record::default();
        let entries: Vec<(Version, String, Entry)> = match self.has_index(INDEX).await? {
            true => self.find(INDEX, json!({"term": {"kind": SCRIPT}})).await?,
            false => Vec::new(),
        };
        for (version, _, entry) in entries {
            record.entries.insert(entry.place(), (version, entry));
        }
        for history in &self.settings.histories {
            let rows = match &history.kept {
                Kept::Own => own_rows(&record, &history.name),
                Kept::Evolution { index } => {
                    let rows = self.peer_rows(index).await?;
                    for failed in rows.failed {
                        record.failed.insert((history.name.clone(), failed.version.clone()), failed);
                    }
                    rows.applied
                        .into_iter()
                        .map(|row| with_our_checksum(row, &record, &history.name))
                        .collect()
                }
            };
            record.histories.insert(history.name.clone(), rows);
        }
        let mut peers = self.settings.histories.iter().filter(|history| history.kept != Kept::Own);
        record.owed = peers.find_map(|history| record.unsaid(&history.name));
        record.look_for_partial(run_uid);
        Ok(record)
    }
}

/// What is applied, and what of it is being taken back.
fn own_rows(record: &Record, history: &str) -> Vec<HistoryRow> {
    let whole = |entry: &Entry| {
        entry.state == State::Applied || (entry.state == State::Undoing && entry.part.is_none())
    };
    let mut rows: Vec<HistoryRow> = record
        .entries
        .values()
        .filter(|(_, entry)| entry.history == history && whole(entry))
        .map(|(_, entry)| HistoryRow {
            key: entry.key.clone(),
            version: entry.version.clone(),
            kind: Kind::Versioned,
            description: entry.description.clone(),
            checksum: entry.checksum.clone(),
            file: entry.file.clone(),
            installed_rank: entry.rank,
        })
        .collect();
    rows.sort_by_key(|row| row.installed_rank);
    rows
}

/// A row of the other tool that we wrote has our checksum too, and 32 bits are no proof.
fn with_our_checksum(mut row: HistoryRow, record: &Record, history: &str) -> HistoryRow {
    if let Some(entry) = record.entry(history, &row.key)
        && entry.state != State::Undone
        && format!("{JAVA}{}", entry.java) == row.checksum
    {
        row.checksum = entry.checksum.clone();
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(state: State, run_uid: &str, part: Option<usize>) -> Entry {
        Entry {
            kind: SCRIPT.to_owned(),
            history: "default".to_owned(),
            key: "1".to_owned(),
            version: "1".parse().ok(),
            description: "a".to_owned(),
            file: "V1__a.http".to_owned(),
            checksum: "sha256:1".to_owned(),
            java: 7,
            rank: 3,
            state,
            run_uid: run_uid.to_owned(),
            token: 1,
            done: 2,
            part,
            sent: None,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn record(entry: Entry) -> Record {
        let version = Version { seq_no: 1, term: 1 };
        let mut record = Record::default();
        record.entries.insert(entry.place(), (version, entry));
        let rows = own_rows(&record, "default");
        record.histories.insert("default".to_owned(), rows);
        record.look_for_partial("ours");
        record
    }

    fn shown(record: &Record) -> (usize, Vec<(usize, bool)>) {
        let partial = record.partial.iter().map(|half| (half.statement, half.undoing)).collect();
        (record.histories["default"].len(), partial)
    }

    #[test]
    fn what_counts_as_applied_and_what_as_half_done() {
        assert_eq!(shown(&record(entry(State::Started, "ours", None))), (0, vec![(2, false)]));
        assert_eq!(shown(&record(entry(State::Applied, "other", None))), (1, vec![]));
        assert_eq!(shown(&record(entry(State::Undone, "ours", None))), (0, vec![]));
        // An undo of ours goes on: the script is still in its history.
        assert_eq!(shown(&record(entry(State::Undoing, "ours", None))), (1, vec![]));
        assert_eq!(shown(&record(entry(State::Undoing, "other", None))), (1, vec![(2, true)]));
        // Of a part, the part is still there.
        assert_eq!(shown(&record(entry(State::Undoing, "ours", Some(4)))), (0, vec![(4, false)]));
        assert_eq!(record(entry(State::Undone, "ours", None)).next_rank("default"), 4);
        assert_eq!(Record::default().next_rank("default"), 1);
    }

    #[test]
    fn what_is_only_ahead_is_seen_and_not_half_done() {
        let mut record = Record { ahead: Some(entry(State::Started, "ours", None)), ..Record::default() };
        record.look_for_partial("ours");
        let begun = record.entry("default", "1").cloned().unwrap();
        assert_eq!((record.partial.len(), record.version(&begun)), (0, None));
        assert_eq!(record.entry("default", "2"), None);

        let version = Version { seq_no: 7, term: 1 };
        record.wrote(version, Entry { done: 1, ..begun.clone() }, "ours");
        assert_eq!(record.entry("default", "1").map(|entry| entry.done), Some(1));
        assert_eq!((record.partial.len(), record.version(&begun), &record.ahead), (1, Some(version), &None));
    }

    #[test]
    fn an_end_that_is_owed_is_seen_until_it_is_written() {
        let begun = entry(State::Started, "ours", None);
        let mut record = record(begun.clone());
        record.owed = Some(Entry { state: State::Applied, ..begun.clone() });
        let state = |record: &Record| record.entry("default", "1").map(|entry| entry.state);
        assert_eq!(state(&record), Some(State::Applied));
        let version = Version { seq_no: 7, term: 1 };
        record.wrote(version, Entry { key: "2".to_owned(), ..begun.clone() }, "ours");
        assert!(record.owed.is_some(), "another script's write is not it");
        record.wrote(version, Entry { state: State::Undoing, ..begun }, "ours");
        assert_eq!(
            (record.owed.is_some(), state(&record)),
            (false, Some(State::Undoing)),
            "its own is, or overtakes it"
        );
    }

    #[test]
    fn an_end_that_was_not_said_is_what_the_other_tools_history_says() {
        let end = |begun: Entry, in_history: bool| {
            let mut record = record(begun.clone());
            let row = own_rows(&self::record(entry(State::Applied, "ours", None)), "default");
            record.histories.insert("default".to_owned(), if in_history { row } else { Vec::new() });
            record.owed = record.unsaid("default");
            record.look_for_partial("another run");
            (record.owed.map(|owed| (owed.state, owed.done)), record.partial.len())
        };
        let sent = Sent { number: 3, opaque: String::new(), task: None, before: None, tries: 1 };
        let begun = |state, part| Entry { sent: Some(sent.clone()), ..entry(state, "ours", part) };
        assert_eq!(end(begun(State::Started, None), true), (Some((State::Applied, 3)), 0));
        assert_eq!(end(begun(State::Undoing, None), false), (Some((State::Undone, 3)), 0));
        assert_eq!(end(entry(State::Started, "ours", None), true), (Some((State::Applied, 2)), 0));
        // Half done, or somebody else's row.
        assert_eq!(end(begun(State::Started, None), false), (None, 1));
        assert_eq!(end(begun(State::Undoing, None), true), (None, 1));
        assert_eq!(end(begun(State::Undoing, Some(1)), false), (None, 1));
        let other = Entry { checksum: "sha256:2".to_owned(), ..begun(State::Started, None) };
        assert_eq!(end(other, true), (None, 0));
    }

    #[test]
    fn a_row_of_the_other_tool_that_we_wrote_has_our_checksum() {
        let row = |checksum: &str| HistoryRow {
            key: "1".to_owned(),
            version: "1".parse().ok(),
            kind: Kind::Versioned,
            description: String::new(),
            checksum: checksum.to_owned(),
            file: String::new(),
            installed_rank: 1,
        };
        let record = record(entry(State::Applied, "ours", None));
        assert_eq!(with_our_checksum(row("java:7"), &record, "default").checksum, "sha256:1");
        assert_eq!(with_our_checksum(row("java:8"), &record, "default").checksum, "java:8");
        assert_eq!(with_our_checksum(row("java:7"), &record, "another").checksum, "java:7");
    }
}
