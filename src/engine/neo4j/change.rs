//! One change of the schema: told to the journal, made, awaited, compared with what the server lists, told again.
//!
//! The server answers before an index is there, says yes to IF NOT EXISTS over something else of the same name, and lists
//! what became of it. So the list decides, whatever the answer was, and the same list is the probe after a crash. Only where the
//! server counts an index as made, and says of its name that it is online, is there nothing left to look up.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::listed::{Listed, State};
use super::own::{About, Commit, Own};
use super::packstream::Value;
use super::session::{Neo4jSession, Of};
use super::wire::ServerError;
use crate::engine::{EngineError, ScriptError, ScriptFailure};
use crate::script::Script;
use crate::script::cypher::{Change, Object, Step};

/// Whether what a CREATE makes, or a DROP takes away, was there before it; for the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Yes,
    No,
}

impl There {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Yes => "there",
            Self::No => "absent",
        }
    }

    fn of(there: bool) -> Self {
        if there { Self::Yes } else { Self::No }
    }
}

/// An index that fills up is looked at soon, since most are empty, and less and less often.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// What the server counts as made by a statement that it has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// One index, so that it is none that was there before.
    Index,
    /// Something else, or nothing: there was one already.
    Other,
}

/// Ends when the index is online, with an error when its population has failed or goes on after a second. Most indexes are
/// there in milliseconds; and to ask for all about one costs more than that, since the server has forgotten how to.
const AWAIT: &str = "CALL db.awaitIndex($name, 1)";

/// What the list says about a change.
enum Seen {
    Done,
    NotDone(String),
    /// Nobody can tell.
    Unsure,
}

impl Neo4jSession {
    /// One schema statement of a script that is begun; `last` is the number of the script's last one. `told`: the journal was
    /// told of it just now.
    pub(super) async fn change(
        &mut self,
        of: Of<'_>,
        step: &Step,
        change: &Change,
        told: Option<There>,
        last: usize,
    ) -> Result<(), ScriptFailure> {
        let (done, next) = (self.done(of), step.statement.number);
        let (file, text) = (of.kept.file.as_str(), of.script.body.as_str());
        let there = match told {
            Some(there) => there,
            None => {
                if let Some(before) = self.under_way(of) {
                    // Its answer is lost; everything that could still be working on it has ended.
                    match self.seen(change, There::of(before == There::Yes.word())).await? {
                        Seen::Done => return self.changed(of, done, next, last).await,
                        Seen::NotDone(_) => self.move_alone(of, done, done, None).await?,
                        Seen::Unsure => return Err(unknown(of.kept, step)),
                    }
                }
                self.may_run()?;
                let there = self.before(file, step, change).await?;
                self.move_alone(of, done, done, Some((next, there.word()))).await?;
                there
            }
        };
        let answer = self.make(file, text, step).await?;
        let seen = match (change.made(), &answer) {
            (Some(object), Ok(Made::Index)) if self.is_online(object).await? => Seen::Done,
            _ => self.seen(change, there).await?,
        };
        match (seen, answer) {
            (Seen::Done, _) => {
                self.plan_ahead(of, next, last, change.made());
                self.changed(of, done, next, last).await
            }
            // The server said yes, and there is nothing to compare with.
            (Seen::Unsure, Ok(_)) => self.move_alone(of, done, next, None).await,
            (Seen::Unsure | Seen::NotDone(_), Err(failure)) => {
                self.move_alone(of, done, done, None).await?;
                Err(failure)
            }
            (Seen::NotDone(why), Ok(_)) => {
                self.move_alone(of, done, done, None).await?;
                Err(refused(file, step, "NotDone", why))
            }
        }
    }

