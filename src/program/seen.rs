//! The world as compile is shown it: what was looked at, with nothing held.

use super::WorkloadRef;
use crate::api::target::VerificationLevel;
use crate::script::{Bundle, Dialect, HistoryRow, Values};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that compile looks at.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The targets that the plan names, by name; a missing one is not there.
    pub targets: BTreeMap<String, TargetSeen>,
    /// The source of each migrate step, by step name.
    pub bundles: BTreeMap<String, Bundle>,
    /// The values of each step's variables, by step name.
    pub variables: BTreeMap<String, Filling>,
    /// The workloads that the plan names; a missing one is not there.
    pub workloads: BTreeMap<WorkloadRef, WorkloadSeen>,
    /// The ConfigMaps that the plan sets keys of, by namespace and name.
    pub flags: BTreeMap<(String, String), BTreeMap<String, String>>,
    /// Whether an earlier run of this intent succeeded: then a live image that differs is somebody's newer will.
    pub succeeded_before: bool,
}

/// What a step's texts are filled with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filling {
    /// The values.
    pub values: Values,
    /// An HMAC over them: what of them may stand where everybody reads it.
    pub mac: String,
}

/// A target as it was looked at.
#[derive(Clone, Debug)]
pub struct TargetSeen {
    /// The Lease that stands for it.
    pub lease: String,
    /// How long silence must hold, in milliseconds.
    pub quiet_for_ms: u64,
    /// Size of the database in bytes.
    pub bytes: u64,
    /// The level that the target asks of backups.
    pub verification: VerificationLevel,
    /// Rows by history.
    pub histories: BTreeMap<String, Vec<HistoryRow>>,
    /// The workload that serves it, where it runs in the cluster.
    pub server: Option<WorkloadRef>,
    /// The language of its scripts.
    pub speaks: Dialect,
    /// The most that a backup of it can prove; None: none can be taken.
    pub proves: VerificationLevel,
    /// It is backed up while this server is stopped.
    pub offline: Option<WorkloadRef>,
    /// Histories that neo4j-migrations reads too: files of that tool's names only.
    pub of_the_peer: BTreeSet<String>,
}

/// A workload as a live GET shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadSeen {
    /// Which one.
    pub of: WorkloadRef,
    /// Its uid.
    pub uid: String,
    /// resourceVersion.
    pub version: String,
    /// `spec.replicas`; 0 for a CronJob.
    pub replicas: i32,
    /// Image by container, init containers too.
    pub images: BTreeMap<String, String>,
    /// `spec.suspend` of a CronJob.
    pub suspend: bool,
    /// Who holds it.
    pub claimed_by: Option<String>,
    /// The least that its HorizontalPodAutoscaler keeps it at.
    pub hpa_min: Option<i32>,
    /// Kind and name of another controller that owns it, and would undo every change.
    pub controlled_by: Option<String>,
    /// A StatefulSet that deletes its volumes when it is scaled down.
    pub deletes_volumes: bool,
    /// None when every pod of the newest revision is ready and no other is left; else why not, in one sentence.
    pub not_ready: Option<String>,
    /// The field manager that last wrote replicas or suspend.
    pub scaled_by: Option<String>,
}
