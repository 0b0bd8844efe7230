//! The journal: what is written before, with and after the statements of a script.

use super::packstream::Value;
use super::peer;
use super::session::{Neo4jSession, Of};
use super::settings::Format;
use crate::engine::ScriptFailure;
use crate::script::{HistoryRow, Kind, Script};

/// Begins a script. `live` is unique, so a second beginning of a versioned script is refused by the server itself.
const OPEN: &str = "CREATE (s:__WhimbrelScript {history: $history, rank: $rank, key: $key, kind: $kind, version: $version, \
    description: $description, file: $file, checksum: $checksum, body: $body, state: 'Started', run: $run, statement: 0, \
    outside: 0, before: '', startedAt: timestamp(), at: 0, live: $live})";

/// The one entry that a session is about; `live` finds it, and the rank says that it is the same one.
const MOVE: &str = "MATCH (s:__WhimbrelScript {live: $live}) WHERE s.rank = $rank AND s.state = 'Started' \
    AND s.statement = $from SET s.statement = $to, s.outside = $outside, s.before = $before RETURN count(s)";

const CLOSE: &str = "MATCH (s:__WhimbrelScript {live: $live}) WHERE s.rank = $rank AND s.state = 'Started' \
    SET s.state = 'Applied', s.at = timestamp(), s.outside = 0, s.before = '' RETURN count(s)";

const FORGET: &str = "MATCH (s:__WhimbrelScript {live: $live}) WHERE s.rank = $rank AND s.state = 'Started' \
    AND s.statement = 0 DELETE s RETURN count(s)";

/// An undone entry stays, for people; without `live` the script may be begun again.
const UNDONE: &str = "MATCH (s:__WhimbrelScript {live: $live}) WHERE s.rank = $rank AND s.state IN ['Started', 'Applied'] \
    SET s.state = 'Undone', s.at = timestamp(), s.outside = 0, s.before = '' REMOVE s.live RETURN count(s)";

/// What makes an entry the only one: a repeatable script has one for each of its runs.
fn live(history: &str, script: &Script, rank: u64) -> String {
    match script.kind {
        Kind::Versioned => format!("{history}/{}", script.key),
        Kind::Repeatable => format!("{history}/{}/{rank}", script.key),
    }
}

impl Neo4jSession {
    /// Writes the beginning of a script into the transaction that is open.
    pub(super) async fn open(&mut self, of: Of<'_>) -> Result<(), ScriptFailure> {
        let text = |text: &str| Value::text(text);
        let version =
            of.kept.version.as_ref().map_or(Value::Null, |version| Value::text(version.to_string()));
        let parameters = Value::map([
            ("history", text(of.history)),
            ("rank", Value::number(of.rank)),
            ("key", text(&of.kept.key)),
            ("kind", text(of.kept.kind.word())),
            ("version", version),
            ("description", text(&of.kept.description)),
            ("file", text(&of.kept.file)),
            ("checksum", text(&of.kept.checksum)),
            ("body", if of.kept.kind == Kind::Repeatable { text(&of.kept.body) } else { Value::Null }),
            ("run", text(&self.fence.run_uid)),
            ("live", Value::text(live(of.history, of.kept, of.rank))),
        ]);
        match self.ours(OPEN, parameters).await {
            Ok(_) => Ok(()),
            Err(ScriptFailure::Failed(error)) if error.code.contains("ConstraintValidation") => {
                Err(ScriptFailure::drift(of.kept, "it was begun before by another run"))
            }
            Err(other) => Err(other),
        }
    }

    /// Moves the cursor in the transaction that is open; `outside` is the statement that is about to run elsewhere.
    pub(super) async fn moves(
        &mut self,
        of: Of<'_>,
        from: usize,
        to: usize,
        outside: Option<(usize, &str)>,
    ) -> Result<(), ScriptFailure> {
        let number = |n: usize| Value::number(n as u64);
        let (at, before) = outside.unwrap_or((0, ""));
        let parameters = Value::map([
            ("live", Value::text(live(of.history, of.kept, of.rank))),
            ("rank", Value::number(of.rank)),
            ("from", number(from)),
            ("to", number(to)),
            ("outside", number(at)),
            ("before", Value::text(before)),
        ]);
        self.one(of, MOVE, parameters).await
    }