    /// Moves the cursor behind a change that the list shows. Behind the last statement the script's end does so: whoever
    /// finds that unsaid looks at the list again.
    async fn changed(
        &mut self,
        of: Of<'_>,
        done: usize,
        next: usize,
        last: usize,
    ) -> Result<(), ScriptFailure> {
        if next < last {
            return self.move_alone(of, done, next, None).await;
        }
        self.record.known.moved(of.history, &of.kept.key, next, None);
        Ok(())
    }

    /// As [`Neo4jSession::change`] for the undo of a script: there a second time does the same, so no journal is needed.
    pub(super) async fn change_back(
        &mut self,
        file: &str,
        text: &str,
        step: &Step,
        change: &Change,
    ) -> Result<(), ScriptFailure> {
        self.may_run()?;
        // What an earlier try has dropped is done.
        if let Change::Drop { constraint, name, .. } = change
            && self.named(*constraint, name).await?.is_none()
        {
            return Ok(());
        }
        let there = self.before(file, step, change).await?;
        let answer = self.make(file, text, step).await?;
        match (self.seen(change, there).await?, answer) {
            (Seen::Done, _) | (Seen::Unsure, Ok(_)) => Ok(()),
            (_, Err(failure)) => Err(failure),
            (Seen::NotDone(why), Ok(_)) => Err(refused(file, step, "NotDone", why)),
        }
    }

    /// Whether it is there, and everything that the server would refuse late or not at all.
    pub(super) async fn before(
        &mut self,
        file: &str,
        step: &Step,
        change: &Change,
    ) -> Result<There, ScriptFailure> {
        let object = match change {
            Change::Create { object, .. } => object,
            Change::Drop { constraint, name, .. } => {
                return Ok(There::of(self.named(*constraint, name).await?.is_some()));
            }
            Change::Other => return Ok(There::No),
        };
        if !self.connection.server.enterprise && needs_enterprise(object) {
            let why = format!(
                "a {} constraint needs Neo4j Enterprise Edition, and this server is Community Edition",
                object.kind
            );
            return Err(refused(file, step, "EnterpriseOnly", why));
        }
        let listed = self.listed(object).await?;
        if let Some(name) = &object.name
            && let Some(other) = listed.iter().find(|one| one.name == *name)
            && !other.is(object)
        {
            let why = format!("{name} is {other} already, and the script wants {}", Listed::of(object));
            return Err(ScriptFailure::from(ScriptError {
                hint: Some("Drop that one first, or take another name.".to_owned()),
                ..error(file, step, "OtherDefinition", why)
            }));
        }
        let there = listed.iter().any(|one| one.is_wanted(object));
        if !there && object.constraint && is_unique(object) && !object.relationships {
            self.duplicates(file, step, object).await?;
        }
        Ok(There::of(there))
    }

