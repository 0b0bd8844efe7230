//! The record and the program in memory, and what intents and outcomes write into the record.

use super::asked;
use super::seam::Saved;
use crate::api::Outcome;
use crate::api::bounds::{WHY, cut};
use crate::api::plan::Failure;
use crate::api::run::{
    self, AcceptedVerb, ApprovalRecord, BackupRecord, Direction, Fingerprint, MigrationRunStatus, OpRecord,
    OpState, RestoreRecord, TurnedAround, Wait, WaitFor, Watermark, WayBack,
};
use crate::api::target::VerificationLevel;
use crate::program::{Cause, Decision, Kind, Op, OpId, Program, WorkloadRef};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::sync::Arc;

/// What an op learned that the way back, the next op or people need. Written with the op's outcome.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fact {
    /// How a workload was before the run touched it.
    Original(run::Original),
    /// History and structure of a target, proven quiet.
    Fingerprint(String, Fingerprint),
    /// What the write counters of a target said at this moment.
    WriteMark(String, String),
    /// A backup that is there.
    Backup(BackupRecord),
    /// The level a backup was proven to.
    Proven(String, VerificationLevel),
    /// Whether nobody else had written to the target of this op when it began.
    Untouched(OpId, bool),
    /// Silence is proven, and nothing was written since.
    QuietUnbroken,
    /// Something was written while it should have been quiet, or nobody can tell; why, in one clause.
    QuietBroken(String),
    /// How far a history is, read under lock and fence.
    Watermark(Watermark),
    /// Why the backup of a target could not be put back by itself; empty is: it could.
    RestoreTrial(String, String),
    /// How a target is brought back.
    Way(String, WayBack),
    /// A target was brought back from its backup.
    Restored(RestoreRecord),
    /// What a run did that is taken back after its success, and the workloads as they are brought back.
    Inherited(Box<MigrationRunStatus>, Vec<run::Original>),
    /// A person's approval was counted.
    Approved(ApprovalRecord),
    /// A person's verb was done.
    Took(AcceptedVerb),
}

/// How an op ended.
#[derive(Debug)]
pub(super) enum End {
    /// Its effect is there.
    Done(Vec<Fact>),
    /// It surely did not happen, or not as a whole; it is not tried again.
    Failed(Failure, Vec<Fact>),
    /// It goes on once this is durable: what follows would hide it.
    Learned(Vec<Fact>),
    /// Nobody can say whether it happened.
    Unknown(Failure),
    /// Signals ask for something else; the intent stays.
    Interrupted,
    /// A higher epoch has the run: not one more effect.
    Overtaken,
    /// Recheck compiled the same program again, with the old values of this moment.
    Fresh(Box<Program>),
    /// Recheck found another program than the one that was compiled, or nothing to do any more.
    Changed(Option<Box<Program>>),
}

/// The code of a run that was stopped in the middle, since its plan was deleted with `onDelete: Stop`.
pub const STOPPED: &str = "Stopped";

/// A run in the hands of its driver.
pub(super) struct Walk {
    pub(super) program: Arc<Program>,
    pub(super) saved: Saved,
    /// The record has changes that are not written yet.
    pub(super) dirty: bool,
}

impl Walk {
    /// The record.
    pub(super) fn record(&self) -> &MigrationRunStatus {
        &self.saved.status
    }

    /// The epoch of this driver.
    pub(super) fn epoch(&self) -> u64 {
        epoch_of(&self.saved.status)
    }

    /// A new epoch, not written yet.
    pub(super) fn set_epoch(&mut self, epoch: u64) {
        self.saved.status.epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        self.dirty = true;
    }

    /// The op of this id, on any of the ways.
    pub(super) fn op(&self, id: &str) -> Option<Op> {
        let program = &self.program;
        let forward = program.forward.iter().flatten();
        let other = program.back.iter().chain(&program.resolve).flatten().map(|back| &back.op);
        forward.chain(other).find(|op| op.id == id).cloned()
    }

    /// Whether an op of this kind may have had an effect.
    pub(super) fn touched(&self, kind: impl Fn(&Kind) -> bool) -> bool {
        self.any(kind, |_| true)
    }

