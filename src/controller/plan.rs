//! The plan's controller: which run there must be, and which driver. Thin: compile and the driver do the work.

use super::drivers::Drivers;
use super::ending;
use super::looking::{self, Refused, open};
use super::new_run::{NewRun, failed_before, highest, make_run};
use super::operator::{FINALIZER, Operator};
use super::signals::{For, retry, rollback_of, signals};
use super::sweep::{self, SweepError};
use super::targets::OpenTarget;
use super::telling::{count, reference, write_status};
use super::terminating;
use super::verbs::tell_ignored;
use super::watched::Watched;
use crate::api::plan::MigrationPlanStatus;
use crate::api::{DatabaseTarget, EventReason, MigrationPlan, MigrationRun, Outcome, Reason};
use crate::cluster::events::{Severity, Transition};
use crate::cluster::{ReadError, SwapError, WriteError, list_all, record};
use crate::program::{Compiled, parse};
use crate::words::{self, PlanFacts, RunFacts, is_live};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A plan that can't be compiled is looked at again after this long at the latest: what it waits for (a server, a
/// right, a Secret) does not wake us.
const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// How long what usually passes by itself counts as waiting, not as stalled.
const GRACE: Duration = Duration::from_secs(120);

/// How often a live run's driver is seen to be there: one that panicked, or was overtaken, wakes nobody.
const DRIVER_ALIVE: Duration = Duration::from_secs(30);

/// How long a driver may take to end when its namespace is terminating, counted from the deletion of the plan: nobody
/// shall wait for our finalizers longer than half a minute.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// How often the sources of a plan that has ended are looked at: the operator may not watch ConfigMaps, and nothing is
/// done about an edit but to say so.
const SOURCES_EVERY: Duration = Duration::from_secs(600);

/// How soon a run is pruned that had to wait for its targets: they take over what it says within seconds.
const PRUNE_AGAIN: Duration = Duration::from_secs(20);

/// What the controller holds.
pub(super) struct Context {
    /// The operator.
    pub(super) operator: Operator,
    /// The drivers of this process.
    pub(super) drivers: Drivers,
    /// The runs as the watch saw them last.
    pub(super) watched: Watched,
}

/// Why a look at a plan did not come to an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The cluster could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The cluster could not be written.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The cluster could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What is left behind could not be swept.
    #[error(transparent)]
    Sweep(#[from] SweepError),
}

/// One look at a plan.
pub(super) async fn reconcile(plan: Arc<MigrationPlan>, context: Arc<Context>) -> Result<Action, Error> {
    let runs = runs_of(&context, &plan).await?;
    count(&context.operator, &plan);
    let ignored = words::ignored_on_plan(&plan, &runs, Timestamp::now());
    tell_ignored(&context.operator, &reference(&plan), ignored).await;
    let newest = runs.last();
    if plan.metadata.deletion_timestamp.is_some() {
        let namespace = plan.metadata.namespace.as_deref().unwrap_or_default();
        if terminating::is_terminating(&context.operator, namespace).await {
            return let_go(&context, &plan, &runs).await;
        }
    }
    if let Some(run) = newest.filter(|run| wants_driver(&plan, run)) {
        return drive(&context, &plan, run, &runs).await;
    }
    let latched = newest.filter(|run| latched(&plan, run));
    // Before the run lets go of its finalizer, which says that nobody has looked at its end yet.
    let told = match latched {
        Some(run) => ending::tell(&context.operator, &plan, run).await?,
        None => false,
    };
    for run in &runs {
        settle(&context.operator, run).await?;
    }
    if plan.metadata.deletion_timestamp.is_some() {
        return leave(&context, &plan, newest).await;
    }
    let more_to_prune = sweep::prune(&context.operator, &plan, &runs).await?;
    if let Some(run) = to_roll_back(&plan, &runs, Timestamp::now()) {
        let (number, intent_hash) = (1 + highest(&plan, &runs, &[]), run.spec.intent_hash.clone());
        let meant = NewRun { number, intent_hash, rolls_back: Some(run.spec.number) };
        let run = make_run(&context.operator, &plan, meant).await?;
        return drive(&context, &plan, &run, &runs).await;
    }
    match latched {
        Some(run) => {
            if !told {
                source_changed(&context.operator, &plan, run).await;
            }
            Ok(Action::requeue(if more_to_prune { PRUNE_AGAIN } else { SOURCES_EVERY }))
        }
        None if nothing_was_pending(&plan) => Ok(Action::await_change()),
        None => begin(&context, &plan, &runs).await,
    }
}

