//! All states that a run can come to: what `next` decides, every way in which an op can end, and a crash after every
//! write. The driver is left out: only what it writes into the record is here.

use super::super::{Closed, Decision, Exit, Gate, Kind, Op, OpId, Program, Signals, next};
use crate::api::Outcome;
use crate::api::plan::{OnWindowClose, Opening};
use crate::api::run::{Direction, MigrationRunStatus, OpRecord, OpState, TurnedAround, WayBack};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What the record says of an op, as far as it decides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mark {
    Untouched,
    Intent,
    Done,
    /// Weigh alone: every target is to be restored.
    Restore,
    Failed,
    /// Failed as only Weigh can: a person may accept the loss.
    DataLoss,
    Unknown,
}

/// A record, as far as it decides anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    marks: Vec<Mark>,
    /// The cause, once the run has turned around.
    turned: Option<&'static str>,
    pub(super) outcome: Option<Outcome>,
}

impl State {
    /// A person has aborted it.
    pub(super) fn turned_around(mut self) -> Self {
        self.turned = Some("Aborted");
        self
    }
}

/// One program and every op of it, on whichever way.
pub(super) struct World {
    pub(super) program: Program,
    places: BTreeMap<OpId, usize>,
    ops: Vec<Op>,
    /// Whether every op may end Unknown, not only those that run scripts.
    all_unknown: bool,
}

impl World {
    pub(super) fn new(program: Program, all_unknown: bool) -> Self {
        let other = program.back.iter().chain(&program.resolve).flatten().map(|back| &back.op);
        let ops: Vec<Op> = program.forward.iter().flatten().chain(other).cloned().collect();
        let places: BTreeMap<OpId, usize> =
            ops.iter().enumerate().map(|(n, op)| (op.id.clone(), n)).collect();
        assert_eq!(places.len(), ops.len(), "every id is one op's");
        Self { program, places, ops, all_unknown }
    }

    /// A run that has just been made.
    pub(super) fn start(&self) -> State {
        State { marks: vec![Mark::Untouched; self.ops.len()], turned: None, outcome: None }
    }

    pub(super) fn mark(&self, state: &State, id: &str) -> Mark {
        state.marks[self.places[id]]
    }

    pub(super) fn op(&self, id: &str) -> &Op {
        &self.ops[self.places[id]]
    }

    /// The record that a driver would find.
    pub(super) fn record(&self, state: &State) -> MigrationRunStatus {
        let at = || Time("2026-11-20T02:00:00Z".parse().unwrap());
        let of = |mark| {
            let (state, code) = match mark {
                Mark::Untouched => return None,
                Mark::Intent => (OpState::Intent, None),
                Mark::Done | Mark::Restore => (OpState::Done, None),
                Mark::Failed => (OpState::Failed, Some("StepFailed")),
                Mark::DataLoss => (OpState::Failed, Some(super::super::DATA_LOSS)),
                Mark::Unknown => (OpState::Unknown, Some("UnknownOutcome")),
            };
            let code = code.map(str::to_owned);
            let (started_at, finished_at) = (Some(at()), None);
            Some(OpRecord {
                state,
                epoch: 1,
                attempt: 1,
                started_at,
                finished_at,
                untouched: None,
                code,
                note: None,
            })
        };
        let ops = self.ops.iter().zip(&state.marks);
        MigrationRunStatus {
            ops: ops.filter_map(|(op, mark)| Some((op.id.clone(), of(*mark)?))).collect(),
            direction: if state.turned.is_some() { Direction::Back } else { Direction::Forward },
            turned_around: state.turned.map(|cause| TurnedAround {
                op: String::new(),
                cause: cause.to_owned(),
                at: at(),
            }),
            outcome: state.outcome,
            ways_back: self.ways(state),
            ..MigrationRunStatus::default()
        }
    }

    /// What Weigh has decided, the same for every target.
    fn ways(&self, state: &State) -> BTreeMap<String, WayBack> {
        let mut weighs = self.ops.iter().zip(&state.marks).filter(|(op, _)| op.kind == Kind::Weigh);
        let way = weighs.find_map(|(_, mark)| match mark {
            Mark::Done if self.program.on_failure.may_undo() => Some(WayBack::Undo),
            Mark::Restore => Some(WayBack::Restore),
            _ => None,
        });
        let targets = self.program.applied_targets();
        targets.filter_map(|target| Some((target.to_owned(), way?))).collect()
    }

