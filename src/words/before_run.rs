//! `MigrationPlan.status` of a plan without a run: looked at, stalled, or nothing to do.

use super::conditions::{self, Says, says};
use super::facts::{PlanFacts, RunFacts};
use super::message::retry;
use super::text::one_line;
use crate::api::bounds::{MESSAGE, cut};
use crate::api::condition::Status::{False, True, Unknown};
use crate::api::plan::{MigrationPlanStatus, StageStatus, StepState, StepStatus};
use crate::api::{ConditionType, Phase, Reason, Time, condition};
use jiff::Timestamp;

/// Conditions that a run answers; before one they are not reached.
const OF_A_RUN: [ConditionType; 9] = [
    ConditionType::Approved,
    ConditionType::WindowOpen,
    ConditionType::BackupVerified,
    ConditionType::Quiesced,
    ConditionType::Migrated,
    ConditionType::RolledOut,
    ConditionType::Verified,
    ConditionType::WorkloadsGivenBack,
    ConditionType::RolledBack,
];

/// The plan is looked at, or waits for what passes by itself: `reason` is one of Reconciling's.
pub fn waiting(
    old: &MigrationPlanStatus,
    plan: &PlanFacts,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> MigrationPlanStatus {
    let message = one_line(message);
    let mut all = vec![
        says(ConditionType::Ready, Unknown, reason, &message),
        says(ConditionType::Reconciling, True, reason, &message),
        says(ConditionType::Validated, Unknown, Reason::Progressing, "not compiled yet"),
    ];
    all.extend(no_run());
    let phase = if reason == Reason::Queued { Phase::Queued } else { Phase::Pending };
    status(old, plan, phase, &message, all, StepState::Pending, now)
}

/// Nothing moves until what the message names is changed: `reason` is one of Stalled's before a run.
pub fn stalled(
    old: &MigrationPlanStatus,
    plan: &PlanFacts,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> MigrationPlanStatus {
    let message = one_line(message);
    let mut all = vec![
        says(ConditionType::Ready, False, reason, &message),
        says(ConditionType::Stalled, True, reason, &message),
        says(ConditionType::Validated, False, reason, &message),
    ];
    all.extend(no_run());
    status(old, plan, Phase::Stalled, &message, all, StepState::Pending, now)
}

/// Nothing was pending: Ready at once, no run, nothing was scaled.
pub fn nothing_pending(old: &MigrationPlanStatus, plan: &PlanFacts, now: Timestamp) -> MigrationPlanStatus {
    let message = match &plan.version {
        Some(version) => format!("{version} is in place: nothing to do, nothing was touched"),
        None => "nothing to do, nothing was touched".to_owned(),
    };
    let mut all: Vec<Says> = [ConditionType::Ready, ConditionType::Finished, ConditionType::Succeeded]
        .map(|of| says(of, True, Reason::NothingPending, &message))
        .into();
    all.push(says(ConditionType::Validated, True, Reason::Done, "compiled; nothing is pending"));
    all.extend(OF_A_RUN.map(|of| match of {
        ConditionType::RolledBack => says(of, Unknown, Reason::Pending, "no way back was needed"),
        of => says(of, True, Reason::NotRequired, "nothing is pending"),
    }));
    status(old, plan, Phase::Succeeded, &message, all, StepState::Skipped, now)
}

/// The status of a plan whose run has ended, with whether a source was edited since.
pub fn source_changed(
    old: &MigrationPlanStatus,
    plan: &PlanFacts,
    run: &RunFacts,
    edited: bool,
    now: Timestamp,
) -> MigrationPlanStatus {
    let (is, reason, message) = match edited {
        true => {
            let message = format!(
                "a source was edited after run {}; nothing is done about it until spec changes, or by {}",
                run.name,
                retry(plan, run)
            );
            (True, Reason::Pending, message)
        }
        false => (False, Reason::NotRequired, format!("the sources are those of run {}", run.name)),
    };
    let mut new = old.clone();
    condition::set(
        &mut new.conditions,
        ConditionType::SourceChanged,
        is,
        reason,
        &message,
        plan.generation,
        &Time(now),
    );
    new
}

fn no_run() -> Vec<Says> {
    let mut all = vec![
        says(ConditionType::Finished, False, Reason::Progressing, "no run yet"),
        says(ConditionType::Succeeded, Unknown, Reason::Pending, "no run yet"),
    ];
    all.extend(OF_A_RUN.map(|of| says(of, Unknown, Reason::Pending, "no run yet")));
    all
}

fn status(
    old: &MigrationPlanStatus,
    plan: &PlanFacts,
    phase: Phase,
    message: &str,
    mut all: Vec<Says>,
    steps: StepState,
    now: Timestamp,
) -> MigrationPlanStatus {
    for of in [
        ConditionType::Paused,
        ConditionType::SpecDrift,
        ConditionType::SourceChanged,
        ConditionType::GitOpsRevertRequired,
    ] {
        all.push(says(of, False, Reason::NotRequired, "no run of this generation"));
    }
    all.push(says(
        ConditionType::BackgroundComplete,
        True,
        Reason::NotRequired,
        "the plan has no background jobs",
    ));
    let mut conditions = old.conditions.clone();
    conditions::write(&mut conditions, all, plan.generation, &Time(now));
    let step = |name: &String| StepStatus {
        name: name.clone(),
        state: steps,
        started_at: None,
        finished_at: None,
        message: String::new(),
    };
    let stage = |(name, steps): &(crate::api::Stage, Vec<String>)| StageStatus {
        name: *name,
        steps: steps.iter().map(step).collect(),
    };
    MigrationPlanStatus {
        observed_generation: plan.generation,
        phase,
        message: cut(message, MESSAGE),
        progress: "-/-".to_owned(),
        // The number of the last run goes on being shown: `retry` names it.
        run: old.run.clone(),
        stages: plan.stages.iter().map(stage).collect(),
        conditions,
        ..MigrationPlanStatus::default()
    }
}
