//! What machines read of the operator: health, metrics, logs.
//!
//! - [`Gates`]: what keeps the operator from being ready, by name;
//! - [`Metrics`]: the numbers, with names that are part of the API;
//! - [`listen`]: the two small HTTP servers;
//! - [`logs`]: how log lines look.

#[cfg(test)]
mod fed_tests;
mod gates;
mod http;
mod labels;
pub mod logs;
mod metrics;
mod told;

pub use gates::{Gate, Gates};
pub use http::{ServeError, health_routes, listen, metrics_routes};
pub use labels::{PlanKey, Request, Seen, StepEnd, StepLabels, TargetKey, Wait};
pub use metrics::Metrics;
