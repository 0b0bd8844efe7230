//! Taking a run up: first driver, restart, new leader. Three things before any other op: the record gets a higher
//! epoch than anybody has seen, the run's own claims are rewritten with it, and every target's fence row is raised
//! before the first effect on it (that is `Engine::enter`).

use super::driver::{Driver, Ended};
use super::perform::claim::Rewritten;
use super::report::{Report, Waiting};
use super::salvage::{left_over, salvage};
use super::seam::{Clock, Cluster, ClusterError, Looked, Saved, Thawed, World};
use super::walk::Walk;
use crate::api::Outcome;
use crate::cluster::Holder;
use crate::program::{Cause, Decision, Kind, Program, next};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What there is to walk.
enum Found {
    /// The program.
    Program(Arc<Program>),
    /// Before Freeze, and there is nothing to do any more: this gives up what may be claimed.
    Superseded(Arc<Program>),
    /// The frozen one is gone; this is what the record still knows, and why.
    Broken(Arc<Program>, String),
}

impl<W: World> Driver<W> {
    /// Becomes the one driver of the run.
    pub(super) async fn take_up(&self) -> Result<Walk, Ended> {
        loop {
            let saved = self.load().await?;
            let ended = saved.status.outcome;
            if let Some(outcome) = ended.filter(|outcome| *outcome != Outcome::Held) {
                return Err(Ended::Finished(outcome));
            }
            let mut superseded = false;
            let (program, broken) = match self.program(&saved).await? {
                Found::Program(program) => (program, None),
                Found::Broken(program, why) => (program, Some(why)),
                Found::Superseded(program) => {
                    superseded = true;
                    (program, None)
                }
            };
            let mut walk = Walk { program, saved, dirty: false };
            // Held, and nobody said how to go on: not one write.
            if let Decision::Finish(outcome) = next(&walk.program, walk.record(), &self.signals())
                && ended == Some(outcome)
            {
                return Err(Ended::Finished(outcome));
            }
            self.raise_epoch(&mut walk).await?;
            if superseded && walk.is_forward() {
                walk.turn_around(&Cause::Superseded, self.clock().now());
                self.save(&mut walk).await?;
            }
            if let Some(why) = broken.filter(|_| ended.is_none()) {
                walk.break_off(&why, self.clock().now());
                self.save(&mut walk).await?;
                self.tell(&walk, None).await;
                return Err(Ended::Finished(Outcome::Held));
            }
            match self.rewrite_claims(&walk).await? {
                Rewritten::Ours => return Ok(walk),
                // A higher token was seen meanwhile: the epoch is too low, again from the start.
                Rewritten::HigherToken => continue,
            }
        }
    }

    /// The record, live, however long that takes.
    pub(super) async fn load(&self) -> Result<Saved, Ended> {
        let mut failures = 0;
        loop {
            match self.world.cluster().load().await {
                Ok(saved) => return Ok(saved),
                Err(ClusterError::Gone(_)) => return Err(Ended::Gone),
                Err(error) => {
                    tracing::warn!(%error, "the run's record can't be read");
                    self.retry_pause(&mut failures).await?;
                }
            }
        }
    }

