//! What a simulated server keeps of one database, and how it is told to answer.

use std::collections::BTreeMap;
use whimbrel::script::HistoryRow;

/// The server's side of one database.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// The token in the fence row; it only grows.
    pub token: u64,
    /// The run that claims it.
    pub claim: Option<String>,
    /// The session that holds the lock.
    pub lock: Option<u64>,
    /// Sessions of ours: whether the client still holds the other end, and whether a statement runs.
    pub sessions: BTreeMap<u64, ServerSession>,
    /// Effective rows in applied order.
    pub history: Vec<HistoryRow>,
    /// How often each script's effect is there: more than once is the worst thing that can happen.
    pub effects: BTreeMap<String, i64>,
    /// Rows that others wrote at any time.
    pub foreign_writes: u64,
    /// Of these, the ones that fell between two ops of the run: those can be noticed.
    pub noticeable_writes: u64,
    /// Rows that others wrote while a workload was up: an undo that drops these loses what users were promised.
    pub users_writes: u64,
    /// Rows that an undo dropped although others had written.
    pub lost_writes: u64,
    /// Numbers the sessions.
    pub next_session: u64,
    /// Scripts of which nobody can say whether they happened: there is a journal entry and no history row.
    pub partial: Vec<String>,
    /// What the run's backup holds.
    pub backup: Option<Data>,
    /// The run whose swap has closed it.
    pub closed: Option<String>,
    /// That swap was to be refused had somebody written since Weigh.
    pub marked: bool,
    /// What was there before the backup took its place.
    pub aside: Option<Data>,
    /// Scripts without a transaction that were begun, by key.
    pub journal: BTreeMap<String, Entry>,
    /// How often each of their statements happened, by key and number.
    pub statements: BTreeMap<(String, usize), u64>,
}

/// Where a script without a transaction stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its statements up to this one are done.
    pub done: usize,
    /// The next one was sent outside of a transaction.
    pub outside: bool,
    /// Its checksum.
    pub checksum: String,
}

/// What a backup holds of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    pub history: Vec<HistoryRow>,
    pub effects: BTreeMap<String, i64>,
    pub statements: BTreeMap<(String, usize), u64>,
    pub foreign_writes: u64,
    pub noticeable_writes: u64,
}

impl Database {
    /// What a backup taken now would hold.
    pub fn data(&self) -> Data {
        Data {
            history: self.history.clone(),
            effects: self.effects.clone(),
            statements: self.statements.clone(),
            foreign_writes: self.foreign_writes,
            noticeable_writes: self.noticeable_writes,
        }
    }

    /// A backup takes the place of what is there, stamped with a token and a claim.
    pub fn put_back(&mut self, copy: Data, token: u64, run_uid: &str) {
        self.aside = Some(self.data());
        self.closed = None;
        self.sessions.clear();
        self.lock = None;
        self.partial.clear();
        self.journal.clear();
        (self.token, self.claim) = (token, Some(run_uid.to_owned()));
        (self.history, self.effects, self.statements) = (copy.history, copy.effects, copy.statements);
        (self.foreign_writes, self.noticeable_writes) = (copy.foreign_writes, copy.noticeable_writes);
    }

    /// The write mark.
    pub fn mark(&self) -> String {
        format!("{}/{}", self.foreign_writes, self.history.len())
    }
}

/// One session of ours at the server.
#[derive(Clone, Debug)]
pub struct ServerSession {
    /// The client still holds it.
    pub client: bool,
    /// A statement runs.
    pub running: bool,
}

/// How a database answers scripts, by key.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Scripts that fail.
    pub fails: Vec<String>,
    /// Undos that fail.
    pub undo_fails: Vec<String>,
    /// Scripts whose outcome nobody knows, as on an engine without transactions: a part of them is there. Of a script
    /// without a transaction: nothing tells whether the statement outside of one happened, once its answer is lost.
    pub unknown: Vec<String>,
    /// Undos whose outcome nobody knows.
    pub undo_unknown: Vec<String>,
    /// Why a backup can't be put back by itself.
    pub no_restore: Option<String>,
}

/// How the server answers one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Fails,
    Unknown,
}

impl Behaviour {
    pub fn to_apply(&self, key: &String) -> Answer {
        answer(&self.fails, &self.unknown, key)
    }

    pub fn to_undo(&self, key: &String) -> Answer {
        answer(&self.undo_fails, &self.undo_unknown, key)
    }
}

fn answer(fails: &[String], unknown: &[String], key: &String) -> Answer {
    match (fails.contains(key), unknown.contains(key)) {
        (true, _) => Answer::Fails,
        (false, true) => Answer::Unknown,
        (false, false) => Answer::Done,
    }
}