    /// These ops are done.
    pub(super) fn done(&self, state: &State, ids: &[OpId]) -> State {
        ids.iter().fold(state.clone(), |state, id| self.ended(&state, self.places[id], Mark::Done))
    }

    /// An op has ended like this; with Inherit everything is done that the other run did.
    fn ended(&self, state: &State, place: usize, mark: Mark) -> State {
        let mut state = state.clone();
        state.marks[place] = mark;
        let inherits = self.ops[place].kind == Kind::Inherit && mark == Mark::Done;
        for id in self.program.rolls_back.iter().filter(|_| inherits).flat_map(|of| of.record.ops.keys()) {
            state.marks[self.places[id]] = Mark::Done;
        }
        state
    }

    /// Every record that may be there after this decision was carried out: the intents alone, and each end of each op.
    fn after(&self, state: &State, decision: &Decision) -> Vec<State> {
        match decision {
            Decision::Perform(ids) => {
                let mut intended = state.clone();
                for id in ids {
                    intended.marks[self.places[id]] = Mark::Intent;
                }
                let is_back = |id: &OpId| self.program.back.iter().flatten().any(|back| back.op.id == *id);
                if ids.iter().any(is_back) {
                    intended.outcome = None;
                }
                ids.iter().fold(vec![intended], |states, id| {
                    let place = self.places[id];
                    let end = |state: &State, mark| self.ended(state, place, mark);
                    let ends = self.ends(&self.ops[place].kind);
                    states.iter().flat_map(|state| ends.iter().map(move |mark| end(state, *mark))).collect()
                })
            }
            Decision::TurnAround(cause) => vec![State { turned: Some(cause.reason()), ..state.clone() }],
            Decision::Finish(outcome) => vec![State { outcome: Some(*outcome), ..state.clone() }],
            Decision::AwaitApproval(_) | Decision::AwaitWindow(_) | Decision::Paused => vec![state.clone()],
        }
    }

