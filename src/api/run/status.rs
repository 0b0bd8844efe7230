//! The durable record of a run: what was intended, what is done, and what is needed for the way back.

use crate::api::{
    Condition, Duration, Outcome, Phase, Time,
    bounds::{HASH, HISTORIES, MESSAGE, NAME, OPS, SCRIPT, STRING, WHY},
    plan::Failure,
    reference::{Images, WorkloadKind},
    target::VerificationLevel,
    words::words,
};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The durable record of a run; every write to it is a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationRunStatus {
    /// The newest generation of the run that the operator has seen; -1 is none.
    pub observed_generation: i64,
    /// Grows with every driver that takes the run up: the fencing token.
    pub epoch: i64,
    /// Where it stands; for display only.
    pub phase: Phase,
    /// Forward or Back.
    pub direction: Direction,
    /// The op, cause and instant at which the run turned around; it never goes forward again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turned_around: Option<TurnedAround>,
    /// State of the ops by their id: a map, so that a write sends only what changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "ops")]
    pub ops: BTreeMap<String, OpRecord>,
    /// Workloads as they were at Claim; the way back never records them again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 350))]
    pub originals: Vec<Original>,
    /// What people approved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalRecord>,
    /// Verbs that were done; the annotation may stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<AcceptedVerb>,
    /// The run's own backups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<BackupRecord>,
    /// The histories as they were last read under lock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 250))]
    pub watermarks: Vec<Watermark>,
    /// Whether nobody wrote from ProveQuiet to the first give-back; absent is: not proven yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_unbroken: Option<bool>,
    /// What broke the quiet first, in one clause: who was connected, what was scaled up, or that somebody wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = WHY))]
    pub quiet_broken: Option<String>,
    /// By target, the write mark that was taken right before the first give-back.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "write_marks")]
    pub write_marks: BTreeMap<String, String>,
    /// By target, what was read after ProveQuiet: RolledBack needs the same again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fingerprints: BTreeMap<String, Fingerprint>,
    /// By target, why its backup could not be put back by itself, as Trial found; empty is: it could.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "restore_trials")]
    pub restore_trials: BTreeMap<String, String>,
    /// By target, how it is brought back: decided once for all of them, before anything is undone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ways_back: BTreeMap<String, WayBack>,
    /// Databases that were brought back from their backups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restores: Vec<RestoreRecord>,
    /// When the run was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the claim was complete: `deadline` counts from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Time>,
    /// Waits since the claim that are over, and the one that is not: they count neither in `deadline` nor in `maxDowntime`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Wait>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// From start to end, as shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took: Option<Duration>,
    /// When the first dependent was scaled down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_from: Option<Time>,
    /// When the last dependent was ready again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_to: Option<Time>,
    /// From `downFrom` to `downTo`, as shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Duration>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Of a run that is Held: the shell script with which a person restores its backups.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = SCRIPT))]
    pub restore_by_hand: String,
    /// One line for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = MESSAGE))]
    pub message: String,
    /// The contract with waiting tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::api::condition::schema")]
    pub conditions: Vec<Condition>,
}

impl Default for MigrationRunStatus {
    fn default() -> Self {
        Self {
            observed_generation: -1,
            epoch: 0,
            phase: Phase::default(),
            direction: Direction::default(),
            turned_around: None,
            ops: BTreeMap::new(),
            originals: Vec::new(),
            approvals: Vec::new(),
            verbs: Vec::new(),
            backups: Vec::new(),
            watermarks: Vec::new(),
            quiet_unbroken: None,
            quiet_broken: None,
            write_marks: BTreeMap::new(),
            fingerprints: BTreeMap::new(),
            restore_trials: BTreeMap::new(),
            ways_back: BTreeMap::new(),
            restores: Vec::new(),
            started_at: None,
            claimed_at: None,
            waits: Vec::new(),
            finished_at: None,
            took: None,
            down_from: None,
            down_to: None,
            downtime: None,
            outcome: None,
            failure: None,
            restore_by_hand: String::new(),
            message: String::new(),
            conditions: Vec::new(),
        }
    }
}

words! {
    /// Which way a run walks.
    #[derive(Default)]
    pub enum Direction {
        /// To what the plan says.
        #[default]
        Forward,
        /// To what was.
        Back,
    }
}

words! {
    /// How a database is brought back.
    pub enum WayBack {
        /// By the undo scripts, newest first.
        Undo,
        /// By putting the run's own backup in its place.
        Restore,
    }
}

