//! Jobs for a cluster that takes its backups itself: no image of tools, no volume.

use super::jobs::proof;
use super::targets::{self, OpenTarget};
use crate::api::DatabaseTarget;
use crate::api::target::Elasticsearch;
use crate::backup::{self, BackupJob, BackupToRestore, Kept, SnapshotSource, Told};
use crate::job::JobKey;
use crate::run::seam::{ClusterError, JobRequest, JobWork};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// What every backup says of itself, whoever took it.
#[derive(serde::Deserialize)]
pub(super) struct Backup {
    pub(super) path: String,
    pub(super) at: Timestamp,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// The Job that a request means.
pub(super) fn job(
    request: &JobRequest,
    target: &OpenTarget,
    key: &JobKey,
    owner: OwnerReference,
    namespace: &str,
    image: &str,
) -> Result<Job, ClusterError> {
    let refused = |why: &str| ClusterError::Refused(format!("target {}: {why}", request.target));
    let spec = &target.object.spec;
    let search = target.search().ok_or_else(|| refused("it is no search cluster"))?;
    let input = BackupJob {
        key,
        namespace,
        owner: Some(owner),
        whimbrel_image: image,
        tools_image: image,
        storage: Kept::Server,
        pod: &spec.backup.pod.clone().unwrap_or_default(),
        within: spec.backup.within.get(),
    };
    let source = source(&target.object, search);
    match &request.work {
        JobWork::Backup => Ok(backup::job_for_snapshot(&input, &source)),
        JobWork::Verify { path, level, .. } => {
            Ok(backup::job_for_snapshot_proof(&input, &source, path, proof(*level)?))
        }
        JobWork::Restore { run, path, sha256, .. } => {
            let backup = BackupToRestore { run: *run, path, sha256 };
            Ok(backup::job_for_snapshot_restore(&input, &source, backup))
        }
    }
}

/// The Job that deletes the snapshots that it is told of.
pub(super) fn prune(
    input: &BackupJob<'_>,
    target: &DatabaseTarget,
    search: &Elasticsearch,
    told: &[Told],
) -> Job {
    backup::job_for_snapshot_prune(input, &source(target, search), told)
}

fn source<'a>(target: &'a DatabaseTarget, search: &'a Elasticsearch) -> SnapshotSource<'a> {
    SnapshotSource {
        search,
        credentials: target.spec.credentials.as_ref().map(|secret| secret.secret_ref.name.as_str()),
        evolution: targets::evolution(search),
    }
}
