//! Which points are visited, and in which order.

use crate::act::{ACTS, Act};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

/// What the operator does at a point.
const MODES: [&str; 3] = ["abort-before", "abort-after", "lose-answer"];

/// One act, struck at one point.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) act: &'static Act,
    pub(crate) mode: &'static str,
    pub(crate) point: usize,
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}@{}", self.act.name, self.mode, self.point)
    }
}

/// The visits that are still to be made.
pub(crate) struct Visits {
    left: Mutex<VecDeque<Visit>>,
    total: usize,
}

impl Visits {
    /// As the environment says, of all points in all modes. `points` counts those of an act.
    pub(crate) fn choose(points: impl Fn(&Act) -> usize) -> Self {
        let only = std::env::var("ONLY").ok().filter(|it| !it.is_empty());
        let mut all = Vec::new();
        for act in ACTS {
            for mode in MODES {
                all.extend((1..=points(act)).map(|point| Visit { act, mode, point }));
            }
        }
        all.retain(|visit| only.as_ref().is_none_or(|only| *only == visit.to_string()));
        assert!(!all.is_empty(), "ONLY={only:?} names no point");
        // Any order meets each point; a mixed one says early what is wrong, and a sample of it is a fair one.
        all.shuffle(&mut StdRng::seed_from_u64(seed()));
        if let Some((shard, of)) = shard() {
            all = all.into_iter().skip(shard - 1).step_by(of).collect();
        }
        all.truncate(number_of("WHIMBREL_CRASH_SAMPLE").unwrap_or(usize::MAX));
        Self { total: all.len(), left: Mutex::new(all.into()) }
    }

    /// How many there are in all.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The next one, and which it is.
    pub(crate) fn next(&self) -> Option<(usize, Visit)> {
        let mut left = self.left.lock().expect("no lane panics while it holds this");
        let visit = left.pop_front()?;
        Some((self.total - left.len(), visit))
    }
}

/// A number from the environment.
pub(crate) fn number_of(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok().filter(|it| !it.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: want a number")))
}

/// From a commit's name, so that each commit has a sample of its own and the same one each time.
fn seed() -> u64 {
    let text = std::env::var("WHIMBREL_CRASH_SEED").unwrap_or_default();
    u64::from_str_radix(text.get(..15).unwrap_or(&text), 16).unwrap_or(0)
}

fn shard() -> Option<(usize, usize)> {
    let text = std::env::var("SHARD").ok().filter(|it| !it.is_empty())?;
    let numbers = text.split_once('/').and_then(|(shard, of)| Some((shard.parse().ok()?, of.parse().ok()?)));
    let (shard, of) = numbers.unwrap_or_else(|| panic!("SHARD={text}: want a form like 2/5"));
    assert!((1..=of).contains(&shard), "SHARD={text}: want a form like 2/5");
    Some((shard, of))
}
