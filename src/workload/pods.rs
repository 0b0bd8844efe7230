//! The pods of a workload, asked live: who still runs, and why somebody does not come up.
//!
//! A workload's own counts leave out pods that are on their way out, and these may still be connected to the database.
//! So silence is proven on the list: whatever matches the selector, runs, and is not known to be another's, counts.

use super::{Workload, WorkloadError};
use crate::{
    api::WorkloadKind,
    cluster::{Acting, list_all},
};
use k8s_openapi::{
    api::{apps::v1::ReplicaSet, batch::v1::Job, core::v1::ContainerStatus, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::core::Selector;
use std::{collections::BTreeMap, fmt};

/// Label of a Job's pods.
const JOB_UID: &str = "batch.kubernetes.io/controller-uid";

/// Reasons of a waiting container that rarely go away by themselves.
const STUCK: [&str; 8] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// How much of a container runtime's own sentence is shown.
const SENTENCE: usize = 200;

/// Something of a silenced workload that is still there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remaining {
    /// It runs, or may at any moment.
    Running(String),
    /// It was told to end.
    Terminating(String),
    /// Its node is lost: it may run there all the same.
    Unknown(String),
    /// A Job of a CronJob that has not finished.
    Job(String),
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(name) => write!(f, "pod {name} (running)"),
            Self::Terminating(name) => write!(f, "pod {name} (terminating)"),
            Self::Unknown(name) => write!(f, "pod {name} (its node does not answer)"),
            Self::Job(name) => write!(f, "job {name} (active)"),
        }
    }
}

/// All pods of a workload, whatever their state.
///
/// # Errors
/// A selector that can't be read, a missing right, or no answer.
pub async fn pods(acting: &Acting, workload: &Workload) -> Result<Vec<Pod>, WorkloadError> {
    let namespace = workload.key.namespace.as_str();
    if workload.key.kind == WorkloadKind::CronJob {
        return pods_of_jobs(acting, namespace, &jobs(acting, workload).await?).await;
    }
    let selector = selector(workload)?;
    let all = list_all::<Pod>(acting, namespace, &selector).await?;
    // Whose a pod is need not be asked where there is none.
    let replica_sets = match workload.key.kind {
        WorkloadKind::Deployment if !all.is_empty() => {
            list_all::<ReplicaSet>(acting, namespace, &selector).await?
        }
        _ => Vec::new(),
    };
    Ok(all.into_iter().filter(|pod| may_be_its_own(pod, &workload.uid, &replica_sets)).collect())
}

/// What of a workload is still there: pods that may run, and the unfinished Jobs of a CronJob. Empty means silent, as
/// far as the cluster knows; a database's sessions are the other half of the proof.
///
/// # Errors
/// As [`pods`].
pub async fn remaining(acting: &Acting, workload: &Workload) -> Result<Vec<Remaining>, WorkloadError> {
    if workload.key.kind != WorkloadKind::CronJob {
        return Ok(alive(&pods(acting, workload).await?));
    }
    let jobs = jobs(acting, workload).await?;
    let mut all = alive(&pods_of_jobs(acting, &workload.key.namespace, &jobs).await?);
    all.extend(jobs.iter().filter(|job| !is_finished(job)).map(|job| Remaining::Job(name(&job.metadata))));
    Ok(all)
}

async fn jobs(acting: &Acting, workload: &Workload) -> Result<Vec<Job>, WorkloadError> {
    let all = list_all::<Job>(acting, &workload.key.namespace, "").await?;
    let owned = |job: &Job| controller(&job.metadata).is_some_and(|it| it.uid == workload.uid);
    Ok(all.into_iter().filter(owned).collect())
}

async fn pods_of_jobs(acting: &Acting, namespace: &str, jobs: &[Job]) -> Result<Vec<Pod>, WorkloadError> {
    let uids: Vec<&str> = jobs.iter().filter_map(|job| job.metadata.uid.as_deref()).collect();
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(list_all::<Pod>(acting, namespace, &format!("{JOB_UID} in ({})", uids.join(","))).await?)
}

