//! A Job is tried before any downtime, and made once.

use super::name;
use crate::cluster::{Acting, FIELD_MANAGER, NotOurs, SwapError, WriteError, get_if_there, record};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    ResourceExt as _,
    api::{ObjectMeta, PostParams},
};

/// Asks the API server whether it would take the Job, and a pod of it: Pod Security, quotas and limit ranges judge pods
/// only, so a Job that is taken may still never get one.
///
/// # Errors
/// What the API server said against either. An account that may not create pods itself is no obstacle: the Job
/// controller creates them.
pub async fn dry_run(acting: &Acting, job: &Job) -> Result<(), WriteError> {
    let namespace = job.namespace().unwrap_or_default();
    let trial = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
    let job_answer = acting.api::<Job>(&namespace).create(&trial, job).await;
    match job_answer.map_err(|error| WriteError::of(error, acting.account())) {
        // A Job of ours from before a restart has the name already; the pod is what is still to be tried.
        Ok(_) | Err(WriteError::NotOurs(NotOurs::Exists { .. })) => {}
        Err(error) => return Err(error),
    }
    let pod_answer = acting.api::<Pod>(&namespace).create(&trial, &pod_of(job)).await;
    match pod_answer.map_err(|error| WriteError::of(error, acting.account())) {
        Err(error) if error.forbidden().is_none() => Err(error),
        _ => Ok(()),
    }
}

fn pod_of(job: &Job) -> Pod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("{}-trial", job.name_any())),
            namespace: job.namespace(),
            ..template.metadata.unwrap_or_default()
        },
        spec: template.spec,
        ..Pod::default()
    }
}

/// Makes the Job, or finds the one that an earlier driver or an earlier try of ours has made.
///
/// # Errors
/// [`NotOurs::Exists`] if another thing has its name; a refusal; no answer.
pub async fn create(acting: &Acting, job: &Job) -> Result<Job, SwapError> {
    match record::create(acting, job, |found| name::is_same(job, found)).await {
        Err(SwapError::Write(WriteError::NotOurs(not_ours))) => {
            let namespace = job.namespace().unwrap_or_default();
            match get_if_there::<Job>(acting, &namespace, &job.name_any()).await? {
                Some(found) if name::is_same(job, &found) => Ok(found),
                _ => Err(WriteError::NotOurs(not_ours).into()),
            }
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::{FakeApiServer, status};
    use serde_json::{Value, json};

    fn job(made_for: &str) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "wb-1-1", "namespace": "aether", "annotations": {"whimbrel.dev/made-for": made_for}},
            "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}})
    }

    fn ours() -> Job {
        serde_json::from_value(job("p/7/op/1")).unwrap()
    }

    fn exists() -> Value {
        let mut answer = status(409, "AlreadyExists", "jobs.batch \"wb-1-1\" already exists");
        answer["details"] = json!({"kind": "jobs", "name": "wb-1-1"});
        answer
    }

    #[tokio::test]
    async fn a_job_that_is_there_already_is_taken_only_if_it_is_ours() {
        let fake = FakeApiServer::new();
        let server = fake.api_server();
        fake.answer_next(409, exists());
        fake.answer_next(200, job("p/7/op/1"));
        assert!(create(server.own(), &ours()).await.is_ok());
        fake.answer_next(409, exists());
        fake.answer_next(200, job("p/6/op/1"));
        let error = create(server.own(), &ours()).await.unwrap_err();
        assert_eq!(error.to_string(), "jobs wb-1-1 exists already and is not ours");
    }

    #[tokio::test]
    async fn the_pod_is_tried_as_well_because_only_pods_are_judged() {
        let fake = FakeApiServer::new();
        let server = fake.api_server();
        fake.answer_next(201, job("p/7/op/1"));
        let said =
            "pods \"wb-1-1-trial\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot";
        fake.answer_next(403, status(403, "Forbidden", said));
        assert_eq!(dry_run(server.own(), &ours()).await.unwrap_err().to_string(), said);
        let sent = fake.requests();
        assert!(sent[0].starts_with("POST /apis/batch/v1/namespaces/aether/jobs?"), "{sent:?}");
        assert!(sent[1].starts_with("POST /api/v1/namespaces/aether/pods?"), "{sent:?}");
        assert!(sent.iter().all(|it| it.contains("dryRun=All")), "{sent:?}");
        assert_eq!(
            fake.bodies()[1]["metadata"],
            json!({"labels": {"a": "b"}, "name": "wb-1-1-trial", "namespace": "aether"})
        );
    }

    #[tokio::test]
    async fn an_account_that_may_not_create_pods_is_no_obstacle() {
        let fake = FakeApiServer::new();
        let server = fake.api_server();
        fake.answer_next(201, job("p/7/op/1"));
        let said = "pods is forbidden: User \"system:serviceaccount:aether:whimbrel\" cannot create resource \"pods\" in API group \"\" in the namespace \"aether\"";
        fake.answer_next(403, status(403, "Forbidden", said));
        let acting = server.acting_as(&crate::cluster::Account::of("aether", "whimbrel"));
        assert!(dry_run(&acting, &ours()).await.is_ok());
    }
}
