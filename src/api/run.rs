//! `MigrationRun`: one execution of one compiled plan; written by the operator only, read by people.

// Each printed column of a kind says its type: for the lint that is the same attribute again.
#![allow(clippy::duplicated_attributes)]

mod status;

pub use status::{
    AcceptedVerb, ApprovalRecord, BackupRecord, Direction, Fingerprint, MigrationRunStatus, OpRecord,
    OpState, Original, RestoreRecord, TurnedAround, Wait, WaitFor, Watermark, WayBack,
};

use super::bounds::{HASH, PLAN_NAME};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// One execution of one compiled plan; the operator writes it, people read it and refer to it.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "whimbrel.dev",
    version = "v1alpha1",
    kind = "MigrationRun",
    plural = "migrationruns",
    shortname = "mrun",
    category = "migrations",
    namespaced,
    status = "MigrationRunStatus",
    derive = "PartialEq",
    doc = "One execution of one compiled plan; written by the operator only, the durable record of what was done.",
    cel,
    printcolumn(name = "Plan", type_ = "string", json_path = ".spec.plan.name"),
    printcolumn(name = "Number", type_ = "integer", json_path = ".spec.number"),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".status.outcome"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startedAt"),
    printcolumn(name = "Took", type_ = "string", json_path = ".status.took"),
    printcolumn(name = "Downtime", type_ = "string", json_path = ".status.downtime")
)]
#[x_kube(
    validation = Rule::new("self.plan == oldSelf.plan && self.number == oldSelf.number && self.intentHash == oldSelf.intentHash && (has(self.rollsBack) ? self.rollsBack : 0) == (has(oldSelf.rollsBack) ? oldSelf.rollsBack : 0)")
        .message("plan, number, intentHash and rollsBack of a run do not change"),
    validation = Rule::new("!has(oldSelf.program) || (has(self.program) && self.program == oldSelf.program)")
        .message("the program of a run is frozen: set once, never changed")
)]
pub struct MigrationRunSpec {
    /// The plan, as it was.
    pub plan: RunPlan,
    /// 1 for the plan's first run; only grows.
    #[schemars(range(min = 1))]
    pub number: i64,
    /// What is meant: the same plan again has the same one.
    #[schemars(length(min = 1, max = HASH))]
    pub intent_hash: String,
    /// Number of the run that this one takes back after its success; absent for a run that goes forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rolls_back: Option<i64>,
    /// The frozen program; absent until Freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<FrozenProgram>,
}

/// The plan that a run executes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunPlan {
    /// Its name.
    #[schemars(length(min = 1, max = PLAN_NAME))]
    pub name: String,
    /// Its uid: a re-created plan is another one.
    #[schemars(length(min = 1, max = 63))]
    pub uid: String,
    /// The generation that was compiled.
    pub generation: i64,
}

/// Where the frozen program lies and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrozenProgram {
    /// What was approved.
    #[schemars(length(min = 1, max = HASH))]
    pub plan_hash: String,
    /// Format of the frozen ops; an operator walks its own and the one before.
    pub format: i32,
    /// The Secrets that hold ops and bodies, in order.
    #[schemars(length(min = 1))]
    pub parts: Vec<FrozenPart>,
}

/// One Secret of the frozen program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrozenPart {
    /// Name of the Secret.
    #[schemars(length(min = 1))]
    pub secret: String,
    /// SHA-256 of its content, in hexadecimal; checked at every load.
    #[schemars(length(min = 64, max = 64))]
    pub sha256: String,
}
