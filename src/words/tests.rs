//! Every phase of a run, as people read it.

use super::fixture::{Story, at, broken_script, data_loss, failure, lock, plan, run};
use super::*;
use crate::api::plan::{Failure, MigrationPlanStatus, Opening, StepState, WorkloadState};
use crate::api::run::{RestoreRecord, WayBack};
use crate::api::target::VerificationLevel;
use crate::api::{ConditionType, Outcome, Phase, Reason, Time, condition};
use crate::program::Gate;
use crate::run::Waiting;

pub(super) fn status(story: &Story) -> MigrationPlanStatus {
    plan_status(&MigrationPlanStatus::default(), &plan(), &run(), &story.report, at("02:14:30"))
}

/// Reads a status as kpt, Flux and `kubectl wait` with kstatus do: first what is observed, then Reconciling, Stalled,
/// Ready, in this order; without any of them the object counts as current.
fn kstatus(generation: i64, status: &MigrationPlanStatus) -> &'static str {
    if status.observed_generation != generation {
        return "InProgress";
    }
    for condition in &status.conditions {
        match (condition.type_.as_str(), condition.status.as_str()) {
            ("Reconciling", "True") => return "InProgress",
            ("Stalled", "True") => return "Failed",
            _ => {}
        }
    }
    match condition::get(&status.conditions, ConditionType::Ready).map(|ready| ready.status.as_str()) {
        Some("False" | "Unknown") => "InProgress",
        _ => "Current",
    }
}

/// `Type=Status/Reason` of the conditions named.
fn says(status: &MigrationPlanStatus, of: &[ConditionType]) -> Vec<String> {
    of.iter()
        .filter_map(|of| condition::get(&status.conditions, *of))
        .map(|c| format!("{}={}/{}", c.type_, c.status, c.reason))
        .collect()
}

fn approval(gate: Gate) -> Waiting {
    Waiting::Approval(gate)
}

fn window() -> Waiting {
    let at = "2026-11-21T00:00:00Z".parse().unwrap();
    Waiting::Window(Some(Opening { at, shown: "Sat 2026-11-21 01:00 Europe/Berlin".into() }))
}

#[test]
fn a_closed_window_is_awaited_or_paused_for() {
    let of = [ConditionType::Ready, ConditionType::WindowOpen, ConditionType::Paused];
    let before = status(&Story::new().up_to("claim").waits(window()));
    let words =
        ["Ready=Unknown/AwaitingWindow", "WindowOpen=False/AwaitingWindow", "Paused=False/NotRequired"];
    assert_eq!(says(&before, &of), words);
    let after = status(&Story::new().up_to("apply/entities").waits(window()));
    assert_eq!(
        says(&after, &of),
        ["Ready=Unknown/Paused", "WindowOpen=False/OutsideWindow", "Paused=True/Paused"]
    );
    let blocker = &after.blocked_by[0];
    assert_eq!(
        (blocker.kind.as_str(), blocker.detail.as_str()),
        ("Window", "Sat 2026-11-21 01:00 Europe/Berlin")
    );
}

fn go_live() -> Gate {
    Gate::Step { name: "go-live".into(), message: "Logged in by hand and it works?".into() }
}

