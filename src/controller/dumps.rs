//! Jobs for a database whose server is stopped meanwhile.

use super::jobs::proof;
use super::targets::Offline;
use crate::backup::{self, BackupJob, BackupToRestore, DumpExpected, DumpSource};
use crate::engine::Fence;
use crate::run::seam::{ClusterError, JobWork};
use k8s_openapi::api::batch::v1::Job;

/// The Job that a piece of work means.
pub(super) fn job(
    work: &JobWork,
    input: &BackupJob<'_>,
    offline: &Offline<'_>,
    fence: &Fence,
) -> Result<Job, ClusterError> {
    let source = source(offline);
    let expected = |stamp| DumpExpected { histories: &offline.neo4j.histories, stamp };
    Ok(match work {
        JobWork::Backup => backup::job_for_dump(input, &source),
        JobWork::Verify { path, level, bytes, expected: stamp } => {
            backup::job_for_dump_proof(input, path, proof(*level)?, *bytes, &expected(stamp))
        }
        JobWork::Restore { run, path, sha256, expected: stamp } => {
            let backup = BackupToRestore { run: *run, path, sha256 };
            backup::job_for_dump_restore(input, &source, backup, fence, &expected(stamp))
        }
    })
}

/// The files of the server.
pub(super) fn source<'a>(offline: &Offline<'a>) -> DumpSource<'a> {
    DumpSource { neo4j: offline.neo4j, volume_claim: offline.volume_claim, data_path: offline.data_path }
}
