//! Jobs for a graph that is exported while its server runs.

use super::targets;
use crate::api::target::Neo4j;
use crate::backup::{self, BackupJob, ExportSource};
use crate::run::seam::{ClusterError, JobWork};
use k8s_openapi::api::batch::v1::Job;

/// The Job that a piece of work means; `target` is `<namespace>/<name>`.
pub(super) fn job(
    work: &JobWork,
    input: &BackupJob<'_>,
    neo4j: &Neo4j,
    credentials: &str,
    target: &str,
) -> Result<Job, ClusterError> {
    let refused = |why: &str| ClusterError::Refused(format!("target {target}: {why}"));
    match work {
        JobWork::Backup => {
            let (host, port) = targets::address(&neo4j.uri).map_err(refused)?;
            let source = ExportSource { neo4j, address: (&host, port), credentials, target };
            Ok(backup::job_for_export(input, &source))
        }
        JobWork::Verify { path, .. } => Ok(backup::job_for_export_proof(input, path)),
        JobWork::Restore { .. } => Err(refused("an export is put back by hand alone")),
    }
}
