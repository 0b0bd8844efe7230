//! The seams: all that the driver knows of the world. The same driver runs against a real cluster and a simulated
//! one; every call here is one outside effect or one live read, and so one numbered fault point.

use crate::api::run::{MigrationRunStatus, Original};
use crate::api::target::VerificationLevel;
use crate::cluster::Holder;
use crate::engine::{Engine, Stamp};
use crate::program::{OpId, Program, WorkloadRef, WorkloadSeen};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// The world: the cluster, the databases by target name, the time.
pub trait World: Send + Sync + 'static {
    /// The cluster's side.
    type Cluster: Cluster;
    /// The databases' side.
    type Engine: Engine;
    /// The time.
    type Clock: Clock;

    /// The cluster.
    fn cluster(&self) -> &Self::Cluster;
    /// The database of a target. Errors when the target is not known: the record names one that is gone.
    fn engine(&self, target: &str) -> Result<&Self::Engine, ClusterError>;
    /// The time.
    fn clock(&self) -> &Self::Clock;
}

/// Time as an argument: the simulated world has its own.
pub trait Clock: Send + Sync {
    /// Now, as it is written into records.
    fn now(&self) -> Timestamp;
    /// Waits.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// What went wrong between us and the API server. Everything above matches on these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The object changed since it was read: read, check whose it is, decide again.
    #[error("the object changed since it was read")]
    Stale,
    /// Another run holds it.
    #[error("held by {0}")]
    Held(String),
    /// A higher token is there: a newer driver of this run, or another cluster's run.
    #[error("taken over by epoch {0}")]
    Newer(u64),
    /// It is not there.
    #[error("{0} is not there")]
    Gone(String),
    /// The account may not. The sentence names the missing right and the command that gives it.
    #[error("{0}")]
    Forbidden(String),
    /// The API server said no, and would say no again.
    #[error("{0}")]
    Refused(String),
    /// It must not be done as things stand, for this reason.
    #[error("{message}")]
    Because {
        /// The code of the failure.
        reason: &'static str,
        /// The sentence, with the way out.
        message: String,
    },
    /// No answer: it may or may not have happened.
    #[error("no answer from the API server: {0}")]
    Lost(String),
}

/// The run's record as last read or written, with the version that a compare-and-swap needs.
#[derive(Clone, Debug)]
pub struct Saved {
    /// resourceVersion.
    pub version: String,
    /// The record.
    pub status: MigrationRunStatus,
}

/// One write to a workload: one patch, with the version that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadChange {
    /// Replicas.
    Scale(i32),
    /// A CronJob's suspend.
    Suspend(bool),
    /// Images by container and, where given, replicas: one revision, not two.
    Roll(BTreeMap<String, String>, Option<i32>),
    /// Our annotations, label and managedFields entries go.
    Release,
}

/// Which Job of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    /// The op it works for.
    pub op: OpId,
    /// Counts the tries of this op; the path of a backup has it.
    pub attempt: u32,
    /// The epoch; the worker compares it with the target's token first.
    pub epoch: u64,
    /// The target.
    pub target: String,
    /// What it does.
    pub work: JobWork,
}

/// What a Job of ours does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobWork {
    /// Takes a backup.
    Backup,
    /// Verifies the backup at this path to this level.
    Verify {
        /// The path below the volume.
        path: String,
        /// Artifact, Structure or Restored.
        level: VerificationLevel,
        /// Size of the database in bytes: a scratch server needs room for it.
        bytes: u64,
        /// What is in it, where the backup itself can't say.
        expected: Stamp,
    },
    /// Makes a copy of the database from the backup at this path, beside it.
    Restore {
        /// The run that took it.
        run: u64,
        /// The path below the volume.
        path: String,
        /// SHA-256 of its manifest: another backup at the same path is not this one.
        sha256: String,
        /// What the copy must have.
        expected: Stamp,
    },
}

/// A Job of ours as the cluster shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobSeen {
    /// There is none.
    Absent,
    /// Its pod does not run yet, and why, where anybody says so.
    Pending(Option<String>),
    /// It runs; the last line of progress.
    Running(String),
    /// It ended well, with this result.
    Succeeded(serde_json::Value),
    /// It failed, and why, in one sentence.
    Failed(String),
}

/// Keys of a ConfigMap that a plan sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// resourceVersion.
    pub version: String,
    /// Its data.
    pub data: BTreeMap<String, String>,
}

/// What looking again at plan, targets, sources and workloads came to.
#[derive(Clone, Debug)]
pub enum Looked {
    /// A program.
    Program(Box<Program>),
    /// This run has nothing to do any more: somebody else applied it, or a source was edited and means another run.
    NothingPending,
    /// It can't be compiled now, and why, in one sentence.
    Refused {
        /// The reason of the condition.
        reason: String,
        /// The sentence.
        message: String,
    },
}

