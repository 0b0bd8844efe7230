//! The journal: what is written before, with and after the statements of a script.

use super::own::{About, Commit, Own, exactly_one};
use super::packstream::Value;
use super::peer;
use super::session::{Neo4jSession, Of};
use crate::engine::ScriptFailure;
use crate::script::{HistoryRow, Kind, Script};

// Every change of the schema makes the server forget how to run all of these. To find that out again takes it ten times as
// long as to do it, and the longer the more they say: what can be a parameter as a whole is one.

/// Begins a script. `live` is unique, so a second beginning of a versioned script is refused by the server itself.
const OPEN: &str = "CREATE (s:__WhimbrelScript) SET s = $entry, s.startedAt = timestamp()";

/// The one entry that a session is about; `live` finds it, and the rank says that it is the same one.
const MOVE: &str = concat!(
    "MATCH (s:__WhimbrelScript {live: $live}) WHERE s.rank = $rank AND s.state = 'Started' \
    AND s.statement = $from SET s.statement = $to, s.outside = $outside, s.before = $before ",
    exactly_one!("s")
);

const CLOSE: &str = concat!(
    "MATCH (s:__WhimbrelScript {live: $live}) WHERE s.rank = $rank AND s.state = 'Started' SET s += $end, s.at = timestamp() ",
    exactly_one!("s")
);

const FORGET: &str = concat!(
    "MATCH (s:__WhimbrelScript {live: $live}) WHERE s.rank = $rank AND s.state = 'Started' \
    AND s.statement = 0 DELETE s ",
    exactly_one!("s")
);

/// An undone entry stays, for people; without `live` the script may be begun again.
const UNDONE: &str = concat!(
    "MATCH (s:__WhimbrelScript {live: $live}) WHERE s.rank = $rank AND s.state IN ['Started', 'Applied'] \
    SET s.state = 'Undone', s.at = timestamp(), s.outside = 0, s.before = '' REMOVE s.live ",
    exactly_one!("s")
);

/// All of them.
pub(super) const OWN: [&str; 5] = [OPEN, MOVE, CLOSE, FORGET, UNDONE];

/// What makes an entry the only one: a repeatable script has one for each of its runs.
fn live(history: &str, script: &Script, rank: u64) -> String {
    match script.kind {
        Kind::Versioned => format!("{history}/{}", script.key),
        Kind::Repeatable => format!("{history}/{}/{rank}", script.key),
    }
}

