//! The target's controller: can it be reached, is it the one it was, and how far are its histories.

use super::operator::Operator;
use super::targets::{OpenTarget, TargetError};
use crate::api::condition::{self, Status};
use crate::api::target::{DatabaseTargetStatus, EngineStatus, HistoryFormat, HistoryStatus};
use crate::api::{ConditionType, DatabaseTarget, Reason, Time};
use crate::cluster::{FIELD_MANAGER, WriteError, lease};
use crate::engine::{Engine, EngineError, Look};
use crate::program::history_digest;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A target that is not ready is looked at again after this long: a server that comes back does not wake us.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// One look at a target. What another run has claimed is not connected to.
pub(super) async fn reconcile(
    target: Arc<DatabaseTarget>,
    operator: Arc<Operator>,
) -> Result<Action, WriteError> {
    let old = target.status.clone().unwrap_or_default();
    let seen = old.observed_generation == target.metadata.generation.unwrap_or_default();
    let ready = old.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
    if (seen && ready) || claimed(&operator, &target, &old).await {
        return Ok(Action::await_change());
    }
    let found = match OpenTarget::of(&operator, (*target).clone()).await {
        Ok(open) => open.engine.look().await.map_err(|error| Trouble::Engine(Box::new(error))),
        Err(error) => Err(Trouble::Target(error)),
    };
    let new = status(&target, &old, &found);
    if new != old {
        write(&operator, &target, &old, &new).await?;
    }
    Ok(if found.is_ok() { Action::await_change() } else { Action::requeue(LOOK_AGAIN) })
}

/// What is done after an error.
pub(super) fn again(target: Arc<DatabaseTarget>, error: &WriteError, _: Arc<Operator>) -> Action {
    tracing::warn!(target = target.metadata.name, %error, "looking at the target again");
    Action::requeue(LOOK_AGAIN)
}

enum Trouble {
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

async fn claimed(operator: &Operator, target: &DatabaseTarget, old: &DatabaseTargetStatus) -> bool {
    let Some(engine) = old.engine.as_ref().filter(|engine| !engine.identity.is_empty()) else { return false };
    let key =
        super::looking::target_key(&engine.identity, target.metadata.name.as_deref().unwrap_or_default());
    let claim = lease::look(operator.own(), &operator.namespace, &key).await;
    claim.is_ok_and(|claim| claim.holder.is_some())
}

fn status(
    target: &DatabaseTarget,
    old: &DatabaseTargetStatus,
    found: &Result<Look, Trouble>,
) -> DatabaseTargetStatus {
    let generation = target.metadata.generation.unwrap_or_default();
    let mut new = old.clone();
    new.observed_generation = generation;
    let mut say = |of: ConditionType, status: Status, reason: Reason, message: &str| {
        condition::set(&mut new.conditions, of, status, reason, message, generation, &Time(Timestamp::now()));
    };
    match found {
        Ok(look) => {
            let message = format!("PostgreSQL {} answers", look.version);
            for of in [
                ConditionType::Ready,
                ConditionType::Reachable,
                ConditionType::Authenticated,
                ConditionType::IdentityConfirmed,
                ConditionType::HistoryInSync,
            ] {
                say(of, Status::True, Reason::Done, &message);
            }
        }
        Err(trouble) => say(ConditionType::Ready, Status::False, trouble.reason(), &trouble.message()),
    }
    if let Ok(look) = found {
        new.engine = Some(engine(old, look));
        new.histories = look
            .histories
            .iter()
            .map(|(name, rows)| HistoryStatus {
                name: name.clone(),
                format: HistoryFormat::Whimbrel,
                count: i64::try_from(rows.len()).unwrap_or(i64::MAX),
                last: rows.last().map(|row| row.key.clone()).unwrap_or_default(),
                digest: history_digest(rows),
            })
            .collect();
    }
    new
}

/// The first identity seen is pinned.
fn engine(old: &DatabaseTargetStatus, look: &Look) -> EngineStatus {
    let pinned = old.engine.as_ref().map(|engine| engine.identity.clone()).filter(|it| !it.is_empty());
    EngineStatus {
        kind: crate::api::Engine::Postgresql,
        version: look.version.clone(),
        identity: pinned.unwrap_or_else(|| look.identity.clone()),
        lineage: look.lineage.clone(),
        checked_at: Time(Timestamp::now()),
    }
}

async fn write(
    operator: &Operator,
    target: &DatabaseTarget,
    old: &DatabaseTargetStatus,
    new: &DatabaseTargetStatus,
) -> Result<(), WriteError> {
    let namespace = target.metadata.namespace.as_deref().unwrap_or_default();
    let name = target.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({ "status": super::world::merge_patch(&json!(old), &json!(new)) });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let api = operator.own().api::<DatabaseTarget>(namespace);
    let written = api.patch_status(name, &parameters, &Patch::Merge(&patch)).await;
    written.map(drop).map_err(|error| WriteError::of(error, operator.own().account()))
}