/// In a namespace that is terminating the driver is told to stop; then everything is let go.
async fn let_go(context: &Context, plan: &MigrationPlan, runs: &[MigrationRun]) -> Result<Action, Error> {
    let still =
        runs.iter().filter(|run| context.drivers.end(run.metadata.uid.as_deref().unwrap_or_default()));
    let waited = plan.metadata.deletion_timestamp.as_ref().map(|at| Timestamp::now().duration_since(at.0));
    let patient = waited.is_some_and(|waited| waited.as_secs() < STOPPED_WITHIN.as_secs().cast_signed());
    if still.count() > 0 && patient {
        return Ok(Action::requeue(Duration::from_secs(1)));
    }
    terminating::let_go(&context.operator, plan, runs).await?;
    Ok(Action::await_change())
}

/// What is done after an error: soon again, for as long as it takes.
pub(super) fn again(plan: Arc<MigrationPlan>, error: &Error, _: Arc<Context>) -> Action {
    tracing::warn!(plan = plan.metadata.name, %error, "looking at the plan again");
    Action::requeue(Duration::from_secs(5))
}

/// The runs of a plan's name, oldest first. A re-created plan goes on counting where its forerunner stopped.
///
/// Read live, except while a driver of this process is at work: its run changes at every op, nobody else makes another one
/// meanwhile, and all that is done is to hand the driver what people want now.
async fn runs_of(context: &Context, plan: &MigrationPlan) -> Result<Vec<MigrationRun>, Error> {
    let namespace = plan.metadata.namespace.as_deref().unwrap_or_default();
    let name = plan.metadata.name.as_deref().unwrap_or_default();
    let at_work =
        |run: &MigrationRun| context.drivers.drives(run.metadata.uid.as_deref().unwrap_or_default());
    if plan.metadata.deletion_timestamp.is_none()
        && let Some(runs) = context.watched.of(namespace, name, at_work)
    {
        return Ok(runs);
    }
    let mut runs: Vec<MigrationRun> = list_all(context.operator.own(), namespace, "").await?;
    runs.retain(|run| run.spec.plan.name == name);
    runs.sort_by_key(|run| run.spec.number);
    context.watched.listed(namespace, name, &runs);
    Ok(runs)
}

fn of_this_plan(plan: &MigrationPlan, run: &MigrationRun) -> bool {
    Some(&run.spec.plan.uid) == plan.metadata.uid.as_ref()
}

/// A run that has not ended, or that is Held and was told how to go on.
fn wants_driver(plan: &MigrationPlan, run: &MigrationRun) -> bool {
    match run.status.as_ref().and_then(|status| status.outcome) {
        None => true,
        Some(Outcome::Held) if is_live(run) => {
            let whose = For { run, before: None, proven: false };
            let (signals, _) = signals(plan, whose, Timestamp::now());
            signals.exit.is_some() || signals.accept_data_loss
        }
        Some(_) => false,
    }
}

/// A generation whose run has ended is never compiled again, unless a person wants it; and nothing new begins over a
/// schema that is Held.
fn latched(plan: &MigrationPlan, run: &MigrationRun) -> bool {
    let outcome = run.status.as_ref().and_then(|status| status.outcome);
    if outcome == Some(Outcome::Held) && is_live(run) {
        return true;
    }
    of_this_plan(plan, run)
        && outcome.is_some_and(|outcome| outcome != Outcome::Superseded)
        && Some(run.spec.plan.generation) == plan.metadata.generation
        && retry(plan) != Some(run.spec.number)
}

/// The run that a person wants taken back: the newest one, by `rollback`; or, after an attempt that ended before anything
/// was changed, the one that it was for, by `retry` of the attempt.
fn to_roll_back<'r>(
    plan: &MigrationPlan,
    runs: &'r [MigrationRun],
    now: Timestamp,
) -> Option<&'r MigrationRun> {
    let newest = runs.last()?;
    let number = if words::is_refused_rollback(newest) && retry(plan) == Some(newest.spec.number) {
        newest.spec.rolls_back
    } else {
        rollback_of(plan).filter(|number| *number == newest.spec.number)
    };
    let run = runs.iter().find(|run| Some(run.spec.number) == number)?;
    (of_this_plan(plan, run) && words::no_rollback(plan, run, now).is_none()).then_some(run)
}

