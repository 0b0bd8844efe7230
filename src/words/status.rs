//! `MigrationPlan.status` of a plan with a run: a projection, made anew each time.

use super::conditions::{self, says};
use super::facts::{PlanFacts, RunFacts};
use super::message::{sentence, ways_on};
use super::phase::phase;
use super::preview::{point_of_no_return, preview};
use super::steps::{progress, stages};
use super::text::one_line;
use super::view::View;
use crate::api::bounds::{MESSAGE, STRING, cut};
use crate::api::condition::Status::{False, True};
use crate::api::plan::{
    BlockedBy, BlockerKind, Failure, MigrationPlanStatus, PlanBackupStatus, PlanRun, WorkloadStatus,
};
use crate::api::{ConditionType, Outcome, Phase, Reason, Time};
use crate::program::{Gate, Kind, Op};
use crate::run::{Report, Waiting};
use jiff::Timestamp;

/// The most blockers that are listed: the first says why it waits, the others are seen once it is gone.
const BLOCKERS: usize = 10;

/// What people read of a plan whose run stands like this.
///
/// `old` is what was read last; only the instants of unchanged conditions, of the queue and what the controller says
/// besides the run (`SourceChanged`) are taken from it.
pub fn plan_status(
    old: &MigrationPlanStatus,
    plan: &PlanFacts,
    run: &RunFacts,
    report: &Report,
    now: Timestamp,
) -> MigrationPlanStatus {
    let view = View { plan, run, report };
    let now = Time(now);
    let mut says = conditions::conditions(&view, &sentence(&view));
    says.extend(plan_only(&view));
    let mut list = old.conditions.clone();
    conditions::write(&mut list, says, plan.generation, &now);
    let program = view.program();
    MigrationPlanStatus {
        observed_generation: plan.generation,
        phase: phase(&view),
        message: sentence(&view),
        progress: progress(&view),
        step: step(&view),
        run: Some(plan_run(old, &view, &now)),
        stages: stages(&view),
        preview: program.map(|program| preview(program, view.record())).unwrap_or_default(),
        point_of_no_return: program
            .and_then(|program| point_of_no_return(program, view.record()))
            .map(|text| cut(&text, MESSAGE)),
        failure: failure(&view),
        blocked_by: blocked_by(&view),
        backups: backups(&view),
        workloads: workloads(&view),
        conditions: list,
    }
}

/// Conditions that only a plan has.
fn plan_only(view: &View<'_>) -> Vec<conditions::Says> {
    let yes = |on| if on { True } else { False };
    let live = view.outcome().is_none_or(|outcome| outcome == Outcome::Held);
    let drift = live && view.run.plan_generation != view.plan.generation;
    let (paused, why) = match view.report.waiting {
        Some(Waiting::Paused) => (true, "spec.paused is true"),
        Some(Waiting::Window(_)) if view.frozen() => (true, "the window has closed"),
        _ => (false, "not paused"),
    };
    let reverted = view.outcome() == Some(Outcome::RolledBack)
        && view.tally(|kind| matches!(kind, Kind::Rollout(_))).begun_or_ended();
    let generations = match drift {
        true => format!(
            "the run is of generation {}, the plan is at {}",
            view.run.plan_generation, view.plan.generation
        ),
        false => "the run is of the newest generation".to_owned(),
    };
    let mut more = Vec::new();
    if view.outcome().is_none() {
        let message = "the run has the sources as they were frozen, or looks at them again";
        more.push(says(ConditionType::SourceChanged, False, Reason::NotRequired, message));
    }
    let git =
        if reverted { "live has the old images; what Git says was taken back" } else { "Git and live agree" };
    more.extend([
        says(
            ConditionType::Paused,
            yes(paused),
            if paused { Reason::Paused } else { Reason::NotRequired },
            why,
        ),
        says(
            ConditionType::SpecDrift,
            yes(drift),
            if drift { Reason::Pending } else { Reason::NotRequired },
            generations,
        ),
        says(
            ConditionType::GitOpsRevertRequired,
            yes(reverted),
            if reverted { Reason::AwaitingPerson } else { Reason::NotRequired },
            git,
        ),
        says(ConditionType::BackgroundComplete, True, Reason::NotRequired, "the plan has no background jobs"),
    ]);
    more
}

fn step(view: &View<'_>) -> Option<String> {
    if let Some(Waiting::Approval(Gate::Step { name, .. })) = &view.report.waiting {
        return Some(name.clone());
    }
    match view.outcome() {
        Some(_) => view.record().failure.as_ref().map(|f| f.step.clone()).filter(|step| !step.is_empty()),
        None => view.at_hand().iter().find_map(|op| op.step.clone()),
    }
}

fn plan_run(old: &MigrationPlanStatus, view: &View<'_>, now: &Time) -> PlanRun {
    let before = old.run.as_ref().filter(|run| run.number == view.run.number);
    let queued = matches!(view.report.waiting, Some(Waiting::Queued(_)));
    // The queue is in the order in which the gates were passed: Claim is the op behind them.
    let claim = view.forward().find(|op| op.kind == Kind::Claim);
    let passed = claim.and_then(|op| view.record().ops.get(&op.id)?.started_at.clone());
    let since = passed.or_else(|| before?.queued_since.clone()).unwrap_or_else(|| now.clone());
    PlanRun {
        number: view.run.number,
        name: view.run.name.clone(),
        generation: view.run.plan_generation,
        plan_hash: view.program().map(|program| program.plan_hash.clone()).unwrap_or_default(),
        intent_hash: view.run.intent_hash.clone(),
        started_at: view.record().started_at.clone(),
        queued_since: queued.then_some(since),
        epoch: view.record().epoch,
    }
}

