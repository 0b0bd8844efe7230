//! From intent and world to a program, its way back with it. Pure.

mod back;
mod forward;
mod offline;
mod pending;
mod rules;
mod unbacked;

use super::{FORMAT, Intent, Op, Program, Seen, hash};
pub use rules::Refusal;
use std::collections::BTreeMap;

/// The HMAC of what each step that is walked is filled with.
fn macs(forward: &[Vec<Op>], seen: &Seen) -> BTreeMap<String, String> {
    let walked = forward.iter().flatten().filter_map(|op| op.step.as_ref());
    walked.filter_map(|step| Some((step.clone(), seen.variables.get(step)?.mac.clone()))).collect()
}

/// What compiling came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Compiled {
    /// There is something to do.
    Program(Box<Program>),
    /// Nothing: Ready at once, no run, no gate, no backup, nothing scaled.
    NothingPending,
}

/// Compiles.
///
/// # Errors
/// Every reason why the plan can't be run, not only the first: a person mends them in one go.
pub fn compile(intent: &Intent, seen: &Seen, intent_hash: &str) -> Result<Compiled, Vec<Refusal>> {
    rules::check(intent, seen)?;
    let work = pending::pending(intent, seen)?;
    if work.is_nothing() {
        return Ok(Compiled::NothingPending);
    }
    unbacked::check(intent, seen, &work)?;
    offline::check(intent, seen, &work)?;
    let parts = forward::Parts::of(intent, seen, &work);
    let forward = parts.forward();
    let (back, resolve) = back::ways(&parts, &forward);
    let mut workloads = parts.claimed.clone();
    workloads.sort();
    workloads.dedup();
    Ok(Compiled::Program(Box::new(Program {
        format: FORMAT,
        plan_hash: hash::plan_hash(&forward, &back, &work.bundles, intent.on_failure, &macs(&forward, seen)),
        intent_hash: intent_hash.to_owned(),
        targets: parts.targets.clone(),
        dependents: parts.dependents(),
        workloads,
        bundles: work.bundles,
        on_failure: intent.on_failure,
        rolls_back: None,
        forward,
        back,
        resolve,
    })))
}
