//! States of Jobs as clusters show them.

use super::*;
use serde_json::json;

fn job(condition: Value) -> Job {
    let metadata = json!({"name": "wb-1-1", "uid": "u"});
    serde_json::from_value(json!({"metadata": metadata, "status": {"conditions": [condition]}})).unwrap()
}

fn running() -> Job {
    let metadata = json!({"name": "wb-1-1", "uid": "u"});
    serde_json::from_value(json!({"metadata": metadata, "status": {"active": 1}})).unwrap()
}

fn pod(status: Value) -> Pod {
    let owner =
        json!({"apiVersion": "batch/v1", "kind": "Job", "name": "wb-1-1", "uid": "u", "controller": true});
    let metadata = json!({"name": "wb-1-1-x", "ownerReferences": [owner]});
    serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
}

fn container(name: &str, state: Value) -> Value {
    json!({"name": name, "image": "registry/pg:15", "imageID": "", "ready": false, "restartCount": 0, "state": state})
}

fn ended(exit: i32, reason: &str, message: &str) -> Pod {
    let state = json!({"terminated": {"exitCode": exit, "reason": reason, "message": message}});
    pod(
        json!({"phase": if exit == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": [container("worker", state)]}),
    )
}

fn event(reason: &str, message: &str, at: &str) -> Event {
    serde_json::from_value(json!({"metadata": {"name": reason}, "involvedObject": {}, "type": "Warning",
        "reason": reason, "message": message, "lastTimestamp": at}))
    .unwrap()
}

fn why(job: &Job, pods: &[Pod], events: &[Event]) -> String {
    match judge(job, pods, events) {
        JobState::Pending { why } => why.unwrap_or_default(),
        JobState::Failed { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_complete_job_gives_what_its_container_left() {
    let complete = job(json!({"type": "Complete", "status": "True"}));
    let done = ended(0, "Completed", r#"{"backup":{"path":"p/7/t-1"}}"#);
    let early = ended(1, "Error", r#"{"failed":{"code":"Connect","message":"no"}}"#);
    let result = json!({"backup": {"path": "p/7/t-1"}});
    assert_eq!(judge(&complete, &[early, done], &[]), JobState::Succeeded { result });
    let lost = "it finished, but its result can't be read: its pod is gone, or left no message";
    assert_eq!(why(&complete, &[], &[]), lost);
    assert_eq!(why(&complete, &[ended(0, "Completed", "")], &[]), lost);
}

#[test]
fn a_worker_that_ended_well_is_believed_before_its_controller_says_so() {
    let done = ended(0, "Completed", r#"{"backup":{"path":"p/7/t-1"}}"#);
    let result = json!({"backup": {"path": "p/7/t-1"}});
    let believed = JobState::Succeeded { result };
    assert_eq!(judge(&running(), std::slice::from_ref(&done), &[]), believed);
    let first = ended(1, "Error", r#"{"failed":{"code":"Connect","message":"no"}}"#);
    assert_eq!(judge(&running(), &[first.clone(), done.clone()], &[]), believed, "the second try");
    let mut deleted = done.clone();
    deleted.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-11-20T10:00:00Z")).unwrap());
    assert_eq!(judge(&running(), &[deleted], &[]), believed, "its work is done all the same");

    let waits = JobState::Running { progress: None };
    assert_eq!(judge(&running(), &[first], &[]), waits, "its controller may try again");
    assert_eq!(judge(&running(), &[ended(0, "Completed", "")], &[]), waits, "it left no result");
    let late = job(json!({"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}));
    assert_eq!(judge(&late, &[done], &[]), waits, "another word is to come");
}

#[test]
fn a_pod_that_only_has_the_label_is_not_believed() {
    let mut foreign = ended(0, "Completed", r#"{"backup":{"path":"p/7/t-1"}}"#);
    foreign.metadata.owner_references = None;
    assert_eq!(judge(&running(), std::slice::from_ref(&foreign), &[]), JobState::Pending { why: None });
    let complete = job(json!({"type": "Complete", "status": "True"}));
    assert!(matches!(judge(&complete, &[foreign], &[]), JobState::Failed { .. }));
}

#[test]
fn a_failed_job_says_why_in_the_best_words_there_are() {
    let failed = job(
        json!({"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "exit code 42"}),
    );
    let worker = ended(42, "Error", r#"{"failed":{"code":"Damaged","message":"the backup is damaged: x"}}"#);
    let result = json!({"failed": {"code": "Damaged", "message": "the backup is damaged: x"}});
    let state =
        JobState::Failed { why: "the backup is damaged: x".into(), exit: Some(42), result: Some(result) };
    assert_eq!(judge(&failed, &[worker], &[]), state);
    let killed = ended(137, "OOMKilled", "");
    assert_eq!(why(&failed, &[killed], &[]), "its container ended with exit code 137 (OOMKilled): ");
    let late = job(json!({"type": "Failed", "status": "True", "reason": "DeadlineExceeded",
        "message": "Job was active longer than specified deadline"}));
    assert_eq!(why(&late, &[], &[]), "DeadlineExceeded: Job was active longer than specified deadline");
    let no_program = pod(json!({"phase": "Failed", "initContainerStatuses": [
        container("whimbrel", json!({"terminated": {"exitCode": 1, "reason": "Error"}}))]}));
    assert_eq!(
        why(&failed, &[no_program], &[]),
        "Whimbrel's program could not be copied: its container ended with exit code 1 (Error)"
    );
}

#[test]
fn what_keeps_a_pod_from_starting_is_one_sentence() {
    let waits = |container_name: &str, reason: &str, message: &str| {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        pod(json!({"phase": "Pending", "containerStatuses": [container(container_name, state)]}))
    };
    assert_eq!(
        why(&running(), &[waits("worker", "ImagePullBackOff", "Back-off pulling image")], &[]),
        "image registry/pg:15 can't be pulled: Back-off pulling image"
    );
    assert_eq!(
        why(
            &running(),
            &[waits(
                "worker",
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root"
            )],
            &[]
        ),
        "container has runAsNonRoot and image will run as root: the image runs as root; set pod.securityContext.runAsUser to the number of a user in it"
    );
    assert_eq!(
        why(&running(), &[waits("worker", "CreateContainerError", "no such device")], &[]),
        "container worker can't start (CreateContainerError): no such device"
    );
    let homeless = pod(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "persistentvolumeclaim \"backups\" not found"}]}));
    assert_eq!(
        why(&running(), &[homeless], &[]),
        "no node takes its pod: persistentvolumeclaim \"backups\" not found"
    );
    let creating = waits("worker", "ContainerCreating", "");
    assert_eq!(why(&running(), std::slice::from_ref(&creating), &[]), "");
    let unmounted = event("FailedMount", "secret \"pg-admin\" not found", "2026-11-20T10:00:00Z");
    let pulls = event("Failed", "Failed to pull image \"pg:15\": no such host", "2026-11-20T10:00:00Z");
    let short = event("Failed", "Error: ErrImagePull", "2026-11-20T10:00:01Z");
    assert_eq!(
        why(&running(), std::slice::from_ref(&creating), &[pulls, short]),
        "image pg:15 can't be pulled: no such host"
    );
    assert_eq!(why(&running(), &[creating], &[unmounted]), "FailedMount: secret \"pg-admin\" not found");
}

#[test]
fn a_job_without_a_pod_quotes_the_newest_refusal() {
    let refused = "Error creating: pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"";
    let events = [
        event("FailedCreate", refused, "2026-11-20T10:00:01Z"),
        event("FailedCreate", "Error creating: exceeded quota", "2026-11-20T10:00:00Z"),
    ];
    assert_eq!(
        why(&running(), &[], &events),
        "its pod is refused: pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\""
    );
    assert_eq!(why(&running(), &[], &[]), "");
}

#[test]
fn progress_is_the_last_line_that_says_so() {
    let pods = [pod(json!({"phase": "Running"}))];
    assert_eq!(judge(&running(), &pods, &[]), JobState::Running { progress: None });
    assert!(running_pod(&pods).is_some());
    let log = "whimbrel: progress 1/4 public.a\nwhimbrel: progress 2/4 public.b\nnoise\n";
    assert_eq!(progress_in(log).as_deref(), Some("2/4 public.b"));
    assert_eq!(progress_in("noise"), None);
}