fn selector(workload: &Workload) -> Result<String, WorkloadError> {
    let bad = |why: String| WorkloadError::Selector { what: workload.key.clone(), why };
    let selector = workload.selector.clone().ok_or_else(|| bad("there is none".to_owned()))?;
    let selector = Selector::try_from(selector).map_err(|error| bad(error.to_string()))?;
    // It would match every pod of the namespace.
    if selector.selects_all() { Err(bad("it is empty".to_owned())) } else { Ok(selector.to_string()) }
}

/// A pod that matches the selector is another's only if its controller says so. One without a controller, or whose
/// ReplicaSet is gone already, counts: the Service sends it traffic all the same.
fn may_be_its_own(pod: &Pod, uid: &str, replica_sets: &[ReplicaSet]) -> bool {
    let Some(owner) = controller(&pod.metadata) else { return true };
    if owner.uid == uid {
        return true;
    }
    if owner.kind != "ReplicaSet" {
        return false;
    }
    match replica_sets.iter().find(|it| it.metadata.uid.as_deref() == Some(&owner.uid)) {
        Some(replica_set) => controller(&replica_set.metadata).is_none_or(|it| it.uid == uid),
        None => true,
    }
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|it| it.controller == Some(true))
}

fn name(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

fn is_finished(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|it| it.status == "True" && matches!(it.type_.as_str(), "Complete" | "Failed"))
}

/// The pods whose containers may run. A pod that failed or succeeded has none left, unless its node was lost: then its
/// phase is a guess of the cluster's.
fn alive(pods: &[Pod]) -> Vec<Remaining> {
    let mut all: Vec<Remaining> = pods.iter().filter_map(state).collect();
    all.sort();
    all
}

fn state(pod: &Pod) -> Option<Remaining> {
    let status = pod.status.as_ref();
    let lost = status.and_then(|it| it.reason.as_deref()) == Some("NodeLost");
    match status.and_then(|it| it.phase.as_deref()) {
        Some("Unknown") => Some(Remaining::Unknown(name(&pod.metadata))),
        _ if lost => Some(Remaining::Unknown(name(&pod.metadata))),
        Some("Succeeded" | "Failed") => None,
        _ if pod.metadata.deletion_timestamp.is_some() => Some(Remaining::Terminating(name(&pod.metadata))),
        _ => Some(Remaining::Running(name(&pod.metadata))),
    }
}

/// Whether the pod is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|(status, _)| status == "True")
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|it| it.type_ == type_)?;
    Some((found.status.as_str(), found.message.as_deref().unwrap_or_default()))
}

/// The first pod that something is wrong with, and what, in one sentence. Never a container's own output.
pub(super) fn failing(pods: &[Pod]) -> Option<String> {
    let mut sorted: BTreeMap<String, &Pod> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        sorted.insert(name(&pod.metadata), pod);
    }
    sorted.iter().find_map(|(name, pod)| Some(format!("pod {name}: {}", trouble(pod)?)))
}

fn trouble(pod: &Pod) -> Option<String> {
    if let Some(("False", message)) = condition(pod, "PodScheduled") {
        return Some(format!("can't be scheduled: {}", cut(message)));
    }
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.into_iter().find_map(container_trouble)
}

fn container_trouble(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| STUCK.contains(reason))?;
    let last = container.last_state.as_ref().and_then(|it| it.terminated.as_ref());
    let why = match (reason, last) {
        ("CrashLoopBackOff", Some(last)) => {
            let reason = last.reason.as_deref().unwrap_or("Error");
            format!(
                "ended {} times, last with exit code {} ({reason})",
                container.restart_count, last.exit_code
            )
        }
        _ => cut(waiting.message.as_deref().unwrap_or_default()).to_owned(),
    };
    Some(format!("container {}: {reason}: {why}", container.name))
}

