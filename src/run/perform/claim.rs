//! Claim and Release: all or nothing, each entry by compare-and-swap, in one order for every run.

use super::super::driver::{Driver, Ended};
use super::super::patience::pause;
use super::super::report::Waiting;
use super::super::seam::{Cluster, ClusterError, WorkloadChange, World};
use super::super::walk::{Fact, Walk};
use super::Stop;
use super::call::{Facts, watermarks};
use crate::cluster::Holder;
use crate::engine::{Claim, Engine, EngineError, Session};
use crate::program::{Kind, Op, WorkloadRef, WorkloadSeen};

/// How often a target that this run has not changed is asked to forget its claim: a minute of an outage, not more,
/// since services wait for nothing but this.
const RELEASE_TRIES: u32 = 10;

/// What rewriting our entries with a new epoch came to.
pub(in crate::run) enum Rewritten {
    /// Every entry that was ours carries the new epoch.
    Ours,
    /// Somebody has a higher token.
    HigherToken,
}

/// Why one entry could not be had.
enum NotHad {
    Foreign(String),
    Overtaken,
    Trouble(ClusterError),
}

impl From<ClusterError> for NotHad {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Held(holder) => NotHad::Foreign(holder),
            ClusterError::Newer(_) => NotHad::Overtaken,
            other => NotHad::Trouble(other),
        }
    }
}

impl<W: World> Driver<W> {
    /// Leases, then workloads, then fence rows, each in sorted order. A foreign holder: what was taken is given up,
    /// and the run queues.
    pub(super) async fn claim(&self, walk: &Walk, op: &Op) -> Facts {
        let (mut failures, mut tries) = (0, 0);
        loop {
            self.boundary(walk, op)?;
            match self.try_claim(walk, op).await? {
                Ok(facts) => return Ok(facts),
                Err(NotHad::Foreign(holder)) => {
                    self.give_up_claims(walk).await?;
                    self.tell(walk, Some(Waiting::Queued(holder))).await;
                    tries += 1;
                    self.until_changed(pause(tries)).await;
                }
                Err(NotHad::Overtaken) => return Err(Stop::Overtaken),
                Err(NotHad::Trouble(error)) => self.wait_out(op, error, &mut failures).await?,
            }
        }
    }

    async fn try_claim(&self, walk: &Walk, op: &Op) -> Result<Result<Vec<Fact>, NotHad>, Stop> {
        let me = self.holder(walk);
        for target in walk.program.targets.values() {
            if let Err(error) = self.world.cluster().take_lease(&target.lease, &me).await {
                return Ok(Err(error.into()));
            }
        }
        let mut facts = Vec::new();
        for workload in &walk.program.workloads {
            match self.claim_workload(workload, &me).await {
                Ok(fact) => facts.push(fact),
                Err(not_had) => return Ok(Err(not_had)),
            }
        }
        for target in walk.program.targets.keys() {
            let engine = self.engine(op, target)?;
            match engine.enter(&self.fence(walk, target)).await {
                Ok(session) => {
                    facts.extend(watermarks(&session, target));
                    self.leave(session, Claim::Keep).await;
                }
                Err(EngineError::Claimed { holder, .. }) => return Ok(Err(NotHad::Foreign(holder))),
                Err(EngineError::Overtaken { token, .. }) => return Err(self.overtaken(token)),
                Err(error) => {
                    let mut failures = 0;
                    self.wait_out_engine(walk, op, error, &mut failures).await?;
                    return Ok(Err(NotHad::Trouble(ClusterError::Lost("the target".into()))));
                }
            }
        }
        Ok(Ok(facts))
    }

    async fn claim_workload(&self, of: &WorkloadRef, me: &Holder) -> Result<Fact, NotHad> {
        match self.world.cluster().claim(of, me).await {
            Ok(original) => Ok(Fact::Original(original)),
            Err(ClusterError::Held(holder)) => Err(NotHad::Foreign(format!("{holder} on {of}"))),
            Err(error) => Err(error.into()),
        }
    }

    /// Rewrites with a new epoch what this run holds; what it does not hold is left alone.
    pub(in crate::run) async fn rewrite(&self, walk: &Walk) -> Result<Rewritten, Ended> {
        let me = self.holder(walk);
        let mut failures = 0;
        loop {
            match self.try_rewrite(walk, &me).await {
                Ok(()) => return Ok(Rewritten::Ours),
                Err(NotHad::Overtaken) => return Ok(Rewritten::HigherToken),
                Err(NotHad::Foreign(holder)) => {
                    tracing::warn!(holder, "an entry of this run is held by another");
                    return Ok(Rewritten::Ours);
                }
                Err(NotHad::Trouble(error)) => {
                    tracing::debug!(%error, "rewriting the claims again");
                    self.retry_pause(&mut failures).await?;
                }
            }
        }
    }

