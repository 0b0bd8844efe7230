//! A database from the run's own backup: a copy beside it, proven, stamped, then put in its place. What was there is
//! kept aside.

use super::super::driver::Driver;
use super::super::seam::{Clock, JobWork, World};
use super::super::walk::{Fact, Walk};
use super::call::{Facts, watermarks};
use super::weigh::as_weighed;
use super::{Stop, failure};
use crate::api::Time;
use crate::api::bounds::{STRING, cut};
use crate::api::run::RestoreRecord;
use crate::engine::{Claim, Engine, PutBack, Stamp};
use crate::program::{ONLINE, Op};

impl<W: World> Driver<W> {
    /// Whether a restore would be possible is tried for real before anything is taken down. Manual is no failure: the
    /// preview says it, and Weigh counts with it.
    pub(super) async fn try_restore(&self, walk: &Walk, op: &Op, target: &str) -> Facts {
        if walk.program.backs_up_online() {
            return found(walk, op, target, ONLINE);
        }
        let engine = self.engine(op, target)?;
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            match engine.try_restore(&self.fence(walk, target)).await {
                Ok(trial) => {
                    for warning in &trial.warnings {
                        tracing::warn!(target, warning, "a restore would be possible");
                    }
                    return found(walk, op, target, &trial.obstacles.join("; "));
                }
                Err(error) => self.wait_out_engine(walk, op, error, &mut failures).await?,
            }
        }
    }

    /// The Job makes the copy beside the database and compares it with the backup; the engine stamps it and puts it in
    /// the place of the other. Both may be said twice: a driver that died in between says them again.
    pub(super) async fn restore(&self, walk: &Walk, op: &Op, target: &str) -> Facts {
        let backup = walk.record().backups.iter().find(|backup| backup.target == target);
        let Some(backup) = backup else {
            return Err(self.job_failed(op, "the record names no backup of this run".to_owned()));
        };
        let run = walk.program.rolls_back.as_ref().map_or(self.run.number, |of| of.run);
        let work = JobWork::Restore { run, path: backup.path.clone(), sha256: backup.sha256.clone() };
        self.run_job(walk, op, &self.request(walk, op, target, work)).await?;
        self.hold_quiet(walk, op, target).await?;
        let put = self.put_back(walk, op, target).await?;
        let mut facts = vec![Fact::Restored(RestoreRecord {
            target: target.to_owned(),
            aside: put.aside,
            replaced: put.replaced,
            identity: put.identity,
            at: Time(self.clock().now()),
        })];
        let session = self.enter(walk, op, target).await?;
        facts.extend(watermarks(&session, target));
        self.leave(session, Claim::Keep).await;
        Ok(facts)
    }

    async fn put_back(&self, walk: &Walk, op: &Op, target: &str) -> Result<PutBack, Stop> {
        let engine = self.engine(op, target)?;
        let mark = walk.record().write_marks.get(&as_weighed(target)).cloned();
        let structure = walk.record().fingerprints.get(target).map(|before| before.structure.clone());
        let stamp = Stamp { histories: histories(walk, target), structure, mark };
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            match engine.put_back(&self.fence(walk, target), &stamp).await {
                Ok(put) => return Ok(put),
                Err(error) => self.wait_out_engine(walk, op, error, &mut failures).await?,
            }
        }
    }
}

/// What the trial found. A plan whose only way back is the restore does not begin without it.
fn found(walk: &Walk, op: &Op, target: &str, obstacles: &str) -> Facts {
    if !obstacles.is_empty() && !walk.program.on_failure.may_undo() {
        let message = format!("the backup of {target} could not be put back by itself: {obstacles}");
        let action = "mend what the sentence names, or choose another onFailure.schema; then retry";
        return Err(Stop::Failed(Box::new(failure(op, "RestoreManual", message, action))));
    }
    Ok(vec![Fact::RestoreTrial(target.to_owned(), cut(obstacles, STRING))])
}

/// The digests of the histories as ProveQuiet read them: what the copy must have.
fn histories(walk: &Walk, target: &str) -> std::collections::BTreeMap<String, String> {
    let before = walk.record().fingerprints.get(target).map(|before| before.history.as_str());
    let each = before.unwrap_or_default().split(' ').filter_map(|each| each.split_once('='));
    each.map(|(name, digest)| (name.to_owned(), digest.to_owned())).collect()
}
