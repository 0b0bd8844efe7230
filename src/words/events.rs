//! What is told once, when it happens: the difference between what was told last and how the run stands now.

use super::facts::{PlanFacts, RunFacts};
use super::message::{activity, budget_exceeded, cause, failure_text, finished, guard_overridden, sentence};
use super::text::one_line;
use super::view::View;
use crate::api::bounds::cut;
use crate::api::run::{Direction, OpState};
use crate::api::{EventReason, Outcome};
use crate::program::{Gate, Kind, Op, OpId, WorkloadRef};
use crate::run::{Report, Waiting};
use std::collections::{BTreeMap, BTreeSet};

/// The API server's bound for an event's note.
const NOTE: u32 = 1024;

/// What people were told last of a run. Of a new run: nothing. After a restart: the record as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    ops: BTreeMap<OpId, OpState>,
    back: bool,
    outcome: Option<Outcome>,
    waiting: Option<Waiting>,
    contended: bool,
    /// Verbs that were done.
    verbs: usize,
    over_budget: bool,
    /// Rollouts whose new image was seen, not yet ready.
    updated: BTreeSet<OpId>,
    /// False: nobody was told of the run.
    begun: bool,
}

impl Told {
    /// All that this report says is told.
    pub fn of(report: &Report) -> Self {
        let record = &report.record;
        let waits = |(id, doing): (&OpId, &crate::run::Doing)| doing.blocked.is_some().then(|| id.clone());
        Self {
            ops: record.ops.iter().map(|(id, op)| (id.clone(), op.state)).collect(),
            back: record.direction == Direction::Back,
            outcome: record.outcome,
            waiting: report.waiting.clone(),
            contended: record.quiet_unbroken == Some(false),
            verbs: record.verbs.len(),
            over_budget: report.over_budget,
            updated: report.doing.iter().filter_map(waits).collect(),
            begun: true,
        }
    }
}

impl Told {
    pub(super) fn state(&self, op: &str) -> Option<OpState> {
        self.ops.get(op).copied()
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    pub(super) fn contended(&self) -> bool {
        self.contended
    }
}

/// What else had a part in a transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Related {
    /// A workload.
    Workload(WorkloadRef),
    /// A target, in the plan's namespace.
    Target(String),
}

/// One transition, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The reason of the event.
    pub reason: EventReason,
    /// Whether somebody may have to act.
    pub warning: bool,
    /// One sentence of at most 1024 characters.
    pub note: String,
    /// What had a part in it.
    pub related: Option<Related>,
    /// What makes it different from every other one of the same reason and plan: told twice, after a crash, it is
    /// still one event.
    pub once: String,
}

/// The transitions since `told`, in the order of the program.
pub fn transitions(told: &Told, plan: &PlanFacts, run: &RunFacts, report: &Report) -> Vec<Transition> {
    let view = View { plan, run, report };
    let mut teller = Teller { view, all: Vec::new() };
    if !told.begun {
        teller.say(EventReason::RunStarted, "run", format!("run {} begins", run.number), None);
    }
    teller.ops(told);
    if view.goes_back() && !told.back {
        teller.turned_around();
    }
    teller.ops_back(told);
    if view.record().quiet_unbroken == Some(false) && !told.contended {
        let why = view.record().quiet_broken.as_deref();
        let note = format!("quiet is broken: {}", why.unwrap_or("somebody scaled a workload up or wrote"));
        teller.say(EventReason::ReplicaContention, "quiet", note, None);
    }
    teller.overrides(told);
    if report.over_budget && !told.over_budget {
        teller.over_budget();
    }
    if report.waiting != told.waiting {
        teller.waiting();
    }
    if view.outcome() != told.outcome {
        teller.outcome();
    }
    teller.all
}

struct Teller<'a> {
    view: View<'a>,
    all: Vec<Transition>,
}

