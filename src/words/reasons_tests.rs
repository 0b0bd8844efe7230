//! Every reason that Ready may have, and the sentence beside it: what, why, and what to do.

use super::fixture::{Story, failure, run};
use super::message::ways_on;
use super::tests::{status, stories};
use crate::api::condition::{self, Status};
use crate::api::contract::legal;
use crate::api::plan::Failure;
use crate::api::{ConditionType, Outcome, Reason};
use crate::run::Waiting;
use std::collections::BTreeMap;

/// Reasons whose sentence is made by whoever refuses before a run: compile, looking, the script and engine rooms. Their
/// texts are tested there.
const REFUSED_BEFORE_A_RUN: &[Reason] = &[
    Reason::InvalidSpec,
    Reason::NotBuilt,
    Reason::GuardBlocked,
    Reason::HistoryDrift,
    Reason::HistoryLost,
    Reason::TargetIdentityMismatch,
    Reason::AlreadyFailed,
];

/// Only a person goes on from here: the sentence has the command.
const NEEDS_A_PERSON: &[Reason] = &[
    Reason::AwaitingApproval,
    Reason::AwaitingPerson,
    Reason::RolledBack,
    Reason::Held,
    Reason::Aborted,
    Reason::BackupGateFailed,
    Reason::NotQuiet,
    Reason::BudgetExceeded,
    Reason::DeadlineExceeded,
];

/// A run that ended before the first change.
fn ended_early(cause: &str, class: &str) -> Story {
    let failed = Failure { class: class.into(), ..failure("", "Refused", "the volume is full") };
    let story = Story::new().up_to("backup/tas").failed("backup/tas", failed);
    story.turned(cause, "backup/tas").back_to("").ended(Outcome::Aborted)
}

fn looks(reason: &str) -> Story {
    let message = format!("the sentence of {reason}");
    Story::new().waits(Waiting::Look { reason: reason.into(), message })
}

/// Stories beside those of the phases, so that every reason is met.
fn more() -> Vec<Story> {
    let mut all: Vec<Story> =
        ["SourceNotReady", "TargetNotReady", "Forbidden", "OperatorVersionSkew", "Else"].map(looks).into();
    all.push(
        Story::new()
            .up_to("verify/login")
            .at_work("verify/login")
            .asks("verify/login", "no such table (42P01)"),
    );
    for (cause, class) in [
        ("StepFailed", "BackupGateFailed"),
        ("StepFailed", "NotQuiet"),
        ("DeadlineExceeded", ""),
        ("BudgetExceeded", ""),
        ("Aborted", ""),
    ] {
        all.push(ended_early(cause, class));
    }
    all
}

#[test]
fn every_reason_has_a_sentence_and_where_a_person_must_act_a_command() {
    let mut met: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for story in stories().into_iter().map(|(_, _, story, _)| story).chain(more()) {
        let status = status(&story);
        let ready = condition::get(&status.conditions, ConditionType::Ready).unwrap();
        let reason: Reason = ready.reason.parse().unwrap();
        assert_eq!(ready.message, status.message, "one sentence in the condition and in the column");
        met.entry(reason.as_str()).or_default().push(status.message);
    }
    let all =
        [Status::Unknown, Status::False].into_iter().flat_map(|status| legal(ConditionType::Ready, status));
    for reason in all {
        if REFUSED_BEFORE_A_RUN.contains(reason) {
            continue;
        }
        let sentences = met.get(reason.as_str()).unwrap_or_else(|| panic!("no story has reason {reason}"));
        for sentence in sentences {
            let tidy = !sentence.is_empty() && !sentence.contains('\n') && !sentence.ends_with('.');
            assert!(tidy, "{reason}: {sentence}");
            if NEEDS_A_PERSON.contains(reason) {
                let command = "kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/";
                assert!(sentence.contains(command), "{reason} does not say what to do: {sentence}");
            }
        }
    }
    let how_on = |sentence: &String| sentence.contains("spec.paused") || sentence.contains("onWindowClose");
    assert!(met["Paused"].iter().all(how_on));
}

#[test]
fn a_check_that_nobody_can_evaluate_asks_for_a_word() {
    let story = Story::new()
        .up_to("verify/login")
        .at_work("verify/login")
        .asks("verify/login", "no such table (42P01)");
    let status = status(&story);
    assert_eq!(
        status.message,
        "login: since 02:14:05Z waits for a person, since the check can't be evaluated: no such table (42P01). \
         Accept it: kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/approve.login=\"sha256:ab12 by <you>\". \
         Turn around: kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/abort=\"3 by <you>\""
    );
    assert_eq!(status.step.as_deref(), Some("login"));
}

/// What docs/operations.md says of Held: which commands a person finds for which cause.
#[test]
fn held_has_the_commands_that_the_page_for_operators_promises() {
    let plan = super::fixture::plan();
    let all = [
        "override.data-loss=\"3 until=",
        "resolve=\"3 by",
        "abandon=\"3 by",
        "kubectl get mrun -n aether platform-3 -o",
    ];
    let verbs = |code: &str| -> Vec<&'static str> {
        let ways = ways_on(&plan, &run(), code, true).join("\n");
        all.into_iter().filter(|part| ways.contains(part)).collect()
    };
    let [loss, resolve, abandon, by_hand] = all;
    assert_eq!(verbs("DataLoss"), [loss, resolve, by_hand]);
    for code in ["UnknownOutcome", "NoUndo", "PartialScript", "HistoryDrift", "42P01"] {
        assert_eq!(verbs(code), [resolve, abandon, by_hand], "{code}");
    }
}
