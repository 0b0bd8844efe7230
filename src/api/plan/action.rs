//! What a step does, as a real union: the gate after which nothing guesses about Options.

use super::{Approve, Check, Configure, Job, Migrate, Rollout, Step};
use crate::api::error::{ApiError, exactly_one};

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Applies scripts.
    Migrate(Migrate),
    /// Runs an image.
    Job(Job),
    /// Rolls a workload out.
    Rollout(Rollout),
    /// Checks.
    Verify(Check),
    /// Sets keys of a ConfigMap.
    Configure(Configure),
    /// Waits for a person.
    Approve(Approve),
}

impl Action {
    /// The step's key in YAML.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Migrate(_) => "migrate",
            Self::Job(_) => "job",
            Self::Rollout(_) => "rollout",
            Self::Verify(_) => "verify",
            Self::Configure(_) => "configure",
            Self::Approve(_) => "approve",
        }
    }
}

impl TryFrom<&Step> for Action {
    type Error = ApiError;

    fn try_from(step: &Step) -> Result<Self, ApiError> {
        exactly_one(
            &format!("step {}", step.name),
            "action",
            [
                step.migrate.clone().map(Self::Migrate),
                step.job.clone().map(Self::Job),
                step.rollout.clone().map(Self::Rollout),
                step.verify.clone().map(Self::Verify),
                step.configure.clone().map(Self::Configure),
                step.approve.clone().map(Self::Approve),
            ],
        )
    }
}
