//! What comes next: a total function of the program, the record and the signals. Nothing else decides.
//!
//! There is no state here and no clock. A driver that dies after any write finds the same decision again, because
//! everything that decides is in the record or in the world that the signals were read from.

use super::op::{Gate, Kind, Op, OpId};
use super::{BackOp, Program, When};
use crate::api::Outcome;
use crate::api::plan::{OnWindowClose, Opening};
use crate::api::run::{Direction, MigrationRunStatus as Record, OpState};
use std::collections::BTreeMap;

/// What people, clocks and the cluster ask of a run, read before each decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// `spec.paused`, live.
    pub paused: bool,
    /// The `abort` verb names this run.
    pub abort: bool,
    /// The plan is being deleted with `onDelete: RollBack`.
    pub deleted: bool,
    /// The plan is being deleted with `onDelete: Stop`.
    pub stopped: bool,
    /// The deadline, counted from Claim, has passed.
    pub deadline: bool,
    /// maxDowntime, counted from the first Quiesce, has passed or would be passed.
    pub downtime: bool,
    /// The plan was edited. Matters only before Freeze.
    pub superseded: bool,
    /// The plan has windows and none is open.
    pub closed: Option<Closed>,
    /// The planHash that was approved, by step; the plan's own approval stands under the empty string.
    pub approved: BTreeMap<String, String>,
    /// `override.data-loss` names this run.
    pub accept_data_loss: bool,
    /// `resolve` or `abandon` names this Held run.
    pub exit: Option<Exit>,
    /// The verbs behind all this, as people wrote them: for the record, they decide nothing.
    pub said: Vec<Said>,
}

/// No window is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The next one that opens, if one ever does.
    pub opens: Option<Opening>,
    /// What becomes of a run that has begun.
    pub then: OnWindowClose,
}

/// A verb that names this run, as a person wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The annotation's key without its prefix.
    pub verb: String,
    /// The annotation's value.
    pub value: String,
    /// Who.
    pub by: String,
    /// Whether the API server proved who it was.
    pub verified: bool,
}

/// How a person ends a Held run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The data fit the old images: give the workloads back, then release.
    Resolve,
    /// Release only.
    Abandon,
}

/// Why a run turned around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An op failed, or its outcome is unknown; the record holds the details.
    Op(OpId),
    /// A person asked.
    Abort,
    /// The plan is being deleted.
    Deleted,
    /// The deadline has passed.
    Deadline,
    /// maxDowntime has passed before anything was changed.
    Budget,
    /// Edited before Freeze: this run gives way to the next generation.
    Superseded,
    /// A person wants a run back that had succeeded.
    Rollback,
}

impl Cause {
    /// The reason as conditions and the record have it.
    pub fn reason(&self) -> &'static str {
        match self {
            Cause::Op(_) => "StepFailed",
            Cause::Abort => "Aborted",
            Cause::Deleted => "Deleted",
            Cause::Deadline => "DeadlineExceeded",
            Cause::Budget => "BudgetExceeded",
            Cause::Superseded => "Superseded",
            Cause::Rollback => ROLLBACK,
        }
    }
}

/// The cause of a rollback after success.
pub const ROLLBACK: &str = "RollbackRequested";

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write these intents in one write, perform them side by side, write the outcomes.
    Perform(Vec<OpId>),
    /// A gate is closed: a person must act.
    AwaitApproval(Gate),
    /// No window is open; this one opens next.
    AwaitWindow(Option<Opening>),
    /// A person paused the plan.
    Paused,
    /// From here on the way back, for ever.
    TurnAround(Cause),
    /// The run has ended.
    Finish(Outcome),
}

/// Decides. Total: every record of every program has exactly one decision.
pub fn next(program: &Program, record: &Record, signals: &Signals) -> Decision {
    if let Some(outcome) = record.outcome {
        return reopened(program, record, signals).unwrap_or(Decision::Finish(outcome));
    }
    match record.direction {
        Direction::Forward => forward(program, record, signals),
        Direction::Back => back(program, record, signals),
    }
}