fn cut(text: &str) -> &str {
    match text.char_indices().nth(SENTENCE) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::fixture;

    fn states(pods: &[Pod]) -> Vec<String> {
        alive(pods).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_may_still_run() {
        let pod = |name: &str, more: &str, status: &str| fixture::pod(name, None, more, status);
        let gone = "deletionTimestamp: '2026-11-20T00:00:00Z'";
        let pods = [
            pod("a", "", "phase: Running"),
            pod("b", "", "phase: Pending"),
            pod("c", gone, "phase: Running"),
            pod("d", "", "phase: Unknown"),
            pod("e", gone, "phase: Unknown"),
            pod("f", "", "phase: Failed\nreason: NodeLost"),
            pod("g", "", "phase: Failed\nreason: Evicted"),
            pod("h", "", "phase: Succeeded"),
        ];
        assert_eq!(
            states(&pods),
            [
                "pod a (running)",
                "pod b (running)",
                "pod c (terminating)",
                "pod d (its node does not answer)",
                "pod e (its node does not answer)",
                "pod f (its node does not answer)",
            ]
        );
    }

    #[test]
    fn only_a_pod_that_is_known_to_be_anothers_does_not_count() {
        let replica_sets: Vec<ReplicaSet> = serde_saphyr::from_str(
            "
- metadata: {name: web-1, uid: rs-ours, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: uid-web, controller: true}]}
  spec: {selector: {}}
- metadata: {name: canary-1, uid: rs-other, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: canary, uid: uid-canary, controller: true}]}
  spec: {selector: {}}
- metadata: {name: lone, uid: rs-lone}
  spec: {selector: {}}
",
        )
        .unwrap();
        let own = |owner: Option<(&str, &str)>| {
            may_be_its_own(&fixture::pod("p", owner, "", "phase: Running"), "uid-web", &replica_sets)
        };
        assert!(own(Some(("ReplicaSet", "rs-ours"))));
        assert!(own(Some(("ReplicaSet", "rs-lone"))), "an orphan that the Deployment will adopt");
        assert!(own(Some(("ReplicaSet", "rs-gone"))), "its ReplicaSet was deleted first");
        assert!(own(None), "made by hand");
        assert!(own(Some(("StatefulSet", "uid-web"))));
        assert!(!own(Some(("ReplicaSet", "rs-other"))));
        assert!(!own(Some(("Job", "uid-job"))));
    }

    #[test]
    fn an_empty_selector_would_match_everything() {
        let mut web = fixture::deployment("");
        assert_eq!(selector(&web).unwrap(), "app=web");
        web.selector = Some(serde_saphyr::from_str("{}").unwrap());
        assert_eq!(
            selector(&web).unwrap_err().to_string(),
            "Deployment aether/web has a selector that can't be read: it is empty"
        );
    }

    #[test]
    fn what_is_wrong_with_a_pod_in_one_sentence() {
        let told = |status: &str| failing(&[fixture::pod("web-1", None, "", status)]);
        assert_eq!(
            told(
                "
containerStatuses:
- {name: app, image: 'web:9', imageID: '', ready: false, restartCount: 0,
   state: {waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image \"web:9\"'}}}"
            )
            .unwrap(),
            "pod web-1: container app: ImagePullBackOff: Back-off pulling image \"web:9\""
        );
        assert_eq!(
            told(
                "
initContainerStatuses:
- {name: wait, image: b, imageID: '', ready: false, restartCount: 4,
   state: {waiting: {reason: CrashLoopBackOff, message: back-off}},
   lastState: {terminated: {exitCode: 137, reason: OOMKilled, message: password=hunter2}}}"
            )
            .unwrap(),
            "pod web-1: container wait: CrashLoopBackOff: ended 4 times, last with exit code 137 (OOMKilled)"
        );
        assert_eq!(
            told("conditions: [{type: PodScheduled, status: 'False', message: '0/3 nodes are available'}]")
                .unwrap(),
            "pod web-1: can't be scheduled: 0/3 nodes are available"
        );
        assert_eq!(
            told(
                "containerStatuses: [{name: app, image: b, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}}]"
            ),
            None,
            "on its way"
        );
    }

    #[test]
    fn a_job_is_finished_when_it_says_so() {
        let job = |status: &str| -> Job {
            serde_saphyr::from_str(&format!("metadata: {{name: j}}\nstatus: {status}")).unwrap()
        };
        assert!(!is_finished(&job("{active: 1}")));
        assert!(
            !is_finished(&job("{conditions: [{type: FailureTarget, status: 'True'}]}")),
            "its pods are still ending"
        );
        assert!(is_finished(&job("{conditions: [{type: Complete, status: 'True'}]}")));
    }
}