    /// Whether an op of this kind is done.
    pub(super) fn is_done(&self, kind: impl Fn(&Kind) -> bool) -> bool {
        self.any(kind, |state| state == OpState::Done)
    }

    /// Whether an op that applies scripts to a target has begun, and nobody knows how far it came: what it wrote can't
    /// be told from what others wrote.
    pub(super) fn writes_to(&self, target: &str) -> bool {
        let forward = self.program.forward.iter().flatten();
        let mut applies =
            forward.filter(|op| matches!(&op.kind, Kind::Apply { target: t, .. } if t == target));
        applies.any(|op| {
            let record = self.record().ops.get(&op.id);
            let open = |state| matches!(state, OpState::Intent | OpState::Unknown);
            record.is_some_and(|op| open(op.state) && op.untouched.is_some())
        })
    }

    /// Whether scripts may have been applied to a target.
    pub(super) fn applied_to(&self, target: &str) -> bool {
        self.touched(|kind| matches!(kind, Kind::Apply { target: t, .. } if t == target))
    }

    /// Whether the run itself has let a dependent in again.
    pub(super) fn let_in(&self) -> bool {
        let forward = self.program.forward.iter().flatten();
        forward.filter(|op| op.kind.lets_in()).any(|op| self.record().ops.contains_key(&op.id))
    }

    /// Whether the run still goes forward.
    pub(super) fn is_forward(&self) -> bool {
        self.record().direction == Direction::Forward
    }

    /// Whether the program is frozen, or may be.
    pub(super) fn frozen(&self) -> bool {
        self.touched(|kind| matches!(kind, Kind::Freeze))
    }

    fn any(&self, kind: impl Fn(&Kind) -> bool, state: impl Fn(OpState) -> bool) -> bool {
        let program = &self.program;
        let back = program.back.iter().chain(&program.resolve).flatten().map(|back| &back.op);
        program
            .forward
            .iter()
            .flatten()
            .chain(back)
            .filter(|op| kind(&op.kind))
            .any(|op| self.record().ops.get(&op.id).is_some_and(|op| state(op.state)))
    }

    /// Downtime runs from the first workload taken down to the last one given back.
    pub(super) fn mark_downtime(&mut self, kind: &Kind, now: Timestamp) {
        let status = &mut self.saved.status;
        match kind {
            Kind::Quiesce { .. } | Kind::StopServer { .. } if status.down_from.is_none() => {
                status.down_from = Some(Time(now))
            }
            Kind::GiveBack { .. } | Kind::Rollout(_) | Kind::RollBack { .. } | Kind::StartServer { .. }
                if status.down_from.is_some() =>
            {
                status.down_to = Some(Time(now));
            }
            Kind::Claim => status.claimed_at = Some(Time(now)),
            _ => {}
        }
    }

    /// Writes the intents. An op that already has one keeps its attempt: it may have happened.
    pub(super) fn intend(&mut self, ids: &[OpId], now: Timestamp) {
        let epoch = self.saved.status.epoch;
        for id in ids {
            let op = self.saved.status.ops.entry(id.clone()).or_insert_with(|| intent(now));
            if op.epoch != epoch || op.state != OpState::Intent {
                op.state = OpState::Intent;
                op.epoch = epoch;
                op.code = None;
                op.note = None;
                op.finished_at = None;
                self.dirty = true;
            }
        }
        if self.saved.status.outcome.is_some_and(|outcome| outcome == Outcome::Held) && self.reopens(ids) {
            self.saved.status.outcome = None;
            self.saved.status.failure = self.first_failure();
            self.saved.status.finished_at = None;
            self.dirty = true;
        }
    }

    /// What turned the run around, from its op: a failure on the way back stood in its place while the run was Held.
    fn first_failure(&self) -> Option<Failure> {
        let turned = self.record().turned_around.as_ref()?;
        let record = self.record().ops.get(&turned.op)?;
        let step = self.op(&turned.op).and_then(|op| op.step).unwrap_or_default();
        let (code, message) = (record.code.clone()?, record.note.clone()?);
        Some(Failure { step, class: turned.cause.clone(), code, message, ..Failure::default() })
    }

