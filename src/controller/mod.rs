//! The kube-rs controllers, and the sweeper. Thin.
//!
//! - [`start`]: the process; [`plan`], [`target`]: one look at a plan, at a target;
//! - [`notifying`]: webhooks; [`variables`]: values for scripts and checks;
//! - [`verbs`]: people are told of verbs that do nothing;
//! - [`looking`]: what compile is shown; [`targets`]: a target opened;
//! - [`sweep`]: what runs leave behind that are over; [`terminating`]: a namespace that goes;
//! - [`drivers`], [`world`], [`answers`], [`signals`], [`telling`], [`waking`]: the drivers, what they act on, what its
//!   answers mean, what they hear, what they tell, and what wakes them.

mod answers;
mod drivers;
mod looking;
mod notifying;
mod operator;
mod plan;
mod signals;
mod start;
mod sweep;
mod target;
mod targets;
mod telling;
mod terminating;
mod variables;
mod verbs;
mod waking;
mod world;

pub use start::{OperatorError, run};
