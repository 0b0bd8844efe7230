//! The loop: decide, write down, do, write down.

use super::patience::{GATE_LOOK, LOOK, LOOK_ANYWAY, pause};
use super::report::{Doing, Report, Waiting};
use super::seam::{Clock, Cluster, ClusterError, Looked, World};
use super::walk::{End, Walk, epoch_of};
use crate::api::Outcome;
use crate::api::run::OpState;
use crate::program::{Cause, Decision, Kind, Op, OpId, Program, Signals, next};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Which run a driver drives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRef {
    /// The namespace of plan and run.
    pub namespace: String,
    /// The plan's name.
    pub plan: String,
    /// The plan's uid.
    pub plan_uid: String,
    /// The run's number.
    pub number: u64,
    /// The run object's uid: a re-created run is another run, in the targets too.
    pub uid: String,
    /// The uid of the cluster (of its kube-system namespace): two clusters may name one database.
    pub cluster: String,
}

/// Why a driver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The run has this outcome, and it is written.
    Finished(Outcome),
    /// Told to stop: another driver takes the run up.
    Stopped,
    /// A higher epoch has the run.
    Overtaken,
    /// The run's record is gone.
    Gone,
}

/// The driver of one run.
pub struct Driver<W: World> {
    pub(super) world: Arc<W>,
    pub(super) run: RunRef,
    signals: watch::Receiver<Signals>,
    stop: CancellationToken,
    doing: Mutex<BTreeMap<OpId, Doing>>,
    /// The highest token that a target answered us with: the next epoch must be above it.
    floor: AtomicU64,
    /// The epoch that this driver wrote last.
    mine: AtomicU64,
    /// The frozen program, once it was seen: its parts in the cluster may be removed while this driver still has it.
    frozen: Mutex<Option<Arc<Program>>>,
}

