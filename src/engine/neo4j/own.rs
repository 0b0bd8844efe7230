//! Statements of our own around those of a script. What belongs together travels together and is waited for once; each that
//! must find something is refused by the server where it does not, so that nothing behind it is done.

use super::fence::{self, CHECK, HOLD_OURS};
use super::message::Message;
use super::packstream::Value;
use super::replan::Replan;
use super::session::{Neo4jSession, Of};
use super::wire::ServerError;
use super::{journal, listed, peer};
use crate::engine::ScriptFailure;
use crate::script::Script;
use crate::script::cypher::Object;

/// Ends a query that must have found one, and neither none nor two: of these the server says that it can't divide by zero. More
/// than two of what has a unique name there are never; and a comparison would take it as long to plan as half of the rest.
macro_rules! exactly_one {
    ($what:literal) => {
        concat!("RETURN 1 / (count(", $what, ") % 2)")
    };
}
pub(super) use exactly_one;

/// What the server says to [`exactly_one`] where it is not so.
const NOT_ONE: &str = "Neo.ClientError.Statement.ArithmeticError";

/// Whether a query is one of ours around a script's own, to the letter. They take no time: one that an older session is found
/// executing has done what it does, and waits until its answer is asked for, by a client that was cut off between the two.
pub(super) fn is_own(query: &str) -> bool {
    [HOLD_OURS, CHECK].contains(&query) || journal::OWN.contains(&query) || peer::OWN.contains(&query)
}

/// A statement of ours.
pub(super) struct Own<'a> {
    pub(super) query: &'a str,
    pub(super) parameters: Value,
    pub(super) about: About<'a>,
}

/// What a statement of ours is about: what it means when the server refuses it.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    /// Nothing that could be missing.
    Nothing,
    /// The fence, as this session has raised it.
    Fence,
    /// A journal entry that must not be there yet.
    NewEntry(&'a Script),
    /// The journal's entry of a script. A script that deletes everything deletes our nodes too, and must not count as
    /// applied.
    Entry(&'a Script),
    /// The chain of neo4j-migrations.
    Chain(&'a Script),
}

/// How a transaction is begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// It holds the fence to its end.
    Holding,
    /// It only reads the fence: what changes the schema may write nothing else.
    Seeing,
}

/// What a commit is called where it is counted, and the file that it is about.
#[derive(Clone, Copy)]
pub(super) struct Commit<'a> {
    pub(super) what: &'a str,
    pub(super) file: &'a str,
}

impl Neo4jSession {
    /// Begins a transaction that holds the fence to its end, makes sure that the fence is ours, and says `own`.
    pub(super) async fn begin_held(&mut self, own: Vec<Own<'_>>) -> Result<(), ScriptFailure> {
        self.together(Some(Opening::Holding), own, None).await
    }

    /// Begins a transaction that may change the schema, and with it write nothing else: it only reads the fence.
    pub(super) async fn begin_seeing(&mut self) -> Result<(), ScriptFailure> {
        self.together(Some(Opening::Seeing), Vec::new(), None).await
    }

    /// Says `own` in a transaction of its own that holds the fence.
    pub(super) async fn alone(&mut self, own: Vec<Own<'_>>, commit: Commit<'_>) -> Result<(), ScriptFailure> {
        self.together(Some(Opening::Holding), own, Some(commit)).await
    }

    /// As [`Self::alone`], for what changes the schema.
    pub(super) async fn alone_seeing(
        &mut self,
        own: Vec<Own<'_>>,
        commit: Commit<'_>,
    ) -> Result<(), ScriptFailure> {
        self.together(Some(Opening::Seeing), own, Some(commit)).await
    }

    /// Says `own` in the transaction that is open, and commits it. Whoever gets no answer must read what came of it.
    pub(super) async fn finish(
        &mut self,
        own: Vec<Own<'_>>,
        commit: Commit<'_>,
    ) -> Result<(), ScriptFailure> {
        self.together(None, own, Some(commit)).await
    }

