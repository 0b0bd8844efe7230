//! The way back of a StatefulSet whose new pod never gets ready.
//!
//! Its controller waits for that pod before it goes on, even if the template is the old one again: the documented "forced
//! rollback" needs a person to delete the pod. Here it is done for them.

use super::{Workload, WorkloadError, held_by, pods, pods::is_ready};
use crate::{
    api::WorkloadKind,
    cluster::{Acting, Holder, record},
};
use k8s_openapi::api::core::v1::Pod;

/// The label that names a pod's revision.
const REVISION: &str = "controller-revision-hash";

/// Deletes the pods that hold a StatefulSet back, and returns their names. Idempotent; nothing for other kinds.
///
/// # Errors
/// The claim is not ours; a refusal; no answer.
pub async fn unstick(
    acting: &Acting,
    workload: &Workload,
    holder: &Holder,
) -> Result<Vec<String>, WorkloadError> {
    held_by(workload, holder)?;
    if workload.key.kind != WorkloadKind::StatefulSet {
        return Ok(Vec::new());
    }
    let mut removed = Vec::new();
    for (name, uid) in stuck(workload, &pods::pods(acting, workload).await?) {
        record::delete::<Pod>(acting, &workload.key.namespace, &name, &uid).await?;
        removed.push(name);
    }
    Ok(removed)
}

/// Name and uid of pods of another revision than the wanted one that are not ready and not on their way out.
fn stuck(workload: &Workload, pods: &[Pod]) -> Vec<(String, String)> {
    let counts = &workload.counts;
    // Before its controller has seen the template, its wanted revision is still the bad one.
    let (Some(wanted), true) = (&counts.update_revision, counts.observed_generation >= counts.generation)
    else {
        return Vec::new();
    };
    let is_stuck = |pod: &&Pod| {
        let revision = pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION));
        revision.is_some_and(|it| it != wanted) && !is_ready(pod) && pod.metadata.deletion_timestamp.is_none()
    };
    let identity = |pod: &Pod| Some((pod.metadata.name.clone()?, pod.metadata.uid.clone()?));
    pods.iter().filter(is_stuck).filter_map(identity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::fixture;

    fn pod(name: &str, revision: &str, ready: &str, more: &str) -> Pod {
        let labels = format!("labels: {{controller-revision-hash: {revision}}}\n{more}");
        let status = format!("phase: Running\nconditions: [{{type: Ready, status: '{ready}'}}]");
        fixture::pod(name, Some(("StatefulSet", "uid-db")), &labels, &status)
    }

    #[test]
    fn only_an_unready_pod_of_another_revision_is_in_the_way() {
        let mut db = fixture::stateful_set("");
        let pods = [
            pod("db-0", "db-2", "False", ""),
            pod("db-1", "db-1", "True", ""),
            pod("db-2", "db-1", "False", ""),
            pod("db-3", "db-1", "False", "deletionTimestamp: '2026-11-20T00:00:00Z'"),
        ];
        assert_eq!(stuck(&db, &pods), [("db-2".to_owned(), "uid-db-2".to_owned())]);
        db.counts.generation = 5;
        assert_eq!(stuck(&db, &pods), [], "its wanted revision is not known yet");
    }
}