/// The state of an op; absent from the record means that not even the intent was written.
pub fn state(record: &Record, id: &str) -> Option<OpState> {
    record.ops.get(id).map(|op| op.state)
}

/// Whether the op may have had an effect: an intent alone is enough, the effect may have followed it.
pub fn touched(record: &Record, id: &str) -> bool {
    state(record, id).is_some()
}

/// Whether the run may have changed data, images or configuration.
pub fn changed(program: &Program, record: &Record) -> bool {
    program.forward.iter().flatten().any(|op| op.kind.changes() && touched(record, &op.id))
}

fn forward(program: &Program, record: &Record, signals: &Signals) -> Decision {
    let mut all = program.forward.iter().flatten();
    if all.any(|op| op.kind == Kind::Inherit && done(record, &op.id)) {
        return Decision::TurnAround(Cause::Rollback);
    }
    let Some(group) = program.forward.iter().find(|group| !group.iter().all(|op| done(record, &op.id)))
    else {
        return Decision::Finish(Outcome::Succeeded);
    };
    if let Some(op) = group.iter().find(|op| broken(record, &op.id)) {
        return Decision::TurnAround(Cause::Op(op.id.clone()));
    }
    if let Some(cause) = call_back(program, record, signals) {
        return Decision::TurnAround(cause);
    }
    // What was changed stays as it is: a person who says Stop does not want it taken back.
    if signals.stopped && changed(program, record) && !only_release_left(program, record) {
        return Decision::Finish(Outcome::Held);
    }
    if signals.paused {
        return Decision::Paused;
    }
    let opens = || signals.closed.as_ref().and_then(|closed| closed.opens.clone());
    match closed_gate(program, group, record, signals) {
        Some(Gate::Window) => return Decision::AwaitWindow(opens()),
        Some(gate) => return Decision::AwaitApproval(gate),
        None if kept_by_window(program, group, record, signals) => return Decision::AwaitWindow(opens()),
        None => {}
    }
    Decision::Perform(open(group.iter(), record))
}

/// The first gate that keeps this group from being performed. Until Freeze an approval that was passed must still be
/// there, and for this program: a driver that takes the run up compiles again, and what it sees may be another one.
fn closed_gate(program: &Program, group: &[Op], record: &Record, signals: &Signals) -> Option<Gate> {
    let passed = program.forward.iter().take_while(|before| before.as_slice() != group).flatten();
    let passed = passed.filter(|_| !frozen(program, record));
    let here = group.iter().filter(|op| !done(record, &op.id));
    passed.chain(here).find_map(|op| closed(op, &program.plan_hash, signals))
}

/// Whether a window that has closed keeps this group of a frozen program from being performed; until Freeze its gate
/// does. The way back is never asked: a platform is brought back at any hour.
fn kept_by_window(program: &Program, group: &[Op], record: &Record, signals: &Signals) -> bool {
    let Some(closed) = &signals.closed else { return false };
    let gates = group.iter().all(|op| matches!(op.kind, Kind::Gate(_)));
    // A question may be asked at any hour; who answers it is not kept waiting a second time.
    if gates || !frozen(program, record) || only_release_left(program, record) {
        return false;
    }
    match closed.then {
        OnWindowClose::Continue => false,
        OnWindowClose::Pause => true,
        OnWindowClose::FinishStep => begins(program, group, record),
    }
}

/// Whether something begins with this group that `FinishStep` puts off: a step, or the downtime and the backups before
/// it. What comes behind a step, marks and give-backs and the last look, is its end: nobody stays down for that.
fn begins(program: &Program, group: &[Op], record: &Record) -> bool {
    if group.iter().any(|op| touched(record, &op.id)) {
        return false;
    }
    let takes_down = |op: &Op| matches!(op.kind, Kind::Quiesce { .. } | Kind::StopServer { .. });
    let down = program.forward.iter().flatten().any(|op| takes_down(op) && touched(record, &op.id));
    let before =
        |op: &Op| takes_down(op) || matches!(op.kind, Kind::Backup { .. } | Kind::VerifyBackup { .. });
    group.iter().any(|op| op.step.is_some() || !down && before(op))
}

