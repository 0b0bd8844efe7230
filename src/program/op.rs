//! The ops: the units that the driver writes an intent for.

use crate::api::WorkloadKind;
use crate::api::target::VerificationLevel;
use crate::script::Values;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names an op within its run. Derived from what the op acts on, never from a counter, so that a program compiled
/// again before Freeze (after a restart, at the gate) finds its own states in the record.
pub type OpId = String;

/// A workload that a plan acts on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadRef {
    /// Deployment, StatefulSet or CronJob.
    pub kind: WorkloadKind,
    /// Its namespace, always filled.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl WorkloadRef {
    /// The part of an op's id that names this workload.
    pub fn slug(&self) -> String {
        format!("{}.{}.{}", self.kind.as_str().to_lowercase(), self.namespace, self.name)
    }

    /// CronJobs are suspended first and resumed last; they have no replicas.
    pub fn is_cron(&self) -> bool {
        self.kind == WorkloadKind::CronJob
    }
}

/// One op.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Unique in the run.
    pub id: OpId,
    /// The step the user wrote, where the op comes from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What is done.
    pub kind: Kind,
}

/// What a gate waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// The plan's own approval (`spec.approval: Required`).
    Plan,
    /// A window of the plan (`spec.windows`): a clock opens it, no person.
    Window,
    /// An `approve` step.
    Step {
        /// The step's name, as in `approve.<step>`.
        name: String,
        /// What the approver is asked.
        message: String,
    },
}

/// What a query check asks, and what it must answer. The values are the user's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryCheck {
    /// The target that is asked.
    pub target: String,
    /// The statement, run in a read-only transaction.
    pub statement: String,
    /// What the answer must be.
    pub expect: crate::check::Expect,
    /// What the statement is filled with when it is asked.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    pub values: Values,
}

/// Where a rollout stands in the dependents × rollouts table of the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutOp {
    /// What is rolled out.
    pub workload: WorkloadRef,
    /// Image by container name; empty says "bring it back here".
    pub images: BTreeMap<String, String>,
    /// Replicas asked for; none = as recorded by Claim.
    pub replicas: Option<i32>,
    /// A dependent comes up from zero; any other workload is rolled in place.
    pub dependent: bool,
    /// How long it may take to become ready, in seconds.
    pub ready_within: u64,
}

/// The kinds of op, in the order in which a run meets them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// What reading can't tell: the Jobs by server-side dry-run.
    Trial {
        /// The target tried.
        target: String,
    },
    /// Rollback after success: would the way back lose anything? Asked before anything is taken down.
    Foresee,
    /// Waits for a person or a window.
    Gate(Gate),
    /// Takes targets, dependents and rollout workloads: all or nothing.
    Claim,
    /// Looks again under the claim.
    Recheck,
    /// Writes the program into the record, once.
    Freeze,
    /// Rollback after success: what the other run did counts as done, and its record as this run's.
    Inherit,
    /// Scales a dependent to zero, or suspends a CronJob, and sees its pods gone.
    Quiesce {
        /// The dependent.
        workload: WorkloadRef,
    },
    /// Proves silence at the database and takes what the way back will be compared with.
    ProveQuiet {
        /// The target.
        target: String,
    },
    /// Scales a database server to zero and sees its pods gone: its backup reads the files of a server that is stopped.
    StopServer {
        /// The server.
        workload: WorkloadRef,
    },
    /// Brings a stopped server back, and sees it answer.
    StartServer {
        /// The server.
        workload: WorkloadRef,
        /// The targets that it serves.
        targets: Vec<String>,
        /// How long it may take to become ready, in seconds.
        ready_within: u64,
    },
    /// Takes the backup by a Job.
    Backup {
        /// The target.
        target: String,
    },
    /// Verifies the backup to the level required.
    VerifyBackup {
        /// The target.
        target: String,
        /// Artifact, Structure or Restored.
        level: VerificationLevel,
    },
    /// Applies the pending scripts of one step.
    Apply {
        /// The target.
        target: String,
        /// The series of scripts.
        history: String,
    },
    /// Sets keys of a ConfigMap.
    Configure {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Keys and their new values.
        set: BTreeMap<String, String>,
    },
    /// Takes the write mark of every target, right before the first dependent is let in again.
    MarkWrites,
    /// Rolls a workload out.
    Rollout(RolloutOp),
    /// Asks a target and compares.
    Verify(QueryCheck),
    /// Gives a dependent back that no step rolls out.
    GiveBack {
        /// The dependent.
        workload: WorkloadRef,
        /// How long it may take to become ready, in seconds; none on the way back, which waits for nobody.
        ready_within: Option<u64>,
    },
    /// Re-reads every history of the run from the primaries.
    VerifyFinal,
    /// Gives up every claim.
    Release,

    /// Way back: ends Jobs of ours that have no outcome.
    EndJobs,
    /// Way back: may it be walked without losing anything? Decided before anything is undone.
    Weigh,
    /// Way back: undoes what a step applied, newest first.
    Undo {
        /// The target.
        target: String,
        /// The series of scripts.
        history: String,
    },
    /// Way back: puts the run's own backup in the place of the database, which is kept aside.
    Restore {
        /// The target.
        target: String,
    },
    /// Way back: history and structure are what ProveQuiet saw.
    VerifyUndone {
        /// The target.
        target: String,
    },
    /// Way back: the old values of a ConfigMap.
    Deconfigure {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The keys that were set and their values before; none = it was not there.
        old: BTreeMap<String, Option<String>>,
    },
    /// Way back: old images and replicas.
    RollBack {
        /// The workload.
        workload: WorkloadRef,
        /// Whether it is a dependent, which comes up from zero.
        dependent: bool,
        /// How long it may take to become ready, in seconds.
        ready_within: u64,
    },
}

impl Kind {
    /// Whether the op changes data, images or configuration: a run that got this far ends RolledBack, not Aborted.
    pub fn changes(&self) -> bool {
        matches!(self, Kind::Apply { .. } | Kind::Configure { .. } | Kind::Rollout(_))
    }

    /// Whether the op lets a dependent run again: from here on foreign writes are possible.
    pub fn lets_in(&self) -> bool {
        match self {
            Kind::GiveBack { .. } => true,
            Kind::Rollout(r) => r.dependent,
            _ => false,
        }
    }

    /// The target that the op is about, where it is about one.
    pub fn target(&self) -> Option<&str> {
        match self {
            Kind::Trial { target }
            | Kind::ProveQuiet { target }
            | Kind::Backup { target }
            | Kind::VerifyBackup { target, .. }
            | Kind::Apply { target, .. }
            | Kind::Undo { target, .. }
            | Kind::Restore { target }
            | Kind::VerifyUndone { target } => Some(target),
            Kind::Verify(check) => Some(&check.target),
            _ => None,
        }
    }
}
