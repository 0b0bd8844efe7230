//! What is known of a target: its engine, its histories' watermarks, who holds it, its backups.

use super::{
    engine::Engine,
    history::HistoryFormat,
    retained::{AsideStatus, Deleted, Pruning, TargetBackupStatus},
};
use crate::api::{
    bounds::HASH,
    condition::Condition,
    duration::Duration,
    outcome::{Outcome, Time},
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DatabaseTargetStatus {
    /// The newest generation that the operator has seen; -1 is none.
    pub observed_generation: i64,
    /// The server as it was seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineStatus>,
    /// The watermark of every history: it must only ever be extended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub histories: Vec<HistoryStatus>,
    /// The run that holds the target; a projection of its Lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<TargetClaim>,
    /// Intents that failed here, newest first; they do not run again without `retry`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub failed: Vec<FailedIntent>,
    /// Backups, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub backups: Vec<TargetBackupStatus>,
    /// What restores have put aside, newest first; dropped by retention alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub aside: Vec<AsideStatus>,
    /// The deletion of backups that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruning: Option<Pruning>,
    /// When the last one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruned_at: Option<Time>,
    /// What retention has deleted, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub deleted: Vec<Deleted>,
    /// How long things took here, for estimates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Ready, Reachable, Authenticated, IdentityConfirmed, HistoryInSync, BackupFresh, RestoreTested, Retained, Stalled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::api::condition::schema")]
    pub conditions: Vec<Condition>,
}

impl Default for DatabaseTargetStatus {
    fn default() -> Self {
        Self {
            observed_generation: -1,
            engine: None,
            histories: Vec::new(),
            claim: None,
            failed: Vec::new(),
            backups: Vec::new(),
            aside: Vec::new(),
            pruning: None,
            pruned_at: None,
            deleted: Vec::new(),
            measured: None,
            conditions: Vec::new(),
        }
    }
}

/// The server as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineStatus {
    /// The engine.
    pub kind: Engine,
    /// The server's version, as it says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Which server and database this is; pinned when it is first seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub identity: String,
    /// Which line of data it carries, such as PostgreSQL's timeline.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub lineage: String,
    /// When it was seen.
    pub checked_at: Time,
}

/// The watermark of one history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryStatus {
    /// Name of the history.
    pub name: String,
    /// Who keeps its rows.
    pub format: HistoryFormat,
    /// Scripts that are applied.
    pub count: i64,
    /// Key of the last one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last: String,
    /// Running digest over all of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = HASH))]
    pub digest: String,
}

/// The run that holds a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetClaim {
    /// `namespace/name` of the plan.
    #[schemars(length(max = 317))]
    pub plan: String,
    /// Name of the run.
    pub run: String,
    /// Since when.
    pub since: Time,
}

/// An intent that failed on a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedIntent {
    /// The intentHash.
    #[schemars(length(max = HASH))]
    pub intent_hash: String,
    /// Name of the run.
    pub run: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub at: Time,
}

/// How long things took on this target the last time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// The backup itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<Duration>,
    /// Proving it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Duration>,
    /// Restoring it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Duration>,
    /// When.
    pub at: Time,
}
