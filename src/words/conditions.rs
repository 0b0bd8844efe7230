//! The conditions of a run: the contract with `kubectl wait`, kstatus, Argo CD and Flux.
//!
//! Reconciling and Stalled are present only when true, never both. Whoever waits for Ready must not wait for ever:
//! what ended badly is Stalled, and nothing is Stalled while the way back is walked.

use super::message::{cause, doing_text, failure_text};
use super::text::clock;
use super::view::{Tally, View};
use crate::api::condition::{Condition, Status};
use crate::api::run::MigrationRunStatus as Record;
use crate::api::{ConditionType, Outcome, Reason, Time, condition};
use crate::program::{Gate, Kind};
use crate::run::Waiting;
use Status::{False, True, Unknown};

/// One condition before it is dated.
pub(super) struct Says {
    pub(super) of: ConditionType,
    pub(super) status: Status,
    pub(super) reason: Reason,
    pub(super) message: String,
}

pub(super) fn says(of: ConditionType, status: Status, reason: Reason, message: impl Into<String>) -> Says {
    Says { of, status, reason, message: message.into() }
}

/// Dates the conditions and puts them into the list; Reconciling and Stalled go when they are not said.
pub(super) fn write(list: &mut Vec<Condition>, says: Vec<Says>, generation: i64, now: &Time) {
    for of in [ConditionType::Reconciling, ConditionType::Stalled] {
        if !says.iter().any(|says| says.of == of) {
            condition::remove(list, of);
        }
    }
    for Says { of, status, reason, message } in says {
        condition::set(list, of, status, reason, &message, generation, now);
    }
}

/// Every condition that a run has; `message` is the one line for people.
pub(super) fn conditions(view: &View<'_>, message: &str) -> Vec<Says> {
    let mut all = summary(view, message);
    all.push(validated(view));
    all.push(approved(view));
    all.push(window_open(view, message));
    all.push(backup_verified(view));
    all.push(quiesced(view));
    all.push(work(view, ConditionType::Migrated, |kind| matches!(kind, Kind::Apply { .. })));
    all.push(work(view, ConditionType::RolledOut, |kind| {
        matches!(kind, Kind::Rollout(_) | Kind::Configure { .. })
    }));
    all.push(work(view, ConditionType::Verified, |kind| matches!(kind, Kind::Verify(_) | Kind::VerifyFinal)));
    all.push(given_back(view));
    all.push(rolled_back(view));
    all
}

/// Ready, Reconciling or Stalled, Finished, Succeeded.
fn summary(view: &View<'_>, message: &str) -> Vec<Says> {
    let running = |reason| {
        vec![
            says(ConditionType::Ready, Unknown, reason, message),
            says(ConditionType::Reconciling, True, reason, message),
            says(ConditionType::Finished, False, Reason::Progressing, "the run has not ended"),
            says(ConditionType::Succeeded, Unknown, Reason::Progressing, "the run has not ended"),
        ]
    };
    let ended = |stalled: Reason, finished: Reason| {
        vec![
            says(ConditionType::Ready, False, stalled, message),
            says(ConditionType::Stalled, True, stalled, message),
            says(ConditionType::Finished, True, finished, message),
            says(ConditionType::Succeeded, False, finished, message),
        ]
    };
    match view.outcome() {
        None => running(reconciling(view)),
        Some(Outcome::Superseded) => running(Reason::Progressing),
        Some(Outcome::Succeeded) => [ConditionType::Ready, ConditionType::Finished, ConditionType::Succeeded]
            .map(|of| says(of, True, Reason::Succeeded, message))
            .into(),
        Some(Outcome::Aborted) => ended(aborted(view.record()), Reason::Aborted),
        Some(Outcome::RolledBack) => ended(Reason::RolledBack, Reason::RolledBack),
        Some(Outcome::Held) => ended(Reason::Held, Reason::Held),
    }
}

fn reconciling(view: &View<'_>) -> Reason {
    match &view.report.waiting {
        Some(Waiting::Paused) => Reason::Paused,
        Some(Waiting::Approval(_)) => Reason::AwaitingApproval,
        Some(Waiting::Window(_)) if view.frozen() => Reason::Paused,
        Some(Waiting::Window(_)) => Reason::AwaitingWindow,
        Some(Waiting::Queued(_)) => Reason::Queued,
        Some(Waiting::Look { reason, .. }) => match reason.parse() {
            Ok(known @ (Reason::SourceNotReady | Reason::TargetNotReady | Reason::Forbidden)) => known,
            Ok(known @ (Reason::Queued | Reason::OperatorVersionSkew)) => known,
            _ => Reason::ProgressingWithRetry,
        },
        None if view.goes_back() => Reason::RollingBack,
        None if view.asks().is_some() => Reason::AwaitingPerson,
        None => Reason::Progressing,
    }
}

