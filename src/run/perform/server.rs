//! A database server that is stopped for what reads or writes its files, and started again.

use super::super::driver::Driver;
use super::super::seam::{Cluster, ClusterError, World};
use super::super::walk::Walk;
use super::Stop;
use super::call::{Facts, watermarks};
use super::quiet::written_in_the_gap;
use crate::engine::Claim;
use crate::program::{Op, WorkloadRef};

impl<W: World> Driver<W> {
    /// To zero, and every pod seen gone: a server that still stops writes its last pages. Whether it was stopped well is for
    /// the Job to see, by what is in the files.
    pub(super) async fn stop_server(&self, walk: &Walk, op: &Op, of: &WorkloadRef) -> Facts {
        self.take_down(walk, op, of).await.map(|_| Vec::new())
    }

    /// Its replicas as they were, ready, and each of its databases entered: the fence in one that was restored is ours.
    pub(super) async fn start_server(
        &self,
        walk: &Walk,
        op: &Op,
        of: &WorkloadRef,
        targets: &[String],
        ready_within: u64,
    ) -> Facts {
        let mut facts = self.give_back(walk, op, of, Some(ready_within)).await?;
        for target in targets {
            facts.extend(self.answers_again(walk, op, target).await?);
        }
        Ok(facts)
    }

    /// Whether the server of a target was stopped by this run and is not back.
    pub(super) async fn is_stopped(&self, walk: &Walk, op: &Op, target: &str) -> Result<bool, Stop> {
        let server = walk.program.targets.get(target).and_then(|target| target.offline.as_ref());
        let Some(server) = server else { return Ok(false) };
        let mut failures = 0;
        loop {
            match self.world.cluster().workload(server).await {
                Ok(seen) => return Ok(seen.replicas == 0),
                Err(ClusterError::Gone(_)) => return Ok(true),
                Err(_) if self.stopping() => return Err(Stop::Interrupted),
                Err(error) => self.wait_out(op, error, &mut failures).await?,
            }
        }
    }

    /// What a server that is back says of one of its databases.
    async fn answers_again(&self, walk: &Walk, op: &Op, target: &str) -> Facts {
        let session = self.enter(walk, op, target).await?;
        let restored = walk.record().restores.iter().any(|restore| restore.target == target);
        let mut facts = if restored { watermarks(&session, target) } else { Vec::new() };
        self.leave(session, Claim::Keep).await;
        // On the way back silence is proven anew behind this.
        if walk.is_forward() {
            facts.extend(self.hold_quiet(walk, op, target).await?);
            let mark = self.write_mark(walk, op, target).await?;
            facts.extend(written_in_the_gap(walk, target, mark.as_deref()));
        }
        Ok(facts)
    }
}