/// A generation that had nothing pending is latched too.
fn nothing_was_pending(plan: &MigrationPlan) -> bool {
    let Some(status) = &plan.status else { return false };
    status.conditions.iter().any(|condition| {
        condition.type_ == "Ready"
            && condition.status == "True"
            && condition.reason == Reason::NothingPending.as_str()
            && condition.observed_generation == plan.metadata.generation
    })
}

/// Makes sure that the run has its driver, and that the driver has the newest signals.
async fn drive(
    context: &Context,
    plan: &MigrationPlan,
    run: &MigrationRun,
    runs: &[MigrationRun],
) -> Result<Action, Error> {
    let same = |other: &&MigrationRun| {
        other.spec.number < run.spec.number && other.spec.intent_hash == run.spec.intent_hash
    };
    let before = runs.iter().rev().find(same).map(|before| before.spec.number);
    let whose = For { run, before, proven: context.operator.names_are_proven };
    let (mut signals, next) = signals(plan, whose, Timestamp::now());
    if !of_this_plan(plan, run) {
        // The plan of this run is gone, and another has its name: as if it were being deleted.
        signals.deleted = true;
    }
    let uid = run.metadata.uid.clone().unwrap_or_default();
    if !context.drivers.signal(&uid, plan, &signals) {
        let namespace = plan.metadata.namespace.clone().unwrap_or_default();
        let opened = match parse(&plan.spec, &namespace) {
            Ok(intent) => open(&context.operator, plan, &namespace, &intent).await,
            Err(refusals) => Err(refusals.into()),
        };
        match opened {
            Ok(targets) => {
                record::add_finalizer::<MigrationPlan>(
                    context.operator.own(),
                    &namespace,
                    plan.metadata.name.as_deref().unwrap_or_default(),
                    FINALIZER,
                )
                .await?;
                hold_targets(&context.operator, &namespace, &targets).await?;
                context.drivers.start(&context.operator, plan, run, targets, signals);
            }
            Err(refused) => return refuse(context, plan, &refused).await,
        }
    }
    Ok(Action::requeue(next.map_or(DRIVER_ALIVE, |next| next.min(DRIVER_ALIVE))))
}

/// Targets in use stay until the run has ended. One that is being deleted already takes no finalizer any more.
async fn hold_targets(
    operator: &Operator,
    namespace: &str,
    targets: &BTreeMap<String, OpenTarget>,
) -> Result<(), Error> {
    let stays = |target: &&String| {
        targets.get(*target).is_some_and(|open| open.object.metadata.deletion_timestamp.is_none())
    };
    for target in targets.keys().filter(stays) {
        record::add_finalizer::<DatabaseTarget>(operator.own(), namespace, target, FINALIZER).await?;
    }
    Ok(())
}

/// An ended run drops its finalizer; one that gave way to a newer generation goes.
async fn settle(operator: &Operator, run: &MigrationRun) -> Result<(), Error> {
    let (namespace, name) = (
        run.metadata.namespace.as_deref().unwrap_or_default(),
        run.metadata.name.as_deref().unwrap_or_default(),
    );
    let uid = run.metadata.uid.as_deref().unwrap_or_default();
    let outcome = run.status.as_ref().and_then(|status| status.outcome);
    if !is_live(run) && run.metadata.finalizers.iter().flatten().any(|it| it == FINALIZER) {
        record::remove_finalizer::<MigrationRun>(operator.own(), namespace, name, FINALIZER).await?;
    }
    if outcome == Some(Outcome::Superseded) && run.metadata.deletion_timestamp.is_none() {
        record::delete::<MigrationRun>(operator.own(), namespace, name, uid).await?;
    }
    Ok(())
}

