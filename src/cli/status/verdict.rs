//! The exit code: what a script asks.

use crate::api::plan::MigrationPlanStatus;
use crate::api::{ConditionType, MigrationPlan, Phase, condition};
use std::process::ExitCode;

/// How a plan stands for a script that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Ready: applied, or nothing to do.
    Good,
    /// Still at work, or not seen yet.
    Open,
    /// Ended, not well; everything is back, or nothing was begun.
    Failed,
    /// A person must act.
    Person,
}

impl Verdict {
    /// 0 good, 1 failed, 2 not ended in time, 3 a person must act.
    pub(super) fn exit(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Good => 0,
            Self::Failed => 1,
            Self::Open => 2,
            Self::Person => 3,
        })
    }

    /// Whether nothing will change by itself any more. A person may still approve: a watch goes on.
    pub(super) fn is_final(self, plan: &MigrationPlan) -> bool {
        let held = plan.status.as_ref().is_some_and(|status| status.phase == Phase::Held);
        matches!(self, Self::Good | Self::Failed) || held
    }
}

/// Reads the status as waiting tools do; what is not about the newest generation is still open.
pub(super) fn verdict(plan: &MigrationPlan) -> Verdict {
    let unseen = MigrationPlanStatus::default();
    let status = plan.status.as_ref().unwrap_or(&unseen);
    if plan.metadata.generation != Some(status.observed_generation) {
        return Verdict::Open;
    }
    if matches!(status.phase, Phase::AwaitingApproval | Phase::Paused | Phase::Held) {
        return Verdict::Person;
    }
    let is = |of, wanted: &str| {
        condition::get(&status.conditions, of).is_some_and(|condition| condition.status == wanted)
    };
    if is(ConditionType::Stalled, "True") {
        Verdict::Failed
    } else if is(ConditionType::Ready, "True") {
        Verdict::Good
    } else {
        Verdict::Open
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{approval, held, migrating, succeeded, unseen};
    use super::*;

    #[test]
    fn each_end_has_its_code() {
        let of = |plan: &MigrationPlan| (verdict(plan), verdict(plan).is_final(plan));
        assert_eq!(of(&succeeded().0), (Verdict::Good, true));
        assert_eq!(of(&migrating().0), (Verdict::Open, false));
        assert_eq!(of(&unseen()), (Verdict::Open, false));
        assert_eq!(of(&approval().0), (Verdict::Person, false));
        assert_eq!(of(&held().0), (Verdict::Person, true));
    }

    #[test]
    fn the_success_of_an_older_generation_is_no_success() {
        let (mut plan, _) = succeeded();
        plan.metadata.generation = Some(5);
        assert_eq!(verdict(&plan), Verdict::Open);
    }
}