/// One story per phase and what stands in the columns.
pub(super) fn stories() -> Vec<(Phase, &'static str, Story, &'static str)> {
    let mut look = Story::new().waits(Waiting::Look {
        reason: "SourceNotReady".into(),
        message: "ConfigMap aether/entities-sql\nis not there".into(),
    });
    look.report.program = None;
    vec![
        (Phase::Pending, "InProgress", look, "ConfigMap aether/entities-sql is not there"),
        (
            Phase::Pending,
            "InProgress",
            Story::new().at_work("trial/tas"),
            "tries the Jobs of tas by dry-run, and whether it could be restored",
        ),
        (
            Phase::AwaitingApproval,
            "InProgress",
            Story::new().up_to("gate").waits(approval(Gate::Plan)),
            "waits for approval of the preview in status: kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/approve=\"sha256:ab12 by <you>\"",
        ),
        (
            Phase::AwaitingWindow,
            "InProgress",
            Story::new().up_to("claim").waits(window()),
            "waits until the next window opens Sat 2026-11-21 01:00 Europe/Berlin",
        ),
        (
            Phase::Paused,
            "InProgress",
            Story::new().up_to("apply/entities").waits(window()),
            "its window has closed, 3 workloads stay down: goes on when the next window opens Sat 2026-11-21 01:00 Europe/Berlin. At once: kubectl patch mplan -n aether platform --type=merge -p '{\"spec\":{\"onWindowClose\":\"Continue\"}}'. Turn around: kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/abort=\"3 by <you>\"",
        ),
        (
            Phase::Queued,
            "InProgress",
            Story::new()
                .up_to("claim")
                .at_work("claim")
                .waits(Waiting::Queued("run 2 of aether/other on tas".into())),
            "waits for the release of run 2 of aether/other on tas",
        ),
        (
            Phase::Paused,
            "InProgress",
            Story::new().up_to("backup/tas").waits(Waiting::Paused),
            "paused by spec.paused: goes on when it is false",
        ),
        (
            Phase::Quiescing,
            "InProgress",
            Story::new().up_to("quiesce/worker").at_work("quiesce/worker").at_work("quiesce/backend"),
            "scales Deployment aether/worker to zero (and 1 more at once)",
        ),
        (
            Phase::BackingUp,
            "InProgress",
            Story::new().up_to("backup/tas").at_work("backup/tas").doing(
                "backup/tas",
                (0, 0),
                "1.2 GiB dumped",
            ),
            "backs up tas: 1.2 GiB dumped",
        ),
        (
            Phase::Migrating,
            "InProgress",
            Story::new().up_to("apply/entities").at_work("apply/entities").doing(
                "apply/entities",
                (2, 7),
                "V3__orders.sql",
            ),
            "entities: applies V3__orders.sql to tas (2/7 done)",
        ),
        (
            Phase::Migrating,
            "InProgress",
            Story::new().up_to("apply/entities").at_work("apply/entities").blocked("apply/entities", lock()),
            "entities: since 02:14:05Z waits for lock held by pid 412 (app=billing)",
        ),
        (
            Phase::RollingOut,
            "InProgress",
            Story::new().up_to("rollout/backend").at_work("rollout/backend"),
            "backend: rolls out Deployment aether/backend",
        ),
        (
            Phase::Verifying,
            "InProgress",
            Story::new().up_to("verify/login").at_work("verify/login"),
            "login: asks tas",
        ),
        (
            Phase::AwaitingApproval,
            "InProgress",
            Story::new().up_to("gate/go-live").waits(approval(go_live())),
            "go-live: Logged in by hand and it works? Yes: kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/approve.go-live=\"sha256:ab12 by <you>\". No: kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/abort=\"3 by <you>\"",
        ),
        (
            Phase::RollingBack,
            "InProgress",
            broken_script().back_to("back/undo/entities").at_work("back/undo/entities").doing(
                "back/undo/entities",
                (1, 2),
                "U6__orders.sql",
            ),
            "rolls back because step entities failed: V7__orders.sql:3:5 (statement 2): relation \"orders\" already exists (42P07); entities: undoes U6__orders.sql on tas (1/2 done)",
        ),
        (
            Phase::Succeeded,
            "Current",
            Story::new().up_to("release").ended(Outcome::Succeeded),
            "2026.11.0 is in place; workloads were down 02:12:00Z to 02:16:31Z",
        ),
        (
            Phase::RolledBack,
            "Failed",
            broken_script().back_to("").ended(Outcome::RolledBack),
            "rolled back, everything is as before: step entities failed: V7__orders.sql:3:5 (statement 2): relation \"orders\" already exists (42P07). Mend the script, or its data, then apply again. A changed plan starts again by itself; the same one by kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/retry=\"3 by <you>\"",
        ),
        (
            Phase::Aborted,
            "Failed",
            Story::new()
                .up_to("apply/entities")
                .turned("Aborted", "")
                .verb("abort", "jane")
                .back_to("")
                .ended(Outcome::Aborted),
            "ended before anything was changed, everything is as before: jane aborted it. A changed plan starts again by itself; the same one by kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/retry=\"3 by <you>\"",
        ),
        (
            Phase::Held,
            "Failed",
            data_loss(),
            "Held, 2 workloads stay down: somebody wrote after the first workload was given back, and the undo of V7__orders.sql would drop what was written. Ways on: (1) give up what was written: kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/override.data-loss=\"3 until=… why=… by <you>\"; (2) keep the data, make them fit the old images, then kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/resolve=\"3 by <you>\"",
        ),
    ]
}

