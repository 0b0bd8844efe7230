//! A run as the sentences look at it: program and record side by side.

use super::facts::{PlanFacts, RunFacts};
use crate::api::Outcome;
use crate::api::plan::WorkloadState;
use crate::api::run::{Direction, MigrationRunStatus as Record, OpState};
use crate::program::{Kind, Op, Program, WorkloadRef};
use crate::run::{Doing, Report};

/// A run, its plan, and what is told of it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) plan: &'a PlanFacts,
    pub(super) run: &'a RunFacts,
    pub(super) report: &'a Report,
}

/// How ops of one sort stand, taken together.
#[derive(Default)]
pub(super) struct Tally<'a> {
    /// How many there are.
    pub(super) all: usize,
    /// How many are done.
    pub(super) done: usize,
    /// One whose intent is written.
    pub(super) begun: Option<&'a Op>,
    /// One that failed, or whose outcome nobody knows.
    pub(super) broken: Option<&'a Op>,
}

impl Tally<'_> {
    /// Whether any of them may have had an effect.
    pub(super) fn begun_or_ended(&self) -> bool {
        self.done > 0 || self.begun.is_some() || self.broken.is_some()
    }
}

impl<'a> View<'a> {
    pub(super) fn record(&self) -> &'a Record {
        &self.report.record
    }

    pub(super) fn program(&self) -> Option<&'a Program> {
        self.report.program.as_deref()
    }

    /// The ops of the way forward, in order.
    pub(super) fn forward(&self) -> impl Iterator<Item = &'a Op> + use<'a> {
        self.program().into_iter().flat_map(|program| program.forward.iter().flatten())
    }

    /// The ops of the way back and of `resolve`, in order.
    pub(super) fn back(&self) -> impl Iterator<Item = &'a Op> + use<'a> {
        self.program()
            .into_iter()
            .flat_map(|program| program.back.iter().chain(&program.resolve).flatten())
            .map(|back| &back.op)
    }

    pub(super) fn state(&self, op: &Op) -> Option<OpState> {
        self.record().ops.get(&op.id).map(|op| op.state)
    }

    pub(super) fn doing(&self, op: &Op) -> Option<&'a Doing> {
        self.report.doing.get(&op.id)
    }

    /// The op at hand that waits for a person's word.
    pub(super) fn asks(&self) -> Option<&'a Op> {
        self.at_hand().into_iter().find(|op| self.doing(op).is_some_and(|doing| doing.asks))
    }

    pub(super) fn goes_back(&self) -> bool {
        self.record().direction == Direction::Back
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.record().outcome
    }

    /// Whether the program is frozen: from then on it is not gone back to a gate.
    pub(super) fn frozen(&self) -> bool {
        self.forward().any(|op| op.kind == Kind::Freeze && self.state(op).is_some())
    }

    /// How the ops of the way forward of one sort stand.
    pub(super) fn tally(&self, of: impl Fn(&Kind) -> bool) -> Tally<'a> {
        let mut tally = Tally::default();
        for op in self.forward().filter(|op| of(&op.kind)) {
            tally.all += 1;
            match self.state(op) {
                Some(OpState::Done) => tally.done += 1,
                Some(OpState::Intent) => tally.begun = tally.begun.or(Some(op)),
                Some(OpState::Failed | OpState::Unknown) => tally.broken = tally.broken.or(Some(op)),
                None => {}
            }
        }
        tally
    }

    /// The ops at hand: those whose intent is written on the way that is walked, those that wait first. Between two
    /// writes none has an intent; then the next ones.
    pub(super) fn at_hand(&self) -> Vec<&'a Op> {
        let open = |op: &&Op| self.state(op) == Some(OpState::Intent);
        let mut ops: Vec<&Op> = if self.goes_back() {
            self.back().filter(open).collect()
        } else {
            self.forward().filter(open).collect()
        };
        if ops.is_empty() && !self.goes_back() {
            let next = self.program().and_then(|program| {
                program
                    .forward
                    .iter()
                    .find(|group| group.iter().any(|op| self.state(op) != Some(OpState::Done)))
            });
            ops = next.into_iter().flatten().collect();
        }
        // Stable: among those that wait, and among those that work, the order of the program.
        ops.sort_by_key(|op| self.doing(op).is_none_or(|doing| doing.blocked.is_none()));
        ops
    }

    /// Where a workload stands, by the last op that has touched it.
    pub(super) fn workload(&self, of: &WorkloadRef) -> WorkloadState {
        let ops = self.forward().chain(self.back());
        let state = ops.fold(WorkloadState::Untouched, |state, op| self.after(op, of).unwrap_or(state));
        if state == WorkloadState::Quiesced && self.outcome().is_some() {
            WorkloadState::KeptDown
        } else {
            state
        }
    }

    fn after(&self, op: &Op, of: &WorkloadRef) -> Option<WorkloadState> {
        let state = self.state(op)?;
        match &op.kind {
            Kind::Quiesce { workload } | Kind::StopServer { workload } if workload == of => {
                Some(WorkloadState::Quiesced)
            }
            Kind::GiveBack { workload, .. } | Kind::StartServer { workload, .. } if workload == of => {
                (state == OpState::Done).then_some(WorkloadState::GivenBack)
            }
            Kind::Rollout(rollout) if rollout.workload == *of => Some(match state {
                OpState::Done => WorkloadState::RolledOut,
                OpState::Intent | OpState::Failed | OpState::Unknown => WorkloadState::RollingOut,
            }),
            Kind::RollBack { workload, dependent, .. } if workload == of => match state {
                OpState::Done if *dependent && self.keeps_down() => Some(WorkloadState::Quiesced),
                OpState::Done => Some(WorkloadState::GivenBack),
                OpState::Intent | OpState::Failed | OpState::Unknown => Some(WorkloadState::RollingOut),
            },
            _ => None,
        }
    }

    /// `onFailure.workloads: KeepDown`.
    pub(super) fn keeps_down(&self) -> bool {
        self.program().is_some_and(|program| !program.on_failure.give_back)
    }

    /// The dependents, and servers that were stopped, that do not run as before or as rolled out.
    pub(super) fn down(&self) -> Vec<&'a WorkloadRef> {
        let Some(program) = self.program() else { return Vec::new() };
        let servers = program.targets.values().filter_map(|target| target.offline.as_ref());
        let all = program.dependents.iter().chain(servers);
        let down = |of: &&WorkloadRef| {
            !matches!(
                self.workload(of),
                WorkloadState::Untouched | WorkloadState::GivenBack | WorkloadState::RolledOut
            )
        };
        all.filter(down).collect()
    }
}
