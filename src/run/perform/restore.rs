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
use serde::Deserialize;

impl<W: World> Driver<W> {
    /// Whether a restore would be possible is tried for real before anything is taken down. Manual is no failure: the
    /// preview says it, and Weigh counts with it.
    pub(super) async fn try_restore(&self, walk: &Walk, op: &Op, target: &str) -> Facts {
        if walk.program.backs_up_online() {
            return found(walk, op, target, ONLINE);
        }
        // The files of a stopped server are swapped by the Job, whose dry-run follows.
        if walk.program.is_offline(target) {
            return found(walk, op, target, "");
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
        let work = JobWork::Restore {
            run,
            path: backup.path.clone(),
            sha256: backup.sha256.clone(),
            expected: expected(walk, target),
        };
        let result = self.run_job(walk, op, &self.request(walk, op, target, work)).await?;
        if walk.program.is_offline(target) {
            // The server is stopped: the Job has proven, stamped and swapped. It is entered once it runs again, as the same
            // server as before.
            let PutAside { aside } = serde_json::from_value(result).map_err(|error| {
                self.job_failed(op, format!("the restore Job's result can't be read: {error}"))
            })?;
            let put = PutBack { aside, replaced: String::new(), identity: String::new() };
            return Ok(vec![self.restored(target, put)]);
        }
        self.hold_quiet(walk, op, target).await?;
        let put = self.put_back(walk, op, target).await?;
        let mut facts = vec![self.restored(target, put)];
        let session = self.enter(walk, op, target).await?;
        facts.extend(watermarks(&session, target));
        self.leave(session, Claim::Keep).await;
        Ok(facts)
    }

    fn restored(&self, target: &str, put: PutBack) -> Fact {
        Fact::Restored(RestoreRecord {
            target: target.to_owned(),
            aside: put.aside,
            replaced: put.replaced,
            identity: put.identity,
            at: Time(self.clock().now()),
        })
    }

    async fn put_back(&self, walk: &Walk, op: &Op, target: &str) -> Result<PutBack, Stop> {
        let engine = self.engine(op, target)?;
        let mark = walk.record().write_marks.get(&as_weighed(target)).cloned();
        let stamp = Stamp { mark, ..expected(walk, target) };
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

/// What the Job says that has put files back.
#[derive(Deserialize)]
struct PutAside {
    /// The folder that holds what was there before.
    aside: String,
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

/// What a copy must have: histories and structure as ProveQuiet read them.
pub(super) fn expected(walk: &Walk, target: &str) -> Stamp {
    let before = walk.record().fingerprints.get(target);
    let history = before.map(|before| before.history.as_str()).unwrap_or_default();
    let each = history.split(' ').filter_map(|each| each.split_once('='));
    Stamp {
        histories: each.map(|(name, digest)| (name.to_owned(), digest.to_owned())).collect(),
        structure: before.map(|before| before.structure.clone()),
        mark: None,
    }
}
