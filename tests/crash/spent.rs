//! Where the time of the visits goes: printed, never asserted.

use std::fmt;
use std::time::{Duration, Instant};

/// A part of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Back to the base of the act.
    Reset,
    /// From the start of the operator until the target is Ready.
    Start,
    /// The act.
    Act,
    /// The operator ends.
    Stop,
    /// What the world has become is read.
    State,
}

const PARTS: [Part; 5] = [Part::Reset, Part::Start, Part::Act, Part::Stop, Part::State];

/// The time that some visits took, by part.
#[derive(Clone, Default)]
pub(crate) struct Spent {
    visits: u32,
    parts: [Duration; PARTS.len()],
    since: Option<Instant>,
}

impl Spent {
    /// A visit begins.
    pub(crate) fn begin(&mut self) {
        self.visits += 1;
        self.since = Some(Instant::now());
    }

    /// A part ends, and the next one begins.
    pub(crate) fn end(&mut self, part: Part) {
        if let Some(since) = self.since.replace(Instant::now()) {
            self.parts[part as usize] += since.elapsed();
        }
    }

    /// The visits of another lane too.
    pub(crate) fn add(&mut self, other: &Self) {
        self.visits += other.visits;
        for (mine, theirs) in self.parts.iter_mut().zip(other.parts) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |time: Duration| time.as_secs_f64() / f64::from(self.visits.max(1));
        write!(f, "{} visits of {:.1} s:", self.visits, each(self.parts.iter().sum()))?;
        PARTS.iter().zip(self.parts).try_for_each(|(part, time)| write!(f, " {part:?} {:.1}", each(time)))
    }
}