#[test]
fn each_phase_has_its_sentence_and_waiting_tools_read_it_right() {
    for (phase, kstatus_says, story, message) in stories() {
        let status = status(&story);
        assert_eq!(status.phase, phase, "{message}");
        assert_eq!(status.message, message);
        assert_eq!(kstatus(4, &status), kstatus_says, "{message}");
        assert_eq!(kstatus(5, &status), "InProgress", "a generation that nobody has seen is in progress");
    }
}

#[test]
fn reconciling_and_stalled_exclude_each_other_and_ready_has_their_reason() {
    for (phase, _, story, _) in stories() {
        let status = status(&story);
        let reason = |of| condition::get(&status.conditions, of).map(|c| c.reason.clone());
        let (reconciling, stalled) = (reason(ConditionType::Reconciling), reason(ConditionType::Stalled));
        let ready = reason(ConditionType::Ready);
        match phase {
            Phase::Succeeded => assert_eq!((reconciling, stalled), (None, None)),
            Phase::RolledBack | Phase::Aborted | Phase::Held => {
                assert_eq!((reconciling, stalled), (None, ready), "{phase}");
            }
            _ => assert_eq!((reconciling, stalled), (ready, None), "{phase}"),
        }
        for condition in &status.conditions {
            assert_eq!(condition.observed_generation, Some(4), "{}", condition.type_);
        }
    }
}

#[test]
fn a_status_made_again_from_the_same_facts_is_the_same() {
    for (phase, _, story, _) in stories() {
        let first = status(&story);
        let again = plan_status(&first, &plan(), &run(), &story.report, at("09:00:00"));
        assert_eq!(first, again, "{phase}: nothing has happened, so nothing is written");
        assert!(!differs(&first, &again));
    }
}

#[test]
fn each_condition_says_how_far_its_part_of_the_run_is() {
    use ConditionType::*;
    let parts = [
        Validated,
        Approved,
        BackupVerified,
        Quiesced,
        Migrated,
        RolledOut,
        Verified,
        WorkloadsGivenBack,
        RolledBack,
    ];
    let begun = status(&Story::new().at_work("trial/tas"));
    assert_eq!(
        says(&begun, &parts),
        [
            "Validated=True/Done",
            "Approved=Unknown/Pending",
            "BackupVerified=Unknown/Pending",
            "Quiesced=Unknown/Pending",
            "Migrated=Unknown/Pending",
            "RolledOut=Unknown/Pending",
            "Verified=Unknown/Pending",
            "WorkloadsGivenBack=Unknown/Pending",
            "RolledBack=Unknown/Pending",
        ]
    );
    let migrating =
        Story::new().up_to("apply/entities").at_work("apply/entities").backed_up(VerificationLevel::Restored);
    assert_eq!(
        says(&status(&migrating), &parts[2..]),
        [
            "BackupVerified=True/Restored",
            "Quiesced=True/Done",
            "Migrated=Unknown/Progressing",
            "RolledOut=Unknown/Pending",
            "Verified=Unknown/Pending",
            "WorkloadsGivenBack=Unknown/Progressing",
            "RolledBack=Unknown/Pending",
        ]
    );
    let back = broken_script().back_to("").ended(Outcome::RolledBack);
    assert_eq!(
        says(&status(&back), &parts[4..]),
        [
            "Migrated=False/StepFailed",
            "RolledOut=Unknown/Pending",
            "Verified=Unknown/Pending",
            "WorkloadsGivenBack=True/Done",
            "RolledBack=True/UndoApplied",
        ]
    );
    assert_eq!(
        says(&status(&data_loss()), &parts[4..]),
        [
            "Migrated=False/StepFailed",
            "RolledOut=False/StepFailed",
            "Verified=False/StepFailed",
            "WorkloadsGivenBack=False/Held",
            "RolledBack=False/Held",
        ]
    );
}