    /// Sends the statement in a transaction that makes sure of the fence. The inner error is the server's refusal.
    async fn make(
        &mut self,
        file: &str,
        text: &str,
        step: &Step,
    ) -> Result<Result<Made, ScriptFailure>, ScriptFailure> {
        self.begin_seeing().await?;
        let (answer, blocker) = self.watched(step.statement.text(text)).await?;
        let refusal: ServerError = match answer {
            Ok(set) => {
                let what = format!("{file}: {}", step.statement.number);
                match self.connection.wire.commit(&what).await? {
                    Ok(_) => return Ok(Ok(if set.indexes_added == 1 { Made::Index } else { Made::Other })),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        Ok(Err(self.gave_way(file, (text, &step.statement), refusal, blocker).await))
    }

    /// Whether an index that was made just now, with the name and the definition that the script gives it, is online already. Of
    /// any other the list says more.
    async fn is_online(&mut self, object: &Object) -> Result<bool, ScriptFailure> {
        let Some(name) = object.name.as_deref().filter(|_| !object.constraint) else { return Ok(false) };
        let parameters = Value::map([("name", Value::text(name))]);
        match self.connection.read(&self.settings, AWAIT, parameters).await {
            Ok(_) => Ok(true),
            Err(EngineError::Server { .. } | EngineError::Unsupported { .. }) => Ok(false),
            Err(error) => Err(ScriptFailure::Lost { reason: error.to_string() }),
        }
    }

    /// What the list says, once an index that fills up has done so.
    async fn seen(&mut self, change: &Change, before: There) -> Result<Seen, ScriptFailure> {
        let object = match change {
            Change::Other => return Ok(Seen::Unsure),
            Change::Drop { constraint, name, .. } => {
                return Ok(match self.named(*constraint, name).await? {
                    None => Seen::Done,
                    Some(_) => Seen::NotDone(format!("{name} is still there")),
                });
            }
            Change::Create { object, .. } => object,
        };
        let (since, mut pause) = (Instant::now(), FIRST_LOOK);
        loop {
            let listed = self.listed(object).await?;
            let Some(found) = listed.iter().find(|one| one.is_wanted(object)) else {
                let same = listed.iter().find(|one| one.is(object));
                let other = same.map_or_else(String::new, |same| {
                    format!("; {} does the same, so the server made none", same.name)
                });
                return Ok(Seen::NotDone(format!("the server lists no {}{other}", Listed::of(object))));
            };
            let why = match &found.state {
                State::Online => return Ok(Seen::Done),
                State::Failed(why) => format!("its population failed: {why}"),
                State::Populating(_) if self.cancelled.asked() => {
                    "it was cancelled while it filled up".to_owned()
                }
                State::Populating(percent) if self.is_over(since) => format!(
                    "it is at {percent:.0} % after {} s (timeouts.statement)",
                    self.settings.statement_timeout.as_secs()
                ),
                State::Populating(_) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LAST_LOOK);
                    continue;
                }
            };
            // What we made and what will not be used is not left behind; what was there before is nobody's to drop.
            let name = found.name.clone();
            let left = if before == There::Yes {
                " and was there before".to_owned()
            } else {
                self.drop_made(object, &name).await?
            };
            return Ok(Seen::NotDone(format!("{name} is no use: {why}{left}")));
        }
    }

    fn is_over(&self, since: Instant) -> bool {
        !self.settings.statement_timeout.is_zero() && since.elapsed() >= self.settings.statement_timeout
    }

    async fn drop_made(&mut self, object: &Object, name: &str) -> Result<String, ScriptFailure> {
        let kind = if object.constraint { "CONSTRAINT" } else { "INDEX" };
        let drop = format!("DROP {kind} `{}` IF EXISTS", name.replace('`', "``"));
        let own = Own { query: &drop, parameters: Value::map([]), about: About::Nothing };
        self.alone_seeing(vec![own], Commit { what: &format!("drop {name}"), file: "" }).await?;
        Ok("; it was dropped again".to_owned())
    }
}

fn is_unique(object: &Object) -> bool {
    matches!(object.kind.as_str(), "UNIQUENESS" | "NODE_KEY")
}

/// Community has uniqueness only.
fn needs_enterprise(object: &Object) -> bool {
    object.constraint && !object.kind.ends_with("UNIQUENESS")
}

fn error(file: &str, step: &Step, code: &str, message: String) -> ScriptError {
    ScriptError {
        code: code.to_owned(),
        message,
        file: file.to_owned(),
        statement: Some(step.statement.number),
        line: u32::try_from(step.statement.line).ok(),
        column: u32::try_from(step.statement.column).ok(),
        hint: None,
    }
}

pub(super) fn refused(file: &str, step: &Step, code: &str, message: String) -> ScriptFailure {
    ScriptFailure::from(error(file, step, code, message))
}

fn unknown(script: &Script, step: &Step) -> ScriptFailure {
    ScriptFailure::Unknown {
        evidence: format!(
            "statement {} ({}:{}:{}) changes the schema in a form that nothing can be compared with, and its answer was lost",
            step.statement.number, script.file, step.statement.line, step.statement.column
        ),
    }
}
