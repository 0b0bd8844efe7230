//! A job step: the team's own image against a target.

use crate::api::{Duration, bounds::IMAGE, pod::Pod, words::words};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Runs the team's image as a Job, with the target's connection in the engine's usual environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.backoff == 0 || self.idempotent")
    .message("backoff needs idempotent: true: a job that may not run twice is never tried again"))]
pub struct Job {
    /// The image.
    #[schemars(length(min = 1, max = IMAGE))]
    pub image: String,
    /// What is run in it.
    #[schemars(length(min = 1), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// A DatabaseTarget of the plan's namespace, which is locked meanwhile and keeps the row that says it ran.
    #[schemars(length(min = 1))]
    pub target: String,
    /// Run afterwards: exit 0 says that the work is really done; default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<JobCommand>,
    /// Run on the way back; default none, then the job has no undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<JobCommand>,
    /// Whether running it twice does no harm; default false.
    #[serde(default)]
    pub idempotent: bool,
    /// How often a failed job is tried again; only idempotent ones may; default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub backoff: u32,
    /// Another image or command under a name that already ran; default Refuse.
    #[serde(default)]
    pub on_change: OnChange,
    /// Starts with Release and is not waited for; default false.
    #[serde(default)]
    pub background: bool,
    /// What the next run on the target does with a background job that still runs; default Wait.
    #[serde(default)]
    pub on_next_run: OnNextRun,
    /// How long one attempt may take; default is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// Its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
}

/// Another command of the job's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobCommand {
    /// What is run.
    #[schemars(length(min = 1), inner(length(max = 4096)))]
    pub command: Vec<String>,
}

words! {
    /// What another image or command under a name that already ran means.
    #[derive(Default)]
    pub enum OnChange {
        /// An edited applied script: an error.
        #[default]
        Refuse,
        /// It runs again.
        Rerun,
    }
}

words! {
    /// What the next run does with a background job that still runs.
    #[derive(Default)]
    pub enum OnNextRun {
        /// Waits for its end.
        #[default]
        Wait,
        /// Stops it, and starts it again afterwards.
        Stop,
    }
}