/// What a run that changed nothing stalled for.
fn aborted(record: &Record) -> Reason {
    let cause = record.turned_around.as_ref().map(|turned| turned.cause.as_str()).unwrap_or_default();
    // The class says what kind of thing failed; the code may be that of a server, or of the API server's refusal.
    let class = record.failure.as_ref().map(|failure| failure.class.as_str()).unwrap_or_default();
    match (cause, class) {
        ("DeadlineExceeded", _) => Reason::DeadlineExceeded,
        ("BudgetExceeded", _) => Reason::BudgetExceeded,
        ("StepFailed", "BackupGateFailed") => Reason::BackupGateFailed,
        ("StepFailed", "NotQuiet") => Reason::NotQuiet,
        _ => Reason::Aborted,
    }
}

fn validated(view: &View<'_>) -> Says {
    match view.program() {
        Some(program) => {
            let ops = program.forward.iter().map(Vec::len).sum::<usize>();
            says(ConditionType::Validated, True, Reason::Done, format!("compiled into {ops} ops"))
        }
        None => says(ConditionType::Validated, Unknown, Reason::Progressing, "not compiled yet"),
    }
}

fn approved(view: &View<'_>) -> Says {
    let of = ConditionType::Approved;
    if let Some(Waiting::Approval(gate)) = &view.report.waiting {
        let what = match gate {
            Gate::Plan | Gate::Window => "plan",
            Gate::Step { name, .. } => name,
        };
        let hash = view.program().map(|program| program.plan_hash.as_str()).unwrap_or_default();
        let before = view.record().approvals.iter().rev().find(|approval| approval.what == what);
        return match before {
            Some(stale) if stale.plan_hash != hash => {
                let message =
                    format!("{} approved {}, which would not run any more", stale.by, stale.plan_hash);
                says(of, False, Reason::ApprovalStale, message)
            }
            _ => says(of, False, Reason::AwaitingApproval, format!("{what} waits for approval of {hash}")),
        };
    }
    let gates = view.tally(|kind| matches!(kind, Kind::Gate(gate) if *gate != Gate::Window));
    if view.program().is_none() || gates.done < gates.all {
        return says(of, Unknown, Reason::Pending, "not asked yet");
    }
    if gates.all == 0 {
        return says(of, True, Reason::NotRequired, "the plan asks for no approval");
    }
    let approvals = view.record().approvals.iter();
    let by: Vec<String> = approvals
        .map(|approval| match approval.verified {
            true => format!("{} by {}", approval.what, approval.by),
            false => format!("{} by {} (unverified)", approval.what, approval.by),
        })
        .collect();
    says(of, True, Reason::Done, by.join(", "))
}

fn window_open(view: &View<'_>, message: &str) -> Says {
    let of = ConditionType::WindowOpen;
    if matches!(view.report.waiting, Some(Waiting::Window(_))) {
        let reason = if view.frozen() { Reason::OutsideWindow } else { Reason::AwaitingWindow };
        return says(of, False, reason, message);
    }
    let gates = view.tally(|kind| *kind == Kind::Gate(Gate::Window));
    match (view.program().is_some(), gates.all, gates.done) {
        (false, ..) | (true, 1.., 0) => says(of, Unknown, Reason::Pending, "not reached"),
        (true, 0, _) => says(of, True, Reason::NotRequired, "the plan has no windows"),
        (true, ..) => says(of, True, Reason::Done, "the run began in a window"),
    }
}

fn backup_verified(view: &View<'_>) -> Says {
    let of = ConditionType::BackupVerified;
    let backups = view.tally(|kind| matches!(kind, Kind::Backup { .. } | Kind::VerifyBackup { .. }));
    if let Some(broken) = backups.broken {
        let note = view.record().ops.get(&broken.id).and_then(|op| op.note.clone());
        return says(of, False, Reason::Failed, note.unwrap_or_else(|| format!("{} failed", broken.id)));
    }
    if let Some(early) = not_done(view, of, &backups, "no backup is taken") {
        return early;
    }
    let lowest = view.record().backups.iter().min_by_key(|backup| backup.level);
    let reason = lowest.and_then(|backup| backup.level.as_str().parse().ok()).unwrap_or(Reason::NotRequired);
    let list: Vec<String> = view
        .record()
        .backups
        .iter()
        .map(|backup| format!("{} {} at {}", backup.target, backup.level, clock(backup.at.0)))
        .collect();
    says(of, True, reason, list.join(", "))
}

/// What is said of ops that are not needed, not reached, or not done; none when all are done.
fn not_done(view: &View<'_>, of: ConditionType, tally: &Tally<'_>, not_needed: &str) -> Option<Says> {
    if view.program().is_some() && tally.all == 0 {
        return Some(says(of, True, Reason::NotRequired, not_needed));
    }
    if tally.begun.is_some() || (tally.done > 0 && tally.done < tally.all) {
        let doing = tally.begun.and_then(|op| view.doing(op)).map(doing_text);
        let message = doing.unwrap_or_else(|| format!("{}/{} done", tally.done, tally.all));
        return Some(says(of, Unknown, Reason::Progressing, message));
    }
    (tally.done == 0).then(|| says(of, Unknown, Reason::Pending, "not reached"))
}