    /// Has planned what the session says behind the change of the schema that statement `number` is: to go on with the script, or
    /// to end it and to begin another. What comes first is said at once, and planned as it is said.
    pub(super) fn plan_ahead(&mut self, of: Of<'_>, number: usize, last: usize, object: Option<&Object>) {
        let mut inside = match number < last {
            true => vec![self.moves(of, number, number, None)],
            false => self.close(of, last),
        };
        if inside.len() > 1 {
            inside.remove(0);
        }
        inside.push(self.open(of, None));
        let check = Own { query: CHECK, parameters: self.pass.parameters(), about: About::Fence };
        let first = object.map(listed::question).into_iter().chain([check]).collect();
        let replan = || Replan::new(self.settings.clone(), self.fence.clone());
        self.replan.get_or_insert_with(replan).plan(inside, first);
    }

    async fn together(
        &mut self,
        opening: Option<Opening>,
        own: Vec<Own<'_>>,
        commit: Option<Commit<'_>>,
    ) -> Result<(), ScriptFailure> {
        let begin = self.connection.writing(&self.settings, self.settings.statement_timeout);
        let (mut messages, mut about) = (Vec::new(), Vec::new());
        if let Some(opening) = opening {
            if let Some(broken) = &self.broken {
                return Err(broken.clone());
            }
            let fence = match opening {
                Opening::Holding => HOLD_OURS,
                Opening::Seeing => CHECK,
            };
            messages.extend([Message::Begin(&begin), Message::Run(fence, self.pass.parameters())]);
            about.extend([About::Nothing, About::Fence]);
        }
        for own in own {
            messages.push(Message::Run(own.query, own.parameters));
            about.push(own.about);
        }
        if commit.is_some() {
            messages.push(Message::Commit);
        }
        let wire = &mut self.connection.wire;
        match wire.together(commit.map(|commit| commit.what), messages).await? {
            Ok(_) => Ok(()),
            Err((at, error)) => {
                let file = commit.map_or("", |commit| commit.file);
                Err(self.refused_at(about.get(at).copied(), file, error).await)
            }
        }
    }

    /// `about`: of the statement that was refused; `None` of the commit.
    async fn refused_at(
        &mut self,
        about: Option<About<'_>>,
        file: &str,
        error: ServerError,
    ) -> ScriptFailure {
        if about.is_none() && error.code.contains("TransactionCommitFailed") {
            let lost = ScriptFailure::Lost { reason: format!("{} ({})", error.words(false), error.code) };
            self.broken = Some(lost.clone());
            return lost;
        }
        let not_one = error.code == NOT_ONE;
        let code = error.code.clone();
        let failure = self.took_back(file, None, error).await;
        if self.broken.is_some() {
            return failure;
        }
        match about {
            Some(About::Fence) if not_one => self.passed_over().await,
            Some(About::Entry(script)) if not_one => ScriptFailure::of_file(
                &script.file,
                "JournalGone",
                "after its statements the journal's node of this script is gone or another",
                Some(
                    "It matches every node: leave out those whose labels begin with __Whimbrel or __Neo4jMigration.",
                ),
            ),
            Some(About::Chain(script)) if not_one => ScriptFailure::drift(
                script,
                "the chain of neo4j-migrations is not what it was when it was read",
            ),
            Some(About::NewEntry(script)) if code.contains("ConstraintValidation") => {
                ScriptFailure::drift(script, "it was begun before by another run")
            }
            _ => failure,
        }
    }

    /// The fence is not as this session has raised it: nothing more may be done here.
    async fn passed_over(&mut self) -> ScriptFailure {
        let failure = match fence::peek(&mut self.connection, &self.settings).await {
            Ok(Some(row)) if row.seen.token > self.pass.token => {
                ScriptFailure::Overtaken { token: row.seen.token }
            }
            Ok(Some(_)) => ScriptFailure::LockLost,
            Ok(None) => ScriptFailure::Lost {
                reason: "the node __WhimbrelFence is gone: somebody deleted it while this session ran"
                    .to_owned(),
            },
            Err(error) => ScriptFailure::Lost { reason: error.to_string() },
        };
        self.broken = Some(failure.clone());
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_names_our_nodes_is_no_statement_of_ours() {
        assert!([HOLD_OURS, CHECK].into_iter().chain(journal::OWN).chain(peer::OWN).all(is_own));
        // As the hint of JournalGone tells people to write it; it may work for hours, and is waited for.
        let theirs = "MATCH (n) WHERE NOT n:__WhimbrelScript CALL { WITH n SET n.x = 1 } IN TRANSACTIONS";
        assert!(!is_own(theirs));
    }
}