    /// The frozen program, else what looking again compiles. Before Freeze nothing but claims has changed, so a
    /// program compiled again is as good as the first.
    async fn program(&self, saved: &Saved) -> Result<Found, Ended> {
        let mut failures = 0;
        loop {
            let (reason, message) = match self.find_program(saved).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(Looked::Program(program))) => return Ok(Found::Program(Arc::new(*program))),
                Ok(Err(Looked::NothingPending)) => {
                    let leases = self.world.cluster().leases();
                    return Ok(Found::Superseded(Arc::new(left_over(&saved.status, &leases))));
                }
                Ok(Err(Looked::Refused { reason, message })) => (reason, message),
                Err(ClusterError::Gone(_)) => return Err(Ended::Gone),
                Err(ClusterError::Forbidden(message)) => ("Forbidden".to_owned(), message),
                Err(error) => ("ProgressingWithRetry".to_owned(), error.to_string()),
            };
            tracing::info!(reason, message, "the program can't be had yet");
            let waiting = Some(Waiting::Look { reason, message });
            let report = Report {
                record: saved.status.clone(),
                program: None,
                doing: BTreeMap::new(),
                waiting,
                over_budget: false,
            };
            self.world.cluster().report(&report).await;
            self.retry_pause(&mut failures).await?;
        }
    }

    /// What is frozen, or what is left of it; before Freeze, what looking comes to.
    async fn find_program(&self, saved: &Saved) -> Result<Result<Found, Looked>, ClusterError> {
        match self.world.cluster().thaw().await? {
            Thawed::Program(program) => {
                let program = Arc::new(*program);
                self.keep_frozen(&program);
                Ok(Ok(Found::Program(program)))
            }
            Thawed::NotFrozen => self.world.cluster().look().await.map(Err),
            Thawed::OfAnotherVersion(message) => {
                Ok(Err(Looked::Refused { reason: "OperatorVersionSkew".into(), message }))
            }
            Thawed::Broken { why } => {
                let Some(program) = self.kept_frozen() else {
                    let left = Arc::new(salvage(&saved.status, &self.world.cluster().leases()));
                    return Ok(Ok(Found::Broken(left, why)));
                };
                tracing::warn!(why, "the frozen program is written again");
                if let Err(error) = self.world.cluster().freeze(&program).await {
                    tracing::warn!(%error, "it was not; the run goes on from memory");
                }
                Ok(Ok(Found::Program(program)))
            }
        }
    }

    /// epoch = max(record, tokens in the Leases of the targets) + 1, by compare-and-swap.
    async fn raise_epoch(&self, walk: &mut Walk) -> Result<(), Ended> {
        let mut failures = 0;
        let mut highest = walk.epoch().max(self.floor());
        for target in walk.program.targets.values() {
            loop {
                match self.world.cluster().token(&target.lease).await {
                    Ok(token) => break highest = highest.max(token),
                    Err(error) => {
                        tracing::warn!(%error, lease = target.lease, "the target's Lease can't be read");
                        self.retry_pause(&mut failures).await?;
                    }
                }
            }
        }
        walk.set_epoch(highest + 1);
        let now = self.clock().now();
        if walk.record().started_at.is_none() {
            walk.saved.status.started_at = Some(Time(now));
            walk.heed_begin(&self.signals(), now);
        }
        walk.dirty = true;
        self.save_first(walk).await
    }

    /// The first write of a new epoch. A conflict means that another driver takes the run up at the same time:
    /// whoever wrote first goes on.
    async fn save_first(&self, walk: &mut Walk) -> Result<(), Ended> {
        let mut failures = 0;
        loop {
            match self.world.cluster().save(&walk.saved.status, &walk.saved.version).await {
                Ok(version) => {
                    walk.saved.version = version;
                    walk.dirty = false;
                    return Ok(());
                }
                Err(ClusterError::Gone(_)) => return Err(Ended::Gone),
                Err(ClusterError::Lost(_)) => {
                    self.retry_pause(&mut failures).await?;
                    // With no answer nobody can say whose epoch this is, if the number in the record is mine: the
                    // next one can only be written by a driver that saw this one.
                    let mine = walk.epoch();
                    walk.saved = self.load().await?;
                    walk.set_epoch(walk.epoch().max(mine) + 1);
                }
                Err(error) => {
                    tracing::info!(%error, "another driver took the run up first");
                    return Err(Ended::Overtaken);
                }
            }
        }
    }

    /// What this driver writes as the holder of claims.
    pub(super) fn holder(&self, walk: &Walk) -> Holder {
        Holder { plan_uid: self.run.plan_uid.clone(), run: self.run.number, epoch: walk.epoch() }
    }

    /// Rewrites the run's own entries with the new epoch, where it holds claims.
    async fn rewrite_claims(&self, walk: &Walk) -> Result<Rewritten, Ended> {
        let claimed = walk.touched(|kind| matches!(kind, Kind::Claim));
        let released = walk.is_done(|kind| matches!(kind, Kind::Release));
        if !claimed || released { Ok(Rewritten::Ours) } else { self.rewrite(walk).await }
    }
}
