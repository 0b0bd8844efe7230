//! Back by restore: a copy made beside the database by a Job, stamped, and swapped in.

mod label;
mod properties;

pub use label::{Label, Stage, aside, beside, lock, maintenance};
pub use properties::{Grant, Properties, Setting};