impl Neo4jSession {
    /// Says that a script begins; `outside` as in [`Self::moves`].
    pub(super) fn open<'a>(&self, of: Of<'a>, outside: Option<(usize, &str)>) -> Own<'a> {
        let text = |text: &str| Value::text(text);
        let version =
            of.kept.version.as_ref().map_or(Value::Null, |version| Value::text(version.to_string()));
        let (at, before) = outside.unwrap_or_default();
        let entry = Value::map([
            ("history", text(of.history)),
            ("rank", Value::number(of.rank)),
            ("key", text(&of.kept.key)),
            ("kind", text(of.kept.kind.word())),
            ("version", version),
            ("description", text(&of.kept.description)),
            ("file", text(&of.kept.file)),
            ("checksum", text(&of.kept.checksum)),
            ("body", if of.kept.kind == Kind::Repeatable { text(&of.kept.body) } else { Value::Null }),
            ("state", text("Started")),
            ("run", text(&self.fence.run_uid)),
            ("statement", Value::number(0)),
            ("outside", Value::number(at as u64)),
            ("before", text(before)),
            ("at", Value::number(0)),
            ("live", Value::text(live(of.history, of.kept, of.rank))),
        ]);
        Own { query: OPEN, parameters: Value::map([("entry", entry)]), about: About::NewEntry(of.kept) }
    }

    /// Moves the cursor; `outside` is the statement that is about to run elsewhere, and what was there before it.
    pub(super) fn moves<'a>(
        &self,
        of: Of<'a>,
        from: usize,
        to: usize,
        outside: Option<(usize, &str)>,
    ) -> Own<'a> {
        let number = |n: usize| Value::number(n as u64);
        let (at, before) = outside.unwrap_or_default();
        let parameters = Value::map([
            ("live", Value::text(live(of.history, of.kept, of.rank))),
            ("rank", Value::number(of.rank)),
            ("from", number(from)),
            ("to", number(to)),
            ("outside", number(at)),
            ("before", Value::text(before)),
        ]);
        Own { query: MOVE, parameters, about: About::Entry(of.kept) }
    }

    /// Moves the cursor in a transaction of its own.
    pub(super) async fn move_alone(
        &mut self,
        of: Of<'_>,
        from: usize,
        to: usize,
        outside: Option<(usize, &str)>,
    ) -> Result<(), ScriptFailure> {
        let moves = vec![self.moves(of, from, to, outside)];
        self.alone(moves, journal(of, &format!("{}: journal", of.kept.file))).await?;
        let outside = outside.map(|(_, before)| before.to_owned());
        self.record.known.moved(of.history, &of.kept.key, to, outside);
        Ok(())
    }

    /// Says in the journal and in its history that a script is done, up to its statement `last`.
    pub(super) fn close<'a>(&self, of: Of<'a>, last: usize) -> Vec<Own<'a>> {
        let end = Value::map([
            ("state", Value::text("Applied")),
            ("statement", Value::number(last as u64)),
            ("outside", Value::number(0)),
            ("before", Value::text("")),
        ]);
        let parameters = Value::map([
            ("live", Value::text(live(of.history, of.kept, of.rank))),
            ("rank", Value::number(of.rank)),
            ("end", end),
        ]);
        let mut all = vec![Own { query: CLOSE, parameters, about: About::Entry(of.kept) }];
        if self.is_peers(of.history) {
            let took = u64::try_from(of.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let user = &self.connection.server.user;
            let writes = peer::record(&self.record.chain, of.kept, user, took).unwrap_or_default();
            all.extend(writes.into_iter().map(|write| chained(of, write)));
        }
        all
    }

    /// Says that a script is taken back.
    pub(super) fn undone<'a>(&self, of: Of<'a>, was_applied: bool) -> Vec<Own<'a>> {
        let mut all = vec![Own { query: UNDONE, parameters: entry(of), about: About::Entry(of.kept) }];
        if was_applied && self.is_peers(of.history) {
            all.extend(peer::remove(of.kept).map(|write| chained(of, write)));
        }
        all
    }

    /// Forgets a script of which nothing has happened.
    pub(super) async fn forget(&mut self, of: Of<'_>) -> Result<(), ScriptFailure> {
        let forget = vec![Own { query: FORGET, parameters: entry(of), about: About::Entry(of.kept) }];
        self.alone(forget, journal(of, &format!("{}: journal", of.kept.file))).await?;
        self.record.forget(of.history, of.rank);
        Ok(())
    }

    /// The script is begun, as far as this session knows.
    pub(super) fn noted(&mut self, of: Of<'_>) {
        self.record.known.begun(of.history, of.kept, of.rank, &self.fence.run_uid);
    }

    /// The script is applied, as far as this session knows.
    pub(super) fn settled(&mut self, of: Of<'_>) -> HistoryRow {
        let row = self.row(of);
        self.record.applied(of.history, of.rank, row.clone());
        if self.is_peers(of.history) {
            self.record.chain.ran(of.kept, &row.checksum);
            let Self { settings, record, .. } = self;
            // It ran last: it is the last row of every history that is the chain.
            for other in settings.peers().filter(|it| it.name != of.history) {
                record.known.histories.entry(other.name.clone()).or_default().push(row.clone());
            }
        }
        row
    }

    /// All histories of the peer's format are its one chain. While we hold its lock nobody else writes to it, and the
    /// statement that does compares what it finds.
    pub(super) fn of_one_chain(&mut self) {
        let rows = self.record.chain.rows();
        let Self { settings, record, .. } = self;
        for history in settings.peers() {
            record.known.histories.insert(history.name.clone(), rows.clone());
        }
    }
}

/// What finds a journal entry.
fn entry(of: Of<'_>) -> Value {
    Value::map([("live", Value::text(live(of.history, of.kept, of.rank))), ("rank", Value::number(of.rank))])
}

fn chained<'a>(of: Of<'a>, write: peer::Write) -> Own<'a> {
    Own { query: write.query, parameters: write.parameters, about: About::Chain(of.kept) }
}

fn journal<'a>(of: Of<'a>, what: &'a str) -> Commit<'a> {
    Commit { what, file: &of.kept.file }
}