/// A plan that is being deleted goes once nothing of it is live. A Held one waits for `resolve` or `abandon`.
async fn leave(
    context: &Context,
    plan: &MigrationPlan,
    newest: Option<&MigrationRun>,
) -> Result<Action, Error> {
    if let Some(run) = newest.filter(|run| {
        of_this_plan(plan, run)
            && run.status.as_ref().is_some_and(|s| s.outcome == Some(Outcome::Held))
            && is_live(run)
    }) {
        tell_blocked(&context.operator, plan, run).await;
        return Ok(Action::await_change());
    }
    record::remove_finalizer::<MigrationPlan>(
        context.operator.own(),
        plan.metadata.namespace.as_deref().unwrap_or_default(),
        plan.metadata.name.as_deref().unwrap_or_default(),
        FINALIZER,
    )
    .await?;
    Ok(Action::await_change())
}

async fn tell_blocked(operator: &Operator, plan: &MigrationPlan, run: &MigrationRun) {
    let note = words::message::deletion_blocked(&PlanFacts::of(plan), &RunFacts::of(run));
    let transition = Transition {
        regarding: &reference(plan),
        related: None,
        severity: Severity::Warning,
        reason: EventReason::DeletionBlocked.as_str(),
        note: &note,
        once: &run.spec.number.to_string(),
    };
    operator.recorder.publish(&transition).await;
}

/// Looks, compiles, and makes a run when there is something to do.
async fn begin(context: &Context, plan: &MigrationPlan, runs: &[MigrationRun]) -> Result<Action, Error> {
    if plan.spec.paused {
        let sentence = "paused before anything was looked at; set spec.paused to false";
        say(context, plan, |old, facts, now| words::waiting(old, facts, Reason::Paused, sentence, now)).await;
        return Ok(Action::await_change());
    }
    // The last word on an intent counts: what was taken back after its success is pending again.
    let succeeded = |intent: &str| {
        let mut same = runs.iter().rev().filter(|run| run.spec.intent_hash == intent);
        let last = same.find(|run| !words::is_refused_rollback(run));
        last.is_some_and(|run| run.status.as_ref().is_some_and(|s| s.outcome == Some(Outcome::Succeeded)))
    };
    let looked = match looking::look(&context.operator, plan, None, succeeded).await {
        Ok(looked) => looked,
        Err(refused) => return refuse(context, plan, &refused).await,
    };
    if let Some(failed) = failed_before(plan, runs, &looked.targets, &looked.intent_hash) {
        let sentence = format!(
            "the same plan failed in run {failed}; change it, or run it again: kubectl annotate mplan {} --namespace={} --overwrite whimbrel.dev/retry=\"{failed} by <you>\"",
            plan.metadata.name.as_deref().unwrap_or_default(),
            plan.metadata.namespace.as_deref().unwrap_or_default(),
        );
        say(context, plan, |old, facts, now| {
            words::stalled(old, facts, Reason::AlreadyFailed, &sentence, now)
        })
        .await;
        return Ok(Action::await_change());
    }
    match &looked.compiled {
        Compiled::NothingPending => {
            say(context, plan, words::nothing_pending).await;
            Ok(Action::await_change())
        }
        Compiled::Program(_) => {
            let number = 1 + highest(plan, runs, &looked.targets);
            let meant = NewRun { number, intent_hash: looked.intent_hash, rolls_back: None };
            let run = make_run(&context.operator, plan, meant).await?;
            drive(context, plan, &run, runs).await
        }
    }
}

/// A plan that can't be compiled now: for a while what usually passes by itself is waited for, then it is stalled.
async fn refuse(context: &Context, plan: &MigrationPlan, refused: &Refused) -> Result<Action, Error> {
    let reason: Reason = refused.reason.parse().unwrap_or(Reason::InvalidSpec);
    let passes = matches!(
        reason,
        Reason::SourceNotReady | Reason::TargetNotReady | Reason::Forbidden | Reason::Queued
    );
    let since = plan.status.as_ref().and_then(|status| {
        let said = status
            .conditions
            .iter()
            .find(|c| c.type_ == "Ready" && c.observed_generation == plan.metadata.generation);
        said.filter(|c| c.reason == reason.as_str()).map(|c| c.last_transition_time.0)
    });
    let now = Timestamp::now();
    let patient =
        since.is_none_or(|since| now.duration_since(since).as_secs() < GRACE.as_secs().cast_signed());
    if passes && (patient || reason == Reason::Queued) {
        say(context, plan, |old, facts, now| words::waiting(old, facts, reason, &refused.message, now)).await;
    } else {
        say(context, plan, |old, facts, now| words::stalled(old, facts, reason, &refused.message, now)).await;
    }
    Ok(Action::requeue(if reason == Reason::Queued { Duration::from_secs(5) } else { LOOK_AGAIN }))
}