    /// Moves the cursor in a transaction of its own.
    pub(super) async fn move_alone(
        &mut self,
        of: Of<'_>,
        from: usize,
        to: usize,
        outside: Option<(usize, &str)>,
    ) -> Result<(), ScriptFailure> {
        self.begin_held().await?;
        self.moves(of, from, to, outside).await?;
        self.commit(&format!("{}: journal", of.kept.file), &of.kept.file).await?;
        let outside = outside.map(|(_, before)| before.to_owned());
        self.record.known.moved(of.history, &of.kept.key, to, outside);
        Ok(())
    }

    /// Writes the end of a script, and its row in the history, into the transaction that is open.
    pub(super) async fn close(&mut self, of: Of<'_>) -> Result<(), ScriptFailure> {
        let parameters = self.entry(of);
        self.one(of, CLOSE, parameters).await?;
        if !self.is_peers(of.history) {
            return Ok(());
        }
        let took = u64::try_from(of.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let user = self.connection.server.user.clone();
        let writes = peer::record(&self.record.chain, of.kept, &user, took).unwrap_or_default();
        let last = writes.len().saturating_sub(1);
        for (at, write) in writes.into_iter().enumerate() {
            let set = self.ours(write.query, write.parameters).await?;
            if at == last && set.rows.first().and_then(|row| row.first()) != Some(&Value::Int(1)) {
                self.reset().await?;
                let message = "the chain of neo4j-migrations is not what it was when it was read";
                return Err(ScriptFailure::drift(of.kept, message));
            }
        }
        Ok(())
    }

    /// Writes into the open transaction that a script is taken back.
    pub(super) async fn undone(&mut self, of: Of<'_>, was_applied: bool) -> Result<(), ScriptFailure> {
        let parameters = self.entry(of);
        self.one(of, UNDONE, parameters).await?;
        let Some(write) = peer::remove(of.kept).filter(|_| was_applied && self.is_peers(of.history)) else {
            return Ok(());
        };
        let parameters = write.parameters;
        self.one(of, write.query, parameters).await
    }

    /// Forgets a script of which nothing has happened.
    pub(super) async fn forget(&mut self, of: Of<'_>) -> Result<(), ScriptFailure> {
        self.begin_held().await?;
        let parameters = self.entry(of);
        self.one(of, FORGET, parameters).await?;
        self.commit(&format!("{}: journal", of.kept.file), &of.kept.file).await?;
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
            self.of_one_chain();
        }
        row
    }

    /// All histories of the peer's format are its one chain. While we hold its lock nobody else writes to it, and the
    /// statement that does compares what it finds.
    pub(super) fn of_one_chain(&mut self) {
        let rows = self.record.chain.rows();
        let Self { settings, record, .. } = self;
        let peers = settings.histories.iter().filter(|it| it.format == Format::Neo4jMigrations);
        for history in peers {
            record.known.histories.insert(history.name.clone(), rows.clone());
        }
    }

    fn entry(&self, of: Of<'_>) -> Value {
        Value::map([
            ("live", Value::text(live(of.history, of.kept, of.rank))),
            ("rank", Value::number(of.rank)),
        ])
    }

    /// Runs one of our own statements, which must find exactly one. A script that deletes everything deletes our nodes too,
    /// and must not count as applied.
    async fn one(&mut self, of: Of<'_>, query: &str, parameters: Value) -> Result<(), ScriptFailure> {
        let set = self.ours(query, parameters).await?;
        if set.rows.first().and_then(|row| row.first()) == Some(&Value::Int(1)) {
            return Ok(());
        }
        self.reset().await?;
        Err(ScriptFailure::of_file(
            &of.script.file,
            "JournalGone",
            "after its statements the journal's node of this script is gone or another",
            Some(
                "It matches every node: leave out those whose labels begin with __Whimbrel or __Neo4jMigration.",
            ),
        ))
    }
}