/// What turns a run around although no op failed. Abort comes first: it always wins.
fn call_back(program: &Program, record: &Record, signals: &Signals) -> Option<Cause> {
    // The way forward has ended once only giving up the claims is left: turning around there would undo a success.
    if only_release_left(program, record) {
        return None;
    }
    let applied = program
        .forward
        .iter()
        .flatten()
        .any(|op| matches!(op.kind, Kind::Apply { .. }) && touched(record, &op.id));
    [
        (signals.abort, Cause::Abort),
        (signals.deleted || (signals.stopped && !changed(program, record)), Cause::Deleted),
        (signals.superseded && !frozen(program, record), Cause::Superseded),
        (signals.deadline, Cause::Deadline),
        // After the first Apply the way back would cost more downtime than the way forward: it only raises an event.
        (signals.downtime && !applied, Cause::Budget),
    ]
    .into_iter()
    .find_map(|(called, cause)| called.then_some(cause))
}

fn only_release_left(program: &Program, record: &Record) -> bool {
    program.forward.iter().flatten().all(|op| done(record, &op.id) || op.kind == Kind::Release)
}

fn back(program: &Program, record: &Record, signals: &Signals) -> Decision {
    for group in &program.back {
        let needed: Vec<&BackOp> =
            group.iter().filter(|back| holds(&back.when, record) && !done(record, &back.op.id)).collect();
        if needed.is_empty() {
            continue;
        }
        if needed.iter().any(|back| broken(record, &back.op.id)) {
            return Decision::Finish(Outcome::Held);
        }
        if signals.paused {
            return Decision::Paused;
        }
        return Decision::Perform(open(needed.into_iter().map(|back| &back.op), record));
    }
    let superseded = record.turned_around.as_ref().is_some_and(|t| t.cause == "Superseded");
    Decision::Finish(match (changed(program, record), superseded) {
        (true, _) => Outcome::RolledBack,
        (false, true) => Outcome::Superseded,
        (false, false) => Outcome::Aborted,
    })
}

/// A Held run goes on when a person says how. Only Weigh asks a question that a person can answer; every other
/// failure on the way back needs `resolve` or `abandon`. Once the claims are given up nothing is: others may have
/// them.
fn reopened(program: &Program, record: &Record, signals: &Signals) -> Option<Decision> {
    if record.outcome != Some(Outcome::Held) || released(program, record) {
        return None;
    }
    if let Some(exit) = signals.exit {
        return exit_of(program, record, exit).map(Decision::Perform);
    }
    let weigh = program.back.iter().flatten().find(|back| back.op.kind == Kind::Weigh)?;
    let held_by_weigh = record
        .ops
        .get(&weigh.op.id)
        .is_some_and(|op| op.state == OpState::Failed && op.code.as_deref() == Some(super::DATA_LOSS));
    if held_by_weigh && signals.accept_data_loss {
        return Some(Decision::Perform(vec![weigh.op.id.clone()]));
    }
    None
}

/// What is left to do of `resolve` or `abandon`. What failed is tried again for as long as a person wants it; what is
/// Unknown is not.
fn exit_of(program: &Program, record: &Record, exit: Exit) -> Option<Vec<OpId>> {
    let group = program.resolve.iter().find_map(|group| {
        let open: Vec<&BackOp> = group
            .iter()
            .filter(|back| exit == Exit::Resolve || back.op.kind == Kind::Release)
            .filter(|back| holds(&back.when, record) && !done(record, &back.op.id))
            .collect();
        (!open.is_empty()).then_some(open)
    })?;
    let unknown = group.iter().any(|back| state(record, &back.op.id) == Some(OpState::Unknown));
    (!unknown).then(|| group.iter().map(|back| back.op.id.clone()).collect())
}

/// Whether the program is frozen, or may be.
fn frozen(program: &Program, record: &Record) -> bool {
    program.forward.iter().flatten().any(|op| op.kind == Kind::Freeze && touched(record, &op.id))
}