async fn say(
    context: &Context,
    plan: &MigrationPlan,
    words: impl Fn(&MigrationPlanStatus, &PlanFacts, Timestamp) -> MigrationPlanStatus,
) {
    let old = plan.status.clone().unwrap_or_default();
    let new = words(&old, &PlanFacts::of(plan), Timestamp::now());
    if words::differs(&old, &new) || old.message != new.message {
        write_status(&context.operator, plan, &old, &new).await;
    }
}

/// Says whether a source was edited after the run of this generation had ended. Nothing else is done about it: what is
/// latched runs again by a new generation, or by a person's word.
async fn source_changed(operator: &Operator, plan: &MigrationPlan, run: &MigrationRun) {
    // What can't be read now is said when it can.
    let Ok(intent) = looking::intent_now(operator, plan).await else { return };
    let facts = PlanFacts::of(plan);
    let old = plan.status.clone().unwrap_or_default();
    let same = intent == run.spec.intent_hash || Some(run.spec.plan.generation) != plan.metadata.generation;
    let new = words::source_changed(&old, &facts, &RunFacts::of(run), !same, Timestamp::now());
    if words::differs(&old, &new) {
        write_status(operator, plan, &old, &new).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(verbs: serde_json::Value) -> MigrationPlan {
        serde_json::from_value(json!({
            "metadata": {"name": "shop", "namespace": "aether", "uid": "p", "generation": 1, "annotations": verbs},
            "spec": {
                "rollbackWindow": "1h",
                "stages": [{"name": "Data", "steps": [{"name": "s", "approve": {"message": "go?"}}]}]
            }
        }))
        .unwrap()
    }

    fn run(number: i64, outcome: &str, rolls_back: Option<i64>) -> MigrationRun {
        serde_json::from_value(json!({
            "metadata": {"name": format!("shop-{number}"), "namespace": "aether", "uid": format!("r{number}")},
            "spec": {
                "plan": {"name": "shop", "uid": "p", "generation": 1},
                "number": number, "intentHash": "i", "rollsBack": rolls_back
            },
            "status": {"outcome": outcome, "finishedAt": "2026-11-21T02:00:00Z"}
        }))
        .unwrap()
    }

    fn taken_back(verbs: serde_json::Value, runs: &[MigrationRun], at: &str) -> Option<i64> {
        to_roll_back(&plan(verbs), runs, at.parse().unwrap()).map(|run| run.spec.number)
    }

    #[test]
    fn the_newest_run_is_taken_back_once_and_an_attempt_that_was_refused_only_by_retry() {
        let (soon, late) = ("2026-11-21T02:30:00Z", "2026-11-21T03:30:00Z");
        let rollback = json!({"whimbrel.dev/rollback": "7 by ann"});
        let both = json!({"whimbrel.dev/rollback": "7 by ann", "whimbrel.dev/retry": "8 by ann"});
        let (good, refused) = (run(7, "Succeeded", None), run(8, "Aborted", Some(7)));
        assert_eq!(taken_back(rollback.clone(), std::slice::from_ref(&good), soon), Some(7));
        assert_eq!(
            taken_back(rollback.clone(), std::slice::from_ref(&good), late),
            None,
            "rollbackWindow is over"
        );
        assert_eq!(taken_back(rollback.clone(), &[run(7, "RolledBack", None)], soon), None);
        assert_eq!(
            taken_back(rollback.clone(), &[good.clone(), refused.clone()], soon),
            None,
            "not for ever"
        );
        assert_eq!(taken_back(both.clone(), &[good.clone(), refused], soon), Some(7));
        let done = run(8, "RolledBack", Some(7));
        assert_eq!(
            taken_back(both, &[good.clone(), done], soon),
            None,
            "it is taken back: retry goes forward"
        );
        assert_eq!(taken_back(rollback, &[good, run(8, "Succeeded", None)], soon), None, "a newer run");
    }
}