impl Teller<'_> {
    fn say(&mut self, reason: EventReason, once: &str, note: String, related: Option<Related>) {
        self.all.push(Transition {
            reason,
            warning: warns(reason),
            note: cut(&one_line(&note), NOTE),
            related,
            once: format!("{}/{once}", self.view.run.number),
        });
    }

    /// Guards that a person overrode. The record keeps verbs in the order in which they were done.
    fn overrides(&mut self, told: &Told) {
        let all = &self.view.record().verbs;
        for verb in all.iter().skip(told.verbs.min(all.len())) {
            let Some(guard) = verb.verb.strip_prefix("override.") else { continue };
            let said = verb.value.split_once("why=").map_or("", |(_, said)| said);
            let why = said.rsplit_once(" by ").map_or(said, |(why, _)| why);
            let note = guard_overridden(guard, &verb.by, verb.verified, why);
            self.say(EventReason::GuardOverridden, &format!("{}/{}", verb.verb, verb.value), note, None);
        }
    }

    /// Only after the first script: before it the run turns around instead.
    fn over_budget(&mut self) {
        let applies = |op: &&Op| matches!(op.kind, Kind::Apply { .. }) && self.view.state(op).is_some();
        let since = self.view.record().down_from.as_ref().map(|at| at.0);
        if let Some(since) =
            since.filter(|_| self.view.forward().any(|op| applies(&op)) && !self.view.goes_back())
        {
            self.say(EventReason::BudgetExceeded, "budget", budget_exceeded(since), None);
        }
    }

    fn ops(&mut self, told: &Told) {
        for op in self.view.forward() {
            self.op(told, op);
        }
    }

    fn ops_back(&mut self, told: &Told) {
        for op in self.view.back() {
            self.op(told, op);
        }
    }

    fn op(&mut self, told: &Told, op: &Op) {
        let Some(state) = self.view.state(op) else { return };
        let before = told.ops.get(&op.id).copied();
        let attempt = self.view.record().ops.get(&op.id).map_or(1, |op| op.attempt);
        let once = format!("{}/{attempt}", op.id);
        let related = related(&op.kind);
        if let Some(reason) = begins(&op.kind).filter(|_| before.is_none()) {
            self.say(reason, &once, activity(op, None), related.clone());
        }
        let waits = self.view.doing(op).is_some_and(|doing| doing.blocked.is_some());
        if let (Kind::Rollout(rollout), true, false) = (&op.kind, waits, told.updated.contains(&op.id)) {
            let note = format!("{} has its new image", rollout.workload);
            self.say(EventReason::ImageUpdated, &once, note, related.clone());
        }
        if before == Some(state) {
            return;
        }
        match state {
            OpState::Intent => {}
            OpState::Done => {
                if let Some(reason) = ends_well(&op.kind) {
                    let step = op.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
                    self.say(reason, &once, format!("{step}{}", finished(&op.kind)), related);
                }
            }
            OpState::Failed | OpState::Unknown => {
                let note = self.view.record().ops.get(&op.id).and_then(|op| op.note.clone());
                let step = op.step.as_ref().map(|step| format!("step {step} failed: ")).unwrap_or_default();
                let note = format!("{step}{}", note.unwrap_or_else(|| format!("{} failed", op.id)));
                self.say(ends_badly(&op.kind), &once, note, related);
            }
        }
    }

    fn turned_around(&mut self) {
        let turned = self.view.record().turned_around.as_ref().map(|turned| turned.cause.as_str());
        let because = cause(&self.view);
        if turned == Some("Aborted") {
            self.say(EventReason::AbortRequested, "abort", because.clone(), None);
        }
        self.say(EventReason::RollbackStarted, "back", format!("rolls back because {because}"), None);
    }

    fn waiting(&mut self) {
        let note = sentence(&self.view);
        match &self.view.report.waiting {
            Some(Waiting::Approval(gate)) => {
                let hash = self.view.program().map(|program| program.plan_hash.as_str()).unwrap_or_default();
                let what = match gate {
                    Gate::Plan | Gate::Window => "plan",
                    Gate::Step { name, .. } => name,
                };
                self.say(EventReason::ApprovalRequested, &format!("{what}/{hash}"), note, None);
            }
            Some(Waiting::Window(opens)) if self.view.frozen() => {
                let at = opens.as_ref().map(|opens| opens.at.to_string()).unwrap_or_default();
                self.say(EventReason::Paused, &format!("window/{at}"), note, None);
            }
            Some(Waiting::Paused) => {
                let done = self.view.record().ops.values().filter(|op| op.state == OpState::Done).count();
                self.say(EventReason::Paused, &format!("paused/{done}"), note, None);
            }
            Some(Waiting::Queued(_) | Waiting::Look { .. } | Waiting::Window(_)) | None => {}
        }
    }

    fn outcome(&mut self) {
        let note = sentence(&self.view);
        let failed = || self.view.record().failure.as_ref().map_or_else(|| cause(&self.view), failure_text);
        match self.view.outcome() {
            Some(Outcome::Succeeded) => self.say(EventReason::RunSucceeded, "end", note, None),
            Some(Outcome::Aborted) => self.say(EventReason::RunFailed, "end", note, None),
            Some(Outcome::RolledBack) => {
                self.say(EventReason::RollbackComplete, "end", "everything is as before".to_owned(), None);
                self.say(EventReason::RunFailed, "end", note, None);
            }
            Some(Outcome::Held) => {
                // Held can be left and entered again: each time is told.
                let end =
                    self.view.record().finished_at.as_ref().map(|at| at.0.to_string()).unwrap_or_default();
                let short = failed();
                self.say(EventReason::RollbackFailed, &end, short, None);
                self.say(EventReason::RunFailed, &end, note, None);
            }
            Some(Outcome::Superseded) | None => {}
        }
    }
}

