//! Durable records: created once, their status written by compare-and-swap, their finalizer only by us.
//!
//! A run's record says what the driver is about to do and what became of it. Two drivers may believe for a moment that
//! they own it; only one of them can write over a version that both have read.

use super::{Acting, FIELD_MANAGER, Kind, NotOurs, SwapError, WriteError, get, get_if_there};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde::Serialize;
use serde_json::{Value, json};

/// How often a write whose answer was lost is sent again under the same version; at most one of them can arrive.
const ATTEMPTS: usize = 5;

/// Creates the record, by POST, so that a name that is taken is an answer and not an overwrite.
///
/// `is_same` tells, after an answer was lost, whether the object that now has the name is the one that was sent.
///
/// # Errors
/// [`NotOurs::Exists`] if the name was taken before (count again); a refusal; no answer.
pub async fn create<K: Kind + Serialize>(
    acting: &Acting,
    record: &K,
    is_same: impl Fn(&K) -> bool,
) -> Result<K, SwapError> {
    let namespace = record.namespace().unwrap_or_default();
    let name = record.name_any();
    let api = acting.api::<K>(&namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let mut lost = false;
    loop {
        match api.create(&parameters, record).await.map_err(|error| WriteError::of(error, acting.account())) {
            Ok(created) => return Ok(created),
            Err(WriteError::Lost(_)) if !lost => lost = true,
            Err(WriteError::NotOurs(_)) if lost => {
                let what = format!("{} {namespace}/{name}", K::kind(&()));
                let found: K = get(acting, &namespace, &name).await?;
                let taken = || WriteError::NotOurs(NotOurs::Exists { what }).into();
                return if is_same(&found) { Ok(found) } else { Err(taken()) };
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Merges `status` into the record's status, if the record is still at `version`.
///
/// Lists are replaced whole, maps are merged, null removes.
///
/// # Errors
/// [`WriteError::Stale`] if somebody wrote meanwhile: read again, and first of all look whether the epoch is still
/// ours; a refusal, also of a field that the served CRD does not know; no answer.
pub async fn write_status<K: Kind + Serialize>(
    acting: &Acting,
    namespace: &str,
    name: &str,
    version: &str,
    status: &Value,
) -> Result<K, SwapError> {
    write(acting, namespace, name, version, Half::Status, status).await
}

/// Merges `spec` into the record's spec, if the record is still at `version`: how a run gets its frozen program.
///
/// # Errors
/// As [`write_status`].
pub async fn write_spec<K: Kind + Serialize>(
    acting: &Acting,
    namespace: &str,
    name: &str,
    version: &str,
    spec: &Value,
) -> Result<K, SwapError> {
    write(acting, namespace, name, version, Half::Spec, spec).await
}

/// The half of an object that a write goes to.
#[derive(Clone, Copy)]
enum Half {
    Spec,
    Status,
}

async fn write<K: Kind + Serialize>(
    acting: &Acting,
    namespace: &str,
    name: &str,
    version: &str,
    half: Half,
    value: &Value,
) -> Result<K, SwapError> {
    let api = acting.api::<K>(namespace);
    let key = match half {
        Half::Spec => "spec",
        Half::Status => "status",
    };
    let patch = json!({"metadata": {"resourceVersion": version}, key: value});
    let mut last = WriteError::Stale;
    let mut lost = false;
    for _ in 0..ATTEMPTS {
        let answer = match half {
            Half::Spec => api.patch(name, &parameters(), &Patch::Merge(&patch)).await,
            Half::Status => api.patch_status(name, &parameters(), &Patch::Merge(&patch)).await,
        };
        last = match answer.map_err(|error| WriteError::of(error, acting.account())) {
            Ok(written) => return Ok(written),
            Err(error @ WriteError::Lost(_)) => error,
            Err(WriteError::Stale) if lost => WriteError::Stale,
            Err(error) => return Err(error.into()),
        };
        lost = true;
        let found: K = get(acting, namespace, name).await?;
        let seen = serde_json::to_value(&found).unwrap_or_default();
        if holds(&seen[key], value) {
            return Ok(found);
        }
        if found.resource_version().as_deref() != Some(version) {
            return Err(WriteError::Stale.into());
        }
    }
    Err(last.into())
}

/// Adds our finalizer and leaves the others alone. Idempotent; none if the object is gone.
///
/// # Errors
/// A refusal; no answer; too many conflicts.
pub async fn add_finalizer<K: Kind + Serialize>(
    acting: &Acting,
    namespace: &str,
    name: &str,
    finalizer: &str,
) -> Result<Option<K>, SwapError> {
    swap_finalizers(acting, namespace, name, |now| {
        (!now.iter().any(|it| it == finalizer))
            .then(|| now.iter().cloned().chain([finalizer.to_owned()]).collect())
    })
    .await
}

/// Removes our finalizer and leaves the others alone. Idempotent; none if the object is gone.
///
/// # Errors
/// A refusal; no answer; too many conflicts.
pub async fn remove_finalizer<K: Kind + Serialize>(
    acting: &Acting,
    namespace: &str,
    name: &str,
    finalizer: &str,
) -> Result<Option<K>, SwapError> {
    swap_finalizers(acting, namespace, name, |now| {
        now.iter()
            .any(|it| it == finalizer)
            .then(|| now.iter().filter(|it| *it != finalizer).cloned().collect())
    })
    .await
}

/// Deletes the object with this uid; another one that took its name since stays. Idempotent.
///
/// # Errors
/// A refusal; no answer.
pub async fn delete<K: Kind>(
    acting: &Acting,
    namespace: &str,
    name: &str,
    uid: &str,
) -> Result<(), WriteError> {
    let same = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    match acting.api::<K>(namespace).delete(name, &DeleteParams::background().preconditions(same)).await {
        Ok(_) => Ok(()),
        Err(error) => match WriteError::of(error, acting.account()) {
            WriteError::Stale => Ok(()),
            gone if gone.is_not_found() => Ok(()),
            error => Err(error),
        },
    }
}

/// A merge patch of the finalizers alone: a PUT would also write back every field that this build does not know.
async fn swap_finalizers<K: Kind + Serialize>(
    acting: &Acting,
    namespace: &str,
    name: &str,
    wanted: impl Fn(&[String]) -> Option<Vec<String>>,
) -> Result<Option<K>, SwapError> {
    let api = acting.api::<K>(namespace);
    let mut last = WriteError::Stale;
    for _ in 0..ATTEMPTS {
        let Some(found) = get_if_there::<K>(acting, namespace, name).await? else { return Ok(None) };
        let Some(finalizers) = wanted(found.finalizers()) else { return Ok(Some(found)) };
        let patch =
            json!({"metadata": {"resourceVersion": found.resource_version(), "finalizers": finalizers}});
        match api.patch(name, &parameters(), &Patch::Merge(&patch)).await {
            Ok(written) => return Ok(Some(written)),
            Err(error) => match WriteError::of(error, acting.account()) {
                gone if gone.is_not_found() => return Ok(None),
                again @ (WriteError::Stale | WriteError::Lost(_)) => last = again,
                refused => return Err(refused.into()),
            },
        }
    }
    Err(last.into())
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Whether `seen` is what a merge of `patch` leaves behind.
fn holds(seen: &Value, patch: &Value) -> bool {
    match (seen, patch) {
        (Value::Object(seen), Value::Object(patch)) => {
            patch.iter().all(|(key, wanted)| holds(seen.get(key).unwrap_or(&Value::Null), wanted))
        }
        // A map that holds only removals leaves nothing, whether or not the server keeps it.
        (Value::Null, Value::Object(patch)) => patch.values().all(|wanted| holds(&Value::Null, wanted)),
        _ => seen == patch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::{FakeApiServer, status};
    use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};

    // A Deployment stands for the record: it has a status, and these tests look at requests alone.
    fn record(version: &str, replicas: i32) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
               "metadata": {"name": "r-1", "namespace": "aether", "resourceVersion": version, "uid": "u"},
               "spec": {"selector": {}, "template": {}}, "status": {"replicas": replicas}})
    }

    async fn write(fake: &FakeApiServer) -> Result<Deployment, SwapError> {
        write_status(fake.api_server().own(), "aether", "r-1", "5", &json!({"replicas": 2})).await
    }

    fn methods(fake: &FakeApiServer) -> Vec<String> {
        fake.requests().iter().map(|it| it.split(' ').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_a_merge_leaves_behind() {
        let seen =
            json!({"epoch": 3, "ops": {"a": {"state": "Done"}, "b": {"state": "Intent"}}, "list": [1, 2]});
        assert!(holds(&seen, &json!({"ops": {"b": {"state": "Intent"}}})));
        assert!(holds(&seen, &json!({"gone": null, "map": {"x": null}, "list": [1, 2]})));
        assert!(!holds(&seen, &json!({"ops": {"b": {"state": "Done"}}})));
        assert!(!holds(&seen, &json!({"epoch": null})));
        assert!(!holds(&seen, &json!({"list": [1]})), "a merge replaces lists whole");
    }

    #[tokio::test]
    async fn a_status_write_is_bound_to_the_version_that_was_read() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, record("6", 2));
        write(&fake).await.unwrap();
        assert_eq!(
            fake.requests(),
            [
                "PATCH /apis/apps/v1/namespaces/aether/deployments/r-1/status?&fieldManager=whimbrel&fieldValidation=Strict"
            ]
        );
        assert_eq!(
            fake.bodies()[0],
            json!({"metadata": {"resourceVersion": "5"}, "status": {"replicas": 2}})
        );
    }

    #[tokio::test]
    async fn a_spec_is_written_to_the_object_itself() {
        let fake = FakeApiServer::new();
        fake.answer_next(504, status(504, "Timeout", "late"));
        fake.answer_next(200, record("6", 2));
        let spec = json!({"template": {}});
        write_spec::<Deployment>(fake.api_server().own(), "aether", "r-1", "5", &spec).await.unwrap();
        assert!(fake.requests()[0].starts_with("PATCH /apis/apps/v1/namespaces/aether/deployments/r-1?"));
        assert_eq!(fake.bodies()[0], json!({"metadata": {"resourceVersion": "5"}, "spec": spec}));
    }

    #[tokio::test]
    async fn a_conflict_is_stale_and_nothing_is_sent_again() {
        let fake = FakeApiServer::new();
        fake.answer_always(409, status(409, "Conflict", "modified"));
        assert!(matches!(write(&fake).await, Err(SwapError::Write(WriteError::Stale))));
        assert_eq!(methods(&fake), ["PATCH"]);
    }

    #[tokio::test]
    async fn after_a_lost_answer_the_record_tells() {
        let lost = || status(504, "Timeout", "request did not complete");
        let fake = FakeApiServer::new();
        fake.answer_next(504, lost());
        fake.answer_next(200, record("6", 2));
        assert_eq!(write(&fake).await.unwrap().resource_version().as_deref(), Some("6"), "it had arrived");
        assert_eq!(methods(&fake), ["PATCH", "GET"]);

        let fake = FakeApiServer::new();
        fake.answer_next(504, lost());
        fake.answer_next(200, record("6", 1));
        assert!(matches!(write(&fake).await, Err(SwapError::Write(WriteError::Stale))), "another one wrote");

        let fake = FakeApiServer::new();
        fake.answer_next(504, lost());
        fake.answer_next(200, record("5", 1));
        fake.answer_next(409, status(409, "Conflict", "modified"));
        fake.answer_next(200, record("6", 2));
        write(&fake).await.expect("the first one arrived late, the second one could not");
        assert_eq!(methods(&fake), ["PATCH", "GET", "PATCH", "GET"]);
    }

    #[tokio::test]
    async fn a_taken_name_is_told_from_our_own_lost_create() {
        let exists = || status(409, "AlreadyExists", "configmaps \"r\" already exists");
        let mine: ConfigMap = serde_json::from_value(
            json!({"metadata": {"name": "r", "namespace": "a"}, "data": {"hash": "h1"}}),
        )
        .unwrap();
        let is_same = |found: &ConfigMap| found.data == mine.data;

        let fake = FakeApiServer::new();
        fake.answer_next(409, exists());
        let error = create(fake.api_server().own(), &mine, is_same).await.unwrap_err();
        assert!(matches!(error, SwapError::Write(WriteError::NotOurs(_))), "count again");

        let fake = FakeApiServer::new();
        fake.answer_next(504, status(504, "Timeout", "late"));
        fake.answer_next(409, exists());
        fake.answer_next(200, json!({"metadata": {"name": "r"}, "data": {"hash": "h1"}}));
        create(fake.api_server().own(), &mine, is_same).await.expect("our first request had arrived");

        let fake = FakeApiServer::new();
        fake.answer_next(504, status(504, "Timeout", "late"));
        fake.answer_next(409, exists());
        fake.answer_next(200, json!({"metadata": {"name": "r"}, "data": {"hash": "h2"}}));
        let error = create(fake.api_server().own(), &mine, is_same).await.unwrap_err();
        assert_eq!(error.to_string(), "ConfigMap a/r exists already and is not ours");
    }

    #[tokio::test]
    async fn only_our_own_finalizer_moves() {
        let object = |finalizers: Value| json!({"metadata": {"name": "r", "resourceVersion": "5", "finalizers": finalizers}});
        let ours = "whimbrel.dev/run";
        let fake = FakeApiServer::new();
        fake.answer_next(200, object(json!(["other/one"])));
        fake.answer_next(200, object(json!(["other/one", ours])));
        add_finalizer::<ConfigMap>(fake.api_server().own(), "a", "r", ours).await.unwrap();
        fake.answer_next(200, object(json!(["other/one", ours])));
        add_finalizer::<ConfigMap>(fake.api_server().own(), "a", "r", ours).await.unwrap();
        fake.answer_next(200, object(json!(["other/one", ours])));
        fake.answer_next(200, object(json!(["other/one"])));
        remove_finalizer::<ConfigMap>(fake.api_server().own(), "a", "r", ours).await.unwrap();
        let sent: Vec<_> = fake.bodies().into_iter().filter(|it| !it.is_null()).collect();
        let meta = |list: Value| json!({"metadata": {"resourceVersion": "5", "finalizers": list}});
        assert_eq!(sent, [meta(json!(["other/one", ours])), meta(json!(["other/one"]))]);
    }

    #[tokio::test]
    async fn a_name_that_another_object_took_is_not_deleted() {
        let fake = FakeApiServer::new();
        fake.answer_next(409, status(409, "Conflict", "the UID in the precondition does not match"));
        delete::<ConfigMap>(fake.api_server().own(), "a", "r", "uid-1").await.unwrap();
        assert_eq!(fake.bodies()[0]["preconditions"], json!({"uid": "uid-1"}));
        delete::<ConfigMap>(fake.api_server().own(), "a", "r", "uid-1").await.expect("a 404 is as good");
    }
}
