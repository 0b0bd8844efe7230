//! One change of a workload: read it, decide, patch it under the version that was read; on a conflict or a lost answer
//! decide anew.

use super::{CLAIMED_BY, Workload, WorkloadError, WorkloadKey, held_by, look};
use crate::{
    api::WorkloadKind,
    cluster::{Acting, FIELD_MANAGER, Holder, Kind, WriteError},
};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::CronJob,
};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// How often one change is decided anew. A rolling workload's status is written several times a second, and every one
/// of these writes makes our version old.
const ATTEMPTS: usize = 10;

/// How a patch is merged.
#[derive(Clone, Copy)]
pub(super) enum Merge {
    /// Lists of named things by name: a JSON merge patch of one container would remove its sidecar.
    Strategic,
    /// Lists whole: what `managedFields` needs, which has no names.
    Json,
}

/// Which workload shall be changed.
pub enum Which {
    /// The one of this name: it is read first.
    Named(WorkloadKey),
    /// The one that was read live just now: the write is bound to that version, and it is read again only if that is old.
    Seen(Box<Workload>),
}

impl From<&WorkloadKey> for Which {
    fn from(key: &WorkloadKey) -> Self {
        Self::Named(key.clone())
    }
}

impl From<Workload> for Which {
    fn from(seen: Workload) -> Self {
        Self::Seen(Box::new(seen))
    }
}

