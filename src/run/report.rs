//! What is told to people while it happens. Facts only: the sentences are made in one place, from these.

use crate::api::plan::Opening;
use crate::api::run::MigrationRunStatus;
use crate::engine::BlockedBy;
use crate::program::{Gate, OpId, Program};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one op does at the moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Doing {
    /// Since when it does or waits for this.
    pub since: Timestamp,
    /// Done and all, where that can be counted.
    pub progress: Option<(usize, usize)>,
    /// Where it is: a script, a pod, a level.
    pub detail: Option<String>,
    /// How far that is.
    pub so_far: Option<String>,
    /// What it waits for.
    pub blocked: Option<BlockedBy>,
    /// What it waits for is a person's word: an approval of its step, or abort.
    pub asks: bool,
}

impl Doing {
    /// An op that has just begun.
    pub fn since(now: Timestamp) -> Self {
        Self { since: now, progress: None, detail: None, so_far: None, blocked: None, asks: false }
    }
}

/// Why the run as a whole does not move.
#[derive(Clone, Debug, PartialEq)]
pub enum Waiting {
    /// For a person at a gate.
    Approval(Gate),
    /// For a window; this one opens next.
    Window(Option<Opening>),
    /// A person paused it.
    Paused,
    /// For claims that another run holds.
    Queued(String),
    /// Before Freeze: the plan can't be compiled at the moment.
    Look {
        /// The reason of the condition.
        reason: String,
        /// The sentence.
        message: String,
    },
}

/// A run as it stands.
#[derive(Clone, Debug)]
pub struct Report {
    /// The record, as last written.
    pub record: MigrationRunStatus,
    /// The program; none before the first look.
    pub program: Option<Arc<Program>>,
    /// What is being done, by op.
    pub doing: BTreeMap<OpId, Doing>,
    /// Why nothing is being done.
    pub waiting: Option<Waiting>,
    /// maxDowntime is used up, or would be.
    pub over_budget: bool,
}
