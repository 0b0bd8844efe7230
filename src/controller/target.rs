//! The target's controller: can it be reached, is it the one it was, how far are its histories, and what runs left
//! behind on it.

use super::histories;
use super::looked::{look, looked};
use super::operator::{FINALIZER, Operator};
use super::targets::OpenTarget;
use super::verbs::tell_ignored;
use super::{retention, sweep};
use crate::api::target::{DatabaseTargetStatus, TargetClaim, VerificationLevel};
use crate::api::verb::PREFIX;
use crate::api::{DatabaseTarget, EventReason, MigrationPlan, MigrationRun, Time};
use crate::cluster::events::{Severity, Transition};
use crate::cluster::{FIELD_MANAGER, Holder, ReadError, SwapError, WriteError, lease, list_all, record};
use crate::serve::TargetKey;
use crate::words::{self, PlanFacts, RunFacts, TargetFacts};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A target that is not ready is looked at again after this long: a server that comes back does not wake us.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// A look for drift connects, and reads whole histories: more often than this nobody needs it.
const DRIFT_AT_MOST: Duration = Duration::from_secs(10);

/// Why a look at a target did not come to an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The cluster could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The status could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The finalizer could not be written.
    #[error(transparent)]
    Swap(#[from] SwapError),
}

/// One look at a target: what runs left behind, and, while nobody holds it, whether it can be reached.
pub(super) async fn reconcile(target: Arc<DatabaseTarget>, operator: Arc<Operator>) -> Result<Action, Error> {
    let namespace = target.metadata.namespace.as_deref().unwrap_or_default();
    let old = target.status.clone().unwrap_or_default();
    let runs: Vec<MigrationRun> = list_all(operator.own(), namespace, "").await?;
    let plans: Vec<MigrationPlan> = list_all(operator.own(), namespace, "").await?;
    let (claim, holder) = claim(&operator, &target, &old, &runs).await?.unzip();
    let now = Timestamp::now();
    let adopt = histories::asked(&target, &old);
    let due = adopt.is_some()
        || !is_ready(&target, &old)
        || ended_since(&target, &old, &runs)
        || drift(&target, &old, now) == Some(Duration::ZERO);
    // What another run has claimed is not connected to.
    let found = match claim.is_none() && due {
        true => Some(look(&operator, &target).await),
        false => None,
    };
    let facts = TargetFacts {
        name: target.metadata.name.as_deref().unwrap_or_default(),
        created: target.metadata.creation_timestamp.as_ref().map(|at| at.0),
        generation: target.metadata.generation.unwrap_or_default(),
        runs: &runs,
        plans: &plans,
        claim,
    };
    // Runs first: a look is held against what they left.
    let mut new = words::target_left(&old, &facts, &Time(now));
    let not_adopted = match &found {
        Some(found) => {
            let not_adopted = looked(&operator, &target, &mut new, found, adopt.as_deref(), now).await;
            // The identity that was pinned just now.
            new = words::target_left(&new, &facts, &Time(now));
            not_adopted
        }
        None => None,
    };
    taken_away(&target, &mut new);
    tell_ignored(&operator, &reference(&target), words::ignored_on_target(&target, not_adopted.as_deref()))
        .await;
    count(&operator, &target, &new);
    if new != old {
        write(&operator, &target, &old, &new).await?;
    }
    let held = keep(&operator, &target, &runs, facts.claim.is_some()).await?;
    // A holder whose run is live is not asked after: there is nothing to prove.
    if holder.is_some_and(|holder| sweep::holds(&holder, &runs).is_none()) {
        sweep_left(&operator, &target).await;
    }
    let kept =
        if retention::concerns(&target, &new) { retention::tend(&operator, &target).await? } else { None };
    let looks = match found.is_none_or(|found| found.is_ok()) {
        false => Some(LOOK_AGAIN),
        true if held && target.metadata.deletion_timestamp.is_some() => Some(LOOK_AGAIN),
        true if held => Some(sweep::EVERY),
        true => None,
    };
    // A look that is due and can't be had, of a target that a run holds or that does not answer, is not asked for at once.
    let drift = drift(&target, &new, now).map(|due| due.max(DRIFT_AT_MOST));
    Ok(looks.into_iter().chain(kept).chain(drift).min().map_or_else(Action::await_change, Action::requeue))
}

