//! The Jobs of a run: which one a request means, and what one left.

use super::world::{Answer, RealCluster};
use super::{dumps, exports, snapshots};
use crate::api::run::BackupRecord;
use crate::api::target::VerificationLevel;
use crate::backup::{self, BackupJob, BackupSource, BackupToRestore, Kept, Level};
use crate::cluster::Acting;
use crate::engine::Fence;
use crate::engine::postgresql::tool_name;
use crate::job::JobKey;
use crate::run::seam::{ClusterError, JobRequest, JobWork};
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

impl RealCluster {
    /// Which Job it is, whoever makes it.
    pub(super) fn job_key(&self, request: &JobRequest) -> JobKey {
        JobKey {
            plan_uid: self.run.plan_uid.clone(),
            plan: self.run.plan.clone(),
            run: self.run.number,
            run_uid: self.run.uid.clone(),
            target: request.target.clone(),
            op: request.op.clone(),
            epoch: request.epoch,
            attempt: request.attempt,
        }
    }

    /// The Job that a request means, and as whom it is made.
    pub(super) fn job_of(&self, request: &JobRequest) -> Answer<(Acting, Job)> {
        let target = self.target(&request.target)?;
        let spec = &target.object.spec;
        let missing = |field: &str| {
            ClusterError::Refused(format!("target {}: spec.{field} is needed for a backup", request.target))
        };
        let key = self.job_key(request);
        if target.search().is_some() {
            let owner = self.owner();
            let job =
                snapshots::job(request, target, &key, owner, &self.run.namespace, &self.operator.image)?;
            return Ok((target.acting.clone(), job));
        }
        let storage = spec.backup.storage.as_ref().and_then(Kept::of);
        let exported = target.exported();
        let pod = spec.backup.pod.clone().unwrap_or_default();
        let input = BackupJob {
            key: &key,
            namespace: &self.run.namespace,
            owner: Some(self.owner()),
            whimbrel_image: &self.operator.image,
            tools_image: match exported {
                Some(_) => &self.operator.image,
                None => spec.backup.image.as_deref().ok_or_else(|| missing("backup.image"))?,
            },
            storage: storage.ok_or_else(|| missing("backup.storage"))?,
            pod: &pod,
            within: spec.backup.within.get(),
        };
        let fence = Fence {
            target: format!("{}/{}", self.run.namespace, request.target),
            run_uid: self.run.uid.clone(),
            run: self.run.number,
            plan: format!("{}/{}", self.run.namespace, self.run.plan),
            cluster: self.run.cluster.clone(),
            token: request.epoch,
        };
        if let Some(neo4j) = exported {
            let secret = spec.credentials.as_ref().ok_or_else(|| missing("credentials"))?;
            let job = exports::job(&request.work, &input, neo4j, &secret.secret_ref.name, &fence.target)?;
            return Ok((target.acting.clone(), job));
        }
        if let Some(offline) = target.offline() {
            let job = dumps::job(&request.work, &input, &offline, &fence)?;
            return Ok((target.acting.clone(), job));
        }
        let job = match &request.work {
            JobWork::Backup | JobWork::Restore { .. } => {
                let secret = spec.credentials.as_ref().ok_or_else(|| missing("credentials"))?;
                let tool = if request.work == JobWork::Backup { "pgdump" } else { "pgrestore" };
                let source = BackupSource {
                    postgresql: target.postgresql().ok_or_else(|| missing("postgresql"))?,
                    credentials: &secret.secret_ref.name,
                    application_name: &tool_name(&fence, tool),
                };
                match &request.work {
                    JobWork::Restore { run, path, sha256, .. } => {
                        let backup = BackupToRestore { run: *run, path, sha256 };
                        backup::job_for_restore(&input, &source, backup)
                    }
                    _ => backup::job_for_backup(&input, &source),
                }
            }
            JobWork::Verify { path, level, bytes, .. } => {
                backup::job_for_verify(&input, path, proof(*level)?, *bytes)
            }
        };
        Ok((target.acting.clone(), job))
    }
}

/// How far a backup is proven.
pub(super) fn proof(level: VerificationLevel) -> Answer<Level> {
    match level {
        VerificationLevel::Artifact => Ok(Level::Artifact),
        VerificationLevel::Structure => Ok(Level::Structure),
        VerificationLevel::Restored => Ok(Level::Restored),
        VerificationLevel::None => Err(ClusterError::Refused("there is nothing to verify".into())),
    }
}

/// What a Job left, in the words of the record.
pub(super) fn outcome(target: &str, result: Value) -> Answer<Value> {
    // Who puts files back says under which name it keeps those that were there.
    if let Some(aside) = result.pointer("/restore/aside") {
        return Ok(json!({ "aside": aside }));
    }
    let Some(taken) = result.get("backup") else { return Ok(Value::Null) };
    let taken: snapshots::Backup = serde_json::from_value(taken.clone())
        .map_err(|error| ClusterError::Refused(format!("the backup Job's result can't be read: {error}")))?;
    Ok(json!(BackupRecord {
        target: target.to_owned(),
        path: taken.path,
        at: crate::api::Time(taken.at),
        level: VerificationLevel::None,
        bytes: i64::try_from(taken.bytes).unwrap_or(i64::MAX),
        sha256: taken.sha256,
    }))
}
