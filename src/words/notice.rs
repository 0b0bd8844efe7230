//! What a webhook is sent: one transition, with what people need to find the rest.

use super::events::Transition;
use super::facts::{PlanFacts, RunFacts};
use super::phase::phase;
use super::view::View;
use crate::api::EventReason;
use crate::run::Report;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Events are kept for an hour by default, and they are what a transition that was told is known by: one that is older
/// is not told once more.
const KNOWN_FOR: SignedDuration = SignedDuration::from_mins(50);

/// The body for a transition. Stable: fields are added, none changes its meaning. `text` is what chat systems show.
pub fn notice(
    transition: &Transition,
    plan: &PlanFacts,
    run: &RunFacts,
    report: &Report,
    now: Timestamp,
) -> Value {
    let view = View { plan, run, report };
    let reason = transition.reason.as_str();
    let version = plan.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let text = format!(
        "{}/{}{version}, run {}: {reason}: {}",
        plan.namespace, plan.name, run.number, transition.note
    );
    json!({
        "format": 1,
        "id": format!("{}/{}/{reason}/{}", plan.namespace, plan.name, transition.once),
        "text": text,
        "plan": {"namespace": plan.namespace, "name": plan.name, "version": plan.version},
        "run": {"name": run.name, "number": run.number},
        "reason": reason,
        "warning": transition.warning,
        "phase": phase(&view).as_str(),
        "message": transition.note,
        "time": now.to_string(),
    })
}

/// Whether a transition lies so far back that whether it was told can't be known any more.
pub fn is_old(transition: &Transition, report: &Report, now: Timestamp) -> bool {
    let record = &report.record;
    let at = match transition.reason {
        EventReason::RunStarted => record.started_at.as_ref(),
        EventReason::RollbackStarted => record.turned_around.as_ref().map(|turned| &turned.at),
        EventReason::RollbackComplete
        | EventReason::RollbackFailed
        | EventReason::RunFailed
        | EventReason::RunSucceeded => record.finished_at.as_ref(),
        // A question that is still open may be asked again.
        _ => None,
    };
    at.is_some_and(|at| now.duration_since(at.0) > KNOWN_FOR)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Story, at, broken_script, plan, run};
    use super::super::{Told, transitions};
    use super::*;

    #[test]
    fn the_body_is_as_documented() {
        let story = broken_script();
        let all = transitions(&Told::default(), &plan(), &run(), &story.report);
        let back = all.iter().find(|it| it.reason == EventReason::RollbackStarted).unwrap();
        let message = "rolls back because step entities failed: V7__orders.sql:3:5 (statement 2): relation \"orders\" already exists (42P07)";
        assert_eq!(
            notice(back, &plan(), &run(), &story.report, at("02:15:01")),
            json!({
                "format": 1,
                "id": "aether/platform/RollbackStarted/3/back",
                "text": format!("aether/platform 2026.11.0, run 3: RollbackStarted: {message}"),
                "plan": {"namespace": "aether", "name": "platform", "version": "2026.11.0"},
                "run": {"name": "platform-3", "number": 3},
                "reason": "RollbackStarted",
                "warning": true,
                "phase": "RollingBack",
                "message": message,
                "time": "2026-11-20T02:15:01Z",
            })
        );
    }

    #[test]
    fn what_lies_far_back_is_not_told_by_a_driver_that_takes_over() {
        let story = Story::new();
        let all = transitions(&Told::default(), &plan(), &run(), &story.report);
        assert_eq!(all[0].reason, EventReason::RunStarted);
        assert!(!is_old(&all[0], &story.report, at("02:20:00")));
        assert!(is_old(&all[0], &story.report, at("03:10:00")));
    }
}