/// A target in use stays until its run has ended. True: it is in use, and stays.
async fn keep(
    operator: &Operator,
    target: &DatabaseTarget,
    runs: &[MigrationRun],
    claimed: bool,
) -> Result<bool, Error> {
    let namespace = target.metadata.namespace.as_deref().unwrap_or_default();
    let name = target.metadata.name.as_deref().unwrap_or_default();
    if !target.metadata.finalizers.iter().flatten().any(|it| it == FINALIZER) {
        return Ok(claimed);
    }
    let Some(user) = user(runs, name, claimed) else {
        record::remove_finalizer::<DatabaseTarget>(operator.own(), namespace, name, FINALIZER).await?;
        return Ok(false);
    };
    if target.metadata.deletion_timestamp.is_some() {
        tell_blocked(operator, target, user).await;
    }
    Ok(true)
}

/// The run that may need a target. One that has claimed nothing yet may need any.
pub(super) fn user<'r>(
    runs: &'r [MigrationRun],
    target: &str,
    claimed: bool,
) -> Option<Option<&'r MigrationRun>> {
    let unknown = |run: &MigrationRun| run.status.as_ref().is_none_or(|s| s.watermarks.is_empty());
    let needs = |run: &&MigrationRun| words::is_live(run) && (words::touches(run, target) || unknown(run));
    match runs.iter().find(needs) {
        Some(run) => Some(Some(run)),
        None => claimed.then_some(None),
    }
}

async fn tell_blocked(operator: &Operator, target: &DatabaseTarget, user: Option<&MigrationRun>) {
    let regarding = reference(target);
    let (note, once) = match user {
        Some(run) => {
            let facts = RunFacts::of(run);
            let namespace = run.metadata.namespace.clone().unwrap_or_default();
            let plan = PlanFacts { namespace, name: run.spec.plan.name.clone(), ..PlanFacts::default() };
            (words::message::target_in_use(&plan, &facts), facts.name)
        }
        None => ("a run of another namespace holds it: it goes after the release".to_owned(), String::new()),
    };
    let transition = Transition {
        regarding: &regarding,
        related: None,
        severity: Severity::Warning,
        reason: EventReason::DeletionBlocked.as_str(),
        note: &note,
        once: &once,
    };
    operator.recorder.publish(&transition).await;
}