    async fn try_rewrite(&self, walk: &Walk, me: &Holder) -> Result<(), NotHad> {
        for target in walk.program.targets.values() {
            match self.world.cluster().take_lease(&target.lease, me).await {
                // Not taken yet when the last driver died; Claim itself queues for it.
                Ok(()) | Err(ClusterError::Held(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for of in &walk.program.workloads {
            let seen = match self.world.cluster().workload(of).await {
                Err(ClusterError::Gone(_)) => continue,
                seen => seen?,
            };
            if let Whose::OursOfOld = whose(&seen, me)? {
                self.world.cluster().claim(of, me).await?;
            }
        }
        Ok(())
    }

    /// The last op: every claim is given up, newest first.
    pub(super) async fn release(&self, walk: &Walk, op: &Op) -> Facts {
        let mut failures = 0;
        for target in walk.program.targets.keys() {
            // Who abandons a run whose restore failed finds the server as it is; the claim in its files is of a run that is
            // over, and the sweeper's to free once the server answers.
            if self.is_stopped(walk, op, target).await? {
                tracing::warn!(target, "its server is stopped: the fence row keeps this run's claim");
                continue;
            }
            self.release_fence(walk, op, target, &mut failures).await?;
        }
        self.give_up_claims(walk).await?;
        Ok(Vec::new())
    }

    /// Gives the claim in the fence row up. A target that stays away and that this run has not changed does not keep
    /// workloads claimed for ever.
    async fn release_fence(
        &self,
        walk: &Walk,
        op: &Op,
        target: &str,
        failures: &mut u32,
    ) -> Result<(), Stop> {
        let engine = self.engine(op, target)?;
        let fence = self.fence(walk, target);
        let changed = walk.applied_to(target);
        loop {
            if self.stopping() {
                return Err(Stop::Interrupted);
            }
            match engine.enter(&fence).await {
                // A claim that may still be there is given up again, until an answer says that it is gone.
                Ok(session) => match session.leave(Claim::GiveUp).await {
                    Ok(()) => return Ok(()),
                    Err(error) => self.wait_out_engine(walk, op, error, failures).await?,
                },
                Err(EngineError::Overtaken { token, .. }) => return Err(self.overtaken(token)),
                // Never ours, or given up already.
                Err(EngineError::Claimed { .. }) => return Ok(()),
                Err(error) if !changed && *failures >= RELEASE_TRIES => {
                    tracing::warn!(target, %error, "the fence row keeps a claim of a run that changed nothing");
                    return Ok(());
                }
                Err(error) => self.wait_out_engine(walk, op, error, failures).await?,
            }
        }
    }

    /// Gives up everything before Freeze, as Release would: who waits at a gate keeps nobody else waiting.
    pub(in crate::run) async fn give_up_all(&self, walk: &Walk) -> Result<(), Ended> {
        let mut forward = walk.program.forward.iter().flatten();
        let Some(release) = forward.find(|op| op.kind == Kind::Release) else { return Ok(()) };
        match self.release(walk, release).await {
            Ok(_) => Ok(()),
            Err(Stop::Interrupted) => Err(Ended::Stopped),
            Err(Stop::Overtaken) => Err(Ended::Overtaken),
            // A target that can't be entered keeps a claim that this run rewrites when it claims again.
            Err(Stop::Failed(_) | Stop::FailedKnowing(..) | Stop::Learned(_) | Stop::Unknown(_)) => {
                self.give_up_claims(walk).await
            }
        }
    }

    /// Gives up what the cluster holds for this run: workloads, then Leases.
    pub(in crate::run) async fn give_up_claims(&self, walk: &Walk) -> Result<(), Ended> {
        let me = self.holder(walk);
        let mut failures = 0;
        loop {
            match self.try_give_up(walk, &me).await {
                Ok(()) => return Ok(()),
                Err(NotHad::Overtaken) => return Err(Ended::Overtaken),
                Err(NotHad::Foreign(_)) => return Ok(()),
                Err(NotHad::Trouble(error)) => {
                    tracing::debug!(%error, "giving the claims up again");
                    self.retry_pause(&mut failures).await?;
                }
            }
        }
    }

    async fn try_give_up(&self, walk: &Walk, me: &Holder) -> Result<(), NotHad> {
        for of in walk.program.workloads.iter().rev() {
            let seen = match self.world.cluster().workload(of).await {
                Err(ClusterError::Gone(_)) => continue,
                seen => seen?,
            };
            if matches!(whose(&seen, me)?, Whose::Ours | Whose::OursOfOld) {
                self.world.cluster().change(&seen, me, &WorkloadChange::Release).await?;
            }
        }
        for target in walk.program.targets.values().rev() {
            match self.world.cluster().drop_lease(&target.lease, me).await {
                Ok(()) | Err(ClusterError::Held(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A workload under our claim, read live: nothing is written to any other.
    pub(super) async fn claimed(&self, walk: &Walk, of: &WorkloadRef) -> Result<WorkloadSeen, ClaimedError> {
        let me = self.holder(walk);
        let seen = self.world.cluster().workload(of).await.map_err(ClaimedError::Cluster)?;
        match whose(&seen, &me) {
            Ok(Whose::Ours) => Ok(seen),
            Ok(Whose::OursOfOld) => {
                // Taking up rewrote every entry; an old one came back with somebody's stale write.
                self.world.cluster().claim(of, &me).await.map_err(ClaimedError::Cluster)?;
                Err(ClaimedError::Cluster(ClusterError::Stale))
            }
            Ok(Whose::Nobody) => Err(ClaimedError::Lost("somebody removed its claim".into())),
            Ok(Whose::Foreign(holder)) => Err(ClaimedError::Lost(format!("it is held by {holder}"))),
            Err(_) => Err(ClaimedError::Overtaken),
        }
    }
}

/// Why a workload may not be written to.
pub(super) enum ClaimedError {
    Cluster(ClusterError),
    Lost(String),
    Overtaken,
}

enum Whose {
    Nobody,
    Ours,
    OursOfOld,
    Foreign(String),
}

/// Whose a workload is. A higher epoch of our own run means that this driver is not the driver any more.
fn whose(seen: &WorkloadSeen, me: &Holder) -> Result<Whose, NotHad> {
    let Some(text) = &seen.claimed_by else { return Ok(Whose::Nobody) };
    match text.parse::<Holder>() {
        Ok(holder) if holder == *me => Ok(Whose::Ours),
        Ok(holder) if holder.is_same_run(me) && holder.epoch > me.epoch => Err(NotHad::Overtaken),
        Ok(holder) if holder.is_same_run(me) => Ok(Whose::OursOfOld),
        _ => Ok(Whose::Foreign(text.clone())),
    }
}
