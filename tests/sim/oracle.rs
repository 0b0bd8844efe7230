//! What must be true at the end of every seed.

use super::scenario::{self, TARGET};
use super::world::{State, World};
use whimbrel::api::Outcome;

/// Everything that is wrong.
pub fn judge(world: &World, outcome: Option<Outcome>) -> Vec<String> {
    let mut state = world.state();
    match outcome {
        None => state.violation("the run neither ended nor said why it waits".into()),
        Some(Outcome::Succeeded) => succeeded(&mut state),
        Some(Outcome::RolledBack | Outcome::Aborted) => as_before(&mut state),
        Some(Outcome::Held) => held(&mut state),
        Some(Outcome::Superseded) => state.violation("nobody edited this plan".into()),
    }
    if state.record.outcome != outcome && outcome.is_some() {
        state.violation("the record does not have the outcome that the driver said".into());
    }
    let aborted = state.record.turned_around.as_ref().is_some_and(|turned| turned.cause == "Aborted");
    if aborted != state.record.verbs.iter().any(|verb| verb.verb == "abort") {
        state
            .violation("the record does not say who aborted, or says it of a run that nobody aborted".into());
    }
    let lost = state.database(TARGET).lost_writes;
    if lost > 0 {
        state.violation(format!("{lost} rows that others wrote were dropped by an undo"));
    }
    state.violations.clone()
}

/// The watermark in the record is the history as it is in the end.
fn marked(state: &mut State) {
    let rows = state.database(TARGET).history.clone();
    let count = i64::try_from(rows.len()).expect("few");
    let wrong = |mark: &&whimbrel::api::run::Watermark| {
        mark.count != count || mark.digest != whimbrel::program::history_digest(&rows)
    };
    if let Some(mark) = state.record.watermarks.iter().find(wrong).cloned() {
        state.violation(format!("the history has {count} rows, and the watermark is {mark:?}"));
    }
}

fn succeeded(state: &mut State) {
    marked(state);
    if state.record.watermarks.is_empty() {
        state.violation("Succeeded, and the record has no watermark".into());
    }
    in_place(state);
}

/// Everything is as the run wanted it.
pub fn in_place(state: &mut State) {
    for key in ["1", "2", "3", "4"] {
        let there = state.database(TARGET).effects.get(key).copied().unwrap_or(0);
        if there != 1 {
            state.violation(format!("Succeeded, and {key} is there {there} times"));
        }
    }
    let statements = state.database(TARGET).statements.clone();
    if !(statements.is_empty() || statements.len() == 3 && statements.values().all(|times| *times == 1)) {
        state.violation(format!("Succeeded, and statements happened {statements:?}"));
    }
    for (name, replicas) in [("api", 3), ("worker", 2), ("mailer", 1), ("web", 2)] {
        let image = if name == "mailer" { "mailer:1".to_owned() } else { format!("{name}:2") };
        check_workload(state, name, replicas, &image);
    }
    if state.flags.get("new").map(String::as_str) != Some("true") {
        state.violation("Succeeded, and the flag is not set".into());
    }
    released(state);
}

/// Everything is as it was before the run.
pub fn as_before(state: &mut State) {
    marked(state);
    let history: Vec<String> = state.database(TARGET).history.iter().map(|row| row.key.clone()).collect();
    if history != ["1"] {
        state.violation(format!("undone, and the history is {history:?}"));
    }
    let left: Vec<String> = state
        .database(TARGET)
        .effects
        .iter()
        .filter(|(key, n)| **n != 0 && *key != "1")
        .map(|(k, _)| k.clone())
        .collect();
    let parts = !state.database(TARGET).statements.is_empty() || !state.database(TARGET).journal.is_empty();
    if parts {
        state.violation("undone, and a part of a script is there".into());
    }
    if !left.is_empty() {
        state.violation(format!("undone, and the effect of {left:?} is there"));
    }
    for (name, replicas) in [("api", 3), ("worker", 2), ("mailer", 1), ("web", 2)] {
        check_workload(state, name, replicas, &format!("{name}:1"));
    }
    if state.flags.contains_key("new") {
        state.violation("undone, and the flag is set".into());
    }
    released(state);
}

/// Held: fenced and claimed, dependents down, waiting for a person.
fn held(state: &mut State) {
    if state.record.failure.is_none() {
        state.violation("Held without a failure that says why".into());
    }
    if state.database(TARGET).claim.is_none() {
        state.violation("Held, and the target is not claimed".into());
    }
    if state.database(TARGET).closed.is_some() {
        state.violation("Held, and nobody gets into the database".into());
    }
}

fn check_workload(state: &mut State, name: &str, replicas: i32, image: &str) {
    let w = state.workloads[&scenario::workload("Deployment", name)].clone();
    if w.replicas != replicas {
        state.violation(format!("{name} has {} replicas, not {replicas}", w.replicas));
    }
    if w.images["app"] != image || w.images["proxy"] != "proxy:1" {
        state.violation(format!("{name} has images {:?}, not {image}", w.images));
    }
}

fn released(state: &mut State) {
    if !state.answers() {
        state.violation("ended, and the database's server is down".into());
    }
    let claimed: Vec<String> = state
        .workloads
        .iter()
        .filter(|(_, w)| w.claimed_by.is_some())
        .map(|(of, _)| of.to_string())
        .collect();
    if !claimed.is_empty() {
        state.violation(format!("ended, and {claimed:?} are claimed"));
    }
    if state.workloads[&scenario::workload("CronJob", "nightly")].suspend {
        state.violation("ended, and the CronJob is suspended".into());
    }
    if state.leases.values().any(|(holder, _)| holder.is_some()) {
        state.violation("ended, and a Lease is held".into());
    }
    if state.database(TARGET).claim.is_some() {
        state.violation("ended, and the target is claimed".into());
    }
}