fn quiesced(view: &View<'_>) -> Says {
    let of = ConditionType::Quiesced;
    let failure = view.record().failure.as_ref().filter(|failure| failure.code == "ReplicasContended");
    if let Some(failure) = failure {
        return says(of, False, Reason::ReplicasContended, failure_text(failure));
    }
    let scaled = view.tally(|kind| matches!(kind, Kind::Quiesce { .. }));
    let proven = view.tally(|kind| matches!(kind, Kind::ProveQuiet { .. }));
    let broken = scaled.broken.map(|op| (op, Reason::PodsTerminating));
    if let Some((op, reason)) = broken.or(proven.broken.map(|op| (op, Reason::ForeignSessions))) {
        let note = view.record().ops.get(&op.id).and_then(|op| op.note.clone());
        return says(of, False, reason, note.unwrap_or_else(|| format!("{} failed", op.id)));
    }
    let both = Tally {
        all: scaled.all + proven.all,
        done: scaled.done + proven.done,
        begun: scaled.begun.or(proven.begun),
        broken: None,
    };
    match not_done(view, of, &both, "nothing has to be silent") {
        Some(mut early) => {
            if early.reason == Reason::Progressing {
                let draining = scaled.done < scaled.all;
                early.reason = if draining { Reason::PodsTerminating } else { Reason::ForeignSessions };
            }
            early
        }
        None if view.record().quiet_unbroken == Some(false) => {
            let why = view.record().quiet_broken.as_deref();
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            says(of, False, Reason::ReplicasContended, format!("quiet was proven and then broken{why}"))
        }
        None => {
            let since = view.record().down_from.as_ref().map(|from| clock(from.0)).unwrap_or_default();
            says(
                of,
                True,
                Reason::Done,
                format!("pods gone and no foreign session, from {since} to the first give-back"),
            )
        }
    }
}

/// Migrated, RolledOut, Verified: how the ops of one sort stand.
fn work(view: &View<'_>, of: ConditionType, kind: impl Fn(&Kind) -> bool) -> Says {
    let tally = view.tally(kind);
    if let Some(broken) = tally.broken {
        let record = view.record().ops.get(&broken.id);
        let code = record.and_then(|op| op.code.as_deref()).unwrap_or_default();
        let reason = match code {
            "ChecksumMismatch" => Reason::ChecksumMismatch,
            "Inconclusive" => Reason::Inconclusive,
            "DeadlineExceeded" => Reason::DeadlineExceeded,
            "UnknownOutcome" => Reason::UnknownOutcome,
            _ => Reason::StepFailed,
        };
        let note = record.and_then(|op| op.note.clone()).unwrap_or_else(|| format!("{} failed", broken.id));
        return says(of, False, reason, note);
    }
    // On the way back nobody should read "Migrated" off a schema that is being undone.
    if view.goes_back() && (tally.done > 0 || tally.begun.is_some()) {
        return says(of, False, Reason::StepFailed, format!("taken back because {}", cause(view)));
    }
    not_done(view, of, &tally, "the run has nothing of this kind to do")
        .unwrap_or_else(|| says(of, True, Reason::Done, format!("{}/{} done", tally.done, tally.all)))
}

fn given_back(view: &View<'_>) -> Says {
    let of = ConditionType::WorkloadsGivenBack;
    let quiesce = view.tally(|kind| matches!(kind, Kind::Quiesce { .. }));
    let down = view.down();
    let names = || down.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if view.program().is_some() && quiesce.all == 0 {
        return says(of, True, Reason::NotRequired, "no workload is taken down");
    }
    match (view.outcome(), down.is_empty()) {
        (Some(Outcome::Held), false) => says(of, False, Reason::Held, format!("down: {}", names())),
        (Some(_), false) => says(of, False, Reason::Fenced, format!("kept down: {}", names())),
        (Some(_), true) => says(of, True, Reason::Done, "every dependent runs"),
        (None, true) if quiesce.done == quiesce.all && quiesce.all > 0 => {
            says(of, True, Reason::Done, "every dependent runs")
        }
        (None, true) => says(of, Unknown, Reason::Pending, "nothing is down yet"),
        (None, false) => says(of, Unknown, Reason::Progressing, format!("down: {}", names())),
    }
}

fn rolled_back(view: &View<'_>) -> Says {
    let of = ConditionType::RolledBack;
    match view.outcome() {
        Some(Outcome::RolledBack) => {
            let restored = !view.record().restores.is_empty();
            let reason = if restored { Reason::RestoredFromBackup } else { Reason::UndoApplied };
            says(of, True, reason, format!("taken back because {}", cause(view)))
        }
        Some(Outcome::Held) => {
            let why = view.record().failure.as_ref().map(failure_text).unwrap_or_default();
            says(of, False, Reason::Held, why)
        }
        None if view.goes_back() => {
            says(of, Unknown, Reason::Progressing, format!("because {}", cause(view)))
        }
        _ => says(of, Unknown, Reason::Pending, "no way back was needed"),
    }
}
