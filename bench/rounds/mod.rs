//! Two side by side, round by round: what is printed of them, and in which order they run.

use std::error::Error;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// The two that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Whimbrel,
    Peer,
}

/// How often each of the two runs, with what, and in which unit a person reads it.
pub struct Rounds {
    /// Who runs beside us.
    pub peer: &'static str,
    /// Odd, so that the median is one of the rounds.
    pub number: usize,
    /// `ms` or `s`, and how many of it a second has.
    pub unit: (&'static str, f64),
}

impl Rounds {
    /// Runs them; `run` gives the seconds of one of the two in one round.
    pub async fn compare(&self, mut run: impl AsyncFnMut(Side, usize) -> Outcome<f64>) -> Outcome<()> {
        println!("{:>6}  {:>15}  {:>15}  {:>6}", "round", "whimbrel", self.peer, "ratio");
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.number {
            // The order alternates: a server that gets slower, or a machine that gets busy, harms both alike.
            let order =
                if round % 2 == 1 { [Side::Whimbrel, Side::Peer] } else { [Side::Peer, Side::Whimbrel] };
            let (mut our, mut their) = (0.0, 0.0);
            for side in order {
                let seconds = run(side, round).await?;
                *if side == Side::Whimbrel { &mut our } else { &mut their } = seconds;
            }
            self.line(&round.to_string(), our, their, our / their);
            ours.push(our);
            theirs.push(their);
            ratios.push(our / their);
        }
        // The median of the rounds' own ratios: the two of one round met the same machine.
        self.line("median", median(ours), median(theirs), median(ratios));
        Ok(())
    }

    fn line(&self, name: &str, ours: f64, theirs: f64, ratio: f64) {
        let (unit, of_a_second) = self.unit;
        let digits = if unit == "s" { 1 } else { 0 };
        let (ours, theirs) = (ours * of_a_second, theirs * of_a_second);
        println!("{name:>6}  {ours:>12.digits$} {unit:>2}  {theirs:>12.digits$} {unit:>2}  {ratio:>6.2}");
    }
}

/// A number that may be given in the environment.
pub fn number(name: &str, default: usize) -> Outcome<usize> {
    match std::env::var(name) {
        Ok(text) => Ok(text.parse().map_err(|_| format!("{name} is '{text}': it must be a number"))?),
        Err(_) => Ok(default),
    }
}

/// Of an odd number of figures the one in the middle.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
