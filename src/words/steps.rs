//! Where each step stands, and how many of those that this run has to do are done.

use super::message::doing_text;
use super::view::View;
use crate::api::Time;
use crate::api::bounds::{STRING, cut};
use crate::api::plan::{StageStatus, StepState, StepStatus};
use crate::api::run::OpState;
use crate::program::{Gate, Kind, Op};
use crate::run::Waiting;

/// The stages with their steps.
pub(super) fn stages(view: &View<'_>) -> Vec<StageStatus> {
    let stage = |(name, steps): &(crate::api::Stage, Vec<String>)| StageStatus {
        name: *name,
        steps: steps.iter().map(|step| status(view, step)).collect(),
    };
    view.plan.stages.iter().map(stage).collect()
}

/// Steps done of the steps pending in this run, as `7/19`.
pub(super) fn progress(view: &View<'_>) -> String {
    if view.program().is_none() {
        return "-/-".to_owned();
    }
    let mut steps: Vec<&str> = view.forward().filter_map(|op| op.step.as_deref()).collect();
    steps.sort_unstable();
    steps.dedup();
    let done = steps.iter().filter(|step| state(view, step) == StepState::Done).count();
    format!("{done}/{}", steps.len())
}

fn status(view: &View<'_>, step: &str) -> StepStatus {
    let records = || ops(view, step).filter_map(|op| view.record().ops.get(&op.id));
    let state = state(view, step);
    let began = |time: &Time| time.0;
    let ended = matches!(state, StepState::Done | StepState::Failed | StepState::Undone);
    StepStatus {
        name: step.to_owned(),
        state,
        started_at: records().filter_map(|op| op.started_at.clone()).min_by_key(began),
        finished_at: records().filter_map(|op| op.finished_at.clone()).max_by_key(began).filter(|_| ended),
        message: cut(&message(view, step, state), STRING),
    }
}

fn message(view: &View<'_>, step: &str, state: StepState) -> String {
    match state {
        StepState::Failed => {
            let mut notes = ops(view, step).filter_map(|op| view.record().ops.get(&op.id)?.note.clone());
            notes.next().unwrap_or_default()
        }
        StepState::Running | StepState::Waiting => {
            let mut doing = ops(view, step).chain(inverse(view, step)).filter_map(|op| view.doing(op));
            doing.next().map(doing_text).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// Where a step stands.
pub(super) fn state(view: &View<'_>, step: &str) -> StepState {
    let states: Vec<Option<OpState>> = ops(view, step).map(|op| view.state(op)).collect();
    if states.is_empty() {
        return if view.program().is_some() { StepState::Skipped } else { StepState::Pending };
    }
    if states.iter().any(|state| matches!(state, Some(OpState::Failed | OpState::Unknown))) {
        return StepState::Failed;
    }
    if inverse(view, step).any(|op| view.state(op) == Some(OpState::Done)) {
        return StepState::Undone;
    }
    if states.iter().all(|state| *state == Some(OpState::Done)) {
        return StepState::Done;
    }
    if waits_for_approval(view, step) {
        return StepState::Waiting;
    }
    let begun = states.iter().any(Option::is_some);
    match (begun, view.goes_back()) {
        (true, false) => running(view, step),
        // It was under way when the run turned around: it is still there until its inverse is done.
        (true, true) if inverse(view, step).next().is_some() => running(view, step),
        // Checks and gates leave nothing behind; what had not begun never will.
        (true, true) | (false, true) => StepState::Skipped,
        (false, false) => StepState::Pending,
    }
}

fn running(view: &View<'_>, step: &str) -> StepState {
    let blocked = |op: &Op| view.doing(op).is_some_and(|doing| doing.blocked.is_some());
    let waits = ops(view, step).chain(inverse(view, step)).any(blocked);
    if waits || view.report.waiting.is_some() { StepState::Waiting } else { StepState::Running }
}

fn waits_for_approval(view: &View<'_>, step: &str) -> bool {
    matches!(&view.report.waiting, Some(Waiting::Approval(Gate::Step { name, .. })) if name == step)
}

fn ops<'a>(view: &View<'a>, step: &str) -> impl Iterator<Item = &'a Op> {
    view.forward().filter(move |op| op.step.as_deref() == Some(step))
}

/// The ops of the way back that take a step back.
fn inverse<'a>(view: &View<'a>, step: &str) -> impl Iterator<Item = &'a Op> {
    let applies_to =
        ops(view, step).find(|op| matches!(op.kind, Kind::Apply { .. })).and_then(|op| op.kind.target());
    view.back().filter(move |op| match &op.kind {
        Kind::Undo { .. } | Kind::Deconfigure { .. } | Kind::RollBack { .. } => {
            op.step.as_deref() == Some(step)
        }
        // One restore takes back what every step did to the target.
        Kind::Restore { target } => applies_to == Some(target),
        _ => false,
    })
}
