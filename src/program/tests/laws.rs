//! What must hold in every state of every run, whatever people ask and however ops end.

use super::super::next::{changed, holds, touched};
use super::super::{BackOp, Cause, Decision, Exit, Kind, Op, OpId, Signals};
use super::world::{Mark, State, World};
use crate::api::Outcome;
use crate::api::plan::OnWindowClose;
use crate::api::run::MigrationRunStatus as Record;

/// One state, and what is decided there.
pub(super) struct Case<'a> {
    pub(super) world: &'a World,
    pub(super) state: &'a State,
    pub(super) record: &'a Record,
    pub(super) signals: &'a Signals,
    pub(super) decision: &'a Decision,
}

impl Case<'_> {
    /// Panics with the case when a law is broken.
    pub(super) fn check(&self) {
        match self.decision {
            Decision::Perform(ids) => self.performs(ids),
            Decision::TurnAround(cause) => self.turns(cause),
            Decision::Finish(outcome) => self.finishes(*outcome),
            Decision::AwaitApproval(_) | Decision::AwaitWindow(_) | Decision::Paused => {
                self.law(!self.ended(), "an ended run waits")
            }
        }
        let asked = self.signals.abort || self.signals.deleted;
        if asked && !self.back() && !self.ended() && !self.almost_done() {
            let turns = matches!(self.decision, Decision::TurnAround(_));
            self.law(turns, "abort and delete turn a run around at once");
        }
    }

    fn law(&self, holds: bool, what: &str) {
        let Self { record, signals, decision, .. } = self;
        assert!(holds, "{what}\ndecided: {decision:?}\nsignals: {signals:?}\nrecord: {record:#?}");
    }

    fn performs(&self, ids: &[OpId]) {
        self.law(!ids.is_empty(), "something is performed");
        let all = |mark: Mark| ids.iter().all(|id| self.mark(id) == mark);
        self.law(!ids.iter().any(|id| self.mark(id) == Mark::Unknown), "Unknown is never tried again");
        self.law(!ids.iter().any(|id| self.is_done(id)), "what is done is not done again");
        self.law(!self.released(), "a run that gave up its claims acts no more");
        let program = &self.world.program;
        if let Some(group) =
            program.forward.iter().position(|group| group.iter().any(|op| ids.contains(&op.id)))
        {
            self.law(!self.back() && !self.ended(), "turned around is forever");
            self.law(!self.signals.paused, "a paused run begins nothing");
            self.law(ids.iter().all(|id| self.fresh(id)), "what failed is not tried again");
            self.law(ids.iter().all(|id| program.forward[group].iter().any(|op| op.id == *id)), "one group");
            let before = program.forward[..group].iter().flatten();
            self.law(before.clone().all(|op| self.is_done(&op.id)), "never n+1 before n");
            self.forward(ids);
            self.in_the_window(ids);
        } else if let Some(group) = self.group(&program.back, ids) {
            self.law(self.back(), "the way back is walked by runs that turned around");
            self.law(
                ids.iter().all(|id| self.needed(&program.back, id)),
                "only what is needed is taken back",
            );
            let before = program.back[..group].iter().flatten().filter(|back| holds(&back.when, self.record));
            self.law(
                before.clone().all(|back| self.is_done(&back.op.id)),
                "never n+1 before n on the way back",
            );
            let restored = |id: &OpId| matches!(self.world.op(id).kind, Kind::Restore { .. });
            let undone = |back: &&BackOp| matches!(back.op.kind, Kind::Undo { .. });
            let both = ids.iter().any(restored) && before.clone().any(|back| undone(&back));
            self.law(!both, "what is undone is not restored, nor the other way around");
            let reopened = all(Mark::DataLoss) && self.signals.accept_data_loss;
            self.law(reopened || !self.ended(), "Held is left by a person only");
            self.law(reopened || ids.iter().all(|id| self.fresh(id)), "what failed is not tried again");
        } else {
            self.law(self.group(&program.resolve, ids).is_some(), "one group of one way");
            self.law(self.state.outcome == Some(Outcome::Held), "resolve and abandon are for Held");
            self.law(self.signals.exit.is_some(), "a person says how Held ends");
            let release = ids.iter().all(|id| self.world.op(id).kind == Kind::Release);
            self.law(self.signals.exit != Some(Exit::Abandon) || release, "abandon releases only");
        }
    }

    /// What stands in the way of the ops of the way forward.
    fn forward(&self, ids: &[OpId]) {
        let forward = || self.world.program.forward.iter().flatten();
        let done = |of: fn(&Kind) -> bool| forward().filter(|op| of(&op.kind)).all(|op| self.is_done(&op.id));
        for op in ids.iter().map(|id| self.world.op(id)) {
            if matches!(op.kind, Kind::Quiesce { .. } | Kind::StopServer { .. }) || op.kind.changes() {
                self.law(
                    done(|kind| matches!(kind, Kind::Claim | Kind::Freeze)),
                    "nothing changes before Freeze",
                );
            }
            if let Kind::Apply { .. } = op.kind {
                let silence = |kind: &Kind| matches!(kind, Kind::Quiesce { .. } | Kind::ProveQuiet { .. });
                let backup = |kind: &Kind| matches!(kind, Kind::Backup { .. } | Kind::VerifyBackup { .. });
                self.law(done(silence), "scripts run in silence");
                self.law(done(backup), "scripts run over verified backups");
                let starts = |kind: &Kind| matches!(kind, Kind::StartServer { .. });
                self.law(done(starts), "scripts run on servers that were started again");
                let let_in = forward().filter(|op| op.kind.lets_in()).any(|op| touched(self.record, &op.id));
                self.law(!let_in, "no script runs once a dependent was let in");
            }
            if op.kind.lets_in() && forward().any(|op| op.kind == Kind::MarkWrites) {
                self.law(
                    done(|kind| *kind == Kind::MarkWrites),
                    "the write marks are taken before anybody is let in",
                );
            }
        }
        let calm = self.world.calm();
        let frozen = forward().any(|op| op.kind == Kind::Freeze && touched(self.record, &op.id));
        let gated = forward().any(|op| op.id == "approval");
        let passes = ids.iter().any(|id| self.after_approval(id));
        if gated && passes && !frozen {
            let approved = self.signals.approved.get("") == calm.approved.get("");
            self.law(approved, "until Freeze the approval must be for this program");
        }
    }

    /// What a closed window lets through on the way forward.
    fn in_the_window(&self, ids: &[OpId]) {
        let Some(closed) = &self.signals.closed else { return };
        let forward = || self.world.program.forward.iter().flatten();
        let place = |of: &str| forward().position(|op| op.id == of);
        let frozen = forward().any(|op| op.kind == Kind::Freeze && touched(self.record, &op.id));
        let ops = || ids.iter().map(|id| self.world.op(id));
        if !frozen {
            let past = |id: &OpId| place("window").is_some() && place(id) >= place("window");
            self.law(!ids.iter().any(past), "until Freeze nothing passes the gate of a closed window");
        } else if closed.then == OnWindowClose::Pause {
            let may = ops().all(|op| matches!(op.kind, Kind::Gate(_) | Kind::Release));
            self.law(may, "Pause: nothing happens outside a window but a person's answer and the end");
        } else if closed.then == OnWindowClose::FinishStep {
            let begins = ids.iter().all(|id| self.mark(id) == Mark::Untouched);
            let step = ops().any(|op| op.step.is_some() && !matches!(op.kind, Kind::Gate(_)));
            self.law(!(begins && step), "FinishStep: no step begins outside a window");
            let quiesce = |op: &Op| matches!(op.kind, Kind::Quiesce { .. });
            let down = forward().any(|op| quiesce(op) && touched(self.record, &op.id));
            self.law(down || !ops().any(quiesce), "FinishStep: nobody is taken down outside a window");
        }
    }

    fn after_approval(&self, id: &str) -> bool {
        let place = |of: &str| self.world.program.forward.iter().flatten().position(|op| op.id == of);
        place(id) >= place("approval")
    }

    fn turns(&self, cause: &Cause) {
        self.law(!self.back() && !self.ended(), "a run turns around once");
        if let Cause::Op(id) = cause {
            self.law(
                matches!(self.mark(id), Mark::Failed | Mark::DataLoss | Mark::Unknown),
                "an op that failed",
            );
        }
        if *cause == Cause::Superseded {
            let forward = self.world.program.forward.iter().flatten();
            let mut freeze = forward.filter(|op| op.kind == Kind::Freeze);
            self.law(
                !freeze.any(|op| touched(self.record, &op.id)),
                "an edit after Freeze is for the next run",
            );
        }
        if *cause == Cause::Budget {
            let forward = self.world.program.forward.iter().flatten();
            let mut applies = forward.filter(|op| matches!(op.kind, Kind::Apply { .. }));
            self.law(
                !applies.any(|op| touched(self.record, &op.id)),
                "maxDowntime only stops what changed nothing",
            );
        }
    }

    fn finishes(&self, outcome: Outcome) {
        if let Some(before) = self.state.outcome {
            self.law(before == outcome, "an ended run keeps its outcome");
            return;
        }
        let (program, record) = (&self.world.program, self.record);
        let way_back = || program.back.iter().flatten().filter(|back| holds(&back.when, record));
        let all_back = way_back().all(|back| self.is_done(&back.op.id));
        match outcome {
            Outcome::Succeeded => {
                let all = program.forward.iter().flatten().all(|op| self.is_done(&op.id));
                self.law(all && !self.back(), "Succeeded is said when everything is done");
            }
            Outcome::RolledBack => {
                self.law(all_back && changed(program, record), "RolledBack: changed, and back")
            }
            Outcome::Aborted | Outcome::Superseded => {
                self.law(all_back && !changed(program, record), "nothing was changed, and all is given back");
            }
            Outcome::Held => {
                let failed = way_back().any(|back| !self.fresh(&back.op.id) && !self.is_done(&back.op.id));
                let stopped = self.signals.stopped && changed(program, record) && !self.back();
                self.law(
                    stopped || failed && self.back(),
                    "Held: the way back could not complete, or nobody wants it to be walked",
                );
            }
        }
    }

    fn mark(&self, id: &str) -> Mark {
        self.world.mark(self.state, id)
    }

    fn is_done(&self, id: &str) -> bool {
        matches!(self.mark(id), Mark::Done | Mark::Restore)
    }

    fn fresh(&self, id: &str) -> bool {
        matches!(self.mark(id), Mark::Untouched | Mark::Intent)
    }

    fn back(&self) -> bool {
        self.record.turned_around.is_some()
    }

    fn ended(&self) -> bool {
        self.state.outcome.is_some()
    }

    fn released(&self) -> bool {
        let program = &self.world.program;
        let other = program.back.iter().chain(&program.resolve).flatten().map(|back| &back.op);
        let mut all = program.forward.iter().flatten().chain(other);
        all.any(|op| op.kind == Kind::Release && self.is_done(&op.id))
    }

    /// Only giving up the claims is left.
    fn almost_done(&self) -> bool {
        let mut forward = self.world.program.forward.iter().flatten();
        forward.all(|op| op.kind == Kind::Release || self.is_done(&op.id))
    }

    fn group(&self, way: &[Vec<BackOp>], ids: &[OpId]) -> Option<usize> {
        way.iter().position(|group| ids.iter().all(|id| group.iter().any(|back| back.op.id == *id)))
    }

    fn needed(&self, way: &[Vec<BackOp>], id: &str) -> bool {
        way.iter().flatten().any(|back| back.op.id == id && holds(&back.when, self.record))
    }
}
