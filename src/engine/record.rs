//! What a session knows of its target's histories and journal: read when it goes in, kept up to date by what it does.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Partial, ScriptFailure};
use crate::script::{HistoryRow, Kind, Script};

/// What the histories and the journal say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) histories: BTreeMap<String, Vec<HistoryRow>>,
    pub(super) partial: Vec<Partial>,
    /// What only we need to know of each partial script, in the order of `partial`.
    halves: Vec<Half>,
    /// The rank that the next row of each history gets; above every row that ever was, undone ones too.
    pub(super) next_rank: BTreeMap<String, u64>,
}

/// Of a script that was begun and is not in its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) rank: u64,
    /// The statement at the cursor was sent outside of our transactions; what was there before it.
    pub(super) outside: Option<String>,
}

impl Record {
    /// Declared histories without a row are there and empty.
    pub(super) fn declared<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut record = Self::default();
        for name in names {
            record.histories.insert(name.to_owned(), Vec::new());
            record.next_rank.insert(name.to_owned(), 1);
        }
        record
    }

    /// Takes in a script that the journal says was begun.
    pub(super) fn take_half(&mut self, half: Half, partial: Partial) {
        self.halves.push(half);
        self.partial.push(partial);
    }

    /// A script was begun by `run_uid` just now.
    pub(super) fn begun(&mut self, history: &str, script: &Script, rank: u64, run_uid: &str) {
        let partial = Partial {
            history: history.to_owned(),
            key: script.key.clone(),
            run_uid: run_uid.to_owned(),
            statement: 0,
            since: None,
            checksum: script.checksum.clone(),
            undoing: false,
        };
        self.take_half(Half { rank, outside: None }, partial);
    }

    fn at(&self, history: &str, key: &str) -> Option<usize> {
        self.partial.iter().position(|half| half.history == history && half.key == key)
    }

    /// What is known of a script that was begun and is not in its history.
    pub(super) fn half(&self, history: &str, key: &str) -> Option<&Half> {
        self.halves.get(self.at(history, key)?)
    }

    /// How many of its statements are done.
    pub(super) fn done(&self, history: &str, key: &str) -> usize {
        self.at(history, key).map_or(0, |at| self.partial[at].statement)
    }

    /// The cursor of a partial script, as it is in the journal now.
    pub(super) fn moved(&mut self, history: &str, key: &str, done: usize, outside: Option<String>) {
        if let Some(at) = self.at(history, key) {
            self.partial[at].statement = done;
            self.halves[at].outside = outside;
        }
    }

    /// The rank of a script's next row, unless the history says that it must not run.
    pub(super) fn admit(&self, history: &str, script: &Script) -> Result<u64, ScriptFailure> {
        let Some(rows) = self.histories.get(history) else {
            return Err(ScriptFailure::drift(script, format!("history {history} is not declared")));
        };
        if script.kind == Kind::Versioned && rows.iter().any(|row| row.key == script.key) {
            return Err(ScriptFailure::drift(script, "it is applied already"));
        }
        if let Some(at) = self.at(history, &script.key) {
            return Err(never_finished(script, &self.partial[at].run_uid));
        }
        Ok(self.next_rank.get(history).copied().unwrap_or(1))
    }

    /// The rank of a script that was begun, if the run `run_uid` may go on with it; `None`: it was not begun.
    pub(super) fn resume(
        &self,
        history: &str,
        script: &Script,
        run_uid: &str,
    ) -> Result<Option<u64>, ScriptFailure> {
        let Some(at) = self.at(history, &script.key) else { return Ok(None) };
        let Partial { run_uid: by, checksum, undoing, .. } = &self.partial[at];
        Begun { run_uid: by, checksum, undoing: *undoing }.goes_on(script, run_uid)?;
        Ok(Some(self.halves[at].rank))
    }

    /// Puts an applied script in.
    pub(super) fn applied(&mut self, history: &str, rank: u64, row: HistoryRow) {
        self.forget_half(history, rank);
        if let Some(rows) = self.histories.get_mut(history) {
            rows.push(row);
        }
        self.next_rank.insert(history.to_owned(), rank + 1);
    }

    /// Takes out what stood at `rank`.
    pub(super) fn forget(&mut self, history: &str, rank: u64) {
        if let Some(rows) = self.histories.get_mut(history) {
            rows.retain(|row| row.installed_rank != rank);
        }
        self.forget_half(history, rank);
    }

    fn forget_half(&mut self, history: &str, rank: u64) {
        let gone = |at: &usize| self.partial[*at].history == history && self.halves[*at].rank == rank;
        if let Some(at) = (0..self.partial.len()).find(gone) {
            self.partial.remove(at);
            self.halves.remove(at);
        }
    }

    /// A digest per history.
    pub(super) fn digests(&self) -> BTreeMap<String, String> {
        self.histories.iter().map(|(name, rows)| (name.clone(), digest(rows))).collect()
    }
}

