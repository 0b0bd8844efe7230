//! The contract of the conditions: which reason may stand on which type and status.

use super::{
    condition::Status,
    reason::{ConditionType, Reason},
};
use std::fmt::Write as _;

/// What can stop a plan before a run is made; a change of what the message names looks again.
pub const STALLED_BEFORE_RUN: &[Reason] = &[
    Reason::InvalidSpec,
    Reason::NotBuilt,
    Reason::TargetNotReady,
    Reason::SourceNotReady,
    Reason::Forbidden,
    Reason::GuardBlocked,
    Reason::HistoryDrift,
    Reason::HistoryLost,
    Reason::TargetIdentityMismatch,
    Reason::AlreadyFailed,
];

/// All that Stalled can say: before a run, and how a run ended that needs a person or a new generation.
const STALLED: &[Reason] = &[
    Reason::InvalidSpec,
    Reason::NotBuilt,
    Reason::TargetNotReady,
    Reason::SourceNotReady,
    Reason::Forbidden,
    Reason::GuardBlocked,
    Reason::HistoryDrift,
    Reason::HistoryLost,
    Reason::TargetIdentityMismatch,
    Reason::AlreadyFailed,
    Reason::RolledBack,
    Reason::Held,
    Reason::Aborted,
    Reason::BackupGateFailed,
    Reason::NotQuiet,
    Reason::BudgetExceeded,
    Reason::DeadlineExceeded,
];

const RECONCILING: &[Reason] = &[
    Reason::Progressing,
    Reason::ProgressingWithRetry,
    Reason::SourceNotReady,
    Reason::TargetNotReady,
    Reason::Forbidden,
    Reason::Queued,
    Reason::AwaitingApproval,
    Reason::AwaitingWindow,
    Reason::AwaitingPerson,
    Reason::Paused,
    Reason::OperatorVersionSkew,
    Reason::RollingBack,
];

const DONE: &[Reason] = &[Reason::Done, Reason::NotRequired];
const NOT_REACHED: &[Reason] = &[Reason::Pending, Reason::Progressing];
const NO: &[Reason] = &[Reason::NotRequired];

/// The reasons that may stand on a condition of this type with this status; none means that it never has it.
pub const fn legal(type_: ConditionType, status: Status) -> &'static [Reason] {
    use ConditionType as T;
    use Reason as R;
    use Status::{False, True, Unknown};
    match (type_, status) {
        (T::Ready, True) => &[R::Succeeded, R::NothingPending, R::Done],
        (T::Ready, False) | (T::Stalled, True) => STALLED,
        (T::Ready, Unknown) | (T::Reconciling, True) => RECONCILING,
        // Absent rather than False: kstatus takes their mere presence with True as the state.
        (T::Reconciling | T::Stalled, False | Unknown) => &[],

        (T::Finished, True) => &[R::Succeeded, R::NothingPending, R::RolledBack, R::Aborted, R::Held],
        (T::Finished, False) => &[R::Progressing],
        (T::Finished, Unknown) => &[],
        (T::Succeeded, True) => &[R::Succeeded, R::NothingPending],
        (T::Succeeded, False) => &[R::RolledBack, R::Aborted, R::Held],

        (T::Validated, False) => STALLED_BEFORE_RUN,
        (T::Approved, False) => &[R::AwaitingApproval, R::ApprovalStale],
        (T::WindowOpen, False) => &[R::AwaitingWindow, R::OutsideWindow],
        (T::BackupVerified, True) => &[R::Artifact, R::Structure, R::Restored, R::NotRequired],
        (T::BackupVerified, False) => &[R::Failed],
        (T::Quiesced, False) => &[R::ReplicasContended, R::ForeignSessions, R::PodsTerminating],
        (T::Quiesced, Unknown) => &[R::Pending, R::Progressing, R::PodsTerminating, R::ForeignSessions],
        (T::Migrated | T::RolledOut | T::Verified, False) => {
            &[R::StepFailed, R::ChecksumMismatch, R::Inconclusive, R::DeadlineExceeded, R::UnknownOutcome]
        }
        (T::Verified, Unknown) => &[R::Pending, R::Progressing, R::Inconclusive],
        (T::WorkloadsGivenBack, False) => &[R::Held, R::Fenced],
        (T::RolledBack, True) => &[R::UndoApplied, R::RestoredFromBackup, R::Done],
        (T::RolledBack, False) => &[R::Failed, R::Held],
        (T::RolledBack, Unknown) => &[R::NotRequired, R::Pending, R::Progressing],

        (T::Paused, True) => &[R::Paused],
        (T::SpecDrift | T::SourceChanged, True) => &[R::Pending],
        (T::GitOpsRevertRequired, True) => &[R::AwaitingPerson],
        (T::Paused | T::SpecDrift | T::SourceChanged | T::GitOpsRevertRequired, False) => NO,
        (T::Paused | T::SpecDrift | T::SourceChanged | T::GitOpsRevertRequired, Unknown) => &[],
        (T::BackgroundComplete, False) => &[R::Progressing, R::Failed],
        (T::BackgroundComplete, Unknown) => &[],

        (T::Reachable, False) => &[R::TargetNotReady],
        (T::Authenticated, False) => &[R::Forbidden, R::TargetNotReady],
        (T::IdentityConfirmed, False) => &[R::TargetIdentityMismatch],
        (T::HistoryInSync, False) => &[R::HistoryDrift, R::HistoryLost],
        (T::RestoreTested, True) => &[R::Restored, R::NotRequired],
        (T::BackupFresh | T::RestoreTested, False) => &[R::Failed, R::Pending],
        (T::Retained, False) => &[R::Failed, R::Forbidden, R::TargetNotReady],

        (_, True) => DONE,
        (_, Unknown) => NOT_REACHED,
    }
}

/// The page that lists the contract, for people who write health checks and alerts.
pub fn page() -> String {
    let mut page = String::from(
        "<!-- Generated by `whimbrel crd --dir crds --review docs`; do not edit. -->\n\n# Conditions and their reasons\n\n\
         A status that a condition never has is `–`. Reconciling and Stalled are absent rather than False.\n\n\
         | type | True | False | Unknown |\n|---|---|---|---|\n",
    );
    for &type_ in ConditionType::ALL {
        let _ = write!(page, "| {type_} |");
        for &status in Status::ALL {
            let words: Vec<&str> = legal(type_, status).iter().map(|r| r.as_str()).collect();
            let _ = write!(page, " {} |", if words.is_empty() { "–".to_owned() } else { words.join(", ") });
        }
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_somewhere() {
        for &reason in Reason::ALL {
            let used = ConditionType::ALL
                .iter()
                .any(|&type_| Status::ALL.iter().any(|&status| legal(type_, status).contains(&reason)));
            assert!(used, "{reason} stands on no condition");
        }
    }

    #[test]
    fn ready_says_what_stalled_or_reconciling_says() {
        assert_eq!(legal(ConditionType::Ready, Status::False), legal(ConditionType::Stalled, Status::True));
        assert_eq!(
            legal(ConditionType::Ready, Status::Unknown),
            legal(ConditionType::Reconciling, Status::True)
        );
    }

    #[test]
    fn what_stalls_before_a_run_is_part_of_what_stalls() {
        assert_eq!(STALLED[..STALLED_BEFORE_RUN.len()], *STALLED_BEFORE_RUN);
    }
}