#[test]
fn each_database_says_how_it_came_back_and_where_the_other_one_is() {
    let mut back = broken_script().back_to("").ended(Outcome::RolledBack);
    let ways = [("tas", WayBack::Restore), ("orders", WayBack::Undo), ("catalogue", WayBack::Undo)];
    back.report.record.ways_back = ways.map(|(target, way)| (target.to_owned(), way)).into();
    back.report.record.restores = vec![RestoreRecord {
        target: "tas".into(),
        aside: "wb_1f2e3d4c_r7".into(),
        replaced: "7/1".into(),
        identity: "7/2".into(),
        at: Time(at("02:20:00")),
    }];
    let said = status(&back);
    assert_eq!(says(&said, &[ConditionType::RolledBack]), ["RolledBack=True/RestoredFromBackup"]);
    let each = ". Undo scripts brought back catalogue, orders. tas was restored from its backup; the database that was there is kept as wb_1f2e3d4c_r7. Mend";
    assert!(said.message.contains(each), "{}", said.message);
}

#[test]
fn draining_says_what_is_waited_for() {
    use ConditionType::Quiesced;
    let scaling = Story::new().up_to("quiesce/worker").at_work("quiesce/worker");
    assert_eq!(says(&status(&scaling), &[Quiesced]), ["Quiesced=Unknown/PodsTerminating"]);
    let proving = Story::new().up_to("prove-quiet/tas").at_work("prove-quiet/tas");
    assert_eq!(says(&status(&proving), &[Quiesced]), ["Quiesced=Unknown/ForeignSessions"]);
    let fight = failure(
        "",
        "ReplicasContended",
        "quiet is broken again and again: keda scaled Deployment aether/worker",
    );
    let contended = Story::new().up_to("apply/entities").failed("apply/entities", fight);
    assert_eq!(says(&status(&contended), &[Quiesced]), ["Quiesced=False/ReplicasContended"]);
}

#[test]
fn approval_is_false_while_it_waits_and_says_when_another_plan_was_approved() {
    let waits = Story::new().up_to("gate").waits(approval(Gate::Plan));
    assert_eq!(says(&status(&waits), &[ConditionType::Approved]), ["Approved=False/AwaitingApproval"]);
    let stale = waits.approved("plan", "sha256:0ld", true);
    let status_now = status(&stale);
    let approved = condition::get(&status_now.conditions, ConditionType::Approved).unwrap();
    assert_eq!(approved.reason, "ApprovalStale");
    assert_eq!(approved.message, "jane approved sha256:0ld, which would not run any more");
    let both = Story::new().up_to("release").approved("plan", "sha256:ab12", true).approved(
        "go-live",
        "sha256:ab12",
        false,
    );
    let status_now = status(&both);
    let approved = condition::get(&status_now.conditions, ConditionType::Approved).unwrap();
    assert_eq!(approved.message, "plan by jane, go-live by jane (unverified)");
}