/// What a journal says of a script that was begun.
pub(super) struct Begun<'a> {
    /// The run that began it.
    pub(super) run_uid: &'a str,
    /// The script's checksum then.
    pub(super) checksum: &'a str,
    /// It is its undo that was begun.
    pub(super) undoing: bool,
}

impl Begun<'_> {
    /// Whether the run `run_uid` may go on with `script`: only the run that has begun it, with the same text.
    pub(super) fn goes_on(&self, script: &Script, run_uid: &str) -> Result<(), ScriptFailure> {
        if self.run_uid != run_uid {
            return Err(never_finished(script, self.run_uid));
        }
        if self.undoing {
            return Err(ScriptFailure::drift(script, "its undo was begun and never finished"));
        }
        if self.checksum != script.checksum {
            let why =
                format!("it was begun with another text ({} then, {} now)", self.checksum, script.checksum);
            return Err(ScriptFailure::drift(script, why));
        }
        Ok(())
    }
}

fn never_finished(script: &Script, run_uid: &str) -> ScriptFailure {
    ScriptFailure::drift(script, format!("it was begun by run {run_uid} and never finished"))
}

/// What counts of a history: which scripts, with which text, in which order.
fn digest(rows: &[HistoryRow]) -> String {
    let mut digest = Sha256::new();
    for row in rows {
        for part in [&row.key, &row.checksum, &row.installed_rank.to_string()] {
            digest.update(part);
            digest.update([0]);
        }
    }
    format!("sha256:{}", hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Dialect, Layout, read_bundle};

    fn row(key: &str, rank: u64) -> HistoryRow {
        HistoryRow {
            key: key.to_owned(),
            version: None,
            kind: Kind::Versioned,
            description: "d".to_owned(),
            checksum: "sha256:1".to_owned(),
            file: "f".to_owned(),
            installed_rank: rank,
        }
    }

    fn script(text: &str) -> Script {
        let files = BTreeMap::from([("V1__a.sql".to_owned(), text.as_bytes().to_vec())]);
        read_bundle(files, Some(Layout::Flyway), Dialect::Postgresql)
            .expect("a good bundle")
            .scripts
            .remove(0)
    }

    fn said<T: std::fmt::Debug>(refused: Result<T, ScriptFailure>) -> String {
        refused.expect_err("refused").to_string()
    }

    #[test]
    fn a_history_without_its_last_row_is_what_it_was_before() {
        let before = digest(&[row("1", 1)]);
        assert_ne!(before, digest(&[row("1", 1), row("2", 2)]));
        assert_ne!(before, digest(&[row("1", 2)]));
        assert_eq!(before, digest(&[row("1", 1)]));
    }

    #[test]
    fn a_script_runs_once_and_only_the_run_that_began_it_goes_on() {
        let mut record = Record::declared(["default"].into_iter());
        let (first, edited) = (script("SELECT 1"), script("SELECT 2"));
        assert_eq!(
            said(record.admit("other", &first)),
            "V1__a.sql: history other is not declared (HistoryDrift)"
        );
        assert_eq!(
            (record.admit("default", &first), record.resume("default", &first, "a")),
            (Ok(1), Ok(None))
        );

        record.begun("default", &first, 1, "a");
        record.moved("default", "1", 2, Some("nothing".to_owned()));
        assert_eq!(record.done("default", "1"), 2);
        assert_eq!(record.half("default", "1").and_then(|half| half.outside.as_deref()), Some("nothing"));
        assert_eq!(record.resume("default", &first, "a"), Ok(Some(1)));
        let another = "V1__a.sql: it was begun by run a and never finished (HistoryDrift)";
        assert_eq!(said(record.admit("default", &first)), another);
        assert_eq!(said(record.resume("default", &first, "b")), another);
        assert_eq!(
            said(record.resume("default", &edited, "a")),
            format!(
                "V1__a.sql: it was begun with another text ({} then, {} now) (HistoryDrift)",
                first.checksum, edited.checksum
            )
        );
        record.partial[0].undoing = true;
        let undoing = "V1__a.sql: its undo was begun and never finished (HistoryDrift)";
        assert_eq!(said(record.resume("default", &first, "a")), undoing);

        record.applied("default", 1, HistoryRow::of(&first, 1));
        assert_eq!((record.partial.len(), record.half("default", "1")), (0, None));
        assert_eq!(said(record.admit("default", &first)), "V1__a.sql: it is applied already (HistoryDrift)");
        record.forget("default", 1);
        assert_eq!(record.admit("default", &first), Ok(2), "a rank is never given twice");
    }
}
