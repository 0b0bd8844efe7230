//! The brain: compile a plan, decide what comes next. Pure.
//!
//! Invariants, each with its tests in this room:
//! - the way back is compiled with the way forward, and needs nothing that the way forward could destroy;
//! - [`next`] is total: no record of a program is without a decision;
//! - turned around is forever; an outcome that is Unknown is never tried again.

mod compile;
pub mod hash;
mod intent;
pub mod next;
mod op;
mod parse;
mod pending;
mod rollback;
mod seen;
#[cfg(test)]
mod tests;
mod watermark;
mod way;

pub use compile::{Compiled, Refusal, compile};
pub use hash::digest;
pub use intent::{Action, Intent, Step};
pub use next::{Cause, Closed, Decision, Exit, ROLLBACK, Said, Signals, next};
pub use op::{Gate, Kind, Op, OpId, QueryCheck, RolloutOp, WorkloadRef};
pub use parse::{parse, workload};
pub use pending::{Drift, Pending, history_digest};
pub use rollback::{RolledBackRun, rollback};
pub use seen::{Filling, Seen, TargetSeen, WorkloadSeen};
pub use watermark::{Lost, Watermark};
pub use way::{ONLINE, Stuck, Weighed, can_be_undone, way_back};

use crate::api::plan::SchemaPolicy;
use crate::api::run::WayBack;
use crate::api::target::VerificationLevel;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The format of a stored program. An operator walks this one and the one before it.
pub const FORMAT: u32 = 1;

/// The code of a Weigh that only a person's `override.data-loss` can turn.
pub const DATA_LOSS: &str = "DataLoss";

/// The compiled, at Freeze frozen, list of ops of one run, with the way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// [`FORMAT`] of the operator that compiled it.
    pub format: u32,
    /// "What was approved?"
    pub plan_hash: String,
    /// "The same plan again?"
    pub intent_hash: String,
    /// Groups in order; the ops of a group run side by side.
    pub forward: Vec<Vec<Op>>,
    /// Groups of the way back in order.
    pub back: Vec<Vec<BackOp>>,
    /// What a person's `resolve` walks after Held: images and replicas back, claims given up.
    pub resolve: Vec<Vec<BackOp>>,
    /// What each migrate step applies, by step name.
    pub bundles: BTreeMap<String, Pending>,
    /// The workloads that must be silent while scripts run, in the order in which they are quiesced.
    pub dependents: Vec<WorkloadRef>,
    /// Every workload that Claim takes: dependents and rolled out ones, sorted.
    pub workloads: Vec<WorkloadRef>,
    /// Every target that Claim takes.
    pub targets: BTreeMap<String, TargetPlan>,
    /// What shall happen when the run fails.
    pub on_failure: OnFailure,
    /// The run that this one takes back after its success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back: Option<RolledBackRun>,
}

/// What the program knows of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetPlan {
    /// The Lease that stands for it: two targets that name one database have one Lease.
    pub lease: String,
    /// How long silence must hold, in milliseconds.
    pub quiet_for_ms: u64,
    /// Size of the database in bytes when it was looked at: a restore test needs room for it.
    pub bytes: u64,
    /// The level its backup must reach.
    pub verification: VerificationLevel,
    /// A run takes a backup of it; else undo files are the only way back.
    #[serde(default = "yes", skip_serializing_if = "is_so")]
    pub backed_up: bool,
    /// The server that is stopped for its backup, and again for a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<WorkloadRef>,
}

fn yes() -> bool {
    true
}

fn is_so(so: &bool) -> bool {
    *so
}

/// An op of the way back, and when it is needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackOp {
    /// When it is needed.
    pub when: When,
    /// What is done.
    pub op: Op,
}

/// When an op of the way back is needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum When {
    /// Whatever happened.
    Always,
    /// When one of these may have had an effect.
    Any(Vec<OpId>),
    /// When the same holds, and this is how the target is brought back.
    Way {
        /// The target.
        target: String,
        /// How: what Weigh decided.
        way: WayBack,
        /// What may have had an effect.
        any: Vec<OpId>,
    },
}

/// `spec.onFailure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnFailure {
    /// How schema and data are brought back.
    pub schema: SchemaPolicy,
    /// False: `images: Hold`.
    pub revert_images: bool,
    /// False: `workloads: KeepDown`.
    pub give_back: bool,
}

impl OnFailure {
    /// Whether undo scripts may bring a database back.
    pub fn may_undo(&self) -> bool {
        matches!(self.schema, SchemaPolicy::Auto | SchemaPolicy::Undo)
    }

    /// Whether its backup may.
    pub fn may_restore(&self) -> bool {
        matches!(self.schema, SchemaPolicy::Auto | SchemaPolicy::Restore)
    }
}

impl Program {
    /// Whether backups are taken while dependents still run (`backup.when: Online`): what is written between backup and
    /// silence is in no backup, so that no restore may be automatic.
    pub fn backs_up_online(&self) -> bool {
        let place =
            |of: fn(&Kind) -> bool| self.forward.iter().position(|group| group.iter().any(|op| of(&op.kind)));
        let backup = place(|kind| matches!(kind, Kind::Backup { .. }));
        backup.is_some() && backup < place(|kind| matches!(kind, Kind::ProveQuiet { .. }))
    }

    /// Whether a target is backed up and restored while its server is stopped.
    pub fn is_offline(&self, target: &str) -> bool {
        self.targets.get(target).is_some_and(|target| target.offline.is_some())
    }

    /// The targets that scripts are applied to, sorted.
    pub fn applied_targets(&self) -> impl Iterator<Item = &str> {
        let targets: std::collections::BTreeSet<&str> =
            self.bundles.values().map(|pending| pending.target.as_str()).collect();
        targets.into_iter()
    }
}
