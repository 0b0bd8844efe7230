//! What users write and read: the three kinds, their rules, the reasons and verbs. No client, no IO.

// KubeSchema copies each struct, `pub` and all, into a function: the lint can't tell those copies from ours.
#![allow(unreachable_pub)]

pub mod bounds;
pub mod condition;
pub mod contract;
pub mod crd;
pub mod duration;
pub mod error;
pub mod not_built;
pub mod outcome;
pub mod plan;
pub mod pod;
pub mod reason;
pub mod reference;
pub mod review;
#[cfg(test)]
mod rules_tests;
pub mod run;
pub mod target;
pub mod verb;
pub(crate) mod words;

pub use condition::{Condition, Status};
pub use duration::Duration;
pub use error::ApiError;
pub use outcome::{Diagnostics, Outcome, Phase, Time};
pub use plan::{Action, MigrationPlan, MigrationPlanSpec, MigrationPlanStatus, Stage, Step};
pub use reason::{ConditionType, EventReason, Reason};
pub use reference::{WorkloadKind, WorkloadRef};
pub use run::{MigrationRun, MigrationRunSpec, MigrationRunStatus};
pub use target::{DatabaseTarget, DatabaseTargetSpec, DatabaseTargetStatus, Engine, EngineSpec};
pub use words::UnknownWord;
