//! One Job of ours from spec to proven gone.
//!
//! A Job is built by [`WorkerJob`], tried by [`dry_run`], made by [`create`], looked at by [`look`] as often as
//! something moves, and taken away by [`remove`], which says gone only when no pod of it is left.

mod create;
mod look;
mod name;
mod remove;
mod spec;
mod state;

pub use create::{create, dry_run};
pub use look::look;
pub use name::{JobKey, MADE_FOR, RUN_UID};
pub use remove::{Removal, remove};
pub use spec::{PROGRAM, WORKER, WorkerJob, idle_pod, mount, scratch_volume};
pub use state::JobState;
