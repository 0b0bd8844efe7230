//! Scaling dependents to zero, and giving them back.

use super::super::driver::Driver;
use super::super::patience::{PODS_GONE_WITHIN, WRITES_AT_ONCE, pause};
use super::super::seam::{Cluster, WorkloadChange, World};
use super::super::walk::{Fact, Walk, original};
use super::call::Facts;
use super::claim::ClaimedError;
use super::{Stop, failure};
use crate::api::run::Original;
use crate::engine::BlockedBy;
use crate::program::{Op, WorkloadRef, WorkloadSeen};

impl<W: World> Driver<W> {
    /// A dependent taken down.
    pub(super) async fn quiesce(&self, walk: &Walk, op: &Op, of: &WorkloadRef) -> Facts {
        let was_up = self.take_down(walk, op, of).await?;
        // On the way back, before anything was let in: somebody else brought it up.
        let broken = was_up && !walk.is_forward() && !walk.let_in();
        let broken = broken.then(|| Fact::QuietBroken(format!("{of} was brought up before its time")));
        Ok(broken.into_iter().collect())
    }

    /// To zero (a CronJob: suspended), and every pod seen gone: a Terminating one is still a writer. True: it was up.
    pub(super) async fn take_down(&self, walk: &Walk, op: &Op, of: &WorkloadRef) -> Result<bool, Stop> {
        let (mut failures, mut was_up) = (0, false);
        loop {
            self.boundary(walk, op)?;
            let moves = self.moves();
            let Some(seen) = self.look_claimed(walk, op, of, &mut failures).await? else { continue };
            if let Some(change) = down(&seen) {
                was_up = true;
                self.write(walk, op, &seen, &change, &mut failures).await?;
                continue;
            }
            let pods = match self.world.cluster().pods(of).await {
                Ok(pods) => pods,
                Err(error) => {
                    self.wait_out(op, error, &mut failures).await?;
                    continue;
                }
            };
            if pods.is_empty() {
                return Ok(was_up);
            }
            self.wait_for_pods(walk, op, of, &pods, moves).await?;
        }
    }

    async fn wait_for_pods(
        &self,
        walk: &Walk,
        op: &Op,
        of: &WorkloadRef,
        pods: &[String],
        moves: u64,
    ) -> Result<(), Stop> {
        let names = listed(pods);
        if self.seconds_in(walk, op) > PODS_GONE_WITHIN.as_secs() {
            let message = format!("{of} is at zero, but its pods do not go: {names}");
            let action = "see why they are kept (finalizers, a lost node, a long preStop), then retry";
            return Err(Stop::Failed(Box::new(failure(op, "NotQuiet", message, action))));
        }
        let what = format!("pods of {of} to stop: {names}");
        self.doing(walk, op, |doing| {
            doing.blocked = Some(BlockedBy { what, since: None, sql: None, pid: None });
        })
        .await;
        self.until_moved(moves).await;
        Ok(())
    }

    /// A dependent as it was: its replicas (at least what its autoscaler keeps), or its schedule.
    pub(super) async fn give_back(
        &self,
        walk: &Walk,
        op: &Op,
        of: &WorkloadRef,
        ready_within: Option<u64>,
    ) -> Facts {
        let mut failures = 0;
        let Some(original) = original(walk.record(), of) else { return Ok(Vec::new()) };
        loop {
            self.boundary(walk, op)?;
            let moves = self.moves();
            let Some(seen) = self.look_claimed(walk, op, of, &mut failures).await? else { continue };
            let comes_back = !of.is_cron() && seen.replicas == 0 && original.replicas.unwrap_or(0) != 0;
            let Some(least) = self.least(op, of, comes_back, &mut failures).await? else { continue };
            if let Some(change) = up(&WorkloadSeen { hpa_min: least, ..seen.clone() }, original) {
                self.write(walk, op, &seen, &change, &mut failures).await?;
                continue;
            }
            let (Some(within), Some(why)) = (ready_within, seen.not_ready) else { return Ok(Vec::new()) };
            self.wait_ready(walk, op, of, &why, within, moves).await?;
        }
    }

    /// The least that an autoscaler keeps of a workload, asked only where replicas are decided; none when the read must be
    /// tried again.
    pub(super) async fn least(
        &self,
        op: &Op,
        of: &WorkloadRef,
        decides: bool,
        failures: &mut u32,
    ) -> Result<Option<Option<i32>>, Stop> {
        if !decides {
            return Ok(Some(None));
        }
        match self.world.cluster().scaler(of).await {
            Ok(least) => Ok(Some(least)),
            Err(error) => self.wait_out(op, error, failures).await.map(|()| None),
        }
    }

    /// A workload that this run holds, read live; none when the read must be tried again. A workload that is gone
    /// or taken away by somebody is a failure that names it.
    pub(super) async fn look_claimed(
        &self,
        walk: &Walk,
        op: &Op,
        of: &WorkloadRef,
        failures: &mut u32,
    ) -> Result<Option<WorkloadSeen>, Stop> {
        match self.claimed(walk, of).await {
            Ok(seen) => Ok(Some(seen)),
            Err(ClaimedError::Overtaken) => Err(Stop::Overtaken),
            Err(ClaimedError::Cluster(error)) => {
                self.wait_out(op, error, failures).await?;
                Ok(None)
            }
            Err(ClaimedError::Lost(why)) => {
                let message = format!("{of} is not ours to write to any more: {why}");
                let action =
                    "see who removed the annotation whimbrel.dev/claimed-by; its originals are in the run";
                Err(Stop::Failed(Box::new(failure(op, "ClaimLost", message, action))))
            }
        }
    }

    /// One write to a workload. A conflict or no answer only means: look again.
    pub(super) async fn write(
        &self,
        walk: &Walk,
        op: &Op,
        seen: &WorkloadSeen,
        change: &WorkloadChange,
        failures: &mut u32,
    ) -> Result<(), Stop> {
        match self.world.cluster().change(seen, &self.holder(walk), change).await {
            Ok(()) => {
                // A write that is taken back at once (a webhook, a person) is not sent again as fast as we can.
                *failures += 1;
                if *failures > WRITES_AT_ONCE {
                    self.until_changed(pause(*failures)).await;
                }
                Ok(())
            }
            Err(error) => self.wait_out(op, error, failures).await,
        }
    }
}

/// What takes a workload down; none when it is down.
pub(super) fn down(seen: &WorkloadSeen) -> Option<WorkloadChange> {
    if seen.of.is_cron() {
        (!seen.suspend).then_some(WorkloadChange::Suspend(true))
    } else {
        (seen.replicas != 0).then_some(WorkloadChange::Scale(0))
    }
}

/// What brings a workload back; none when it is back. A workload that was at zero before stays there.
fn up(seen: &WorkloadSeen, original: &Original) -> Option<WorkloadChange> {
    if seen.of.is_cron() {
        let suspended = original.suspend.unwrap_or(false);
        return (seen.suspend != suspended).then_some(WorkloadChange::Suspend(suspended));
    }
    let wanted = replicas_wanted(original.replicas.unwrap_or(0), seen.hpa_min);
    (seen.replicas == 0 && wanted != 0).then_some(WorkloadChange::Scale(wanted))
}

/// Replicas to come back with: the recorded count, and at least what the autoscaler keeps, which starts to act
/// again once the count is not zero.
pub(super) fn replicas_wanted(recorded: i32, hpa_min: Option<i32>) -> i32 {
    if recorded == 0 { 0 } else { recorded.max(hpa_min.unwrap_or(0)) }
}

/// Names for a sentence: the first few, and how many more.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
