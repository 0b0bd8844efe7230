//! The names of the databases that a restore makes, and the comment by which each is known as ours.
//!
//! The restore's Job makes a copy *beside* the original; the swap puts the original *aside*. PostgreSQL cuts names at 63
//! bytes, so the original's name is in them as a hash and in the comment as it is.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of the copy that run number `run` of a plan restores beside `database`.
pub fn beside(database: &str, run: u64) -> String {
    format!("{}_n{run}", stem(database))
}

/// The name under which run number `run` of a plan puts `database` aside when it swaps the copy in.
pub fn aside(database: &str, run: u64) -> String {
    format!("{}_r{run}", stem(database))
}

/// The names that the trial's probe database has, before and after it was renamed.
pub(super) fn probe(database: &str, run: u64) -> [String; 2] {
    [format!("{}_t{run}", stem(database)), format!("{}_u{run}", stem(database))]
}

fn stem(database: &str) -> String {
    format!("wb_{}", &hex::encode(Sha256::digest(database))[..8])
}

/// Where to connect when the database itself must be empty of sessions, in the order in which they are tried.
pub fn maintenance(database: &str) -> impl Iterator<Item = &'static str> {
    ["postgres", "template1"].into_iter().filter(move |name| *name != database)
}

/// The number of the advisory lock in the maintenance database under which `database` is restored and swapped: one at
/// a time, whether Job or driver.
pub fn lock(database: &str) -> i64 {
    let digest = Sha256::digest(format!("whimbrel restore {database}"));
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// What the comment of a database of ours says, as JSON. Only a database that says so is ever dropped or swapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    /// What the database is.
    pub whimbrel: Stage,
    /// The name of the original.
    pub database: String,
    /// Uid of the run's record.
    pub run_uid: String,
    /// Number of the run.
    pub run: u64,
    /// SHA-256 of the backup's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The comment that the copy gets when it has the original's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The epoch that closed the original, from [`Stage::Swapping`] on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// Of a database that was put aside: the oid of the one that has its name now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<u32>,
}

/// What a database of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// A copy that is not complete.
    Restoring,
    /// A complete copy, proven equal to the backup.
    Restored,
    /// A complete copy whose original was closed so that it can be swapped in.
    Swapping,
    /// The original, put aside.
    Aside,
    /// The trial's own; holds nothing.
    Probe,
}

impl Label {
    /// Reads a database's comment; `None` if it is not one of ours.
    pub fn read(comment: &str) -> Option<Self> {
        serde_json::from_str(comment).ok()
    }

    /// The comment.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a label has only strings and numbers")
    }

    /// Whether this run made it for this database.
    pub fn is_of(&self, database: &str, run_uid: &str) -> bool {
        self.database == database && self.run_uid == run_uid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let long = "d".repeat(63);
        let [probe, renamed] = probe(&long, u64::MAX);
        let names = [beside(&long, u64::MAX), aside(&long, u64::MAX), probe, renamed];
        assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert_eq!(beside("tas's", 7), "wb_8f7c02b5_n7");
        assert_eq!(aside("tas's", 7), "wb_8f7c02b5_r7");
    }

    #[test]
    fn the_database_to_be_swapped_is_never_the_one_that_is_worked_from() {
        assert_eq!(maintenance("tas").collect::<Vec<_>>(), ["postgres", "template1"]);
        assert_eq!(maintenance("postgres").collect::<Vec<_>>(), ["template1"]);
    }

    #[test]
    fn a_comment_of_somebody_is_no_label() {
        let label = Label {
            whimbrel: Stage::Restored,
            database: "tas".to_owned(),
            run_uid: "5c1e".to_owned(),
            run: 7,
            backup: Some("ab".to_owned()),
            comment: None,
            token: None,
            replaced_by: None,
        };
        assert_eq!(
            label.text(),
            r#"{"whimbrel":"restored","database":"tas","runUid":"5c1e","run":7,"backup":"ab"}"#
        );
        assert_eq!(Label::read(&label.text()), Some(label));
        for comment in ["", "the tas database", "{}", r#"{"whimbrel":"released"}"#] {
            assert_eq!(Label::read(comment), None);
        }
    }
}
