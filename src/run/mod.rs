//! The driver: decide, write down, do, write down.
//!
//! - [`seam`]: all that the driver knows of the world;
//! - [`driver`]: the loop; [`take_up`]: how a driver becomes the one driver of a run;
//! - [`salvage`]: what is left of a run whose frozen program is gone;
//! - [`perform`]: one file per kind of effect;
//! - [`walk`]: the record and the program in memory, and what an outcome writes into the record;
//! - [`asked`]: what people asked for, as the record keeps it;
//! - [`report`]: what is told to people while it happens.
//!
//! Rules, kept by a test: no clock, no spawned task, no randomness here but through the seams; `select!` is biased.

mod asked;
mod driver;
mod patience;
mod perform;
mod report;
mod salvage;
pub mod seam;
mod take_up;
mod walk;

pub use driver::{Driver, Ended, RunRef};
pub use report::{Doing, Report, Waiting};
pub use walk::STOPPED;