#[test]
fn what_ended_before_a_change_stalls_for_its_cause() {
    let ended = |cause: &str, class: &str| {
        let story = Story::new()
            .up_to("backup/tas")
            .failed("backup/tas", Failure { class: class.into(), ..failure("", "Refused", "x") })
            .turned(cause, "backup/tas")
            .back_to("")
            .ended(Outcome::Aborted);
        says(&status(&story), &[ConditionType::Stalled, ConditionType::Finished])
    };
    let finished = "Finished=True/Aborted".to_owned();
    assert_eq!(
        ended("StepFailed", "BackupGateFailed"),
        ["Stalled=True/BackupGateFailed".to_owned(), finished.clone()]
    );
    assert_eq!(ended("StepFailed", "NotQuiet"), ["Stalled=True/NotQuiet".to_owned(), finished.clone()]);
    assert_eq!(ended("DeadlineExceeded", ""), ["Stalled=True/DeadlineExceeded".to_owned(), finished.clone()]);
    assert_eq!(ended("BudgetExceeded", ""), ["Stalled=True/BudgetExceeded".to_owned(), finished.clone()]);
    assert_eq!(ended("Aborted", ""), ["Stalled=True/Aborted".to_owned(), finished]);
}

#[test]
fn steps_say_where_they_stand() {
    let steps = |story: &Story| -> Vec<(String, StepState)> {
        let stages = status(story).stages;
        stages.into_iter().flat_map(|stage| stage.steps).map(|step| (step.name, step.state)).collect()
    };
    let named = |states: [StepState; 6]| -> Vec<(String, StepState)> {
        ["entities", "users", "backend", "flags", "login", "go-live"]
            .map(str::to_owned)
            .into_iter()
            .zip(states)
            .collect()
    };
    use StepState::{Done, Failed, Pending, Running, Skipped, Undone, Waiting};
    let story = Story::new().up_to("rollout/backend").at_work("rollout/backend");
    assert_eq!(steps(&story), named([Done, Skipped, Running, Pending, Pending, Pending]));
    assert_eq!(status(&story).progress, "1/5");
    let story = Story::new().up_to("gate/go-live").waits(approval(go_live()));
    assert_eq!(steps(&story), named([Done, Skipped, Done, Done, Done, Waiting]));
    assert_eq!(status(&story).step.as_deref(), Some("go-live"));
    let story = broken_script().back_to("").ended(Outcome::RolledBack);
    assert_eq!(steps(&story), named([Failed, Skipped, Skipped, Skipped, Skipped, Skipped]));
    let story = Story::new()
        .up_to("verify/login")
        .failed("verify/login", failure("login", "StepFailed", "the answer is 0, expected 1"))
        .turned("StepFailed", "verify/login")
        .back_to("back/rollout/backend");
    assert_eq!(steps(&story), named([Undone, Skipped, Done, Undone, Failed, Skipped]));
    assert_eq!(status(&story).progress, "1/5");
}

#[test]
fn workloads_say_where_they_stand() {
    use WorkloadState::{GivenBack, KeptDown, Quiesced, RolledOut, Untouched};
    let states = |story: &Story| -> Vec<WorkloadState> {
        status(story).workloads.iter().map(|workload| workload.state).collect()
    };
    // nightly, backend, worker
    assert_eq!(states(&Story::new().at_work("trial/tas")), [Untouched, Untouched, Untouched]);
    assert_eq!(states(&Story::new().up_to("backup/tas")), [Quiesced, Quiesced, Quiesced]);
    assert_eq!(states(&Story::new().up_to("configure/flags")), [Quiesced, RolledOut, GivenBack]);
    assert_eq!(states(&data_loss()), [KeptDown, KeptDown, GivenBack]);
    let back = broken_script().back_to("").ended(Outcome::RolledBack);
    assert_eq!(states(&back), [GivenBack, GivenBack, GivenBack]);
}

#[test]
fn blockers_are_named_with_their_instant() {
    let story =
        Story::new().up_to("apply/entities").at_work("apply/entities").blocked("apply/entities", lock());
    let blocked = status(&story).blocked_by;
    assert_eq!(blocked.len(), 1);
    assert_eq!((blocked[0].kind.as_str(), blocked[0].name.as_str()), ("Session", "pid 412"));
    assert_eq!(blocked[0].detail, "lock held by pid 412 (app=billing)");
    assert_eq!(blocked[0].since.as_ref().unwrap().0, at("02:14:05"));
}