    fn ends(&self, kind: &Kind) -> &'static [Mark] {
        use Mark::{DataLoss, Done, Failed, Intent, Restore, Unknown};
        match kind {
            Kind::Gate(_) => &[Intent, Done],
            Kind::Weigh if self.program.on_failure.may_restore() => {
                &[Intent, Done, Restore, Failed, DataLoss]
            }
            Kind::Weigh => &[Intent, Done, Failed, DataLoss],
            Kind::Apply { .. } | Kind::Undo { .. } => &[Intent, Done, Failed, Unknown],
            _ if self.all_unknown => &[Intent, Done, Failed, Unknown],
            _ => &[Intent, Done, Failed],
        }
    }

    /// Visits every state that can be reached under these signals, with every decision there. Answers how many.
    pub(super) fn visit(
        &self,
        asked: &Asked,
        mut law: impl FnMut(&State, &MigrationRunStatus, &Signals, &Decision),
    ) -> usize {
        let mut seen = HashSet::from([self.start()]);
        let mut open = vec![self.start()];
        while let Some(state) = open.pop() {
            let record = self.record(&state);
            let mut decided: Vec<Decision> = Vec::new();
            for signals in asked.of(&state) {
                let decision = next(&self.program, &record, signals);
                law(&state, &record, signals, &decision);
                if !decided.contains(&decision) {
                    decided.push(decision);
                }
            }
            for next in decided.iter().flat_map(|decision| self.after(&state, decision)) {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen.len()
    }

    /// Where a run ends that nothing disturbs from here on and whose every op succeeds. `known` is kept between calls.
    pub(super) fn end_of(&self, from: &State, known: &mut HashMap<State, Outcome>) -> Outcome {
        let calm = self.calm();
        let (mut state, mut path) = (from.clone(), Vec::new());
        let outcome = loop {
            if let Some(outcome) = known.get(&state) {
                break *outcome;
            }
            assert!(path.len() <= 3 * self.ops.len(), "a run without end: {path:#?}");
            path.push(state.clone());
            match next(&self.program, &self.record(&state), &calm) {
                Decision::Finish(outcome) if state.outcome == Some(outcome) => break outcome,
                Decision::Perform(ids) => state = self.done(&state, &ids),
                other => state = self.after(&state, &other).remove(0),
            }
            assert!(!path.contains(&state), "waits without a reason: {state:?}");
        };
        known.extend(path.into_iter().map(|state| (state, outcome)));
        outcome
    }

    /// Every gate is approved, and nobody asks for anything.
    pub(super) fn calm(&self) -> Signals {
        let gates = self.ops.iter().filter_map(|op| match &op.kind {
            Kind::Gate(Gate::Plan) => Some(String::new()),
            Kind::Gate(Gate::Step { name, .. }) => Some(name.clone()),
            _ => None,
        });
        let approved = gates.map(|gate| (gate, self.program.plan_hash.clone())).collect();
        Signals { approved, ..Signals::default() }
    }

    /// What people and clocks may ask, one thing at a time and while it is paused. `exits`: of Held runs too.
    pub(super) fn some_signals(&self, exits: bool) -> Asked {
        let calm = self.calm();
        let stale = calm.approved.keys().map(|gate| (gate.clone(), "sha256:other".to_owned())).collect();
        let opens = Opening { at: jiff::Timestamp::UNIX_EPOCH, shown: "Thu 1970-01-01 00:00 UTC".into() };
        let closed =
            |then| Signals { closed: Some(Closed { opens: Some(opens.clone()), then }), ..calm.clone() };
        let mut live = vec![
            calm.clone(),
            Signals { abort: true, ..calm.clone() },
            Signals { deleted: true, ..calm.clone() },
            Signals { stopped: true, ..calm.clone() },
            Signals { deadline: true, ..calm.clone() },
            Signals { downtime: true, ..calm.clone() },
            Signals { superseded: true, ..calm.clone() },
            closed(OnWindowClose::FinishStep),
            closed(OnWindowClose::Pause),
            closed(OnWindowClose::Continue),
            Signals { abort: true, ..closed(OnWindowClose::Pause) },
            Signals { approved: stale, ..calm.clone() },
            Signals { approved: BTreeMap::new(), ..calm.clone() },
        ];
        live.push(Signals { paused: true, ..calm.clone() });
        live.push(Signals { paused: true, abort: true, ..calm.clone() });
        let mut ended = vec![calm.clone(), Signals { abort: true, accept_data_loss: true, ..calm.clone() }];
        if exits {
            ended.push(Signals { exit: Some(Exit::Resolve), ..calm.clone() });
            ended.push(Signals { exit: Some(Exit::Abandon), paused: true, ..calm });
        }
        Asked { live, ended }
    }

    /// Every set of signals that can make a difference; the plan's deletion asks for what `abort` asks for.
    pub(super) fn all_signals(&self) -> Asked {
        let calm = self.calm();
        let bit = |bits: u32, n: u32| bits & (1 << n) != 0;
        let live = (0..1 << 6).map(|bits| Signals {
            paused: bit(bits, 0),
            abort: bit(bits, 1),
            deadline: bit(bits, 2),
            downtime: bit(bits, 3),
            superseded: bit(bits, 4),
            approved: if bit(bits, 5) { calm.approved.clone() } else { BTreeMap::new() },
            ..Signals::default()
        });
        let exits = [None, Some(Exit::Resolve), Some(Exit::Abandon)];
        let ended = exits.into_iter().flat_map(|exit| {
            (0..1 << 3).map(move |bits| Signals {
                paused: bit(bits, 0),
                abort: bit(bits, 1),
                accept_data_loss: bit(bits, 2),
                exit,
                ..Signals::default()
            })
        });
        Asked { live: live.collect(), ended: ended.collect() }
    }
}

/// What is asked of live runs, and of those that have ended.
pub(super) struct Asked {
    live: Vec<Signals>,
    ended: Vec<Signals>,
}

impl Asked {
    fn of(&self, state: &State) -> &[Signals] {
        if state.outcome.is_some() { &self.ended } else { &self.live }
    }
}
