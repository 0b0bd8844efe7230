//! The hands on workloads: claim, silence, roll out, give back, release.
//!
//! Every write is one patch of the main resource, bound to the version that was read after the intent was durable, and
//! made only while the workload carries our own run's claim. `/scale` is never used: it carries no claim. Server-side
//! apply is never used: dropping an applied `replicas` later resets it to 1.
//!
//! What is decided from objects alone is in functions without IO; they are tested from the YAML a user would write.

mod change;
mod claim;
mod error;
#[cfg(test)]
mod fixture;
mod hpa;
mod look;
mod owners;
mod pods;
mod release;
mod rollout;
mod scale;
mod unstick;

pub use change::Which;
pub use claim::{CLAIMED, CLAIMED_BY, ORIGINAL, claim, held_by};
pub use error::WorkloadError;
pub use hpa::{Scaler, look_for_scaler, scaler_of, scalers};
pub use look::{Counts, Workload, WorkloadKey, look, look_if_there};
pub use owners::{image_owners, replicas_owners};
pub use pods::{Remaining, pods, remaining};
pub use release::{forget, release};
pub use rollout::{Readiness, Rollout, readiness, roll_out};
pub use scale::{BackTo, Volumes, give_back, silence};
pub use unstick::unstick;