/// What became of the frozen program.
#[derive(Clone, Debug)]
pub enum Thawed {
    /// Nothing is frozen yet.
    NotFrozen,
    /// The program, its digests checked.
    Program(Box<Program>),
    /// A part is gone, or is not what was frozen.
    Broken {
        /// Which, in one sentence.
        why: String,
    },
    /// Another version of this program froze it, and this one can't walk it.
    OfAnotherVersion(String),
}

/// What the driver asks of the cluster, for one run.
pub trait Cluster: Send + Sync + 'static {
    /// The record, live.
    fn load(&self) -> impl Future<Output = Result<Saved, ClusterError>> + Send;
    /// Writes the record by compare-and-swap; the new version.
    fn save(
        &self,
        status: &MigrationRunStatus,
        version: &str,
    ) -> impl Future<Output = Result<String, ClusterError>> + Send;
    /// Looks again and compiles.
    fn look(&self) -> impl Future<Output = Result<Looked, ClusterError>> + Send;
    /// Writes the program into Secrets, then `spec.program`, once. Said twice it writes parts again that are gone, and
    /// changes nothing else.
    fn freeze(&self, program: &Program) -> impl Future<Output = Result<(), ClusterError>> + Send;
    /// The frozen program.
    fn thaw(&self) -> impl Future<Output = Result<Thawed, ClusterError>> + Send;

    /// The Leases of the run's targets, by target, as far as they are known without a program.
    fn leases(&self) -> BTreeMap<String, String>;
    /// The highest token that the Lease of a target has seen; 0 when there is none.
    fn token(&self, lease: &str) -> impl Future<Output = Result<u64, ClusterError>> + Send;
    /// Takes the Lease of a target, or rewrites this run's entry with its epoch, by compare-and-swap.
    fn take_lease(
        &self,
        lease: &str,
        holder: &Holder,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;
    /// Gives the Lease of a target up, if this run holds it. Its token stays.
    fn drop_lease(
        &self,
        lease: &str,
        holder: &Holder,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// A workload, live. `hpa_min` is not in it: [`Cluster::scaler`] says it where replicas are decided.
    fn workload(&self, of: &WorkloadRef) -> impl Future<Output = Result<WorkloadSeen, ClusterError>> + Send;
    /// The least that an autoscaler keeps of a workload, live; none if none scales it.
    fn scaler(&self, of: &WorkloadRef) -> impl Future<Output = Result<Option<i32>, ClusterError>> + Send;
    /// Claims it, or rewrites this run's claim with a new epoch, and records how it was, create-only: what was recorded
    /// first is what is answered.
    fn claim(
        &self,
        of: &WorkloadRef,
        holder: &Holder,
    ) -> impl Future<Output = Result<Original, ClusterError>> + Send;
    /// One write to a workload that the holder has claimed, with the version that was read.
    fn change(
        &self,
        seen: &WorkloadSeen,
        holder: &Holder,
        change: &WorkloadChange,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;
    /// Its pods (a CronJob: those of its Jobs), live, Terminating and Unknown too, each as a person would name it.
    fn pods(&self, of: &WorkloadRef) -> impl Future<Output = Result<Vec<String>, ClusterError>> + Send;
    /// Way back only: removes a StatefulSet's pod that is stuck in a revision that is gone.
    fn remove_stuck_pod(
        &self,
        of: &WorkloadRef,
        holder: &Holder,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Whether the Job would be admitted (server-side dry-run).
    fn try_job(&self, job: &JobRequest) -> impl Future<Output = Result<(), ClusterError>> + Send;
    /// Makes the Job. Ours already there counts as made.
    fn start_job(&self, job: &JobRequest) -> impl Future<Output = Result<(), ClusterError>> + Send;
    /// The Job, live.
    fn job(&self, job: &JobRequest) -> impl Future<Output = Result<JobSeen, ClusterError>> + Send;
    /// Removes the Job; true once it and its pods are proven gone.
    fn end_job(&self, job: &JobRequest) -> impl Future<Output = Result<bool, ClusterError>> + Send;

    /// A ConfigMap, live.
    fn flags(&self, namespace: &str, name: &str) -> impl Future<Output = Result<Flags, ClusterError>> + Send;
    /// Sets (`Some`) and removes (`None`) keys, with the version that was read.
    fn set_flags(
        &self,
        namespace: &str,
        name: &str,
        version: &str,
        keys: &BTreeMap<String, Option<String>>,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// How much of what this run has looked at has moved so far: read it before a look, give it to
    /// [`Cluster::moved`] after.
    fn moves(&self) -> u64;
    /// Ends once something has moved since then. A hint to look again, never evidence, and it may never come.
    fn moved(&self, since: u64) -> impl Future<Output = ()> + Send;

    /// Tells people what the run does now. Never fails a run: what can't be told now is told next time.
    fn report(&self, report: &super::report::Report) -> impl Future<Output = ()> + Send;
}
