//! Verbs that do nothing, and why: a person who asked for something must not believe that it is done.

use super::events::Transition;
use super::message::verb_ignored;
use crate::api::bounds::cut;
use crate::api::plan::Approval;
use crate::api::run::{Direction, OpState};
use crate::api::verb::{Adopted, Asked, Guard, Ignored, PREFIX, Verb, on_plan, on_target};
use crate::api::{DatabaseTarget, EventReason, MigrationPlan, MigrationRun, Outcome};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The API server's bound for an event's note.
const NOTE: u32 = 1024;

/// The verbs on a plan that do nothing as things are. `runs` are those of the plan's name, oldest first. A verb that
/// was obeyed may stay where it is, and is not told of.
pub fn ignored_on_plan(plan: &MigrationPlan, runs: &[MigrationRun], now: Timestamp) -> Vec<Transition> {
    let annotations = plan.metadata.annotations.clone().unwrap_or_default();
    let platform = Platform { plan, runs, now };
    ignored(&annotations, on_plan(&annotations), |verb| platform.refuses(verb))
}

/// The verbs on a target that do nothing. `not_adopted` says why the target's controller does not obey an `adopt`.
pub fn ignored_on_target(target: &DatabaseTarget, not_adopted: Option<&str>) -> Vec<Transition> {
    let annotations = target.metadata.annotations.clone().unwrap_or_default();
    ignored(&annotations, on_target(&annotations), |verb| match verb {
        Verb::Adopt { adopted: Adopted::Format(_), .. } => {
            Some("taking over the history of another tool is not built yet".into())
        }
        Verb::Adopt { .. } => not_adopted.map(str::to_owned),
        _ => None,
    })
}

fn ignored(
    annotations: &BTreeMap<String, String>,
    asked: Vec<Result<Asked, Ignored>>,
    refuses: impl Fn(&Verb) -> Option<String>,
) -> Vec<Transition> {
    let ours = annotations.iter().filter(|(key, _)| key.starts_with(PREFIX));
    ours.zip(asked)
        .filter_map(|((key, value), asked)| {
            let why = match asked {
                Ok(asked) => refuses(&asked.verb)?,
                Err(ignored) => ignored.problem,
            };
            Some(Transition {
                reason: EventReason::VerbIgnored,
                warning: true,
                note: cut(&verb_ignored(key, &why), NOTE),
                related: None,
                once: format!("{key}={value}: {why}"),
            })
        })
        .collect()
}

struct Platform<'a> {
    plan: &'a MigrationPlan,
    runs: &'a [MigrationRun],
    now: Timestamp,
}

