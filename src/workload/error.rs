//! What can go wrong with a workload, each with the way out.

use super::WorkloadKey;
use crate::cluster::{ReadError, SwapError, WriteError};

/// A workload could not be looked at, or must not be touched.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written: stale, another's, refused, or no answer.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It is there, but without our claim: somebody removed the annotation, or deleted and created it anew.
    #[error("{what} no longer carries this run's claim: it was edited by hand or created anew")]
    ClaimLost {
        /// The workload.
        what: WorkloadKey,
    },
    /// It carries the originals of a run that does not hold it any more.
    #[error(
        "{what} still carries the originals of run {run}, which never gave it back: {original}; set these by hand, then remove the annotation: kubectl annotate {resource} {name} --namespace={namespace} whimbrel.dev/original-",
        resource = .what.resource(),
        name = .what.name,
        namespace = .what.namespace
    )]
    Leftover {
        /// The workload.
        what: WorkloadKey,
        /// `<plan uid>/<run>` of the other run.
        run: String,
        /// The annotation as it stands there.
        original: String,
    },
    /// Its annotation can't be read.
    #[error("{what} carries an annotation whimbrel.dev/original that can't be read: {why}")]
    BadOriginal {
        /// The workload.
        what: WorkloadKey,
        /// What is wrong with it.
        why: String,
    },
    /// Scaling it down would delete its data.
    #[error(
        "{what} deletes its volumes when it is scaled down (persistentVolumeClaimRetentionPolicy.whenScaled: Delete); set it to Retain, or accept it with the override pvc-retention"
    )]
    VolumesWouldGo {
        /// The workload.
        what: WorkloadKey,
    },
    /// An image was given for a container that the workload does not have.
    #[error("{what} has no container {container:?}; it has {there}")]
    NoContainer {
        /// The workload.
        what: WorkloadKey,
        /// The name that was given.
        container: String,
        /// The names there are.
        there: String,
    },
    /// Its pods can't be told from others.
    #[error("{what} has a selector that can't be read: {why}")]
    Selector {
        /// The workload.
        what: WorkloadKey,
        /// What is wrong with it.
        why: String,
    },
}

impl From<SwapError> for WorkloadError {
    fn from(error: SwapError) -> Self {
        match error {
            SwapError::Read(error) => Self::Read(error),
            SwapError::Write(error) => Self::Write(error),
        }
    }
}
