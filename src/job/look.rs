//! Where a Job is, read live.

use super::{JobState, state};
use crate::cluster::{Acting, ReadError, get_if_there, list_all};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use kube::{
    ResourceExt,
    api::{ListParams, LogParams},
};

/// Lines of the log's end that are looked through for progress.
const LOG_LINES: i64 = 5;

/// Looks at a Job: one GET and one LIST; with `asks`, while it is pending or running, one request more, for the reason or
/// the progress, which may fail without harm.
///
/// # Errors
/// A missing right, or no answer. A Job that is not there is [`JobState::Absent`].
pub async fn look(acting: &Acting, namespace: &str, name: &str, asks: bool) -> Result<JobState, ReadError> {
    let Some(job) = get_if_there::<Job>(acting, namespace, name).await? else {
        return Ok(JobState::Absent);
    };
    let pods: Vec<Pod> = list_all(acting, namespace, &format!("batch.kubernetes.io/job-name={name}")).await?;
    match state::judge(&job, &pods, &[]) {
        JobState::Pending { .. } if asks => {
            let subject = pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.clone());
            let subject = subject.and_then(ResourceExt::uid).or(job.uid()).unwrap_or_default();
            Ok(state::judge(&job, &pods, &events_about(acting, namespace, &subject).await))
        }
        JobState::Running { .. } if asks => {
            Ok(JobState::Running { progress: progress(acting, namespace, &pods).await })
        }
        state => Ok(state),
    }
}

/// Nothing rather than an error: an account that may not read events loses a reason, not its run.
async fn events_about(acting: &Acting, namespace: &str, uid: &str) -> Vec<Event> {
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    acting.api::<Event>(namespace).list(&about).await.map(|it| it.items).unwrap_or_default()
}

async fn progress(acting: &Acting, namespace: &str, pods: &[Pod]) -> Option<String> {
    let pod = state::running_pod(pods)?;
    let end = LogParams {
        container: Some(super::WORKER.to_owned()),
        tail_lines: Some(LOG_LINES),
        ..LogParams::default()
    };
    let log = acting.api::<Pod>(namespace).logs(&pod.name_any(), &end).await.ok()?;
    state::progress_in(&log)
}
