//! What people read of a plan: a projection of its run and targets, rebuilt at any time.

use super::step::Stage;
use crate::api::{
    Condition, Phase, Time,
    bounds::{HASH, LIST, MESSAGE, NAME, PREVIEW, URL},
    reference::WorkloadKind,
    target::VerificationLevel,
    words::words,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What people read of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationPlanStatus {
    /// The newest generation that the operator has seen; -1 is none.
    pub observed_generation: i64,
    /// Where it stands; for display only.
    pub phase: Phase,
    /// One line: where, what, why it waits or failed, what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = MESSAGE))]
    pub message: String,
    /// Steps done of the steps pending in this run, as `7/19`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub progress: String,
    /// The step at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The newest run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<PlanRun>,
    /// The stages with their steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<StageStatus>,
    /// What the run will do, op by op, without bodies.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = PREVIEW))]
    pub preview: String,
    /// From where on the way back may lose data, or what makes it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MESSAGE))]
    pub point_of_no_return: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LIST))]
    pub blocked_by: Vec<BlockedBy>,
    /// The run's own backups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<PlanBackupStatus>,
    /// The dependents and the workloads that are rolled out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 350))]
    pub workloads: Vec<WorkloadStatus>,
    /// The contract with waiting tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::api::condition::schema")]
    pub conditions: Vec<Condition>,
}

impl Default for MigrationPlanStatus {
    fn default() -> Self {
        Self {
            observed_generation: -1,
            phase: Phase::default(),
            message: String::new(),
            progress: String::new(),
            step: None,
            run: None,
            stages: Vec::new(),
            preview: String::new(),
            point_of_no_return: None,
            failure: None,
            blocked_by: Vec::new(),
            backups: Vec::new(),
            workloads: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

/// The newest run of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanRun {
    /// Its number, which only grows.
    pub number: i64,
    /// Name of the MigrationRun.
    pub name: String,
    /// The plan's generation that it runs.
    pub generation: i64,
    /// What is approved.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = HASH))]
    pub plan_hash: String,
    /// What is meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = HASH))]
    pub intent_hash: String,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Since when it waits for another run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_since: Option<Time>,
    /// The driver's epoch.
    #[serde(default)]
    pub epoch: i64,
}

/// One stage of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Its name.
    pub name: Stage,
    /// Its steps, in order.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub steps: Vec<StepStatus>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: StepState,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What it says, such as `300/1000 scripts`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

words! {
    /// Where a step stands.
    #[derive(Default)]
    pub enum StepState {
        /// Its turn has not come.
        #[default]
        Pending,
        /// Has nothing to do in this run.
        Skipped,
        /// At work.
        Running,
        /// Waits for a lock, a person or a window.
        Waiting,
        /// Done.
        Done,
        /// Failed.
        Failed,
        /// Done, and taken back on the way back.
        Undone,
    }
}

/// Why a run failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The step; empty where none is at hand.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    /// What kind of failure: a reason of the conditions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = NAME))]
    pub class: String,
    /// The cause, such as an SQLSTATE or `UnknownOutcome`.
    #[schemars(length(max = NAME))]
    pub code: String,
    /// The sentence for people.
    #[schemars(length(max = MESSAGE))]
    pub message: String,
    /// Where in the user's file: `file:line:column`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub position: String,
    /// What a person does next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = MESSAGE))]
    pub next_action: String,
    /// Where that is explained.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = URL))]
    pub runbook: String,
}

words! {
    /// What kind of thing is waited for.
    pub enum BlockerKind {
        /// Another run.
        Run,
        /// A session in a database.
        Session,
        /// A lock in a database.
        Lock,
        /// A workload.
        Workload,
        /// A pod.
        Pod,
        /// A person.
        Person,
        /// A window.
        Window,
        /// A bundle's source.
        Source,
        /// A target.
        Target,
    }
}

/// Something that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockedBy {
    /// What kind of thing.
    pub kind: BlockerKind,
    /// Which one: a name, or `pid 412`.
    pub name: String,
    /// What is known of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub detail: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A backup of this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanBackupStatus {
    /// The target.
    pub target: String,
    /// Where it lies in the target's storage.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// When it was complete.
    pub at: Time,
    /// What it has proven.
    pub level: VerificationLevel,
    /// Its size in bytes.
    pub bytes: i64,
}

/// A dependent, or a workload that is rolled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// Deployment, StatefulSet or CronJob.
    pub kind: WorkloadKind,
    /// Its namespace.
    #[schemars(length(max = NAME))]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: WorkloadState,
    /// What it says, such as `2/3 ready`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

words! {
    /// Where a workload stands.
    pub enum WorkloadState {
        /// As it was before.
        Untouched,
        /// Silent: scaled to zero or suspended.
        Quiesced,
        /// Has its new image, not all replicas are ready.
        RollingOut,
        /// Has its new image and is ready.
        RolledOut,
        /// Runs again.
        GivenBack,
        /// Stays down.
        KeptDown,
    }
}