/// Whether the run has given up its claims, on whichever way.
fn released(program: &Program, record: &Record) -> bool {
    let back = program.back.iter().chain(&program.resolve).flatten().map(|back| &back.op);
    let mut all = program.forward.iter().flatten().chain(back);
    all.any(|op| op.kind == Kind::Release && done(record, &op.id))
}

/// Whether an op of the way back will be needed by a run that has done what this record says, whichever way it takes.
pub(super) fn foreseen(when: &When, record: &Record) -> bool {
    match when {
        When::Always => true,
        When::Any(ids) | When::Way { any: ids, .. } => ids.iter().any(|id| touched(record, id)),
    }
}

/// Whether an op of the way back is needed.
pub fn holds(when: &When, record: &Record) -> bool {
    match when {
        When::Always => true,
        When::Any(ids) => ids.iter().any(|id| touched(record, id)),
        When::Way { target, way, any } => {
            record.ways_back.get(target) == Some(way) && any.iter().any(|id| touched(record, id))
        }
    }
}

fn closed(op: &Op, plan_hash: &str, signals: &Signals) -> Option<Gate> {
    let Kind::Gate(gate) = &op.kind else { return None };
    let name = match gate {
        Gate::Window => return signals.closed.as_ref().map(|_| Gate::Window),
        Gate::Plan => "",
        Gate::Step { name, .. } => name,
    };
    (signals.approved.get(name).map(String::as_str) != Some(plan_hash)).then(|| gate.clone())
}

fn open<'a>(ops: impl Iterator<Item = &'a Op>, record: &Record) -> Vec<OpId> {
    ops.filter(|op| !done(record, &op.id)).map(|op| op.id.clone()).collect()
}

fn done(record: &Record, id: &str) -> bool {
    state(record, id) == Some(OpState::Done)
}

fn broken(record: &Record, id: &str) -> bool {
    matches!(state(record, id), Some(OpState::Failed | OpState::Unknown))
}

#[cfg(test)]
mod stopped {
    use super::super::{FORMAT, OnFailure};
    use super::*;

    fn program() -> Program {
        let op = |id: &str, kind: Kind| Op { id: id.into(), step: None, kind };
        let flags =
            Kind::Configure { namespace: "aether".into(), name: "flags".into(), set: BTreeMap::new() };
        Program {
            format: FORMAT,
            plan_hash: String::new(),
            intent_hash: String::new(),
            forward: vec![
                vec![op("claim", Kind::Claim)],
                vec![op("flags", flags)],
                vec![op("final", Kind::VerifyFinal)],
                vec![op("release", Kind::Release)],
            ],
            back: Vec::new(),
            resolve: Vec::new(),
            bundles: BTreeMap::new(),
            dependents: Vec::new(),
            workloads: Vec::new(),
            targets: BTreeMap::new(),
            on_failure: OnFailure::default(),
            rolls_back: None,
        }
    }

    fn decide(states: &[(&str, &str)]) -> Decision {
        let mut record = Record::default();
        for (id, state) in states {
            let op = serde_json::json!({"state": state, "epoch": 1, "attempt": 1});
            record.ops.insert((*id).into(), serde_json::from_value(op).unwrap());
        }
        next(&program(), &record, &Signals { stopped: true, ..Signals::default() })
    }

    #[test]
    fn what_was_not_changed_is_given_back_and_what_was_stays() {
        assert_eq!(decide(&[]), Decision::TurnAround(Cause::Deleted));
        let claimed = ("claim", "Done");
        assert_eq!(decide(&[claimed]), Decision::TurnAround(Cause::Deleted));
        assert_eq!(decide(&[claimed, ("flags", "Intent")]), Decision::Finish(Outcome::Held));
        assert_eq!(decide(&[claimed, ("flags", "Done")]), Decision::Finish(Outcome::Held));
        let nearly = [claimed, ("flags", "Done"), ("final", "Done")];
        assert_eq!(decide(&nearly), Decision::Perform(vec!["release".into()]), "a success is not taken back");
    }
}
