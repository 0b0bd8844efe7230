//! What people and clocks ask of a run, from the plan as it is now. Pure.

use crate::api::run::MigrationRunStatus;
use crate::api::verb::{self, Guard, Verb};
use crate::api::{Duration, MigrationPlan};
use crate::program::{Exit, Signals};
use jiff::Timestamp;

/// The signals for run `number`, and how long until a clock changes them.
pub(super) fn signals(
    plan: &MigrationPlan,
    number: i64,
    generation: i64,
    record: &MigrationRunStatus,
    now: Timestamp,
) -> (Signals, Option<std::time::Duration>) {
    let mut signals = Signals {
        paused: plan.spec.paused,
        deleted: plan.metadata.deletion_timestamp.is_some(),
        superseded: plan.metadata.generation != Some(generation),
        ..Signals::default()
    };
    let annotations = plan.metadata.annotations.clone().unwrap_or_default();
    for asked in verb::on_plan(&annotations).into_iter().flatten() {
        match asked.verb {
            Verb::Approve(hash) => drop(signals.approved.insert(String::new(), hash)),
            Verb::ApproveStep { step, plan_hash } => drop(signals.approved.insert(step, plan_hash)),
            Verb::Abort(run) if run == number => signals.abort = true,
            Verb::Resolve(run) if run == number => signals.exit = Some(Exit::Resolve),
            Verb::Abandon(run) if run == number => signals.exit = Some(Exit::Abandon),
            Verb::Override { guard: Guard::DataLoss, run, until, .. } if run == number => {
                signals.accept_data_loss = now < until.0;
            }
            _ => {}
        }
    }
    let left = |since: Option<Timestamp>, most: Option<Duration>| {
        let (since, most) = (since?, most?);
        let passed = std::time::Duration::try_from(now.duration_since(since)).unwrap_or_default();
        Some(most.get().saturating_sub(passed))
    };
    let deadline = left(record.claimed_at.as_ref().map(|at| at.0), plan.spec.deadline);
    let downtime = left(record.down_from.as_ref().map(|at| at.0), plan.spec.max_downtime);
    signals.deadline = deadline.is_some_and(|left| left.is_zero());
    signals.downtime = downtime.is_some_and(|left| left.is_zero());
    let next = [deadline, downtime].into_iter().flatten().filter(|left| !left.is_zero()).min();
    (signals, next)
}

/// The run whose intent a person wants again.
pub(super) fn retry(plan: &MigrationPlan) -> Option<i64> {
    let annotations = plan.metadata.annotations.clone().unwrap_or_default();
    verb::on_plan(&annotations).into_iter().flatten().find_map(|asked| match asked.verb {
        Verb::Retry(run) => Some(run),
        _ => None,
    })
}
