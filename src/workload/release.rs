//! Release: the run's marks go, and with them every trace that would make the owner's next apply fail.

use super::{
    CLAIMED, CLAIMED_BY, ORIGINAL, Which, Workload, WorkloadError, WorkloadKey,
    change::{Merge, change},
    claim::is_as_recorded,
};
use crate::cluster::{Acting, FIELD_MANAGER, Holder, ReadError, WriteError};
use serde_json::{Value, json};

/// Removes our claim, the originals and our entries in `managedFields`, in one patch. Without the last, the owner's
/// next server-side apply would fail with a conflict with us over every image and count that we gave back. Idempotent;
/// a workload that is gone or that nobody claims is released.
///
/// # Errors
/// [`WriteError::NotOurs`] if another run, or a newer driver of ours, holds it; a refusal; no answer.
pub async fn release(acting: &Acting, which: impl Into<Which>, holder: &Holder) -> Result<(), WorkloadError> {
    match change(acting, which, Merge::Json, |found| release_patch(found, holder)).await {
        Ok(_) | Err(WorkloadError::Read(ReadError::NotFound { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

fn release_patch(found: &Workload, holder: &Holder) -> Result<Option<Value>, WorkloadError> {
    let Some(standing) = found.annotations.get(CLAIMED_BY) else {
        // The originals alone are nothing that anybody holds: a person took our claim off, and may still need them.
        return Ok(None);
    };
    holder.may_write_over(&found.key.to_string(), Some(standing)).map_err(WriteError::NotOurs)?;
    let others: Vec<_> =
        found.managed_fields.iter().filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER)).collect();
    let mut metadata = json!({
        "annotations": {CLAIMED_BY: null, ORIGINAL: null},
        "labels": {CLAIMED: null},
    });
    // An empty list would mean: leave them as they are.
    if !others.is_empty() {
        metadata["managedFields"] = json!(others);
    }
    Ok(Some(json!({ "metadata": metadata })))
}

/// Takes the marks of a run off that is proven gone: nobody else ever will. What it recorded of the workload stays if
/// the workload is not like that now, for it is the only note of how it was, and a person must judge. Idempotent.
///
/// # Errors
/// [`WriteError::NotOurs`] if another run, or a newer driver of that one, holds it; a refusal; no answer.
pub async fn forget(acting: &Acting, key: &WorkloadKey, gone: &Holder) -> Result<(), WorkloadError> {
    let forget = |found: &Workload| {
        let Some(mut patch) = release_patch(found, gone)? else { return Ok(None) };
        if !is_as_recorded(found)? {
            patch["metadata"]["annotations"] = json!({CLAIMED_BY: null});
        }
        Ok(Some(patch))
    };
    match change(acting, key, Merge::Json, forget).await {
        Ok(_) | Err(WorkloadError::Read(ReadError::NotFound { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::FakeApiServer;
    use crate::workload::fixture;

    fn me() -> Holder {
        Holder { plan_uid: "uid-a".into(), run: 7, epoch: 3 }
    }

    #[test]
    fn one_patch_takes_all_our_marks_and_no_others() {
        let web = fixture::deployment(
            r#"annotations: {whimbrel.dev/claimed-by: uid-a/7/3, team: blue}
managedFields:
- {manager: helm, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:replicas": {}}}}
- {manager: whimbrel, operation: Update, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:replicas": {}}}}"#,
        );
        let helm = json!({"manager": "helm", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                          "fieldsV1": {"f:spec": {"f:replicas": {}}}});
        assert_eq!(
            release_patch(&web, &me()).unwrap().unwrap(),
            json!({"metadata": {
                "annotations": {CLAIMED_BY: null, ORIGINAL: null}, "labels": {CLAIMED: null}, "managedFields": [helm]
            }})
        );
    }

    #[test]
    fn what_nobody_or_another_holds_is_left_alone() {
        assert_eq!(release_patch(&fixture::deployment(""), &me()).unwrap(), None);
        let other = fixture::deployment("annotations: {whimbrel.dev/claimed-by: uid-b/1/1}");
        assert_eq!(
            release_patch(&other, &me()).unwrap_err().to_string(),
            "Deployment aether/web is claimed by uid-b/1/1"
        );
    }

    #[tokio::test]
    async fn the_marks_of_a_run_that_is_gone_go_and_the_only_note_of_how_it_was_stays() {
        let live = |replicas: i32, claimed: &str| {
            let note = json!({"run": "uid-a/7", "replicas": 3, "images": {}}).to_string();
            json!({
                "metadata": {"name": "web", "namespace": "aether", "uid": "u", "resourceVersion": "5",
                             "annotations": {CLAIMED_BY: claimed, ORIGINAL: note}},
                "spec": {"replicas": replicas, "selector": {}, "template": {}}
            })
        };
        let key = WorkloadKey {
            kind: crate::api::WorkloadKind::Deployment,
            namespace: "aether".into(),
            name: "web".into(),
        };
        let (down, up) = (live(0, "uid-a/7/3"), live(3, "uid-a/7/3"));
        for (found, annotations) in
            [(down, json!({CLAIMED_BY: null})), (up, json!({CLAIMED_BY: null, ORIGINAL: null}))]
        {
            let fake = FakeApiServer::new();
            fake.answer_always(200, found);
            forget(fake.api_server().own(), &key, &me()).await.unwrap();
            assert_eq!(fake.bodies()[1]["metadata"]["annotations"], annotations);
            assert_eq!(fake.bodies()[1]["metadata"]["resourceVersion"], "5");
        }
        let fake = FakeApiServer::new();
        fake.answer_always(200, live(0, "uid-b/1/1"));
        forget(fake.api_server().own(), &key, &me()).await.expect_err("another run holds it");
        assert_eq!(fake.requests().len(), 1, "and nothing is written");
    }
}
