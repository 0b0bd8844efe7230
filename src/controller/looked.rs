//! What a look at a target says of it: its server, its histories, and its conditions.

use super::histories;
use super::operator::Operator;
use super::target::reference;
use super::targets::{OpenTarget, TargetError};
use crate::api::condition::{self, Status};
use crate::api::target::{AdoptedStatus, DatabaseTargetStatus, EngineStatus};
use crate::api::{ConditionType, DatabaseTarget, EventReason, Reason, Time};
use crate::cluster::events::{Severity, Transition};
use crate::engine::{Engine, EngineError, Look};
use jiff::Timestamp;

/// Why a look came to nothing.
pub(super) enum Trouble {
    Target(TargetError),
    Engine(Box<EngineError>),
}

impl Trouble {
    fn reason(&self) -> Reason {
        let word = match self {
            Self::Target(error) => error.reason(),
            Self::Engine(error) => super::looking::reason(error),
        };
        word.parse().unwrap_or(Reason::TargetNotReady)
    }

    fn message(&self) -> String {
        match self {
            Self::Target(error) => error.to_string(),
            Self::Engine(error) => error.to_string(),
        }
    }
}

/// Connects and reads.
pub(super) async fn look(operator: &Operator, target: &DatabaseTarget) -> Result<Look, Trouble> {
    match OpenTarget::of(operator, target.clone()).await {
        Ok(open) => open.engine.look().await.map_err(|error| Trouble::Engine(Box::new(error))),
        Err(error) => Err(Trouble::Target(error)),
    }
}

/// What a look says of the target. Gives why an `adopt` is not obeyed.
pub(super) async fn looked(
    operator: &Operator,
    target: &DatabaseTarget,
    new: &mut DatabaseTargetStatus,
    found: &Result<Look, Trouble>,
    adopt: Option<&str>,
    now: Timestamp,
) -> Option<String> {
    let generation = target.metadata.generation.unwrap_or_default();
    new.observed_generation = generation;
    let mut conditions = std::mem::take(&mut new.conditions);
    let mut say = |of: ConditionType, status: Status, reason: Reason, message: &str| {
        condition::set(&mut conditions, of, status, reason, message, generation, &Time(now));
    };
    let mut not_adopted = None;
    match found {
        Ok(look) => {
            new.engine = Some(engine(target, new, look));
            new.histories = histories::pinned(target, &new.histories, look);
            match adopt.map(|text| histories::adopt(target, text, look, &mut new.histories, now)) {
                Some(Ok(adopted)) => {
                    tell_adopted(operator, target, &adopted).await;
                    new.adopted = Some(adopted);
                }
                Some(Err(why)) => not_adopted = Some(why),
                None => {}
            }
            let answers = format!("{} answers", server(target, &look.version));
            use ConditionType::{Authenticated, HistoryInSync, IdentityConfirmed, Reachable, Ready};
            for of in [Reachable, Authenticated, IdentityConfirmed] {
                say(of, Status::True, Reason::Done, &answers);
            }
            let name = target.metadata.name.as_deref().unwrap_or_default();
            match histories::in_sync(name, &new.histories, &look.histories) {
                Ok(stands) => {
                    say(HistoryInSync, Status::True, Reason::Done, &stands);
                    say(Ready, Status::True, Reason::Done, &answers);
                }
                Err(lost) => {
                    let reason = lost.reason.parse().unwrap_or(Reason::HistoryDrift);
                    say(HistoryInSync, Status::False, reason, &lost.message);
                    say(Ready, Status::False, reason, &lost.message);
                }
            }
        }
        Err(trouble) => {
            say(ConditionType::Ready, Status::False, trouble.reason(), &trouble.message());
        }
    }
    new.conditions = conditions;
    not_adopted
}

async fn tell_adopted(operator: &Operator, target: &DatabaseTarget, adopted: &AdoptedStatus) {
    let note = format!("history {} is meant as it is: {}", adopted.history, adopted.verb);
    let transition = Transition {
        regarding: &reference(target),
        related: None,
        severity: Severity::Warning,
        reason: EventReason::HistoryAdopted.as_str(),
        note: &note,
        once: &adopted.at.0.to_string(),
    };
    operator.recorder.publish(&transition).await;
}

/// The engine of a target that was looked at: it has one, or it could not have been opened.
fn kind(target: &DatabaseTarget) -> crate::api::Engine {
    target.spec.engine().map_or(crate::api::Engine::Postgresql, |engine| engine.kind())
}

/// The server by its product. Search servers say it themselves.
fn server(target: &DatabaseTarget, version: &str) -> String {
    use crate::api::Engine::{Elasticsearch, Opensearch};
    match kind(target) {
        Elasticsearch | Opensearch => version.to_owned(),
        kind => format!("{} {version}", kind.product()),
    }
}

/// The first identity seen is pinned.
fn engine(target: &DatabaseTarget, old: &DatabaseTargetStatus, look: &Look) -> EngineStatus {
    let pinned = old.engine.as_ref().map(|engine| engine.identity.clone()).filter(|it| !it.is_empty());
    EngineStatus {
        kind: kind(target),
        version: look.version.clone(),
        identity: pinned.unwrap_or_else(|| look.identity.clone()),
        lineage: look.lineage.clone(),
        checked_at: Time(Timestamp::now()),
    }
}