    /// Ops of the way back open a Held run again; those of `resolve` leave the outcome as it is.
    fn reopens(&self, ids: &[OpId]) -> bool {
        self.program.back.iter().flatten().any(|back| ids.contains(&back.op.id))
    }

    /// Writes an outcome.
    pub(super) fn settle(&mut self, id: &str, end: End, now: Timestamp) {
        let (state, failure, facts) = match end {
            End::Done(facts) => (OpState::Done, None, facts),
            End::Failed(failure, facts) => (OpState::Failed, Some(failure), facts),
            End::Unknown(failure) => (OpState::Unknown, Some(failure), Vec::new()),
            End::Learned(facts) => return self.learn_now(facts),
            End::Interrupted | End::Overtaken | End::Changed(_) | End::Fresh(_) => return,
        };
        let status = &mut self.saved.status;
        let Some(op) = status.ops.get_mut(id) else { return };
        op.state = state;
        op.finished_at = Some(Time(now));
        if let Some(failure) = failure {
            op.code = Some(failure.code.clone());
            op.note = Some(failure.message.clone());
            if failure.class == "NotQuiet" {
                status.quiet_is_broken(&failure.message);
            }
            // The first failure explains the run; what follows from it does not replace it. One on the way back
            // does: it is what a person must act on now.
            if status.failure.is_none() || status.direction == Direction::Back {
                status.failure = Some(failure);
            }
        }
        for fact in facts {
            status.learn(fact);
        }
        self.dirty = true;
    }

    /// Writes down what was learned outside an op.
    pub(super) fn learn_now(&mut self, facts: impl IntoIterator<Item = Fact>) {
        for fact in facts {
            self.saved.status.learn(fact);
            self.dirty = true;
        }
    }

    /// From here on the way back, for ever.
    pub(super) fn turn_around(&mut self, cause: &Cause, now: Timestamp) {
        let status = &mut self.saved.status;
        status.direction = Direction::Back;
        status.turned_around = Some(TurnedAround {
            op: match cause {
                Cause::Op(id) => id.clone(),
                _ => String::new(),
            },
            cause: cause.reason().to_owned(),
            at: Time(now),
        });
        self.dirty = true;
    }

    /// A run that is Held without a failure was stopped in the middle.
    pub(super) fn say_why_held(&mut self, outcome: Outcome) {
        if outcome != Outcome::Held || self.record().failure.is_some() {
            return;
        }
        self.saved.status.failure = Some(Failure {
            class: "Held".into(),
            code: STOPPED.into(),
            message:
                "the plan was deleted with onDelete: Stop after something was changed; it is left as it is"
                    .into(),
            ..Failure::default()
        });
        self.dirty = true;
    }

    /// The run has ended.
    pub(super) fn finish(&mut self, outcome: Outcome, now: Timestamp) {
        let status = &mut self.saved.status;
        if status.outcome == Some(outcome) {
            return;
        }
        status.outcome = Some(outcome);
        status.finished_at = Some(Time(now));
        self.dirty = true;
    }

    /// Begins or ends the wait that a decision means. Before the claim nothing is counted that a wait could add to.
    pub(super) fn count_wait(&mut self, decision: &Decision, now: Timestamp) {
        let whom = match decision {
            Decision::AwaitApproval(_) => Some(WaitFor::Approval),
            Decision::AwaitWindow(_) => Some(WaitFor::Window),
            Decision::Paused => Some(WaitFor::Pause),
            Decision::Perform(_) | Decision::TurnAround(_) | Decision::Finish(_) => None,
        };
        let status = &mut self.saved.status;
        let counts = status.claimed_at.is_some() && status.outcome.is_none();
        let open = status.waits.last_mut().filter(|wait| wait.to.is_none());
        if open.as_ref().map(|wait| wait.for_) == whom {
            return;
        }
        if let Some(wait) = open {
            wait.to = Some(Time(now));
            self.dirty = true;
        }
        if let Some(for_) = whom.filter(|_| counts) {
            status.waits.push(Wait { for_, from: Time(now), to: None });
            asked::keep_newest(&mut status.waits);
            self.dirty = true;
        }
    }

