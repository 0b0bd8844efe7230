//! What an engine is told and what it saw, in words that hold for every engine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ClaimSeen;
use crate::script::HistoryRow;

/// A database as seen from outside, nothing held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The server's version, as it says it: `15.20`.
    pub version: String,
    /// What makes this database this one: `<system identifier>/<database oid>`.
    pub identity: String,
    /// Identity plus what changes when the server's past does: `<identity>/<timeline>`.
    pub lineage: String,
    /// Rows per declared history, oldest first, undone ones left out.
    pub histories: BTreeMap<String, Vec<HistoryRow>>,
    /// Tables in which other tools keep their history, as `schema.table`.
    pub foreign_tables: Vec<String>,
    /// Nothing of a user is in it, Whimbrel's own tables not counted.
    pub empty: bool,
    /// Sessions that are neither ours nor ignored.
    pub sessions: Vec<ForeignSession>,
    /// Whether [`crate::engine::Engine::quiet`] can see everybody; if not, why, and what would help.
    pub quiet_provable: Result<(), String>,
    /// What does not stop a run but should be read.
    pub warnings: Vec<String>,
    /// The claim in the fence row, if a run holds the target.
    pub claim: Option<ClaimSeen>,
    /// Size of the database on disk.
    pub bytes: u64,
}

/// One sample of the silence at a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Sessions that are neither ours nor ignored.
    pub foreign: Vec<ForeignSession>,
    /// What could write without a session, or keeps the proof from being one; a sentence each.
    pub obstacles: Vec<String>,
    /// One digest over everything a write moves. Two equal marks: nobody has written between them. `None`: it could
    /// not be read, `obstacles` says why.
    pub mark: Option<String>,
}

/// Somebody else's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignSession {
    /// Process id at the server.
    pub pid: i32,
    /// Its role; `None` for a background worker or where we may not see it.
    pub user: Option<String>,
    /// What it calls itself; empty if nothing, or where we may not see it.
    pub application: String,
    /// Where it comes from; `None` for a local socket.
    pub address: Option<String>,
    /// `active`, `idle`, `idle in transaction` …
    pub state: Option<String>,
    /// `client backend`, `logical replication worker` …; `None` where we may not see it.
    pub backend_type: Option<String>,
    /// Connected since.
    pub since: Option<Timestamp>,
}

/// What a way back must bring back to its old value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Digest per declared history.
    pub histories: BTreeMap<String, String>,
    /// `<kind>=<digest>` per kind of catalogue object, with Neo4j also of the contents ([`structure_alone`]), joined by spaces: equal means the same structure, and where two
    /// differ the kind says where to look.
    pub structure: String,
}

/// What a restore of the database would meet, tried before any downtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreTrial {
    /// What makes a restore impossible, or loses something; a sentence each, with what would help. With one of them a
    /// restore is a person's affair.
    pub obstacles: Vec<String>,
    /// What does not stop it but should be read.
    pub warnings: Vec<String>,
}

/// What the restored copy must be before it is swapped in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Digest per history, as [`Proof::histories`] had them before the first script.
    pub histories: BTreeMap<String, String>,
    /// As [`Proof::structure`] had it; `None` compares nothing.
    pub structure: Option<String>,
    /// The write mark that the database must still have, as [`Quiet::mark`] was when its way back was decided: what is
    /// written while the copy is made would be lost. `None`: it may be.
    pub mark: Option<String>,
}

/// A structure without what Neo4j says of the contents at its end: an undo that keeps data brings the structure back and
/// leaves rows.
pub fn structure_alone(structure: &str) -> &str {
    structure.split(" counts=").next().unwrap_or(structure)
}

impl Stamp {
    /// What a copy has otherwise, a part of a sentence each.
    pub fn differences(&self, proof: &Proof) -> Vec<String> {
        let mut all = Vec::new();
        for (name, digest) in &self.histories {
            if proof.histories.get(name) != Some(digest) {
                all.push(format!("history {name} has other scripts"));
            }
        }
        let Some(structure) = &self.structure else { return all };
        let kinds = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (had, has) = (kinds(structure), kinds(&proof.structure));
        let differing =
            had.iter().filter(|kind| !has.contains(kind)).filter_map(|kind| kind.split('=').next());
        let differing = differing.collect::<Vec<_>>();
        if !differing.is_empty() {
            all.push(format!("its {} differ", differing.join(", ")));
        }
        all
    }
}

/// The database after its restored copy was swapped in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutBack {
    /// As [`Look::identity`]: the copy is another database than the one that it replaced.
    pub identity: String,
    /// The identity of the database that was replaced.
    pub replaced: String,
    /// The name under which the replaced one is kept, closed to connections.
    pub aside: String,
}

/// A script that was begun and is not in its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The history it belongs to.
    pub history: String,
    /// The script's key in it.
    pub key: String,
    /// The run that began it.
    pub run_uid: String,
    /// How many of its statements are known to be done.
    pub statement: usize,
    /// When it was begun.
    pub since: Option<Timestamp>,
    /// The script's checksum when it was begun.
    pub checksum: String,
    /// It is its undo that was begun.
    pub undoing: bool,
}

/// More rows than a check looks at; what is beyond is said, not kept.
pub(super) const MOST_ROWS: u16 = 1000;

/// The answer to a check's query, every value as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// At most 1000 rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// There were more rows than that.
    pub truncated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let histories = [("default".to_owned(), "sha256:1".to_owned())].into();
        let proof = Proof { histories, structure: "schemas=1 relations=2".to_owned() };
        let mut stamp = Stamp {
            histories: proof.histories.clone(),
            structure: Some(proof.structure.clone()),
            mark: None,
        };
        assert_eq!(stamp.differences(&proof), [""; 0]);
        stamp.histories.insert("other".to_owned(), "sha256:2".to_owned());
        stamp.structure = Some("schemas=1 relations=3".to_owned());
        assert_eq!(stamp.differences(&proof), ["history other has other scripts", "its relations differ"]);
        stamp = Stamp::default();
        assert_eq!(stamp.differences(&proof), [""; 0]);
    }
}