/// A database that was brought back from its backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreRecord {
    /// The target.
    pub target: String,
    /// Name of the database or folder that was there before; kept, and dropped by nobody but retention.
    #[schemars(length(max = NAME))]
    pub aside: String,
    /// What made the database this one before; empty where a restore changes nothing of that.
    #[schemars(length(max = STRING))]
    pub replaced: String,
    /// What makes it this one now; empty like the other.
    #[schemars(length(max = STRING))]
    pub identity: String,
    /// When.
    pub at: Time,
}

/// Where and why a run turned around.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TurnedAround {
    /// Id of the op at hand; empty between ops.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// The cause, a code as in `failure.code`.
    #[schemars(length(max = NAME))]
    pub cause: String,
    /// When.
    pub at: Time,
}

words! {
    /// What is known of an op.
    pub enum OpState {
        /// About to be done, or being done.
        Intent,
        /// Done.
        Done,
        /// Failed, without effect or with the effect that its note names.
        Failed,
        /// Nobody knows; never tried again.
        Unknown,
    }
}

/// What is known of one op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpRecord {
    /// Intent, Done, Failed or Unknown.
    pub state: OpState,
    /// Epoch of the driver that wrote this.
    pub epoch: i64,
    /// 1 for the first attempt; part of the names of what the op makes.
    pub attempt: i32,
    /// When the intent was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the outcome was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Of an op that applies scripts: whether nobody else had written to its target since the op before it; absent is:
    /// not looked at yet, so nothing is applied yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untouched: Option<bool>,
    /// Cause of a failure, as in `failure.code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME))]
    pub code: Option<String>,
    /// What the outcome needs to say, such as a Job's name or what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MESSAGE))]
    pub note: Option<String>,
}

fn ops(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "granular",
        "maxProperties": OPS,
        "additionalProperties": OpRecord::json_schema(generator),
    })
}

fn write_marks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": MESSAGE } })
}

fn restore_trials(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": STRING } })
}

/// A workload as it was at Claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Original {
    /// Deployment, StatefulSet or CronJob.
    pub kind: WorkloadKind,
    /// Its namespace.
    #[schemars(length(max = NAME))]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: a re-created one is another one.
    #[schemars(length(max = NAME))]
    pub uid: String,
    /// Its replicas; absent for a CronJob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Its images by name of container and init container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::api::plan::images")]
    pub images: Images,
    /// Whether a CronJob was suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// What a person approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRecord {
    /// `plan`, or the name of a step.
    pub what: String,
    /// The planHash that was approved.
    #[schemars(length(max = HASH))]
    pub plan_hash: String,
    /// Who.
    pub by: String,
    /// Whether the API server proved who it was.
    pub verified: bool,
    /// When it was seen.
    pub at: Time,
}

words! {
    /// What a run waited for that is no work.
    pub enum WaitFor {
        /// A person's approval.
        Approval,
        /// The end of a person's pause.
        Pause,
        /// A window.
        Window,
    }
}

/// A wait for a person or a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// Approval, Pause or Window.
    #[serde(rename = "for")]
    pub for_: WaitFor,
    /// Since when.
    pub from: Time,
    /// Until when; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
}

/// A verb that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedVerb {
    /// The verb: the annotation's key without its prefix.
    #[schemars(length(max = NAME))]
    pub verb: String,
    /// The annotation's value, which names what it acts on.
    #[schemars(length(max = MESSAGE))]
    pub value: String,
    /// Who.
    pub by: String,
    /// Whether the API server proved who it was.
    pub verified: bool,
    /// When it was seen.
    pub at: Time,
}

/// A backup of this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupRecord {
    /// The target.
    pub target: String,
    /// Where it lies in the target's storage.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// When it was complete.
    pub at: Time,
    /// What it has proven so far.
    pub level: VerificationLevel,
    /// Its size in bytes.
    pub bytes: i64,
    /// SHA-256 of its manifest, in hexadecimal.
    #[schemars(length(max = HASH))]
    pub sha256: String,
}

/// A history as it was last read under lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watermark {
    /// The target.
    pub target: String,
    /// The history's name.
    #[schemars(length(max = NAME))]
    pub history: String,
    /// Scripts that are applied.
    pub count: i64,
    /// Key of the last one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = STRING))]
    pub last: String,
    /// Running digest over all of them.
    #[schemars(length(max = HASH))]
    pub digest: String,
    /// Which line of data it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub lineage: String,
}

/// A target as it was after ProveQuiet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fingerprint {
    /// `<name>=<digest>` per history.
    #[schemars(length(max = HISTORIES))]
    pub history: String,
    /// `<kind>=<digest>` per kind of object, so that a difference says where to look.
    #[schemars(length(max = MESSAGE))]
    pub structure: String,
}