impl<W: World> Driver<W> {
    /// A driver for one run. `stop` ends it between two effects: on SIGTERM, and on lease loss.
    pub fn new(
        world: Arc<W>,
        run: RunRef,
        signals: watch::Receiver<Signals>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            world,
            run,
            signals,
            stop,
            doing: Mutex::default(),
            floor: AtomicU64::new(0),
            mine: AtomicU64::new(0),
            frozen: Mutex::default(),
        }
    }

    /// Drives the run until it has an outcome, or until another driver must go on.
    pub async fn drive(&self) -> Ended {
        loop {
            match self.drive_once().await {
                // A target knows a higher token than the record does (another cluster, an etcd that was restored):
                // the run is taken up again above it, unless another driver of this run is the one who has it.
                Ended::Overtaken if !self.stopping() && self.still_mine().await => {}
                ended => return ended,
            }
        }
    }

    async fn drive_once(&self) -> Ended {
        let mut walk = match self.take_up().await {
            Ok(walk) => walk,
            Err(ended) => return ended,
        };
        self.mine.store(walk.epoch(), Ordering::Relaxed);
        loop {
            if let Err(ended) = self.round(&mut walk).await {
                return ended;
            }
        }
    }

    /// Whether the record still carries the epoch that this driver wrote last.
    async fn still_mine(&self) -> bool {
        let mine = self.mine.load(Ordering::Relaxed);
        mine != 0 && self.load().await.is_ok_and(|saved| epoch_of(&saved.status) == mine)
    }

    /// A target answered with this token.
    pub(super) fn saw_token(&self, token: u64) {
        self.floor.fetch_max(token, Ordering::Relaxed);
    }

    /// The highest token that any target answered with.
    pub(super) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Relaxed)
    }

    /// One decision and what follows from it.
    async fn round(&self, walk: &mut Walk) -> Result<(), Ended> {
        if self.stop.is_cancelled() {
            return Err(Ended::Stopped);
        }
        let now = self.clock().now();
        let signals = self.signals();
        let decision = next(&walk.program, walk.record(), &signals);
        walk.heed(&decision, &signals, now);
        walk.count_wait(&decision, now);
        match decision {
            Decision::Perform(ids) => {
                walk.intend(&ids, now);
                self.save(walk).await?;
                self.perform_all(walk, &ids).await
            }
            Decision::AwaitApproval(gate) => {
                self.back_to_the_gate(walk).await?;
                self.wait(walk, Waiting::Approval(gate)).await
            }
            Decision::AwaitWindow(opens) => {
                self.back_to_the_gate(walk).await?;
                self.wait(walk, Waiting::Window(opens)).await
            }
            Decision::Paused => self.wait(walk, Waiting::Paused).await,
            Decision::TurnAround(cause) => {
                walk.turn_around(&cause, now);
                self.save(walk).await
            }
            Decision::Finish(outcome) => {
                walk.say_why_held(outcome);
                walk.finish(outcome, now);
                self.save(walk).await?;
                self.tell(walk, None).await;
                Err(Ended::Finished(outcome))
            }
        }
    }

    /// Performs a group side by side and settles its outcomes in one go; the next write carries them.
    async fn perform_all(&self, walk: &mut Walk, ids: &[OpId]) -> Result<(), Ended> {
        self.tell(walk, None).await;
        let ops: Vec<Op> = ids.iter().filter_map(|id| walk.op(id)).collect();
        let ends = {
            let walk = &*walk;
            futures::future::join_all(ops.iter().map(|op| self.perform(walk, op))).await
        };
        self.lock_doing().clear();
        let now = self.clock().now();
        for (op, end) in ops.iter().zip(ends) {
            match end {
                End::Overtaken => return Err(Ended::Overtaken),
                End::Changed(program) => self.compile_again(walk, program).await?,
                End::Fresh(program) => {
                    walk.program = Arc::new(*program);
                    walk.settle(&op.id, End::Done(Vec::new()), now);
                }
                end => {
                    walk.settle(&op.id, end, now);
                    walk.mark_downtime(&op.kind, now);
                }
            }
        }
        self.pause_in_held(walk, ids).await
    }

    /// What `resolve` could not do is tried again for as long as a person wants it, but not as fast as we can.
    async fn pause_in_held(&self, walk: &mut Walk, ids: &[OpId]) -> Result<(), Ended> {
        let failed = |id: &OpId| walk.record().ops.get(id).is_some_and(|op| op.state == OpState::Failed);
        if walk.record().outcome != Some(Outcome::Held) || !ids.iter().any(failed) {
            return Ok(());
        }
        self.save(walk).await?;
        self.tell(walk, None).await;
        self.until_changed(GATE_LOOK).await;
        Ok(())
    }

    /// A gate that closed again while claims were held: the window did, or what was compiled when the run was taken up is
    /// another program than was approved. Nobody else shall wait for a gate.
    async fn back_to_the_gate(&self, walk: &mut Walk) -> Result<(), Ended> {
        if walk.frozen() || !walk.touched(|kind| matches!(kind, Kind::Claim)) {
            return Ok(());
        }
        self.give_up_all(walk).await?;
        walk.restart(Program::clone(&walk.program));
        self.save(walk).await
    }

    /// Recheck saw another program: the claims are given up, and the gate asks again for the new one.
    async fn compile_again(&self, walk: &mut Walk, program: Option<Box<Program>>) -> Result<(), Ended> {
        self.give_up_all(walk).await?;
        match program {
            Some(program) => walk.restart(*program),
            None => walk.turn_around(&Cause::Superseded, self.clock().now()),
        }
        self.save(walk).await
    }

    /// Waits for a person. A plan that waits before Freeze looks again from time to time: what was compiled may
    /// have become old, and nobody should approve what would not run.
    async fn wait(&self, walk: &mut Walk, waiting: Waiting) -> Result<(), Ended> {
        self.save(walk).await?;
        self.tell(walk, Some(waiting)).await;
        self.until_changed(GATE_LOOK).await;
        let frozen = walk.frozen();
        let claimed = walk.touched(|kind| matches!(kind, Kind::Claim));
        if frozen || claimed || self.stop.is_cancelled() {
            return Ok(());
        }
        match self.world.cluster().look().await {
            Ok(Looked::Program(program)) if program.plan_hash != walk.program.plan_hash => {
                walk.restart(*program)
            }
            Ok(Looked::NothingPending) => walk.turn_around(&Cause::Superseded, self.clock().now()),
            // What can't be looked at now is looked at again at Recheck, under the claim.
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    /// Writes the record, if it has changes. On a conflict: is the epoch still mine? Else stop.
    pub(super) async fn save(&self, walk: &mut Walk) -> Result<(), Ended> {
        let mut failures = 0;
        while walk.dirty {
            match self.world.cluster().save(&walk.saved.status, &walk.saved.version).await {
                Ok(version) => {
                    walk.saved.version = version;
                    walk.dirty = false;
                }
                Err(ClusterError::Gone(_)) => return Err(Ended::Gone),
                Err(error) => {
                    tracing::debug!(%error, "the record was not written; reading it again");
                    self.retry_pause(&mut failures).await?;
                    self.refresh(walk, &mut failures).await?;
                }
            }
        }
        Ok(())
    }

    /// Reads the record after a write whose answer was a conflict, or none. Only its driver writes its status, so
    /// with my epoch in it either my write is there or the one before it.
    async fn refresh(&self, walk: &mut Walk, failures: &mut u32) -> Result<(), Ended> {
        loop {
            match self.world.cluster().load().await {
                Ok(live) if live.status.epoch > walk.record().epoch => return Err(Ended::Overtaken),
                Ok(live) => {
                    walk.dirty = live.status != walk.saved.status;
                    walk.saved.version = live.version;
                    return Ok(());
                }
                Err(ClusterError::Gone(_)) => return Err(Ended::Gone),
                Err(_) => self.retry_pause(failures).await?,
            }
        }
    }

    /// A pause that grows with the failures in a row, and ends early when the driver is told to stop.
    pub(super) async fn retry_pause(&self, failures: &mut u32) -> Result<(), Ended> {
        *failures += 1;
        self.until_changed(pause(*failures)).await;
        if self.stop.is_cancelled() { Err(Ended::Stopped) } else { Ok(()) }
    }

    /// Sleeps, but not through a signal or a stop.
    pub(super) async fn until_changed(&self, most: Duration) {
        let mut signals = self.signals.clone();
        signals.mark_unchanged();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            changed = signals.changed() => if changed.is_err() { self.clock().sleep(most).await },
            () = self.clock().sleep(most) => {}
        }
    }

    /// What to give to [`Self::until_moved`]: read before a look, so that what moves during it is not missed.
    pub(super) fn moves(&self) -> u64 {
        self.world.cluster().moves()
    }

    /// Waits until the next look at the cluster is worth it.
    pub(super) async fn until_moved(&self, since: u64) {
        tokio::select! {
            biased;
            () = self.until_changed(LOOK_ANYWAY) => {}
            () = self.world.cluster().moved(since) => {}
        }
    }

    /// The short sleep between two looks.
    pub(super) async fn look_again(&self) {
        self.until_changed(LOOK).await;
    }

    /// Whether an op should leave at its next boundary: the one decision function says something else now.
    pub(super) fn called_away(&self, walk: &Walk, op: &Op) -> bool {
        if self.stop.is_cancelled() {
            return true;
        }
        !matches!(next(&walk.program, walk.record(), &self.signals()), Decision::Perform(ids) if ids.contains(&op.id))
    }

    /// The signals as they are now.
    pub(super) fn signals(&self) -> Signals {
        self.signals.borrow().clone()
    }

    /// Whether the driver was told to stop.
    pub(super) fn stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The time.
    pub(super) fn clock(&self) -> &W::Clock {
        self.world.clock()
    }

    /// Tells people, once a run or an op changes what it does.
    pub(super) async fn tell(&self, walk: &Walk, waiting: Option<Waiting>) {
        let doing = self.lock_doing().clone();
        let over_budget = self.signals().downtime;
        let (record, program) = (walk.record().clone(), Some(walk.program.clone()));
        let report = Report { record, program, doing, waiting, over_budget };
        self.world.cluster().report(&report).await;
    }

    /// An op tells what it does; people are told when that changes.
    pub(super) async fn doing(&self, walk: &Walk, op: &Op, say: impl FnOnce(&mut Doing)) {
        let now = self.clock().now();
        let changed = {
            let mut all = self.lock_doing();
            let mine = all.entry(op.id.clone()).or_insert_with(|| Doing::since(now));
            let before = mine.clone();
            say(mine);
            if mine.blocked != before.blocked || mine.detail != before.detail {
                mine.since = now;
            }
            *mine != before
        };
        if changed {
            self.tell(walk, None).await;
        }
    }

    /// Keeps the frozen program in mind.
    pub(super) fn keep_frozen(&self, program: &Arc<Program>) {
        *self.frozen.lock().expect("no holder of this lock can panic") = Some(program.clone());
    }

    /// The frozen program, if this driver has seen it.
    pub(super) fn kept_frozen(&self) -> Option<Arc<Program>> {
        self.frozen.lock().expect("no holder of this lock can panic").clone()
    }

    fn lock_doing(&self) -> std::sync::MutexGuard<'_, BTreeMap<OpId, Doing>> {
        self.doing.lock().expect("no holder of this lock can panic")
    }
}