/// Changes a workload until `decide` finds nothing left to do, or refuses.
pub(super) async fn change(
    acting: &Acting,
    which: impl Into<Which>,
    merge: Merge,
    decide: impl Fn(&Workload) -> Result<Option<Value>, WorkloadError>,
) -> Result<Workload, WorkloadError> {
    let (key, mut seen) = match which.into() {
        Which::Named(key) => (key, None),
        Which::Seen(seen) => (seen.key.clone(), Some(*seen)),
    };
    let mut last = WriteError::Stale;
    for _ in 0..ATTEMPTS {
        let (found, is_live) = match seen.take() {
            Some(seen) => (seen, false),
            None => (look(acting, &key).await?, true),
        };
        let Some(mut patch) = decide(&found)? else {
            // That nothing is left to do is said of what is there now.
            if is_live {
                return Ok(found);
            }
            continue;
        };
        patch["metadata"]["resourceVersion"] = json!(found.resource_version);
        match send(acting, &key, merge, &patch).await {
            Ok(written) => return Ok(written),
            Err(again @ (WriteError::Stale | WriteError::Lost(_))) => last = again,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(last.into())
}

/// Changes the spec of a workload that our run holds; the same patch writes our epoch, so that from then on every older
/// driver finds a newer one.
pub(super) async fn change_held(
    acting: &Acting,
    which: impl Into<Which>,
    holder: &Holder,
    decide: impl Fn(&Workload) -> Result<Option<Value>, WorkloadError>,
) -> Result<Workload, WorkloadError> {
    change(acting, which, Merge::Strategic, |found| {
        held_by(found, holder)?;
        let spec = decide(found)?;
        Ok(spec
            .map(|spec| json!({"metadata": {"annotations": {CLAIMED_BY: holder.to_string()}}, "spec": spec})))
    })
    .await
}

async fn send(
    acting: &Acting,
    key: &WorkloadKey,
    merge: Merge,
    patch: &Value,
) -> Result<Workload, WriteError> {
    match key.kind {
        WorkloadKind::Deployment => {
            send_as::<Deployment>(acting, key, merge, patch).await.map(Workload::from)
        }
        WorkloadKind::StatefulSet => {
            send_as::<StatefulSet>(acting, key, merge, patch).await.map(Workload::from)
        }
        WorkloadKind::CronJob => send_as::<CronJob>(acting, key, merge, patch).await.map(Workload::from),
    }
}

async fn send_as<K: Kind>(
    acting: &Acting,
    key: &WorkloadKey,
    merge: Merge,
    patch: &Value,
) -> Result<K, WriteError> {
    let api = acting.api::<K>(&key.namespace);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = match merge {
        Merge::Strategic => Patch::Strategic(patch),
        Merge::Json => Patch::Merge(patch),
    };
    api.patch(&key.name, &parameters, &patch).await.map_err(|error| WriteError::of(error, acting.account()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::fake::{FakeApiServer, status},
        workload::{Volumes, silence},
    };

    fn live(version: &str, epoch: u64, replicas: i32) -> Value {
        json!({
            "metadata": {"name": "web", "namespace": "aether", "uid": "u", "resourceVersion": version,
                         "annotations": {CLAIMED_BY: format!("uid-a/7/{epoch}")}},
            "spec": {"replicas": replicas, "selector": {}, "template": {}}
        })
    }

    #[tokio::test]
    async fn what_was_read_just_now_is_not_read_again_unless_it_is_old() {
        let seen: Deployment = serde_json::from_value(live("5", 3, 3)).unwrap();
        let holder = Holder { plan_uid: "uid-a".into(), run: 7, epoch: 3 };
        let fake = FakeApiServer::new();
        fake.answer_next(409, status(409, "Conflict", "the object has been modified"));
        fake.answer_next(200, live("6", 3, 3));
        fake.answer_next(200, live("7", 3, 0));
        silence(fake.api_server().own(), Workload::from(seen), &holder, Volumes::MustStay).await.unwrap();
        let methods: Vec<_> =
            fake.requests().iter().map(|it| it.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(methods, ["PATCH", "GET", "PATCH"]);
        let version = |at: usize| fake.bodies()[at]["metadata"]["resourceVersion"].clone();
        assert_eq!((version(0), version(2)), (json!("5"), json!("6")));
        let down: Deployment = serde_json::from_value(live("5", 3, 0)).unwrap();
        let fake = FakeApiServer::new();
        fake.answer_always(200, live("6", 3, 0));
        silence(fake.api_server().own(), Workload::from(down), &holder, Volumes::MustStay).await.unwrap();
        assert_eq!(fake.requests().len(), 1, "that it is down already is asked live");
    }

    async fn silenced(fake: &FakeApiServer) -> Result<Workload, WorkloadError> {
        let key =
            WorkloadKey { kind: WorkloadKind::Deployment, namespace: "aether".into(), name: "web".into() };
        let holder = Holder { plan_uid: "uid-a".into(), run: 7, epoch: 3 };
        silence(fake.api_server().own(), &key, &holder, Volumes::MustStay).await
    }

    #[tokio::test]
    async fn the_patch_is_bound_to_the_version_and_carries_our_epoch() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, live("5", 2, 3));
        fake.answer_next(200, live("6", 3, 0));
        silenced(&fake).await.unwrap();
        assert_eq!(
            fake.requests()[1],
            "PATCH /apis/apps/v1/namespaces/aether/deployments/web?&fieldManager=whimbrel&fieldValidation=Strict"
        );
        assert_eq!(
            fake.headers("content-type")[1].as_deref(),
            Some("application/strategic-merge-patch+json")
        );
        assert_eq!(
            fake.bodies()[1],
            json!({"metadata": {"resourceVersion": "5", "annotations": {CLAIMED_BY: "uid-a/7/3"}}, "spec": {"replicas": 0}})
        );
    }

    #[tokio::test]
    async fn a_conflict_is_decided_anew_and_a_newer_epoch_ends_it() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, live("5", 3, 3));
        fake.answer_next(409, status(409, "Conflict", "the object has been modified"));
        fake.answer_next(200, live("6", 4, 3));
        let error = silenced(&fake).await.unwrap_err();
        assert_eq!(error.to_string(), "Deployment aether/web carries epoch 4, newer than ours");
        assert_eq!(fake.requests().len(), 3, "nothing more was written");
    }

    #[tokio::test]
    async fn a_lost_answer_is_looked_at_before_anything_is_sent() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, live("5", 3, 3));
        fake.answer_next(504, status(504, "Timeout", "request did not complete"));
        fake.answer_next(200, live("6", 3, 0));
        assert_eq!(silenced(&fake).await.unwrap().replicas, Some(0));
        assert_eq!(fake.requests().len(), 3, "it had arrived");
    }
}
