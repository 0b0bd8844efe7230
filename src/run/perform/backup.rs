//! Backups: Jobs of ours, from dry-run to a result that the record keeps.

use super::super::driver::Driver;
use super::super::patience::STARTS_WITHIN;
use super::super::seam::{Clock, Cluster, ClusterError, JobRequest, JobSeen, JobWork, World};
use super::super::walk::{Fact, Walk};
use super::call::Facts;
use super::restore::expected;
use super::{Stop, failure};
use crate::api::run::{BackupRecord, OpState};
use crate::api::target::VerificationLevel;
use crate::engine::BlockedBy;
use crate::program::{Kind, Op};
use jiff::Timestamp;

impl<W: World> Driver<W> {
    /// Would the API server admit the Jobs? Asked before anything is scaled down.
    pub(super) async fn trial(&self, walk: &Walk, op: &Op, target: &str) -> Facts {
        let level =
            walk.program.targets.get(target).map_or(VerificationLevel::None, |target| target.verification);
        let mut works = vec![JobWork::Backup];
        if level > VerificationLevel::None {
            works.push(self.proof(walk, target, "trial".into(), level));
        }
        for work in works {
            self.try_job(walk, op, &self.request(walk, op, target, work)).await?;
        }
        if !walk.program.on_failure.may_restore() {
            return Ok(Vec::new());
        }
        let facts = self.try_restore(walk, op, target).await?;
        // Where a person restores, no Job of ours will.
        if facts.iter().any(|fact| matches!(fact, Fact::RestoreTrial(_, obstacles) if obstacles.is_empty())) {
            let restore = JobWork::Restore {
                run: self.run.number,
                path: "trial".into(),
                sha256: "0".repeat(64),
                expected: expected(walk, target),
            };
            self.try_job(walk, op, &self.request(walk, op, target, restore)).await?;
        }
        Ok(facts)
    }