#[test]
fn a_run_is_queued_since_it_passed_its_gate_and_says_its_place() {
    let queued = Story::new()
        .up_to("claim")
        .at_work("claim")
        .waits(Waiting::Queued("run shop-2 of aether/shop".into()));
    let behind = PlanFacts { queue: Some((2, 3)), ..plan() };
    let said = |facts: &PlanFacts, now| {
        plan_status(&MigrationPlanStatus::default(), facts, &run(), &queued.report, now)
    };
    let shown = said(&behind, at("02:40:00"));
    assert_eq!(shown.run.unwrap().queued_since.unwrap().0, at("02:13:00"), "whenever it is looked at");
    assert_eq!(
        shown.message,
        "waits for the release of run shop-2 of aether/shop, as number 2 of 3 in its queue"
    );
    let alone = said(&PlanFacts { queue: Some((1, 1)), ..plan() }, at("02:40:00"));
    assert_eq!(alone.message, "waits for the release of run shop-2 of aether/shop");
    let goes_on = Story::new().up_to("recheck");
    assert_eq!(status(&goes_on).run.unwrap().queued_since, None);
}

#[test]
fn an_edited_source_is_said_and_changes_nothing_else() {
    let before = status(&Story::new().up_to("release").ended(Outcome::Succeeded));
    let said = |edited| source_changed(&before, &plan(), &run(), edited, at("03:00:00"));
    assert_eq!(says(&said(true), &[ConditionType::SourceChanged]), ["SourceChanged=True/Pending"]);
    assert_eq!(says(&said(false), &[ConditionType::SourceChanged]), ["SourceChanged=False/NotRequired"]);
    let condition = condition::get(&said(true).conditions, ConditionType::SourceChanged).cloned().unwrap();
    assert_eq!(
        condition.message,
        "a source was edited after run platform-3; nothing is done about it until spec changes, or by kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/retry=\"3 by <you>\""
    );
    let rest = |of: &MigrationPlanStatus| MigrationPlanStatus { conditions: Vec::new(), ..of.clone() };
    assert_eq!(rest(&said(true)), rest(&before));
    assert_eq!(kstatus(4, &said(true)), kstatus(4, &before), "whoever waits for Ready is not disturbed");
}

#[test]
fn an_edited_plan_shows_its_newest_generation_and_the_drift() {
    let mut plan = plan();
    plan.generation = 5;
    let story = Story::new().up_to("apply/entities").at_work("apply/entities");
    let status = plan_status(&MigrationPlanStatus::default(), &plan, &run(), &story.report, at("02:14:30"));
    assert_eq!(status.observed_generation, 5);
    assert_eq!(status.run.as_ref().unwrap().generation, 4);
    let drift = condition::get(&status.conditions, ConditionType::SpecDrift).unwrap();
    assert_eq!(
        (drift.status.as_str(), drift.message.as_str()),
        ("True", "the run is of generation 4, the plan is at 5")
    );
}

#[test]
fn a_script_that_takes_its_time_says_how_far_it_is() {
    let mut story = Story::new().up_to("apply/entities").at_work("apply/entities");
    story = story.doing("apply/entities", (2, 7), "V3__orders.sql");
    let doing = story.report.doing.get_mut("apply/entities").unwrap();
    doing.so_far = Some("index on public.orders: building index: scanning table, 34 %".into());
    let status = status(&story);
    assert_eq!(
        status.message,
        "entities: applies V3__orders.sql to tas (2/7 done): index on public.orders: building index: scanning table, 34 %"
    );
}

