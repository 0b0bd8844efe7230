//! Faults, drawn up front from the seed, so that a failing seed can be shrunk by leaving some out.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// What happens at one call of a seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The driver dies before the call reaches the world (kill -9).
    AbortBefore,
    /// The driver dies after the call had its effect, before the answer.
    AbortAfter,
    /// The effect happens, the answer is lost.
    LostResponse,
    /// The call never reaches the world, and the caller only sees that no answer came.
    NeverSent,
    /// The call takes very long.
    Delay,
    /// A second driver of the same run starts (a leader that does not know that it was replaced).
    SecondLeader,
    /// Somebody scales a dependent up.
    Human,
    /// A foreign session connects, writes and leaves.
    Writer,
    /// A person aborts the run.
    Abort,
    /// A person pauses, and goes on after a while.
    Pause,
    /// The window of the plan closes, and opens again after a while.
    WindowCloses,
}

/// Calls are numbered from 1 over all drivers of a seed.
pub type Faults = BTreeMap<u64, Fault>;

/// The faults of a seed: none to five, somewhere in the first calls of a run.
pub fn draw(seed: u64, calls: u64) -> Faults {
    let mut rng = StdRng::seed_from_u64(seed);
    let all = [
        Fault::AbortBefore,
        Fault::AbortAfter,
        Fault::LostResponse,
        Fault::NeverSent,
        Fault::Delay,
        Fault::SecondLeader,
        Fault::Human,
        Fault::Writer,
        Fault::Abort,
        Fault::Pause,
        Fault::WindowCloses,
    ];
    let count = rng.random_range(0..=5);
    (0..count).map(|_| (rng.random_range(1..=calls), all[rng.random_range(0..all.len())])).collect()
}