    /// Forgets what was done before Freeze: another program is walked from its first op.
    pub(super) fn restart(&mut self, program: Program) {
        self.program = Arc::new(program);
        self.saved.status.ops.clear();
        self.saved.status.originals.clear();
        self.saved.status.claimed_at = None;
        self.saved.status.waits.clear();
        self.dirty = true;
    }
}

/// The epoch of a record; it is never negative.
pub(super) fn epoch_of(status: &MigrationRunStatus) -> u64 {
    status.epoch.unsigned_abs()
}

fn intent(now: Timestamp) -> OpRecord {
    OpRecord {
        state: OpState::Intent,
        epoch: 0,
        attempt: 1,
        started_at: Some(Time(now)),
        finished_at: None,
        untouched: None,
        code: None,
        note: None,
    }
}

fn same_workload(a: &run::Original, b: &run::Original) -> bool {
    (&a.kind, &a.namespace, &a.name) == (&b.kind, &b.namespace, &b.name)
}

/// What the record learns.
trait Learn {
    fn learn(&mut self, fact: Fact);

    /// What broke the quiet first explains what follows from it.
    fn quiet_is_broken(&mut self, why: &str);
}

impl Learn for MigrationRunStatus {
    fn quiet_is_broken(&mut self, why: &str) {
        self.quiet_unbroken = Some(false);
        self.quiet_broken.get_or_insert_with(|| cut(why, WHY));
    }

    fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::Original(record) => {
                // Create-only: what was recorded first is how it was before the run.
                if !self.originals.iter().any(|known| same_workload(known, &record)) {
                    self.originals.push(record);
                }
            }
            Fact::Fingerprint(target, fingerprint) => {
                self.fingerprints.entry(target).or_insert(fingerprint);
            }
            Fact::WriteMark(target, mark) => {
                self.write_marks.insert(target, mark);
            }
            Fact::Backup(backup) => {
                self.backups.retain(|known| known.target != backup.target);
                self.backups.push(backup);
            }
            Fact::Proven(target, level) => {
                for backup in self.backups.iter_mut().filter(|known| known.target == target) {
                    backup.level = level;
                }
            }
            Fact::Untouched(op, untouched) => {
                if let Some(op) = self.ops.get_mut(&op) {
                    op.untouched = Some(untouched);
                }
            }
            Fact::QuietUnbroken => {
                self.quiet_unbroken.get_or_insert(true);
            }
            Fact::QuietBroken(why) => self.quiet_is_broken(&why),
            Fact::Watermark(mark) => {
                let same = |known: &Watermark| known.target == mark.target && known.history == mark.history;
                match self.watermarks.iter_mut().find(|known| same(known)) {
                    Some(known) => *known = mark,
                    None => self.watermarks.push(mark),
                }
            }
            Fact::RestoreTrial(target, why) => {
                self.restore_trials.insert(target, why);
            }
            Fact::Way(target, way) => {
                // Create-only: half undone and half restored is neither.
                self.ways_back.entry(target).or_insert(way);
            }
            Fact::Restored(restore) => {
                if !self.restores.iter().any(|known| known.target == restore.target) {
                    self.restores.push(restore);
                }
            }
            Fact::Inherited(of, originals) => {
                for (id, op) in of.ops {
                    self.ops.entry(id).or_insert(op);
                }
                self.originals = originals;
                self.backups = of.backups;
                self.quiet_unbroken = of.quiet_unbroken;
                self.quiet_broken = of.quiet_broken;
                self.write_marks = of.write_marks;
                self.fingerprints = of.fingerprints;
                self.restore_trials = of.restore_trials;
            }
            Fact::Approved(approval) => asked::keep_approval(self, approval),
            Fact::Took(verb) => asked::keep_verb(self, verb),
        }
    }
}

/// How a workload was before the run.
pub(super) fn original<'r>(record: &'r MigrationRunStatus, of: &WorkloadRef) -> Option<&'r run::Original> {
    record.originals.iter().find(|o| (o.kind, &o.namespace, &o.name) == (of.kind, &of.namespace, &of.name))
}
