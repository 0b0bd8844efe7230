//! Taking a run up: first driver, restart, new leader. Three things before any other op: the record gets a higher
//! epoch than anybody has seen, the run's own claims are rewritten with it, and every target's fence row is raised
//! before the first effect on it (that is `Engine::enter`).

use super::driver::{Driver, Ended};
use super::perform::claim::Rewritten;
use super::report::{Report, Waiting};
use super::seam::{Clock, Cluster, ClusterError, Looked, Saved, World};
use super::walk::Walk;
use crate::api::Outcome;
use crate::cluster::Holder;
use crate::program::{Decision, Kind, Program, next};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

impl<W: World> Driver<W> {
    /// Becomes the one driver of the run.
    pub(super) async fn take_up(&self) -> Result<Walk, Ended> {
        loop {
            let saved = self.load().await?;
            let ended = saved.status.outcome;
            if let Some(outcome) = ended.filter(|outcome| *outcome != Outcome::Held) {
                return Err(Ended::Finished(outcome));
            }
            let program = self.program(&saved).await?;
            let mut walk = Walk { program: Arc::new(program), saved, dirty: false };
            // Held, and nobody said how to go on: not one write.
            if let Decision::Finish(outcome) = next(&walk.program, walk.record(), &self.signals())
                && ended == Some(outcome)
            {
                return Err(Ended::Finished(outcome));
            }
            self.raise_epoch(&mut walk).await?;
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
    async fn program(&self, saved: &Saved) -> Result<Program, Ended> {
        let mut failures = 0;
        loop {
            match self.find_program().await {
                Ok(Looked::Program(program)) => return Ok(*program),
                Ok(Looked::NothingPending) if saved.status.ops.is_empty() => {
                    return Err(Ended::Finished(Outcome::Superseded));
                }
                Ok(Looked::NothingPending) => {
                    tracing::info!("nothing is pending any more, but claims are held: waiting for a program");
                }
                Ok(Looked::Refused { reason, message }) => {
                    let waiting = Some(Waiting::Look { reason, message });
                    let report = Report {
                        record: saved.status.clone(),
                        program: None,
                        doing: BTreeMap::new(),
                        waiting,
                    };
                    self.world.cluster().report(&report).await;
                }
                Err(ClusterError::Gone(_)) => return Err(Ended::Gone),
                Err(error) => tracing::warn!(%error, "the program can't be had"),
            }
            self.retry_pause(&mut failures).await?;
        }
    }

    async fn find_program(&self) -> Result<Looked, ClusterError> {
        match self.world.cluster().thaw().await? {
            Some(program) => Ok(Looked::Program(Box::new(program))),
            None => self.world.cluster().look().await,
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
            walk.heed_retry(&self.signals(), now);
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
