//! What is told once, over a whole run.

use super::fixture::{Story, broken_script, data_loss, lock, plan, run};
use super::{Told, Transition, transitions};
use crate::api::Outcome;
use crate::api::run::OpState;
use crate::program::{Gate, Kind, Op, Program};
use crate::run::Waiting;
use std::sync::Arc;

fn told(told: &Told, story: &Story) -> Vec<Transition> {
    transitions(told, &plan(), &run(), &story.report)
}

/// `Reason: note`, a warning with a `!` before it.
fn lines(transitions: &[Transition]) -> Vec<String> {
    let line = |t: &Transition| format!("{}{}: {}", if t.warning { "!" } else { "" }, t.reason, t.note);
    transitions.iter().map(line).collect()
}

#[test]
fn a_run_that_goes_well_is_told_from_its_start_to_its_end() {
    let story = Story::new().up_to("release").ended(Outcome::Succeeded);
    assert_eq!(
        lines(&told(&Told::default(), &story)),
        [
            "RunStarted: run 3 begins",
            "Approved: the plan is approved",
            "WorkloadScaledDown: CronJob aether/nightly is suspended",
            "WorkloadScaledDown: Deployment aether/worker is at zero, its pods are gone",
            "WorkloadScaledDown: Deployment aether/backend is at zero, its pods are gone",
            "Quiesced: tas is proven quiet",
            "BackupStarted: backs up tas",
            "BackupVerified: the backup of tas is proven to level Restored",
            "StepStarted: entities: applies scripts to tas",
            "StepApplied: entities: all scripts are applied to tas",
            "WorkloadGivenBack: Deployment aether/worker is given back",
            "StepStarted: backend: rolls out Deployment aether/backend",
            "RolloutComplete: backend: Deployment aether/backend is rolled out and ready",
            "StepStarted: flags: sets keys of ConfigMap aether/flags",
            "StepApplied: flags: keys of ConfigMap aether/flags are set",
            "VerificationPassed: login: the check on tas holds",
            "Approved: go-live: go-live is approved",
            "VerificationPassed: every history holds what it should",
            "WorkloadGivenBack: CronJob aether/nightly is given back",
            "RunSucceeded: 2026.11.0 is in place; workloads were down 02:12:00Z to 02:16:31Z",
        ]
    );
}

#[test]
fn what_was_told_is_not_told_again() {
    let story = broken_script();
    assert_eq!(told(&Told::of(&story.report), &story), []);
    let next = story.clone().back_to("back/verify-undone/tas");
    assert_eq!(
        lines(&told(&Told::of(&story.report), &next)),
        [
            "WorkloadScaledDown: Deployment aether/backend is at zero, its pods are gone",
            "StepUndone: entities: its scripts are undone on tas"
        ]
    );
}

#[test]
fn a_failure_and_the_way_back_are_warnings() {
    let before = Story::new().up_to("apply/entities").at_work("apply/entities");
    let failed = "V7__orders.sql:3:5 (statement 2): relation \"orders\" already exists (42P07)";
    assert_eq!(
        lines(&told(&Told::of(&before.report), &broken_script())),
        [
            format!("!StepFailed: step entities failed: {failed}"),
            format!("!RollbackStarted: rolls back because step entities failed: {failed}"),
        ]
    );
}

#[test]
fn an_abort_is_told_with_the_one_who_asked() {
    let before = Story::new().up_to("apply/entities").at_work("apply/entities");
    let after = before.clone().turned("Aborted", "").verb("abort", "jane");
    assert_eq!(
        lines(&told(&Told::of(&before.report), &after)),
        ["AbortRequested: jane aborted it", "!RollbackStarted: rolls back because jane aborted it"].map(
            |line| {
                // Asking for an abort is no failure; that it has begun is worth a look.
                line.to_owned()
            }
        )
    );
}

#[test]
fn held_is_told_in_short_and_with_the_ways_on() {
    let before = data_loss();
    let mut open = before.clone();
    (open.report.record.outcome, open.report.record.finished_at) = (None, None);
    let held = told(&Told::of(&open.report), &before);
    assert_eq!(held.iter().map(|t| t.reason.as_str()).collect::<Vec<_>>(), ["RollbackFailed", "RunFailed"]);
    assert!(held[1].note.contains("whimbrel.dev/override.data-loss"), "{}", held[1].note);
    assert!(held.iter().all(|t| t.warning && t.once == "3/2026-11-20T02:20:00Z"));
}

