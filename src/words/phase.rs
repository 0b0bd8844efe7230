//! The one word for where a run stands. For display only: conditions are the contract.

use super::view::View;
use crate::api::{Outcome, Phase};
use crate::program::Kind;
use crate::run::Waiting;

pub(super) fn phase(view: &View<'_>) -> Phase {
    if let Some(outcome) = view.outcome() {
        return phase_of(outcome);
    }
    match &view.report.waiting {
        Some(Waiting::Paused) => return Phase::Paused,
        Some(Waiting::Approval(_)) => return Phase::AwaitingApproval,
        Some(Waiting::Window(_)) if view.frozen() => return Phase::Paused,
        Some(Waiting::Window(_)) => return Phase::AwaitingWindow,
        Some(Waiting::Queued(_)) => return Phase::Queued,
        Some(Waiting::Look { .. }) => return Phase::Pending,
        None => {}
    }
    if view.goes_back() {
        return Phase::RollingBack;
    }
    view.at_hand().first().map_or(Phase::Pending, |op| of_kind(&op.kind))
}

/// Of a run that has ended.
pub fn phase_of(outcome: Outcome) -> Phase {
    match outcome {
        Outcome::Succeeded => Phase::Succeeded,
        Outcome::RolledBack => Phase::RolledBack,
        Outcome::Aborted => Phase::Aborted,
        Outcome::Held => Phase::Held,
        // The next generation's run takes over from here.
        Outcome::Superseded => Phase::Pending,
    }
}

fn of_kind(kind: &Kind) -> Phase {
    match kind {
        Kind::Trial { .. }
        | Kind::Foresee
        | Kind::Gate(_)
        | Kind::Claim
        | Kind::Recheck
        | Kind::Freeze
        | Kind::Inherit => Phase::Pending,
        Kind::Quiesce { .. } | Kind::ProveQuiet { .. } => Phase::Quiescing,
        Kind::StopServer { .. }
        | Kind::StartServer { .. }
        | Kind::Backup { .. }
        | Kind::VerifyBackup { .. } => Phase::BackingUp,
        Kind::Apply { .. } => Phase::Migrating,
        Kind::Configure { .. } | Kind::MarkWrites | Kind::Rollout(_) | Kind::GiveBack { .. } => {
            Phase::RollingOut
        }
        Kind::Verify(_) | Kind::VerifyFinal | Kind::Release => Phase::Verifying,
        Kind::EndJobs
        | Kind::Weigh
        | Kind::Undo { .. }
        | Kind::Restore { .. }
        | Kind::VerifyUndone { .. }
        | Kind::Deconfigure { .. }
        | Kind::RollBack { .. } => Phase::RollingBack,
    }
}