#[test]
fn a_held_run_with_a_proven_backup_says_where_the_script_is_that_restores_it() {
    let annotate = |verb: &str| {
        format!("kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/{verb}=\"3 by <you>\"")
    };
    let script = "kubectl get mrun -n aether platform-3 -o jsonpath='{.status.restoreByHand}'";
    let ways = [
        format!("keep the data, make them fit the old images, then {}", annotate("resolve")),
        format!("leave everything as it is and give up the claims: {}", annotate("abandon")),
        format!("restore the backup by hand, then the same resolve; the script: {script}"),
    ];
    assert_eq!(message::ways_on(&plan(), &run(), "NoUndo", true), ways);
    assert_eq!(message::ways_on(&plan(), &run(), "NoUndo", false), ways[..2]);

    let mut story = data_loss();
    story.report.record.restore_by_hand = "kubectl a\n".into();
    let status = status(&story);
    assert!(status.message.ends_with(script), "{}", status.message);
    assert!(status.failure.unwrap().next_action.ends_with(script));
}

#[test]
fn a_held_run_that_a_person_ended_says_who() {
    let story = data_loss().verb("resolve", "jane");
    assert_eq!(
        status(&story).message,
        "Held, ended by jane with resolve; 2 workloads stay down: somebody wrote after the first workload was given back, and the undo of V7__orders.sql would drop what was written"
    );
}

#[test]
fn what_others_wrote_is_quoted_in_one_line_and_not_at_length() {
    let mut long = lock();
    long.what = format!("lock held by\npid 412 running {}", "x".repeat(5000));
    let story =
        Story::new().up_to("apply/entities").at_work("apply/entities").blocked("apply/entities", long);
    let message = status(&story).message;
    assert!(
        message.starts_with("entities: since 02:14:05Z waits for lock held by pid 412 running xxx"),
        "{message}"
    );
    assert!(message.ends_with("x…"), "{message}");
    assert_eq!(message.chars().count(), "entities: since 02:14:05Z waits for ".len() + 200);
}

#[test]
fn before_a_run_a_plan_waits_stalls_or_has_nothing_to_do() {
    let old = status(&broken_script().back_to("").ended(Outcome::RolledBack));
    let looks = waiting(&old, &plan(), Reason::TargetNotReady, "tas does not answer", at("03:00:00"));
    assert_eq!((looks.phase, kstatus(4, &looks)), (Phase::Pending, "InProgress"));
    assert_eq!(looks.failure, None);
    assert_eq!(looks.run.as_ref().unwrap().number, 3);
    let stuck = stalled(&looks, &plan(), Reason::NotBuilt, "spec.windows is not built", at("03:00:00"));
    assert_eq!((stuck.phase, kstatus(4, &stuck)), (Phase::Stalled, "Failed"));
    assert_eq!(stuck.message, "spec.windows is not built");
    assert_eq!(says(&stuck, &[ConditionType::Validated]), ["Validated=False/NotBuilt"]);
    let nothing = nothing_pending(&stuck, &plan(), at("03:00:00"));
    assert_eq!((nothing.phase, kstatus(4, &nothing)), (Phase::Succeeded, "Current"));
    assert_eq!(nothing.message, "2026.11.0 is in place: nothing to do, nothing was touched");
    let done = says(&nothing, &[ConditionType::Finished, ConditionType::WorkloadsGivenBack]);
    assert_eq!(done, ["Finished=True/NothingPending", "WorkloadsGivenBack=True/NotRequired"]);
}

#[test]
fn the_record_is_described_and_not_otherwise_changed() {
    let story = broken_script().back_to("").ended(Outcome::RolledBack);
    let mut described = run_status(&plan(), &run(), &story.report, at("02:20:00"));
    assert_eq!(described.downtime.unwrap().to_string(), "4m31s");
    assert_eq!(described.took.unwrap().to_string(), "10m");
    assert_eq!(described.phase, Phase::RolledBack);
    assert!(described.conditions.iter().all(|condition| condition.observed_generation == Some(2)));
    let record = &story.report.record;
    (described.phase, described.message) = (record.phase, record.message.clone());
    (described.took, described.downtime, described.conditions) = (None, None, Vec::new());
    described.observed_generation = record.observed_generation;
    assert_eq!(&described, record);
}
