//! The numbers of runs: what a report changes in the metrics.

use super::labels::{PlanKey, StepEnd, StepLabels, TargetKey, Wait};
use super::metrics::Metrics;
use crate::api::Engine;
use crate::api::run::OpState;
use crate::words::{Measure, Person};
use jiff::Timestamp;

impl Metrics {
    /// Counts what lies between two reports of a run. `engine` names the engine of a target of the plan's namespace.
    pub fn count_run(
        &self,
        plan: &PlanKey,
        measures: &[Measure],
        engine: impl Fn(&str) -> Option<Engine>,
        now: Timestamp,
    ) {
        for measure in measures {
            match measure {
                Measure::Step { target, stage, end, took } => {
                    let engine = target.as_deref().and_then(&engine);
                    let labels = StepLabels {
                        engine: engine.map(Engine::as_str).unwrap_or_default(),
                        stage: stage.map(crate::api::Stage::as_str).unwrap_or_default(),
                        outcome: step_end(*end),
                    };
                    self.step_took(&labels, *took);
                }
                Measure::WaitsFor(person) => self.waits_for(plan, person.map(wait), now),
                Measure::Ended(outcome, took) => {
                    let worked = took.saturating_sub(self.waited_in_all(plan));
                    self.run_ended(outcome.as_str(), worked);
                }
                Measure::Down(from, to) => self.down(plan, *from, *to),
                Measure::Backup(target, at, level) => {
                    let key = TargetKey { namespace: plan.namespace.clone(), target: target.clone() };
                    self.backup(&key, *at, level.as_str());
                }
                Measure::RestoreTested(target, passed) => {
                    let key = TargetKey { namespace: plan.namespace.clone(), target: target.clone() };
                    self.restore_tested(&key, *passed);
                }
                Measure::NotGivenBack(workloads) => self.not_given_back(plan, *workloads),
                Measure::Contended => self.replicas_contended(plan),
            }
        }
    }
}

fn step_end(state: OpState) -> StepEnd {
    match state {
        OpState::Done => StepEnd::Done,
        OpState::Failed => StepEnd::Failed,
        OpState::Intent | OpState::Unknown => StepEnd::Unknown,
    }
}

fn wait(person: Person) -> Wait {
    match person {
        Person::Approval => Wait::Approval,
        Person::Window => Wait::Window,
        Person::Pause => Wait::Pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Outcome;
    use std::time::Duration;

    #[test]
    fn waiting_for_people_is_counted_apart_from_work() {
        let metrics = Metrics::new();
        let plan = PlanKey { namespace: "aether".into(), plan: "platform".into() };
        let at = |time: &str| -> Timestamp { format!("2026-11-20T{time}Z").parse().unwrap() };
        let count = |measure: Measure, time: &str| metrics.count_run(&plan, &[measure], |_| None, at(time));
        count(Measure::WaitsFor(Some(Person::Approval)), "02:00:00");
        count(Measure::WaitsFor(Some(Person::Approval)), "02:05:00");
        count(Measure::WaitsFor(None), "02:10:00");
        count(Measure::Ended(Outcome::Succeeded, Duration::from_secs(900)), "02:15:00");
        let text = metrics.text(at("02:15:00"));
        assert!(text.contains("whimbrel_manual_wait_seconds_sum{for=\"Approval\"} 600.0"), "{text}");
        assert!(text.contains("whimbrel_run_duration_seconds_sum{outcome=\"Succeeded\"} 300.0"), "{text}");
    }
}