/// The claim of a run that is gone would stay for ever.
async fn sweep_left(operator: &Operator, target: &DatabaseTarget) {
    let freed = match OpenTarget::of(operator, target.clone()).await {
        Ok(open) => sweep::free_if_over(operator, &open).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = freed {
        tracing::debug!(target = target.metadata.name, error, "its claim is looked at again later");
    }
}

/// What is done after an error.
pub(super) fn again(target: Arc<DatabaseTarget>, error: &Error, _: Arc<Operator>) -> Action {
    tracing::warn!(target = target.metadata.name, %error, "looking at the target again");
    Action::requeue(LOOK_AGAIN)
}

/// The target, as events regard it.
pub(super) fn reference(target: &DatabaseTarget) -> ObjectReference {
    ObjectReference {
        api_version: Some("whimbrel.dev/v1alpha1".into()),
        kind: Some("DatabaseTarget".into()),
        namespace: target.metadata.namespace.clone(),
        name: target.metadata.name.clone(),
        uid: target.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The age of the newest backup is told after a restart too, when no run of this process took it.
fn count(operator: &Operator, target: &DatabaseTarget, status: &DatabaseTargetStatus) {
    let proven = status.backups.iter().filter(|backup| backup.level > VerificationLevel::None);
    let Some(newest) = proven.max_by_key(|backup| backup.at.0) else { return };
    let key = TargetKey {
        namespace: target.metadata.namespace.clone().unwrap_or_default(),
        target: target.metadata.name.clone().unwrap_or_default(),
    };
    operator.metrics.backup(&key, newest.at.0, newest.level.as_str());
}

fn is_ready(target: &DatabaseTarget, old: &DatabaseTargetStatus) -> bool {
    let seen = old.observed_generation == target.metadata.generation.unwrap_or_default();
    seen && old.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// The targets that a run's record speaks of, when it says something new of them. A run writes its record at every op;
/// what a target's status shows of it changes a few times in all.
#[derive(Clone, Default)]
pub(super) struct Changes(Arc<Mutex<BTreeMap<String, String>>>);

impl Changes {
    /// The targets to look at again since this run was seen last.
    pub(super) fn of(&self, run: &MigrationRun) -> Vec<String> {
        let Some(status) = &run.status else { return Vec::new() };
        let marks = status.watermarks.iter().map(|mark| mark.target.clone());
        let targets: BTreeSet<String> =
            marks.chain(status.backups.iter().map(|backup| backup.target.clone())).collect();
        let uid = run.metadata.uid.clone().unwrap_or_default();
        let says = json!([targets, status.backups, status.outcome, words::is_live(run)]).to_string();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if run.metadata.deletion_timestamp.is_some() {
            seen.remove(&uid);
            return targets.into_iter().collect();
        }
        let new = seen.get(&uid) != Some(&says);
        seen.insert(uid, says);
        if new { targets.into_iter().collect() } else { Vec::new() }
    }
}

/// The run that holds the target, by its Lease.
pub(super) async fn claim(
    operator: &Operator,
    target: &DatabaseTarget,
    old: &DatabaseTargetStatus,
    runs: &[MigrationRun],
) -> Result<Option<(TargetClaim, Holder)>, ReadError> {
    let Some(engine) = old.engine.as_ref().filter(|engine| !engine.identity.is_empty()) else {
        return Ok(None);
    };
    let name = target.metadata.name.as_deref().unwrap_or_default();
    let key = super::looking::target_key(&engine.identity, name);
    let lease = lease::look(operator.own(), &operator.namespace, &key).await?;
    let Some(text) = lease.holder else { return Ok(None) };
    // What can't be read names nobody who lives.
    let nobody = || Holder { plan_uid: String::new(), run: 0, epoch: 0 };
    let holder = text.parse().unwrap_or_else(|_| nobody());
    Ok(Some((named(&text, lease.since.unwrap_or_default(), runs), holder)))
}

/// The holder by names; one of another namespace, whose runs this target does not know, by what stands in the Lease.
pub(super) fn named(holder: &str, since: Timestamp, runs: &[MigrationRun]) -> TargetClaim {
    let parsed = holder.parse::<Holder>().ok();
    let run = parsed.as_ref().and_then(|holder| {
        let of = |run: &&MigrationRun| {
            run.spec.plan.uid == holder.plan_uid && run.spec.number.unsigned_abs() == holder.run
        };
        runs.iter().find(of)
    });
    let (plan, run) = match (run, parsed) {
        (Some(run), _) => {
            let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
            let plan = format!("{namespace}/{}", run.spec.plan.name);
            (plan, run.metadata.name.clone().unwrap_or_default())
        }
        (None, Some(holder)) => (format!("plan with uid {}", holder.plan_uid), format!("run {}", holder.run)),
        (None, None) => (holder.to_owned(), "a run that can't be read".to_owned()),
    };
    TargetClaim { plan, run, since: Time(since) }
}

/// An `adopt` that is no longer written there may be said again.
fn taken_away(target: &DatabaseTarget, new: &mut DatabaseTargetStatus) {
    let written = target.metadata.annotations.as_ref().and_then(|all| all.get(&format!("{PREFIX}adopt")));
    if let Some(adopted) = new.adopted.as_mut().filter(|adopted| written != Some(&adopted.verb)) {
        adopted.verb.clear();
    }
}

/// Whether a run on the target has ended since it was looked at.
fn ended_since(target: &DatabaseTarget, old: &DatabaseTargetStatus, runs: &[MigrationRun]) -> bool {
    let name = target.metadata.name.as_deref().unwrap_or_default();
    let Some(engine) = &old.engine else { return true };
    let ended = |run: &&MigrationRun| {
        run.status.as_ref().and_then(|status| status.finished_at.as_ref().map(|at| at.0))
    };
    runs.iter()
        .filter(|run| words::touches(run, name) && !words::is_live(run))
        .filter_map(|run| ended(&run))
        .any(|at| at > engine.checked_at.0)
}

/// In how long the target is to be looked at for drift; none: never.
fn drift(target: &DatabaseTarget, old: &DatabaseTargetStatus, now: Timestamp) -> Option<Duration> {
    let every = target.spec.drift?.every.get().max(DRIFT_AT_MOST);
    let Some(engine) = &old.engine else { return Some(Duration::ZERO) };
    let since = Duration::try_from(now.duration_since(engine.checked_at.0)).unwrap_or_default();
    Some(every.saturating_sub(since))
}

async fn write(
    operator: &Operator,
    target: &DatabaseTarget,
    old: &DatabaseTargetStatus,
    new: &DatabaseTargetStatus,
) -> Result<(), WriteError> {
    let namespace = target.metadata.namespace.as_deref().unwrap_or_default();
    let name = target.metadata.name.as_deref().unwrap_or_default();
    let changes = super::merge::merge_patch(&json!(old), &json!(new));
    // Instants are written by the second: what differs by less is the same to whoever reads it.
    if changes == json!({}) {
        return Ok(());
    }
    let patch = json!({ "status": changes });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let api = operator.own().api::<DatabaseTarget>(namespace);
    let written = api.patch_status(name, &parameters, &Patch::Merge(&patch)).await;
    written.map(drop).map_err(|error| WriteError::of(error, operator.own().account()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: i64, status: serde_json::Value) -> MigrationRun {
        serde_json::from_value(json!({
            "metadata": {"name": format!("shop-{number}"), "namespace": "aether", "uid": format!("r{number}")},
            "spec": {"plan": {"name": "shop", "uid": "p", "generation": 1}, "number": number, "intentHash": "i"},
            "status": status
        }))
        .unwrap()
    }

    #[test]
    fn a_target_is_in_use_by_who_claimed_it_or_may_still() {
        let mark =
            |target: &str| json!([{"target": target, "history": "default", "count": 1, "digest": "d"}]);
        let uses = |status: serde_json::Value| user(&[run(1, status)], "tas", false).is_some();
        assert!(uses(json!({"watermarks": mark("tas")})));
        assert!(!uses(json!({"watermarks": mark("other")})));
        assert!(uses(json!({"epoch": 1})), "it waits at its gate");
        assert!(!uses(json!({"watermarks": mark("tas"), "outcome": "Succeeded"})));
        assert!(uses(json!({"watermarks": mark("tas"), "outcome": "Held"})));
        assert!(user(&[], "tas", true).is_some(), "a run of another namespace");
    }

    #[test]
    fn drift_is_looked_for_as_often_as_the_target_says_and_no_more_often_than_that() {
        let target = |every: &str| -> DatabaseTarget {
            let drift = json!({ "every": every });
            serde_json::from_value(json!({"metadata": {"name": "tas"}, "spec": {"drift": drift}})).unwrap()
        };
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let engine = json!({"kind": "postgresql", "checkedAt": at(1000)});
        let seen: DatabaseTargetStatus = serde_json::from_value(json!({"engine": engine})).unwrap();
        let due = |every: &str, now: i64| drift(&target(every), &seen, at(now)).unwrap();
        assert_eq!(due("1h", 1000), Duration::from_secs(3600));
        assert_eq!(due("1h", 2800), Duration::from_secs(1800));
        assert_eq!(due("1h", 9000), Duration::ZERO);
        assert_eq!(due("1s", 1000), DRIFT_AT_MOST);
        let never = serde_json::from_value(json!({"metadata": {"name": "tas"}, "spec": {}})).unwrap();
        assert_eq!(drift(&never, &seen, at(9000)), None);
    }

    #[test]
    fn the_holder_of_a_lease_is_named_as_people_know_it() {
        let runs = [run(1, json!({})), run(2, json!({}))];
        let who = |holder: &str| {
            let claim = named(holder, Timestamp::UNIX_EPOCH, &runs);
            format!("{} of {}", claim.run, claim.plan)
        };
        assert_eq!(who("p/2/5"), "shop-2 of aether/shop");
        assert_eq!(who("q/2/5"), "run 2 of plan with uid q");
        assert_eq!(who("somebody"), "a run that can't be read of somebody");
    }

    #[test]
    fn a_target_is_looked_at_again_only_when_its_runs_say_something_new() {
        let changes = Changes::default();
        let mark = json!([{"target": "tas", "history": "default", "count": 1, "digest": "d"}]);
        let claimed = run(1, json!({"watermarks": mark, "epoch": 1}));
        assert_eq!(changes.of(&run(1, json!({"epoch": 1}))), Vec::<String>::new(), "it touches nothing yet");
        assert_eq!(changes.of(&claimed), ["tas"]);
        assert_eq!(changes.of(&claimed), Vec::<String>::new());
        let next_op = run(1, json!({"watermarks": mark, "epoch": 2}));
        assert_eq!(changes.of(&next_op), Vec::<String>::new());
        let ended = run(1, json!({"watermarks": mark, "outcome": "Succeeded"}));
        assert_eq!(changes.of(&ended), ["tas"]);
    }
}