#[test]
fn people_are_asked_once_per_question() {
    let before = Story::new().up_to("gate/go-live");
    let gate = Gate::Step { name: "go-live".into(), message: "Does it work?".into() };
    let asked = before.clone().waits(Waiting::Approval(gate));
    let transitions = told(&Told::of(&before.report), &asked);
    assert_eq!(transitions.len(), 1);
    assert_eq!(transitions[0].reason.as_str(), "ApprovalRequested");
    assert!(transitions[0].note.starts_with("go-live: Does it work? Yes: kubectl annotate"));
    assert_eq!(transitions[0].once, "3/go-live/sha256:ab12");
    assert_eq!(told(&Told::of(&asked.report), &asked), []);
}

#[test]
fn a_window_is_told_when_it_opens_and_when_it_closes_on_a_run() {
    let mut before = Story::new().up_to("claim").at_work("claim");
    let gate = Op { id: "window".into(), step: None, kind: Kind::Gate(Gate::Window) };
    let mut program = Program::clone(before.report.program.as_ref().unwrap());
    program.forward.insert(2, vec![gate]);
    before.report.program = Some(Arc::new(program));
    let opened = before.clone().op("window", OpState::Done);
    assert_eq!(lines(&told(&Told::of(&before.report), &opened)), ["WindowOpened: a window is open"]);
    assert_eq!(told(&Told::of(&opened.report), &opened.clone().waits(Waiting::Window(None))), []);
    let begun = Story::new().up_to("apply/entities");
    let closed = told(&Told::of(&begun.report), &begun.clone().waits(Waiting::Window(None)));
    assert_eq!(
        (closed.len(), closed[0].reason.as_str(), closed[0].once.as_str()),
        (1, "Paused", "3/window/")
    );
    let note = "its window has closed, 3 workloads stay down: goes on when a window opens, which none does within two weeks";
    assert!(closed[0].note.starts_with(note), "{}", closed[0].note);
}

#[test]
fn a_new_image_is_told_when_it_is_there_and_again_when_it_is_ready() {
    let begun = Story::new().up_to("rollout/backend").at_work("rollout/backend");
    let starting = begun.clone().blocked("rollout/backend", lock());
    assert_eq!(
        lines(&told(&Told::of(&begun.report), &starting)),
        ["ImageUpdated: Deployment aether/backend has its new image"]
    );
    assert_eq!(told(&Told::of(&starting.report), &starting), []);
}

#[test]
fn broken_quiet_is_told_once() {
    let before = Story::new().up_to("apply/entities").at_work("apply/entities");
    let mut after = before.clone();
    after.report.record.quiet_unbroken = Some(false);
    after.report.record.quiet_broken =
        Some("orders was not quiet: pid 7 (user=app app=psql from 10.0.0.7)".to_owned());
    assert_eq!(
        lines(&told(&Told::of(&before.report), &after)),
        [
            "!ReplicaContention: quiet is broken: orders was not quiet: pid 7 (user=app app=psql from 10.0.0.7)"
        ]
    );
    assert_eq!(told(&Told::of(&after.report), &after), []);
}

#[test]
fn an_override_is_told_once_with_who_and_why() {
    let story = Story::new().up_to("apply/entities");
    let before = Told::of(&story.report);
    let mut story = story.verb("override.data-loss", "jane").verb("retry", "jane");
    story.report.record.verbs[0].value =
        "3 until=2026-11-21T04:00:00Z why=the rows are a test by jane".into();
    assert_eq!(
        lines(&told(&before, &story)),
        ["!GuardOverridden: jane overrides data-loss: the rows are a test"]
    );
    assert!(told(&Told::of(&story.report), &story).is_empty());
}

#[test]
fn a_budget_that_is_used_up_is_told_once_scripts_are_in() {
    let over = |mut story: Story| {
        let before = Told::of(&story.report);
        story.report.over_budget = true;
        lines(&told(&before, &story))
    };
    assert_eq!(over(Story::new().up_to("apply/entities")), Vec::<String>::new());
    let told = over(Story::new().up_to("apply/entities").at_work("apply/entities"));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("!BudgetExceeded: workloads are down since "), "{told:?}");
}
