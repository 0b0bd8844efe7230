//! What is counted: the numbers that lie between what was told last and how the run stands now.

use super::events::Told;
use super::facts::{PlanFacts, RunFacts};
use super::view::View;
use crate::api::run::{OpRecord, OpState};
use crate::api::target::VerificationLevel;
use crate::api::{Outcome, Stage};
use crate::program::Kind;
use crate::run::{Report, Waiting};
use jiff::Timestamp;
use std::time::Duration;

/// A number of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// A step's op ended.
    Step {
        /// The target that it worked on, if it did on one.
        target: Option<String>,
        /// Its stage; none for a step that the plan does not have any more.
        stage: Option<Stage>,
        /// Done, Failed or Unknown.
        end: OpState,
        /// From intent to outcome.
        took: Duration,
    },
    /// Whom the run waits for from now on; none: for nobody.
    WaitsFor(Option<Person>),
    /// The run ended, this long after it began.
    Ended(Outcome, Duration),
    /// The dependents are down since the first instant, and were back at the second.
    Down(Timestamp, Option<Timestamp>),
    /// A target was backed up at this instant and proven to this level.
    Backup(String, Timestamp, VerificationLevel),
    /// A backup of this target was restored for a test, and whether that was a success.
    RestoreTested(String, bool),
    /// So many workloads are left down by a run that has ended.
    NotGivenBack(usize),
    /// Somebody scaled a workload up that should be quiet, or wrote.
    Contended,
}

/// What is waited for that is no work: what only a person can give, or a window that a person drew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    /// An approval.
    Approval,
    /// A window.
    Window,
    /// The end of a pause.
    Pause,
}

/// The numbers since `told`.
pub fn measures(told: &Told, plan: &PlanFacts, run: &RunFacts, report: &Report) -> Vec<Measure> {
    let view = View { plan, run, report };
    let record = view.record();
    let mut all = steps(&view, told);
    all.push(Measure::WaitsFor(report.waiting.as_ref().and_then(person)));
    if record.quiet_unbroken == Some(false) && !told.contended() {
        all.push(Measure::Contended);
    }
    if let Some(from) = &record.down_from {
        let back = view.outcome().is_some() || view.down().is_empty();
        let to = record.down_to.as_ref().filter(|_| back && view.down().is_empty());
        all.push(Measure::Down(from.0, to.map(|to| to.0)));
    }
    for backup in record.backups.iter().filter(|backup| backup.level > VerificationLevel::None) {
        all.push(Measure::Backup(backup.target.clone(), backup.at.0, backup.level));
    }
    all.extend(restore_tests(&view, told));
    let left = if view.outcome().is_some() { view.down().len() } else { 0 };
    all.push(Measure::NotGivenBack(left));
    if let Some(outcome) = view.outcome().filter(|outcome| told.outcome() != Some(*outcome)) {
        let times = record.started_at.as_ref().zip(record.finished_at.as_ref());
        let took = times.map(|(from, to)| between(from.0, to.0)).unwrap_or_default();
        all.push(Measure::Ended(outcome, took));
    }
    all
}

fn steps(view: &View<'_>, told: &Told) -> Vec<Measure> {
    let ended = |op: &crate::program::Op| {
        let step = op.step.as_ref().filter(|_| !matches!(op.kind, Kind::Gate(_)))?;
        let record = view.record().ops.get(&op.id)?;
        let new = record.state != OpState::Intent && told.state(&op.id) != Some(record.state);
        new.then(|| Measure::Step {
            target: op.kind.target().map(str::to_owned),
            stage: view.plan.stage_of(step),
            end: record.state,
            took: took(record),
        })
    };
    view.forward().filter_map(ended).collect()
}

fn restore_tests(view: &View<'_>, told: &Told) -> Vec<Measure> {
    let tested = |op: &crate::program::Op| {
        let Kind::VerifyBackup { target, level: VerificationLevel::Restored } = &op.kind else { return None };
        let state = view.record().ops.get(&op.id)?.state;
        let new = state != OpState::Intent && told.state(&op.id) != Some(state);
        new.then(|| Measure::RestoreTested(target.clone(), state == OpState::Done))
    };
    view.forward().filter_map(tested).collect()
}

fn person(waiting: &Waiting) -> Option<Person> {
    match waiting {
        Waiting::Approval(_) => Some(Person::Approval),
        Waiting::Window(_) => Some(Person::Window),
        Waiting::Paused => Some(Person::Pause),
        Waiting::Queued(_) | Waiting::Look { .. } => None,
    }
}

fn took(op: &OpRecord) -> Duration {
    let times = op.started_at.as_ref().zip(op.finished_at.as_ref());
    times.map(|(from, to)| between(from.0, to.0)).unwrap_or_default()
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Story, at, broken_script, data_loss, plan, run};
    use super::*;

    fn since(before: &Story, after: &Story) -> Vec<Measure> {
        measures(&Told::of(&before.report), &plan(), &run(), &after.report)
    }

    #[test]
    fn a_step_is_counted_once_when_it_ends() {
        let before = Story::new().up_to("apply/entities").at_work("apply/entities");
        let after = broken_script();
        let step = Measure::Step {
            target: Some("tas".into()),
            stage: Some(Stage::Data),
            end: OpState::Failed,
            took: Duration::from_secs(30),
        };
        assert_eq!(since(&before, &after).iter().filter(|measure| **measure == step).count(), 1);
        assert!(!since(&after, &after).contains(&step));
    }

    #[test]
    fn an_end_is_counted_once_with_what_it_leaves_down() {
        let after = data_loss();
        let mut before = after.clone();
        before.report.record.outcome = None;
        let ended = Measure::Ended(Outcome::Held, Duration::from_secs(600));
        assert!(since(&before, &after).contains(&ended));
        assert!(since(&before, &after).contains(&Measure::NotGivenBack(2)));
        assert!(since(&before, &after).contains(&Measure::Down(at("02:12:00"), None)));
        assert!(!since(&after, &after).contains(&ended));
    }

    #[test]
    fn downtime_ends_when_the_last_workload_is_back() {
        let down = Story::new().up_to("apply/entities").at_work("apply/entities");
        assert!(since(&down, &down).contains(&Measure::Down(at("02:12:00"), None)));
        let over = Story::new().up_to("release").ended(Outcome::Succeeded);
        let measures = since(&down, &over);
        assert!(measures.contains(&Measure::Down(at("02:12:00"), Some(at("02:16:31")))));
        assert!(measures.contains(&Measure::NotGivenBack(0)));
    }

    #[test]
    fn a_restore_test_is_counted_with_its_end() {
        let id = "verify-backup/tas";
        let before = Story::new().up_to(id).at_work(id);
        for (state, passed) in [(OpState::Done, true), (OpState::Failed, false)] {
            let after = before.clone().op(id, state);
            let tested = Measure::RestoreTested("tas".into(), passed);
            assert!(since(&before, &after).contains(&tested), "{state}");
            assert!(!since(&after, &after).contains(&tested));
        }
    }

    #[test]
    fn whom_it_waits_for_is_always_said() {
        let works = Story::new().up_to("gate");
        let paused = works.clone().waits(Waiting::Paused);
        assert!(since(&works, &paused).contains(&Measure::WaitsFor(Some(Person::Pause))));
        assert!(since(&paused, &works).contains(&Measure::WaitsFor(None)));
    }
}
