//! A Job is gone when no pod of it is left.

use super::MADE_FOR;
use crate::cluster::{Acting, NotOurs, SwapError, WriteError, get_if_there, list_all};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, Preconditions, PropagationPolicy},
};

/// How far the removal of a Job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Neither Job nor pod: nothing of it can write any more.
    Gone,
    /// Something is left. Ask again when a pod moves; a pod on a node that is lost stays until the node is back or
    /// somebody removes it.
    Going {
        /// Pods that are still there, ending or on a lost node.
        pods: Vec<String>,
    },
}

/// Removes the Job if it is there, and looks, live, what is left of it.
///
/// # Errors
/// A Job of the name that is not ours is left alone ([`NotOurs::Exists`]); a refusal; no answer.
pub async fn remove(acting: &Acting, namespace: &str, name: &str) -> Result<Removal, SwapError> {
    let job = get_if_there::<Job>(acting, namespace, name).await?;
    if let Some(job) = &job {
        if !job.annotations().contains_key(MADE_FOR) {
            let what = format!("Job {namespace}/{name}");
            return Err(WriteError::NotOurs(NotOurs::Exists { what }).into());
        }
        if job.metadata.deletion_timestamp.is_none() {
            delete(acting, namespace, job).await?;
        }
    }
    // The pods after the Job: before it is deleted its controller may make one more.
    let selector = format!("batch.kubernetes.io/job-name={name}");
    let pods: Vec<Pod> = list_all(acting, namespace, &selector).await?;
    if job.is_none() && pods.is_empty() {
        return Ok(Removal::Gone);
    }
    Ok(Removal::Going { pods: pods.iter().map(ResourceExt::name_any).collect() })
}

async fn delete(acting: &Acting, namespace: &str, job: &Job) -> Result<(), SwapError> {
    // In the foreground: the Job stays until its pods are gone, so that "no Job" never runs ahead of its pods.
    let parameters = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        preconditions: Some(Preconditions { uid: job.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    match acting.api::<Job>(namespace).delete(&job.name_any(), &parameters).await {
        Ok(_) => Ok(()),
        Err(error) => match WriteError::of(error, acting.account()) {
            error if error.is_not_found() => Ok(()),
            error => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::{FakeApiServer, status};
    use serde_json::{Value, json};

    fn job(annotations: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "wb-1-1", "uid": "u", "annotations": annotations}})
    }

    fn pods(names: &[&str]) -> Value {
        let items: Vec<_> = names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
        json!({"metadata": {}, "items": items})
    }

    #[tokio::test]
    async fn gone_is_said_only_when_job_and_pods_are_gone() {
        let fake = FakeApiServer::new();
        let server = fake.api_server();
        fake.answer_next(200, job(json!({"whimbrel.dev/made-for": "p/7/op/1"})));
        fake.answer_next(200, status(200, "", ""));
        fake.answer_next(200, pods(&[]));
        let going = |pods: &[&str]| Removal::Going { pods: pods.iter().map(|&it| it.to_owned()).collect() };
        assert_eq!(remove(server.own(), "aether", "wb-1-1").await.unwrap(), going(&[]));
        assert_eq!(fake.bodies()[1]["preconditions"], json!({"uid": "u"}));
        assert_eq!(fake.bodies()[1]["propagationPolicy"], "Foreground");
        fake.answer_next(404, status(404, "NotFound", "no"));
        fake.answer_next(200, pods(&["wb-1-1-x"]));
        assert_eq!(remove(server.own(), "aether", "wb-1-1").await.unwrap(), going(&["wb-1-1-x"]));
        fake.answer_next(404, status(404, "NotFound", "no"));
        fake.answer_next(200, pods(&[]));
        assert_eq!(remove(server.own(), "aether", "wb-1-1").await.unwrap(), Removal::Gone);
    }

    #[tokio::test]
    async fn somebody_elses_job_is_left_alone() {
        let fake = FakeApiServer::new();
        let server = fake.api_server();
        fake.answer_next(200, job(json!({})));
        let error = remove(server.own(), "aether", "wb-1-1").await.unwrap_err();
        assert_eq!(error.to_string(), "Job aether/wb-1-1 exists already and is not ours");
        assert_eq!(fake.requests().len(), 1);
    }
}
