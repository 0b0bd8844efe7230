//! Compare-and-swap until it is decided: read, decide, write with the version that was read, and look again when the
//! answer is a conflict or none at all.

use super::{Acting, Kind, ReadError, WriteError, get_if_there};
use kube::{ResourceExt, api::PostParams};
use serde::Serialize;

/// How often one change is decided anew. A conflict needs another writer in the few milliseconds between read and
/// write; five in a row is a fight, and the caller should say so.
const ATTEMPTS: usize = 5;

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The object could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The change was refused, or nobody knows whether it was made.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What to do with the object as it was read.
pub(crate) enum Change<K> {
    /// It is as it should be already.
    Done(K),
    /// There is none yet.
    Create(K),
    /// It shall become this; carries the resourceVersion that was read.
    Replace(K),
}

/// Reads, decides and writes until `decide` finds nothing left to do or refuses.
///
/// A lost response needs no case of its own: the next read shows whether the write arrived, and one that arrives later
/// carries a version that is old by then.
pub(crate) async fn swap<K: Kind + Serialize>(
    acting: &Acting,
    namespace: &str,
    name: &str,
    mut decide: impl FnMut(Option<K>) -> Result<Change<K>, WriteError>,
) -> Result<K, SwapError> {
    let api = acting.api::<K>(namespace);
    let parameters =
        PostParams { field_manager: Some(super::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let mut last = WriteError::Stale;
    for _ in 0..ATTEMPTS {
        let answer = match decide(get_if_there(acting, namespace, name).await?)? {
            Change::Done(object) => return Ok(object),
            Change::Create(object) => api.create(&parameters, &object).await,
            Change::Replace(object) => {
                debug_assert!(
                    object.resource_version().is_some(),
                    "a replace without a version overwrites blindly"
                );
                api.replace(name, &parameters, &object).await
            }
        };
        last = match answer {
            Ok(object) => return Ok(object),
            Err(error) => match WriteError::of(error, acting.account()) {
                // Created meanwhile, by another or by our own lost request: the next read tells.
                again @ (WriteError::Stale | WriteError::Lost(_) | WriteError::NotOurs(_)) => again,
                refused @ WriteError::Refused(_) => return Err(refused.into()),
            },
        };
    }
    Err(last.into())
}
