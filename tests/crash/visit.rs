//! Which points are visited, and in which order.

use crate::act::{ACTS, Act};
use crate::before::Before;
use crate::scene::On;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

/// What the operator does at a point.
const MODES: [&str; 3] = ["abort-before", "abort-after", "lose-answer"];

/// One act, struck at one point.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) act: &'static Act,
    pub(crate) mode: &'static str,
    pub(crate) point: usize,
}

/// What `ONLY` asks for: visits, acts, or modes of acts, between commas; all if it is not set.
#[derive(Debug)]
pub(crate) struct Only(Vec<String>);

impl Only {
    pub(crate) fn asked() -> Self {
        let text = std::env::var("ONLY").unwrap_or_default();
        Self(text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect())
    }

    /// The acts that it speaks of.
    pub(crate) fn acts(&self) -> impl Iterator<Item = &'static Act> {
        let asked = |act: &&Act| {
            let is = |name: &String| name.split(' ').next() == Some(act.name);
            self.0.is_empty() || self.0.iter().any(is)
        };
        ACTS.iter().filter(asked)
    }

    fn names(&self, visit: &Visit) -> bool {
        let name = visit.to_string();
        let is = |asked: &String| {
            name.strip_prefix(asked.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '@']))
        };
        self.0.is_empty() || self.0.iter().any(is)
    }
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
    before: usize,
}

impl Visits {
    /// As the environment says, of all points in all modes; those that were made before are left out. `points` counts
    /// those of an act.
    pub(crate) fn choose(points: impl Fn(&Act) -> usize, before: &Before) -> Self {
        let only = Only::asked();
        let mut all = Vec::new();
        for act in only.acts() {
            for mode in MODES {
                all.extend((1..=points(act)).map(|point| Visit { act, mode, point }));
            }
        }
        all.retain(|visit| only.names(visit));
        assert!(!all.is_empty(), "{only:?} names no point");
        // Any order meets each point; a mixed one says early what is wrong, and a sample of it is a fair one.
        all.shuffle(&mut StdRng::seed_from_u64(seed()));
        if let Some((shard, of)) = shard() {
            all = all.into_iter().skip(shard - 1).step_by(of).collect();
        }
        all.truncate(number_of("WHIMBREL_CRASH_SAMPLE").unwrap_or(usize::MAX));
        let wanted = all.len();
        all.retain(|visit| !before.made(visit));
        Self { total: all.len(), before: wanted - all.len(), left: Mutex::new(all.into()) }
    }

    /// How many there are in all.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// How many more were asked for, and were made before.
    pub(crate) fn before(&self) -> usize {
        self.before
    }

    /// How many of them are on this scene.
    pub(crate) fn on(&self, on: On) -> usize {
        self.lock().iter().filter(|visit| visit.act.on == on).count()
    }

    /// The next one on this scene, and how many of all are taken with it.
    pub(crate) fn next(&self, on: On) -> Option<(usize, Visit)> {
        let mut left = self.lock();
        let place = left.iter().position(|visit| visit.act.on == on)?;
        let visit = left.remove(place)?;
        Some((self.total - left.len(), visit))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Visit>> {
        self.left.lock().expect("no lane panics while it holds this")
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