/// The failure, with the next action of the outcome it led to.
pub(super) fn failure(view: &View<'_>) -> Option<Failure> {
    let mut failure = view.record().failure.clone()?;
    failure.message = cut(&one_line(&failure.message), MESSAGE);
    if view.outcome() == Some(Outcome::Held) {
        let by_hand = !view.record().restore_by_hand.is_empty();
        let ways = ways_on(view.plan, view.run, &failure.code, by_hand);
        failure.next_action = cut(&ways.join("; or "), MESSAGE);
    }
    Some(failure)
}

fn blocked_by(view: &View<'_>) -> Vec<BlockedBy> {
    if view.outcome().is_some() {
        return Vec::new();
    }
    let blocker = |kind, name: &str, detail: String| BlockedBy {
        kind,
        name: cut(name, STRING),
        detail: cut(&one_line(&detail), 1024),
        since: None,
    };
    let run = view.report.waiting.as_ref().map(|waiting| match waiting {
        Waiting::Approval(Gate::Plan | Gate::Window) => {
            blocker(BlockerKind::Person, "approve", sentence(view))
        }
        Waiting::Approval(Gate::Step { name, .. }) => {
            blocker(BlockerKind::Person, &format!("approve.{name}"), sentence(view))
        }
        Waiting::Window(opens) => {
            let shown = opens.as_ref().map(|opens| opens.shown.clone()).unwrap_or_default();
            blocker(BlockerKind::Window, "spec.windows", shown)
        }
        Waiting::Paused => blocker(BlockerKind::Person, "spec.paused", String::new()),
        Waiting::Queued(holder) => blocker(BlockerKind::Run, holder, String::new()),
        Waiting::Look { reason, message } => {
            let kind = if reason == "SourceNotReady" { BlockerKind::Source } else { BlockerKind::Target };
            blocker(kind, reason, message.clone())
        }
    });
    let hand = view.at_hand();
    let ops = hand.iter().filter_map(|op| {
        let doing = view.doing(op)?;
        let blocked = doing.blocked.as_ref()?;
        let (kind, subject) = subject(op);
        let (kind, name) = match blocked.pid {
            Some(pid) => (BlockerKind::Session, format!("pid {pid}")),
            None => (kind, subject),
        };
        let since = Some(Time(blocked.since.unwrap_or(doing.since)));
        Some(BlockedBy { since, ..blocker(kind, &name, blocked.what.clone()) })
    });
    run.into_iter().chain(ops).take(BLOCKERS).collect()
}

/// What an op waits for when it waits.
fn subject(op: &Op) -> (BlockerKind, String) {
    match &op.kind {
        Kind::Quiesce { workload } | Kind::StopServer { workload } => {
            (BlockerKind::Pod, workload.to_string())
        }
        Kind::GiveBack { workload, .. }
        | Kind::StartServer { workload, .. }
        | Kind::RollBack { workload, .. } => (BlockerKind::Workload, workload.to_string()),
        Kind::Rollout(rollout) => (BlockerKind::Workload, rollout.workload.to_string()),
        Kind::ProveQuiet { target } => (BlockerKind::Session, target.clone()),
        Kind::Backup { target } | Kind::VerifyBackup { target, .. } => (BlockerKind::Pod, target.clone()),
        Kind::Apply { target, .. } | Kind::Undo { target, .. } => (BlockerKind::Lock, target.clone()),
        other => (BlockerKind::Target, other.target().unwrap_or(&op.id).to_owned()),
    }
}

fn backups(view: &View<'_>) -> Vec<PlanBackupStatus> {
    let backup = |backup: &crate::api::run::BackupRecord| PlanBackupStatus {
        target: backup.target.clone(),
        path: backup.path.clone(),
        at: backup.at.clone(),
        level: backup.level,
        bytes: backup.bytes,
    };
    view.record().backups.iter().map(backup).collect()
}

fn workloads(view: &View<'_>) -> Vec<WorkloadStatus> {
    let all = view.program().map(|program| program.workloads.as_slice()).unwrap_or_default();
    let status = |of: &crate::program::WorkloadRef| {
        let blocked = view.at_hand().into_iter().find_map(|op| match &op.kind {
            Kind::Rollout(rollout) if rollout.workload == *of => view.doing(op)?.blocked.clone(),
            Kind::Quiesce { workload }
            | Kind::StopServer { workload }
            | Kind::StartServer { workload, .. }
            | Kind::GiveBack { workload, .. }
            | Kind::RollBack { workload, .. }
                if workload == of =>
            {
                view.doing(op)?.blocked.clone()
            }
            _ => None,
        });
        WorkloadStatus {
            kind: of.kind,
            namespace: of.namespace.clone(),
            name: of.name.clone(),
            state: view.workload(of),
            message: blocked.map(|blocked| cut(&one_line(&blocked.what), STRING)).unwrap_or_default(),
        }
    };
    all.iter().map(status).collect()
}

/// Whether two statuses differ in what is worth a write at once: phase, step, blockers, outcome, conditions. What is
/// left is progress, which is written every 10 s at most.
pub fn differs(old: &MigrationPlanStatus, new: &MigrationPlanStatus) -> bool {
    let stands = |status: &MigrationPlanStatus| -> (Phase, Option<String>, Vec<BlockedBy>, Option<PlanRun>) {
        (status.phase, status.step.clone(), status.blocked_by.clone(), status.run.clone())
    };
    let says = |status: &MigrationPlanStatus| -> Vec<(String, String, String)> {
        let conditions = status.conditions.iter();
        conditions.map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone())).collect()
    };
    old.observed_generation != new.observed_generation || stands(old) != stands(new) || says(old) != says(new)
}
