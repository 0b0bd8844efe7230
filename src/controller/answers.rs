//! What the API server's answers mean to a driver: whether they pass by themselves, and the sentence where they do not.

use crate::cluster::secret::PartError;
use crate::cluster::{NotOurs, ReadError, SwapError, WriteError};
use crate::run::seam::ClusterError;
use crate::workload::WorkloadError;

/// A read that was not answered.
pub(super) fn read(error: ReadError) -> ClusterError {
    match error {
        ReadError::NotFound { .. } => ClusterError::Gone(error.to_string()),
        ReadError::Forbidden(forbidden) => ClusterError::Forbidden(forbidden.to_string()),
        ReadError::Unavailable(error) => ClusterError::Lost(error.to_string()),
    }
}

/// A write that was not made, or whose answer was lost.
pub(super) fn write(error: WriteError) -> ClusterError {
    if let Some(forbidden) = error.forbidden() {
        return ClusterError::Forbidden(forbidden.to_string());
    }
    if error.is_not_found() {
        return ClusterError::Gone(error.to_string());
    }
    match error {
        WriteError::Stale => ClusterError::Stale,
        WriteError::NotOurs(NotOurs::NewerEpoch { epoch, .. }) => ClusterError::Newer(epoch),
        WriteError::NotOurs(NotOurs::Claimed { holder, .. }) => ClusterError::Held(holder),
        WriteError::NotOurs(exists) => ClusterError::Refused(exists.to_string()),
        WriteError::Refused(refused) => ClusterError::Refused(refused.to_string()),
        WriteError::Lost(error) => ClusterError::Lost(error.to_string()),
    }
}

/// The same of a change that reads first.
pub(super) fn swap(error: SwapError) -> ClusterError {
    match error {
        SwapError::Read(error) => read(error),
        SwapError::Write(error) => write(error),
    }
}

/// Freezing: what is refused is refused again, what got no answer may have happened.
pub(super) fn part(error: PartError) -> ClusterError {
    match error {
        PartError::Read(error) => read(error),
        PartError::Write(error) => write(error),
        // It was there a moment ago, for its name was taken: somebody removed it meanwhile.
        PartError::Missing { .. } => ClusterError::Lost(error.to_string()),
        PartError::TooLarge { .. } | PartError::Unreadable(_) => ClusterError::Refused(error.to_string()),
        PartError::Changed { .. } => {
            ClusterError::Because { reason: "RecordBroken", message: error.to_string() }
        }
    }
}

/// A failure's code says what kind of obstacle it is; the sentence names the workload and the way out.
pub(super) fn workload(error: WorkloadError) -> ClusterError {
    let reason = match &error {
        WorkloadError::Read(_) | WorkloadError::Write(_) => "",
        WorkloadError::ClaimLost { .. } => "ClaimLost",
        WorkloadError::Leftover { .. } | WorkloadError::BadOriginal { .. } => "Leftover",
        WorkloadError::VolumesWouldGo { .. } => "GuardBlocked",
        WorkloadError::NoContainer { .. } | WorkloadError::Selector { .. } => "InvalidSpec",
    };
    match error {
        WorkloadError::Read(error) => read(error),
        WorkloadError::Write(error) => write(error),
        other => ClusterError::Because { reason, message: other.to_string() },
    }
}
