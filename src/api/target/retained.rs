//! What a target's status says of things that are kept for a while: what was put aside, what is being deleted, what is
//! gone.

use super::backup::VerificationLevel;
use crate::api::{
    bounds::{HASH, NAME, STRING},
    outcome::Time,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One backup of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetBackupStatus {
    /// Name of the run that took it.
    pub run: String,
    /// Uid of that run's plan; without it nobody can prove whose the backup is, and it is never deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub plan_uid: Option<String>,
    /// Where it lies in the target's storage.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// When it was complete.
    pub at: Time,
    /// What it has proven.
    pub level: VerificationLevel,
    /// Its size in bytes.
    pub bytes: i64,
    /// SHA-256 of its manifest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = HASH))]
    pub sha256: String,
    /// Why it may not be deleted, such as the name of a run; absent is: it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<String>,
    /// Why it was not deleted though its time was over; absent is: nothing was in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = STRING))]
    pub not_deleted: Option<String>,
}

/// What a restore has put aside, or restored beside and never swapped in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsideStatus {
    /// Name of the database; empty where the run never said one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = NAME))]
    pub name: String,
    /// Name of the run.
    pub run: String,
    /// Uid of the run's record: what is in the database's own comment.
    #[schemars(length(max = 63))]
    pub run_uid: String,
    /// Since when.
    pub at: Time,
    /// Since when it is being dropped; absent is: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropping_since: Option<Time>,
    /// Why it was not dropped though its time was over; absent is: nothing was in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = STRING))]
    pub not_dropped: Option<String>,
}

/// A deletion that was begun: from here on these are no backups any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pruning {
    /// When it was decided; in the name of its Job.
    pub since: Time,
    /// The backups that go; none: only what aborted attempts have left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 1024)))]
    pub paths: Vec<String>,
    /// Why its Job failed; it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = STRING))]
    pub failed: Option<String>,
}

/// What retention has deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// Path of the backup, or name of the database.
    #[schemars(length(max = 1024))]
    pub what: String,
    /// SHA-256 of the backup's manifest, or uid of the run's record: a path is used again, these are not.
    #[schemars(length(max = HASH))]
    pub id: String,
    /// Name of the run that it was of.
    pub run: String,
    /// When it was deleted.
    pub at: Time,
    /// Size of a backup in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// Why nothing kept it.
    #[schemars(length(max = STRING))]
    pub why: String,
}