impl Platform<'_> {
    /// Why a verb does nothing; none when it does something, or has done it.
    fn refuses(&self, verb: &Verb) -> Option<String> {
        match verb {
            Verb::Approve(hash) => self.approve(hash),
            Verb::ApproveStep { step, plan_hash } => self.approve_step(step, plan_hash),
            Verb::Abort(number) => self.on_run(*number, abort),
            Verb::Retry(number) => self.on_run(*number, |run| self.retry(run)),
            Verb::Resolve(number) | Verb::Abandon(number) => self.on_run(*number, leave_held),
            Verb::Rollback(number) => self.on_run(*number, |run| self.rollback(run)),
            Verb::Override { guard: Guard::DataLoss, run, until, .. } => self.on_run(*run, |found| {
                // Said before the rollback that it is for, or of one that is under way.
                match self.rollback(found) {
                    None if self.now < until.0 => None,
                    _ => accept_loss(found, until.0, self.now),
                }
            }),
            Verb::Override { guard, .. } => {
                Some(format!("nothing asks for {guard} yet: data-loss is the guard that can be overridden"))
            }
            Verb::Adopt { .. } => Some("it is a verb on a DatabaseTarget".into()),
        }
    }

    fn approve(&self, hash: &str) -> Option<String> {
        match self.plan.spec.approval {
            Approval::NotRequired => Some("the plan asks for no approval (spec.approval)".into()),
            Approval::Required => self.another_hash(hash),
        }
    }

    fn approve_step(&self, step: &str, hash: &str) -> Option<String> {
        let spec = &self.plan.spec;
        let mut gates =
            spec.steps().into_iter().filter(|(_, it)| it.approve.is_some() || it.verify.is_some());
        let known = gates.any(|(_, it)| it.name == step) || spec.preflight.iter().any(|it| it.name == step);
        if known {
            self.another_hash(hash)
        } else {
            Some(format!("the plan has no approve step or check {step}"))
        }
    }

    /// An approval is for one planHash: that of the live run, or one that a run was frozen with.
    fn another_hash(&self, hash: &str) -> Option<String> {
        let live = self.runs.last().filter(|run| outcome(run).is_none())?;
        let shown = self.plan.status.as_ref()?.run.as_ref().filter(|run| run.number == live.spec.number)?;
        let frozen = |run: &MigrationRun| run.spec.program.as_ref().is_some_and(|it| it.plan_hash == hash);
        if shown.plan_hash.is_empty() || shown.plan_hash == hash || self.runs.iter().any(frozen) {
            return None;
        }
        Some(format!(
            "it approves {hash}, and run {} would do {}: look at its preview",
            shown.number, shown.plan_hash
        ))
    }

    fn on_run(&self, number: i64, refuses: impl Fn(&MigrationRun) -> Option<String>) -> Option<String> {
        match self.runs.iter().find(|run| run.spec.number == number) {
            Some(run) => refuses(run),
            None => match self.runs.last() {
                Some(newest) => {
                    Some(format!("there is no run {number}; the newest is run {}", newest.spec.number))
                }
                None => Some(format!("there is no run {number}, nor any other of this plan")),
            },
        }
    }

    fn rollback(&self, run: &MigrationRun) -> Option<String> {
        let number = run.spec.number;
        match self.runs.iter().find(|other| other.spec.number > number) {
            Some(next) if next.spec.rolls_back == Some(number) => None,
            Some(next) => Some(format!("run {} came after run {number}", next.spec.number)),
            None => no_rollback(self.plan, run, self.now),
        }
    }

    fn retry(&self, run: &MigrationRun) -> Option<String> {
        let number = run.spec.number;
        match outcome(run) {
            None => return Some(format!("run {number} has not ended")),
            Some(Outcome::Held) if !released(run) => {
                return Some(format!("run {number} is Held: resolve or abandon it first"));
            }
            Some(_) => {}
        }
        let next = self.runs.iter().find(|other| other.spec.number > number)?;
        let obeyed = next.spec.intent_hash == run.spec.intent_hash;
        (!obeyed).then(|| format!("run {} came after run {number}", next.spec.number))
    }
}

/// Why a run can't be taken back after its success; none when it can.
pub fn no_rollback(plan: &MigrationPlan, run: &MigrationRun, now: Timestamp) -> Option<String> {
    let (number, window) = (run.spec.number, plan.spec.rollback_window.get());
    let ended = run.status.as_ref().and_then(|status| status.finished_at.as_ref()).map(|at| at.0);
    match outcome(run) {
        Some(Outcome::Succeeded) => {}
        Some(outcome) => return Some(format!("run {number} has ended {outcome}, not Succeeded")),
        None => return Some(format!("run {number} has not ended")),
    }
    if run.spec.plan.generation != plan.metadata.generation.unwrap_or_default() {
        return Some(format!("the plan was edited after run {number}"));
    }
    if window.is_zero() {
        return Some("spec.rollbackWindow is 0s: nothing was kept for it".into());
    }
    let until = ended.and_then(|ended| ended.checked_add(window).ok());
    match until {
        Some(until) if now < until => None,
        Some(until) => Some(format!("its time was over at {until} (spec.rollbackWindow)")),
        None => Some(format!("nobody knows when run {number} has ended")),
    }
}

fn abort(run: &MigrationRun) -> Option<String> {
    let (number, status) = (run.spec.number, run.status.as_ref()?);
    let aborted = status.turned_around.as_ref().is_some_and(|turned| turned.cause == "Aborted");
    match (aborted, status.outcome, status.direction) {
        (true, ..) => None,
        (false, Some(outcome), _) => Some(format!("run {number} has ended: {outcome}")),
        (false, None, Direction::Back) => Some(format!("run {number} is on its way back already")),
        (false, None, Direction::Forward) => None,
    }
}

fn leave_held(run: &MigrationRun) -> Option<String> {
    let number = run.spec.number;
    match outcome(run) {
        Some(Outcome::Held) => None,
        Some(outcome) => Some(format!("run {number} is not Held, it has ended: {outcome}")),
        None => Some(format!("run {number} is not Held")),
    }
}

