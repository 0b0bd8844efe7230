//! What a Job, its pods and the events about them say together, as one state and one sentence. Pure.

use super::WORKER;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerState, ContainerStateTerminated, Event, Pod},
};
use kube::ResourceExt as _;
use serde_json::Value;

/// Where a Job is.
#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    /// There is no such Job.
    Absent,
    /// Its container does not run yet.
    Pending {
        /// Why, in one sentence, where anybody says so.
        why: Option<String>,
    },
    /// Its container runs, or its end is being noted.
    Running {
        /// The last progress that it wrote, such as `12/140 public.users`.
        progress: Option<String>,
    },
    /// It did its work.
    Succeeded {
        /// What its container left as termination message.
        result: Value,
    },
    /// It failed for good.
    Failed {
        /// Why, in one sentence.
        why: String,
        /// What its container exited with, where one ran.
        exit: Option<i32>,
        /// What its container left as termination message, where that is JSON.
        result: Option<Value>,
    },
}

/// Judges a Job that exists. `pods` are those with its label; `events` those about the Job and its pods, as far as they
/// could be read.
pub(super) fn judge(job: &Job, pods: &[Pod], events: &[Event]) -> JobState {
    // Anybody who may create pods can give one the label, and with it a result of their own.
    let pods: Vec<&Pod> = pods.iter().filter(|pod| is_its_own(pod, job)).collect();
    let newest = pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.clone()).copied();
    if condition(job, "Complete").is_some() {
        return succeeded(&pods);
    }
    if let Some(said) = condition(job, "Failed") {
        return failed(newest, &said);
    }
    // The worker has done its work and is gone with all its processes: what its controller will say a second or two later
    // is known, services are down meanwhile, and nothing that happens to the pod after this takes the work back. A Job that
    // is about to fail (its deadline) has another word to come.
    if condition(job, "FailureTarget").is_none()
        && let Some(result) = result(&pods)
    {
        return JobState::Succeeded { result };
    }
    let Some(pod) = newest else {
        return JobState::Pending { why: warning(events) };
    };
    if phase(pod) == "Pending" {
        let why = not_scheduled(pod).or_else(|| waiting(pod)).or_else(|| warning(events));
        return JobState::Pending { why };
    }
    JobState::Running { progress: None }
}

/// Whether a pod's log can hold progress.
pub(super) fn running_pod(pods: &[Pod]) -> Option<&Pod> {
    pods.iter().find(|pod| phase(pod) == "Running")
}

/// The newest progress in the end of a log.
pub(super) fn progress_in(log: &str) -> Option<String> {
    log.lines().rev().find_map(|line| line.strip_prefix("whimbrel: progress ")).map(|it| it.trim().to_owned())
}

/// A pod that the Job's controller made for it.
fn is_its_own(pod: &Pod, job: &Job) -> bool {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == job.metadata.uid.as_ref())
}

/// What a worker that ended well has left.
fn result(pods: &[&Pod]) -> Option<Value> {
    let ends = pods.iter().filter_map(|pod| worker_end(pod, WORKER));
    ends.filter(|end| end.exit_code == 0).find_map(message_of)
}

fn succeeded(pods: &[&Pod]) -> JobState {
    match result(pods) {
        Some(result) => JobState::Succeeded { result },
        // Nobody knows what it did: for a backup this is as good as none.
        None => JobState::Failed {
            why: "it finished, but its result can't be read: its pod is gone, or left no message".into(),
            exit: None,
            result: None,
        },
    }
}

fn failed(pod: Option<&Pod>, said: &str) -> JobState {
    let end = pod.and_then(|pod| worker_end(pod, WORKER));
    let result = end.and_then(message_of);
    let own_words = result.as_ref().and_then(|it| it["failed"]["message"].as_str()).map(str::to_owned);
    let exit = end.map(|end| end.exit_code);
    let why = own_words.or_else(|| end.map(plain_end)).or_else(|| {
        let init = pod.and_then(|pod| worker_end(pod, "whimbrel"))?;
        (init.exit_code != 0).then(|| format!("Whimbrel's program could not be copied: {}", plain_end(init)))
    });
    // The deadline ends pods before they can say anything; then only the Job knows.
    JobState::Failed { why: why.unwrap_or_else(|| said.to_owned()), exit, result }
}

fn plain_end(end: &ContainerStateTerminated) -> String {
    let reason = end.reason.as_deref().unwrap_or("Error");
    let message = end.message.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
    format!("its container ended with exit code {} ({reason}){message}", end.exit_code)
}

fn message_of(end: &ContainerStateTerminated) -> Option<Value> {
    serde_json::from_str(end.message.as_deref()?).ok()
}

fn worker_end<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStateTerminated> {
    let status = pod.status.as_ref()?;
    let all =
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    all.filter(|it| it.name == container).find_map(|it| it.state.as_ref()?.terminated.as_ref())
}

fn condition(job: &Job, kind: &str) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.iter().flatten();
    let found = conditions.filter(|it| it.status == "True").find(|it| it.type_ == kind)?;
    let reason = found.reason.clone().unwrap_or_default();
    Some(match &found.message {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason,
    })
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|it| it.phase.as_deref()).unwrap_or("Pending")
}

fn not_scheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let found = conditions.filter(|it| it.type_ == "PodScheduled").find(|it| it.status == "False")?;
    Some(format!("no node takes its pod: {}", found.message.as_deref().unwrap_or("no reason given")))
}

/// A container that can't start. `ContainerCreating` and `PodInitializing` say nothing; an event may.
fn waiting(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all =
        status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    all.filter_map(|it| Some((it, it.state.as_ref().and_then(waits)?))).find_map(|(container, (reason, message))| {
        match reason {
            "ContainerCreating" | "PodInitializing" => None,
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                Some(no_image(&container.image, message))
            }
            _ if message.contains("runAsNonRoot") => Some(format!(
                "{message}: the image runs as root; set pod.securityContext.runAsUser to the number of a user in it"
            )),
            _ => Some(format!("container {} can't start ({reason}): {message}", container.name)),
        }
    })
}

fn no_image(image: &str, why: &str) -> String {
    format!("image {image} can't be pulled: {why}")
}

fn waits(state: &ContainerState) -> Option<(&str, &str)> {
    let waiting = state.waiting.as_ref()?;
    Some((waiting.reason.as_deref()?, waiting.message.as_deref().unwrap_or("no message")))
}

/// The last warning: Pod Security, quotas and volumes that can't be mounted are told in events only.
fn warning(events: &[Event]) -> Option<String> {
    let warnings = events.iter().filter(|it| it.type_.as_deref() == Some("Warning"));
    let time = |it: &&Event| {
        it.last_timestamp.as_ref().map(|at| at.0).or_else(|| it.event_time.as_ref().map(|at| at.0))
    };
    // The kubelet says "Error: ErrImagePull" after the sentence that tells which image and why.
    let says_more = |it: &&Event| !it.message.as_deref().unwrap_or_default().starts_with("Error: ");
    let last = warnings.max_by_key(|it| (says_more(it), time(it), it.resource_version()))?;
    let message = last.message.as_deref().unwrap_or("no message");
    let pull = message.strip_prefix("Failed to pull image \"").and_then(|rest| rest.split_once("\": "));
    if let Some((image, why)) = pull {
        return Some(no_image(image, why));
    }
    Some(match last.reason.as_deref() {
        Some("FailedCreate") => {
            format!("its pod is refused: {}", message.trim_start_matches("Error creating: "))
        }
        Some(reason) => format!("{reason}: {message}"),
        None => message.to_owned(),
    })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
