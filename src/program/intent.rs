//! A plan after parsing: what shall become of the platform, with nothing optional left to guess about.

use super::{OnFailure, QueryCheck, WorkloadRef};
use crate::api::plan::SchemaPolicy;
use crate::api::target::VerificationLevel;
use crate::script::Policy;
use std::collections::BTreeMap;

/// What a plan asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intent {
    /// Whether a person must approve the compiled program.
    pub approval: bool,
    /// Whether the run begins in a window only; when that is open is for the signals to say.
    pub windows: bool,
    /// The workloads that must be silent while scripts run, as written.
    pub dependents: Vec<WorkloadRef>,
    /// Checks before anything is touched, by name.
    pub preflight: Vec<(String, QueryCheck)>,
    /// Groups of steps in the order of the stages; the steps of a group run side by side.
    pub steps: Vec<Vec<Step>>,
    /// What shall happen when the run fails.
    pub on_failure: OnFailure,
    /// Whether backups are taken before anybody is taken down.
    pub online: bool,
    /// The level the plan asks of backups.
    pub verification: Option<VerificationLevel>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Unique in the plan.
    pub name: String,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Applies the pending scripts of a source.
    Migrate {
        /// The target.
        target: String,
        /// The series of scripts.
        history: String,
        /// What the plan allows.
        policy: Policy,
    },
    /// Rolls a workload out.
    Rollout {
        /// The workload.
        workload: WorkloadRef,
        /// Image by container; empty says "bring it back here".
        images: BTreeMap<String, String>,
        /// Replicas asked for.
        replicas: Option<i32>,
        /// How long it may take to become ready, in seconds.
        ready_within: u64,
    },
    /// Asks a target and compares.
    Verify(QueryCheck),
    /// Sets keys of a ConfigMap.
    Configure {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Keys and their new values.
        set: BTreeMap<String, String>,
    },
    /// Waits for a person.
    Approve {
        /// What the person is asked.
        message: String,
    },
}

impl Default for OnFailure {
    fn default() -> Self {
        Self { schema: SchemaPolicy::Auto, revert_images: true, give_back: true }
    }
}
