//! The kube-rs controllers, and the sweeper. Thin.
//!
//! - [`start`]: the process; [`plan`], [`target`]: one look at a plan, at a target; [`looked`]: what that says of a target;
//! - [`watched`]: the runs of a plan whose driver is at work; [`verbs`]: people are told of verbs that do nothing;
//! - [`notifying`]: webhooks; [`variables`]: values for scripts and checks;
//! - [`looking`]: what compile is shown; [`new_run`]: a run is made; [`targets`]: a target opened;
//! - [`jobs`]: the Jobs of a run; [`snapshots`], [`dumps`]: those of engines that need others;
//! - [`retention`], [`aside`]: what nothing keeps any more goes;
//! - [`sweep`]: what runs leave behind that are over; [`terminating`]: a namespace that goes;
//! - [`ending`]: how a run has ended, where its driver could not tell;
//! - [`frozen`]: the program that a run was frozen with;
//! - [`drivers`], [`world`], [`answers`], [`known`], [`signals`], [`telling`], [`waking`]: the drivers, what they act on, what
//!   answers mean to them, what they need not ask twice, what they hear, what they tell, and what wakes them.

mod answers;
mod aside;
mod aside_files;
mod by_hand;
mod drivers;
mod dumps;
mod ending;
mod exports;
mod frozen;
mod histories;
mod jobs;
mod known;
mod looked;
mod looking;
mod merge;
mod new_run;
mod notifying;
mod operator;
mod plan;
mod retention;
mod signals;
mod snapshots;
mod start;
mod sweep;
mod target;
mod targets;
mod telling;
mod terminating;
mod variables;
mod verbs;
mod waking;
mod watched;
mod world;

pub use start::{OperatorError, run};