fn begins(kind: &Kind) -> Option<EventReason> {
    match kind {
        Kind::Backup { .. } => Some(EventReason::BackupStarted),
        Kind::Restore { .. } => Some(EventReason::RestoreStarted),
        Kind::Apply { .. } | Kind::Configure { .. } | Kind::Rollout(_) => Some(EventReason::StepStarted),
        _ => None,
    }
}

fn ends_well(kind: &Kind) -> Option<EventReason> {
    Some(match kind {
        Kind::Gate(Gate::Window) => EventReason::WindowOpened,
        Kind::Gate(_) => EventReason::Approved,
        Kind::Quiesce { .. } | Kind::StopServer { .. } => EventReason::WorkloadScaledDown,
        Kind::ProveQuiet { .. } => EventReason::Quiesced,
        Kind::VerifyBackup { .. } => EventReason::BackupVerified,
        Kind::Apply { .. } | Kind::Configure { .. } => EventReason::StepApplied,
        Kind::Rollout(_) => EventReason::RolloutComplete,
        Kind::Verify(_) | Kind::VerifyFinal => EventReason::VerificationPassed,
        Kind::GiveBack { .. } | Kind::StartServer { .. } => EventReason::WorkloadGivenBack,
        Kind::Undo { .. } | Kind::Deconfigure { .. } | Kind::RollBack { .. } => EventReason::StepUndone,
        Kind::Restore { .. } => EventReason::RestoreVerified,
        Kind::Trial { .. }
        | Kind::Foresee
        | Kind::Claim
        | Kind::Recheck
        | Kind::Freeze
        | Kind::Inherit
        | Kind::Backup { .. }
        | Kind::MarkWrites
        | Kind::Release
        | Kind::EndJobs
        | Kind::Weigh
        | Kind::VerifyUndone { .. } => return None,
    })
}

fn ends_badly(kind: &Kind) -> EventReason {
    match kind {
        Kind::Backup { .. } | Kind::VerifyBackup { .. } => EventReason::BackupFailed,
        Kind::Verify(_) | Kind::VerifyFinal => EventReason::VerificationFailed,
        _ => EventReason::StepFailed,
    }
}

fn related(kind: &Kind) -> Option<Related> {
    match kind {
        Kind::Quiesce { workload }
        | Kind::GiveBack { workload, .. }
        | Kind::StopServer { workload }
        | Kind::StartServer { workload, .. }
        | Kind::RollBack { workload, .. } => Some(Related::Workload(workload.clone())),
        Kind::Rollout(rollout) => Some(Related::Workload(rollout.workload.clone())),
        other => other.target().map(|target| Related::Target(target.to_owned())),
    }
}

/// Warning only where somebody may have to act.
fn warns(reason: EventReason) -> bool {
    matches!(
        reason,
        EventReason::BackupFailed
            | EventReason::ReplicaContention
            | EventReason::StepFailed
            | EventReason::VerificationFailed
            | EventReason::RollbackStarted
            | EventReason::RollbackFailed
            | EventReason::RunFailed
            | EventReason::VerbIgnored
            | EventReason::GuardOverridden
            | EventReason::DeletionBlocked
            | EventReason::BudgetExceeded
            | EventReason::NotificationFailed
    )
}
