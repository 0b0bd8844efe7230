//! What a restore has put aside on the volume of a server, deleted by a Job there.

use super::dumps;
use super::operator::Operator;
use super::retention::{Seen, WITHIN, key, owner};
use super::targets::Offline;
use crate::api::target::AsideStatus;
use crate::backup::{BackupJob, Kept, job_for_drop_put_aside};
use crate::cluster::{SwapError, WriteError};
use crate::job::{self, JobState};
use kube::ResourceExt as _;
use serde::Deserialize;

/// What the Job says.
#[derive(Deserialize)]
struct Dropped {
    /// Names of the folders that it has deleted.
    dropped: Vec<String>,
}

/// One look at the Job, which is made if it is not there. None: it is at work. Its name has the time at which dropping
/// began, so that one that failed has a successor.
pub(super) async fn drop(
    operator: &Operator,
    seen: &Seen,
    offline: &Offline<'_>,
    aside: &AsideStatus,
    run: u64,
) -> Result<Option<Vec<String>>, String> {
    let (target, acting) = (&seen.object, operator.for_target(&seen.object));
    let namespace = target.namespace().unwrap_or_default();
    let since = aside.dropping_since.as_ref().map_or(0, |since| since.0.as_second());
    let key = key(target, "drop", &format!("{since}/{}", aside.run_uid));
    match job::look(&acting, &namespace, &key.name(), false).await.map_err(|error| error.to_string())? {
        JobState::Absent => {
            let spec = &target.spec.backup;
            let input = BackupJob {
                key: &key,
                namespace: &namespace,
                owner: Some(owner(target)),
                whimbrel_image: &operator.image,
                tools_image: spec.image.as_deref().ok_or("spec.backup.image is needed to delete files")?,
                storage: Kept::Server,
                pod: &spec.pod.clone().unwrap_or_default(),
                within: WITHIN,
            };
            let job = job_for_drop_put_aside(&input, &dumps::source(offline), &aside.run_uid, run);
            match job::create(&acting, &job).await {
                // With no answer it may be there: the next look tells.
                Ok(_) | Err(SwapError::Write(WriteError::Lost(_))) => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        }
        JobState::Pending { .. } | JobState::Running { .. } => Ok(None),
        JobState::Failed { why, .. } => Err(why),
        JobState::Succeeded { result } => {
            let said = result.get("aside").cloned().unwrap_or_default();
            let Dropped { dropped } =
                serde_json::from_value(said).map_err(|_| "what its Job left can't be read".to_owned())?;
            Ok(Some(dropped))
        }
    }
}
