//! What people read in the run's own record: phase, message, times, conditions. What decides is not touched.

use super::conditions;
use super::facts::{PlanFacts, RunFacts};
use super::message::sentence;
use super::phase::phase;
use super::status::failure;
use super::view::View;
use crate::api::run::MigrationRunStatus;
use crate::api::{Duration, Outcome, Time};
use crate::run::Report;
use jiff::Timestamp;

/// The record of the report with all that people read in it made anew. Everything else is as it was, so that a driver
/// may write the result in the place of its record.
pub fn run_status(plan: &PlanFacts, run: &RunFacts, report: &Report, now: Timestamp) -> MigrationRunStatus {
    let view = View { plan, run, report };
    let mut record = report.record.clone();
    let message = sentence(&view);
    conditions::write(
        &mut record.conditions,
        conditions::conditions(&view, &message),
        run.generation,
        &Time(now),
    );
    record.observed_generation = run.generation;
    record.phase = phase(&view);
    record.message = message;
    record.failure = match view.outcome() {
        Some(Outcome::Held) => failure(&view),
        _ => record.failure,
    };
    record.took = span(record.started_at.as_ref(), record.finished_at.as_ref());
    record.downtime = span(record.down_from.as_ref(), record.down_to.as_ref());
    record
}

/// From one instant to the other in whole seconds; none before both are known.
fn span(from: Option<&Time>, to: Option<&Time>) -> Option<Duration> {
    let seconds = to?.0.as_second() - from?.0.as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}