    async fn try_job(&self, walk: &Walk, op: &Op, job: &JobRequest) -> Result<(), Stop> {
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            match self.world.cluster().try_job(job).await {
                Ok(()) => return Ok(()),
                Err(error) => self.wait_out(op, error, &mut failures).await?,
            }
        }
    }

    /// Takes the backup.
    pub(super) async fn backup(&self, walk: &Walk, op: &Op, target: &str) -> Facts {
        let result = self.run_job(walk, op, &self.request(walk, op, target, JobWork::Backup)).await?;
        let mut backup: BackupRecord = serde_json::from_value(result).map_err(|error| {
            self.job_failed(op, format!("the backup Job's result can't be read: {error}"))
        })?;
        backup.target = target.to_owned();
        Ok(vec![Fact::Backup(backup)])
    }

    /// Proves the backup to the level required.
    pub(super) async fn verify_backup(
        &self,
        walk: &Walk,
        op: &Op,
        target: &str,
        level: VerificationLevel,
    ) -> Facts {
        let path =
            walk.record().backups.iter().find(|backup| backup.target == target).map(|b| b.path.clone());
        let Some(path) = path else {
            return Err(self.job_failed(op, "the record names no backup of this run".to_owned()));
        };
        let work = self.proof(walk, target, path, level);
        self.run_job(walk, op, &self.request(walk, op, target, work)).await?;
        Ok(vec![Fact::Proven(target.to_owned(), level)])
    }

    fn proof(&self, walk: &Walk, target: &str, path: String, level: VerificationLevel) -> JobWork {
        let bytes = walk.program.targets.get(target).map_or(0, |target| target.bytes);
        JobWork::Verify { path, level, bytes, expected: expected(walk, target) }
    }

    pub(super) fn request(&self, walk: &Walk, op: &Op, target: &str, work: JobWork) -> JobRequest {
        let attempt = walk.record().ops.get(&op.id).map_or(1, |op| op.attempt.unsigned_abs());
        JobRequest { op: op.id.clone(), attempt, epoch: walk.epoch(), target: target.to_owned(), work }
    }

    /// Makes a Job and waits for its result.
    pub(super) async fn run_job(
        &self,
        walk: &Walk,
        op: &Op,
        job: &JobRequest,
    ) -> Result<serde_json::Value, Stop> {
        let mut failures = 0;
        let mut pending: Option<(Timestamp, Option<String>)> = None;
        loop {
            self.boundary(walk, op)?;
            let moves = self.moves();
            match self.world.cluster().job(job).await {
                Ok(JobSeen::Absent) => {
                    if let Err(error) = self.world.cluster().start_job(job).await {
                        self.wait_out(op, error, &mut failures).await?;
                    }
                }
                Ok(JobSeen::Succeeded(result)) => return Ok(result),
                Ok(JobSeen::Failed(why)) => {
                    // A deadline says nothing of why the pod never ran.
                    let waited =
                        pending.and_then(|(_, what)| Some(format!("; its pod never ran: {}", what?)));
                    return Err(self.job_failed(op, why + &waited.unwrap_or_default()));
                }
                Ok(JobSeen::Pending(why)) => {
                    let now = self.clock().now();
                    // What was said last holds until something else is: a pod that is being removed says nothing.
                    let (since, before) = pending.take().unwrap_or((now, None));
                    let why = why.or(before);
                    let known = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                    if now.duration_since(since).unsigned_abs() > STARTS_WITHIN {
                        self.remove_job(walk, op, job).await?;
                        let most = STARTS_WITHIN.as_secs() / 60;
                        return Err(
                            self.job_failed(op, format!("its pod did not start in {most} minutes{known}"))
                        );
                    }
                    pending = Some((since, why));
                    let what = format!("the Job's pod to start{known}");
                    self.doing(walk, op, |doing| {
                        doing.blocked = Some(BlockedBy { what, since: None, sql: None, pid: None });
                    })
                    .await;
                    self.until_moved(moves).await;
                }
                Ok(JobSeen::Running(progress)) => {
                    pending = None;
                    self.doing(walk, op, |doing| {
                        doing.blocked = None;
                        doing.detail = Some(progress).filter(|text| !text.is_empty());
                    })
                    .await;
                    self.until_moved(moves).await;
                }
                Err(error) => self.wait_out(op, error, &mut failures).await?,
            }
        }
    }

    /// A Job that did not do its work. What it says names no target, and a plan may have many.
    pub(super) fn job_failed(&self, op: &Op, why: String) -> Stop {
        let (code, action) = match op.kind {
            Kind::Restore { .. } => {
                ("RestoreFailed", "mend what the sentence names and restore by hand, then resolve the run")
            }
            _ => ("BackupGateFailed", "mend what the sentence names, then retry"),
        };
        let why = match &op.kind {
            Kind::Backup { target } => format!("backup of {target}: {why}"),
            Kind::VerifyBackup { target, .. } => format!("proof of the backup of {target}: {why}"),
            Kind::Restore { target } => format!("restore of {target}: {why}"),
            _ => why,
        };
        Stop::Failed(Box::new(failure(op, code, why, action)))
    }

    /// Way back: a Job of an op that has no outcome may still run; it is removed and seen gone.
    pub(super) async fn end_jobs(&self, walk: &Walk, op: &Op) -> Facts {
        for work in walk.program.forward.iter().flatten() {
            let (Kind::Backup { target } | Kind::VerifyBackup { target, .. }) = &work.kind else { continue };
            let open = walk.record().ops.get(&work.id).is_some_and(|op| op.state == OpState::Intent);
            if !open {
                continue;
            }
            self.remove_job(walk, op, &self.request(walk, work, target, JobWork::Backup)).await?;
        }
        Ok(Vec::new())
    }

    /// Removes a Job and sees it and its pods gone.
    async fn remove_job(&self, walk: &Walk, op: &Op, job: &JobRequest) -> Result<(), Stop> {
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            let moves = self.moves();
            match self.world.cluster().end_job(job).await {
                Ok(true) | Err(ClusterError::Gone(_)) => return Ok(()),
                Ok(false) => self.until_moved(moves).await,
                Err(error) => self.wait_out(op, error, &mut failures).await?,
            }
        }
    }
}