fn accept_loss(run: &MigrationRun, until: Timestamp, now: Timestamp) -> Option<String> {
    let (number, status) = (run.spec.number, run.status.as_ref()?);
    let weighed = status.ops.get("back/weigh").is_some_and(|op| op.state == OpState::Done);
    match status.outcome {
        _ if weighed => None,
        Some(outcome) if outcome != Outcome::Held => Some(format!("run {number} has ended: {outcome}")),
        _ if until <= now => Some(format!("its time was over at {until}: say a later until")),
        _ => None,
    }
}

fn outcome(run: &MigrationRun) -> Option<Outcome> {
    run.status.as_ref().and_then(|status| status.outcome)
}

/// Whether a Held run has given up its claims.
fn released(run: &MigrationRun) -> bool {
    let mut ops = run.status.iter().flat_map(|status| &status.ops);
    ops.any(|(id, op)| id.ends_with("release") && op.state == OpState::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const MINE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    const OTHER: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

    fn plan(verb: &str, value: &str, approval: &str) -> MigrationPlan {
        serde_json::from_value(json!({
            "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan",
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1, "annotations": {
                format!("whimbrel.dev/{verb}"): value, "example.org/abort": "not ours"
            }},
            "spec": {"approval": approval, "stages": [{"name": "Services", "steps": [
                {"name": "go-live", "approve": {"message": "Well?"}}
            ]}]},
            "status": {"run": {"number": 3, "name": "p-3", "generation": 1, "planHash": MINE}},
        }))
        .unwrap()
    }

    fn run(number: i64, intent: &str, status: Value) -> MigrationRun {
        serde_json::from_value(json!({
            "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationRun",
            "metadata": {"name": format!("p-{number}"), "namespace": "ns"},
            "spec": {"plan": {"name": "p", "uid": "u", "generation": 1}, "number": number, "intentHash": intent},
            "status": status,
        }))
        .unwrap()
    }

    /// What is told of a verb, without the annotation's name before it.
    fn told(verb: &str, value: &str, runs: &[MigrationRun]) -> Option<String> {
        let value = value.replace("MINE", MINE).replace("OTHER", OTHER);
        let plan = plan(verb, &format!("{value} by ann"), "Required");
        let all = ignored_on_plan(&plan, runs, "2026-11-21T02:00:00Z".parse().unwrap());
        assert!(all.len() <= 1);
        let note = all.into_iter().next()?.note;
        let said = note.strip_prefix(&format!("whimbrel.dev/{verb} is ignored: "));
        Some(said.unwrap_or_else(|| panic!("{note}")).to_owned())
    }

    fn ended(number: i64, outcome: &str) -> MigrationRun {
        run(number, "i", json!({"outcome": outcome, "direction": "Back"}))
    }

    /// The run that takes another one back.
    fn attempt(number: i64, of: i64) -> MigrationRun {
        let mut attempt = ended(number, "Aborted");
        attempt.spec.rolls_back = Some(of);
        attempt
    }

    fn live(number: i64, direction: &str) -> MigrationRun {
        run(number, "i", json!({"direction": direction}))
    }

    #[test]
    fn a_verb_that_does_something_or_has_done_it_is_not_told_of() {
        let at = "2026-11-21T01:00:00Z";
        let aborted = json!({"direction": "Back", "turnedAround": {"cause": "Aborted", "at": at}});
        let done = json!({"state": "Done", "epoch": 1, "attempt": 1});
        let weighed = json!({"direction": "Back", "outcome": "RolledBack", "ops": {"back/weigh": done}});
        for (verb, value, runs) in [
            ("abort", "3", vec![live(3, "Forward")]),
            ("abort", "3", vec![run(3, "i", aborted)]),
            ("retry", "3", vec![ended(3, "RolledBack")]),
            ("retry", "3", vec![ended(3, "RolledBack"), live(4, "Forward")]),
            ("resolve", "3", vec![ended(3, "Held")]),
            ("abandon", "3", vec![ended(3, "Held")]),
            ("override.data-loss", "3 until=2026-11-21T04:00:00Z why=agreed", vec![ended(3, "Held")]),
            ("override.data-loss", "3 until=2026-11-21T01:30:00Z why=agreed", vec![run(3, "i", weighed)]),
            (
                "override.data-loss",
                "3 until=2026-11-21T04:00:00Z why=agreed",
                vec![ended(3, "Succeeded"), attempt(4, 3)],
            ),
            ("rollback", "3", vec![ended(3, "Succeeded"), attempt(4, 3)]),
            ("approve", "MINE", vec![live(3, "Forward")]),
            ("approve", "OTHER", vec![ended(3, "Aborted")]),
            ("approve.go-live", "MINE", vec![live(3, "Forward")]),
        ] {
            assert_eq!(told(verb, value, &runs), None, "{verb}: {value}");
        }
    }

    #[test]
    fn a_verb_that_does_nothing_says_why() {
        let held = || vec![ended(3, "Held")];
        let cases = [
            ("abort", "7", vec![live(3, "Forward")], "there is no run 7; the newest is run 3"),
            ("abort", "7", vec![], "there is no run 7, nor any other of this plan"),
            ("abort", "3", vec![ended(3, "Succeeded")], "run 3 has ended: Succeeded"),
            ("abort", "3", vec![live(3, "Back")], "run 3 is on its way back already"),
            ("retry", "3", vec![live(3, "Forward")], "run 3 has not ended"),
            ("retry", "3", held(), "run 3 is Held: resolve or abandon it first"),
            ("retry", "3", vec![ended(3, "Aborted"), run(4, "other", json!({}))], "run 4 came after run 3"),
            ("resolve", "3", vec![live(3, "Back")], "run 3 is not Held"),
            ("abandon", "3", vec![ended(3, "Aborted")], "run 3 is not Held, it has ended: Aborted"),
            (
                "rollback",
                "3",
                vec![ended(3, "Succeeded")],
                "spec.rollbackWindow is 0s: nothing was kept for it",
            ),
            ("rollback", "3", vec![ended(3, "RolledBack")], "run 3 has ended RolledBack, not Succeeded"),
            ("rollback", "3", vec![live(3, "Forward")], "run 3 has not ended"),
            ("rollback", "3", vec![ended(3, "Succeeded"), ended(4, "Succeeded")], "run 4 came after run 3"),
            (
                "override.data-loss",
                "3 until=2026-11-21T01:30:00Z why=agreed",
                held(),
                "its time was over at 2026-11-21T01:30:00Z: say a later until",
            ),
            (
                "override.identity",
                "3 until=2026-11-21T04:00:00Z why=moved",
                held(),
                "nothing asks for identity yet: data-loss is the guard that can be overridden",
            ),
            (
                "approve.golive",
                "MINE",
                vec![live(3, "Forward")],
                "the plan has no approve step or check golive",
            ),
            (
                "aprove",
                "MINE",
                vec![],
                "no such verb: approve, approve.<step>, abort, retry, resolve, abandon, rollback, override.<guard>",
            ),
        ];
        for (verb, value, runs, why) in cases {
            assert_eq!(told(verb, value, &runs).as_deref(), Some(why), "{verb}: {value}");
        }
        let other = format!("it approves {OTHER}, and run 3 would do {MINE}: look at its preview");
        assert_eq!(told("approve", "OTHER", &[live(3, "Forward")]), Some(other));
        let not_asked = plan("approve", &format!("{MINE} by ann"), "NotRequired");
        let notes = ignored_on_plan(&not_asked, &[], Timestamp::UNIX_EPOCH);
        assert_eq!(
            notes[0].note,
            "whimbrel.dev/approve is ignored: the plan asks for no approval (spec.approval)"
        );
    }

    #[test]
    fn what_is_told_again_is_the_same_event_and_another_reason_is_another() {
        let once = |runs: &[MigrationRun]| {
            let plan = plan("abort", "7 by ann", "Required");
            ignored_on_plan(&plan, runs, Timestamp::UNIX_EPOCH).remove(0).once
        };
        assert_eq!(once(&[]), once(&[]));
        assert_ne!(once(&[]), once(&[ended(3, "Aborted")]));
    }

    #[test]
    fn a_target_is_told_what_is_not_obeyed() {
        let target = |adopt: &str| -> DatabaseTarget {
            serde_json::from_value(json!({
                "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget",
                "metadata": {"name": "t", "annotations": {"whimbrel.dev/adopt": adopt}},
                "spec": {},
            }))
            .unwrap()
        };
        assert_eq!(
            ignored_on_target(&target("Flyway by ann"), None)[0].note,
            "whimbrel.dev/adopt is ignored: taking over the history of another tool is not built yet"
        );
        let version = target("default@12 by ann");
        assert_eq!(ignored_on_target(&version, None), []);
        assert_eq!(
            ignored_on_target(&version, Some("history default is at 3, not at 12"))[0].note,
            "whimbrel.dev/adopt is ignored: history default is at 3, not at 12"
        );
    }
}
