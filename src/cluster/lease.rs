//! A run's claim on a target: a Lease without expiry, in the operator's namespace.
//!
//! The Lease stays after its release, without holder but with its token: the token is the highest epoch that ever held
//! the target, so that the next driver starts above it even if the target itself can't be asked.

use super::{
    Acting, Holder, NotOurs, ReadError, WriteError, get_if_there,
    swap::{Change, SwapError, swap},
};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::ResourceExt;
use sha2::{Digest, Sha256};

/// Annotation: the highest epoch that ever held the target.
pub const TOKEN: &str = "whimbrel.dev/token";
/// Annotation: what the claim is on, for people.
pub const TARGET: &str = "whimbrel.dev/target";

/// A claim's place: which Lease stands for which database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetKey {
    /// `wb-<10 hex>`; also the order in which several claims are taken, so that two runs can't wait for each other.
    pub name: String,
    /// The target for people, such as `aether/tas-shared (postgres.tas-shared.svc, database tas_shared)`.
    pub what: String,
}

impl TargetKey {
    /// The key of one database. Two targets that name the same database by the same identity have the same key.
    pub fn new(engine_identity: &str, database: &str, what: impl Into<String>) -> Self {
        let digest =
            Sha256::new().chain_update(engine_identity).chain_update([0]).chain_update(database).finalize();
        Self { name: format!("wb-{}", &hex::encode(digest)[..10]), what: what.into() }
    }
}

/// What a target's Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetClaim {
    /// `<plan uid>/<run>/<epoch>`, if somebody holds it.
    pub holder: Option<String>,
    /// The highest epoch that ever held it; 0 if nobody has.
    pub token: u64,
    /// Since when the holder, at this epoch, has it.
    pub since: Option<Timestamp>,
}

impl TargetClaim {
    fn of(lease: &Lease) -> Self {
        let holder =
            lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).filter(|it| !it.is_empty());
        let token = lease.annotations().get(TOKEN).and_then(|it| it.parse().ok()).unwrap_or(0);
        let since = lease.spec.as_ref().and_then(|spec| spec.acquire_time.as_ref()).map(|at| at.0);
        Self { holder, token, since }
    }
}

/// Reads who holds a target.
///
/// # Errors
/// A missing right, or no answer.
pub async fn look(own: &Acting, namespace: &str, key: &TargetKey) -> Result<TargetClaim, ReadError> {
    let lease = get_if_there::<Lease>(own, namespace, &key.name).await?;
    Ok(lease.as_ref().map(TargetClaim::of).unwrap_or_default())
}

/// Takes the target for `holder`, or rewrites our own run's entry with its newer epoch. Idempotent.
///
/// # Errors
/// [`NotOurs`] naming the other holder, or the higher token that was found; a refusal; no answer.
pub async fn take(own: &Acting, namespace: &str, key: &TargetKey, holder: &Holder) -> Result<(), SwapError> {
    swap(own, namespace, &key.name, |lease| decide_take(lease, namespace, key, holder)).await.map(drop)
}

/// Gives the target up; the Lease stays, with its token. Idempotent: a target that nobody holds is given up.
///
/// # Errors
/// [`NotOurs`] if another run, or a newer driver of this one, holds it; a refusal; no answer.
pub async fn release(
    own: &Acting,
    namespace: &str,
    key: &TargetKey,
    holder: &Holder,
) -> Result<(), SwapError> {
    if get_if_there::<Lease>(own, namespace, &key.name).await?.is_none() {
        return Ok(());
    }
    swap(own, namespace, &key.name, |lease| decide_release(lease, key, holder)).await.map(drop)
}

fn decide_take(
    lease: Option<Lease>,
    namespace: &str,
    key: &TargetKey,
    holder: &Holder,
) -> Result<Change<Lease>, WriteError> {
    let found = lease.as_ref().map(TargetClaim::of).unwrap_or_default();
    holder.may_write_over(&key.what, found.holder.as_deref()).map_err(WriteError::NotOurs)?;
    if found.token > holder.epoch {
        return Err(WriteError::NotOurs(NotOurs::NewerEpoch { what: key.what.clone(), epoch: found.token }));
    }
    let text = holder.to_string();
    let exists = lease.is_some();
    let mut lease = lease.unwrap_or_default();
    if found.holder.as_deref() == Some(&text) && found.token == holder.epoch {
        return Ok(Change::Done(lease));
    }
    lease.metadata.name = Some(key.name.clone());
    lease.metadata.namespace = Some(namespace.to_owned());
    lease.annotations_mut().insert(TOKEN.to_owned(), holder.epoch.to_string());
    lease.annotations_mut().insert(TARGET.to_owned(), key.what.clone());
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(text);
    spec.acquire_time = Some(MicroTime(Timestamp::now()));
    Ok(if exists { Change::Replace(lease) } else { Change::Create(lease) })
}

fn decide_release(
    lease: Option<Lease>,
    key: &TargetKey,
    holder: &Holder,
) -> Result<Change<Lease>, WriteError> {
    let Some(mut lease) = lease else { return Ok(Change::Done(Lease::default())) };
    let found = TargetClaim::of(&lease);
    holder.may_write_over(&key.what, found.holder.as_deref()).map_err(WriteError::NotOurs)?;
    if found.holder.is_none() {
        return Ok(Change::Done(lease));
    }
    lease.spec = Some(LeaseSpec::default());
    Ok(Change::Replace(lease))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TargetKey {
        TargetKey::new("7391", "tas_shared", "aether/tas-shared")
    }

    fn me(epoch: u64) -> Holder {
        Holder { plan_uid: "uid-a".into(), run: 7, epoch }
    }

    fn lease(holder: &str, token: u64) -> Lease {
        serde_saphyr::from_str(&format!(
            "metadata: {{name: wb-x, resourceVersion: '5', annotations: {{whimbrel.dev/token: '{token}'}}}}\nspec: {{holderIdentity: '{holder}'}}"
        ))
        .unwrap()
    }

    fn taken(lease: Option<Lease>, epoch: u64) -> Result<(&'static str, TargetClaim), String> {
        match decide_take(lease, "ops", &key(), &me(epoch)) {
            Ok(Change::Done(it)) => Ok(("done", claim(&it))),
            Ok(Change::Create(it)) => Ok(("create", claim(&it))),
            Ok(Change::Replace(it)) => Ok(("replace", claim(&it))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Without the instant, which is now.
    fn claim(lease: &Lease) -> TargetClaim {
        TargetClaim { since: None, ..TargetClaim::of(lease) }
    }

    fn mine(epoch: u64) -> TargetClaim {
        TargetClaim { holder: Some(me(epoch).to_string()), token: epoch, since: None }
    }

    #[test]
    fn the_key_is_the_database_and_not_the_target_that_names_it() {
        assert_eq!(key().name, TargetKey::new("7391", "tas_shared", "other/name").name);
        assert_ne!(key().name, TargetKey::new("7391", "tas_shared2", "x").name);
        assert_ne!(TargetKey::new("a", "bc", "").name, TargetKey::new("ab", "c", "").name);
        assert_eq!(key().name.len(), 13);
    }

    #[test]
    fn a_free_target_is_taken_and_our_own_entry_rewritten() {
        assert_eq!(taken(None, 3), Ok(("create", mine(3))));
        assert_eq!(taken(Some(lease("", 2)), 3), Ok(("replace", mine(3))));
        assert_eq!(taken(Some(lease("uid-a/7/2", 2)), 3), Ok(("replace", mine(3))));
        assert_eq!(taken(Some(lease("uid-a/7/3", 3)), 3), Ok(("done", mine(3))));
    }

    #[test]
    fn another_holder_and_a_higher_token_are_named() {
        let claimed = Err("aether/tas-shared is claimed by uid-b/1/2".to_owned());
        assert_eq!(taken(Some(lease("uid-b/1/2", 2)), 3), claimed);
        let newer = Err("aether/tas-shared carries epoch 4, newer than ours".to_owned());
        assert_eq!(taken(Some(lease("uid-a/7/4", 4)), 3), newer);
        assert_eq!(taken(Some(lease("", 4)), 3), newer, "a released lease keeps its token");
    }

    #[test]
    fn a_release_keeps_the_token_and_frees_only_our_own() {
        let Ok(Change::Replace(freed)) = decide_release(Some(lease("uid-a/7/3", 3)), &key(), &me(3)) else {
            panic!("our own claim is released")
        };
        assert_eq!(TargetClaim::of(&freed), TargetClaim { holder: None, token: 3, since: None });
        assert_eq!(freed.resource_version().as_deref(), Some("5"));
        assert!(matches!(decide_release(Some(lease("", 3)), &key(), &me(3)), Ok(Change::Done(_))));
        let foreign = decide_release(Some(lease("uid-b/1/2", 2)), &key(), &me(3));
        assert!(matches!(foreign, Err(WriteError::NotOurs(_))));
    }
}

#[cfg(test)]
mod swap_tests {
    use super::*;
    use crate::cluster::fake::{FakeApiServer, status};
    use serde_json::{Value, json};

    const UNAVAILABLE: &str = "ServiceUnavailable";

    fn key() -> TargetKey {
        TargetKey::new("7391", "tas_shared", "aether/tas-shared")
    }

    fn me() -> Holder {
        "uid-a/7/3".parse().unwrap()
    }

    fn lease(holder: &str, token: u64, version: &str) -> Value {
        json!({"metadata": {"name": key().name, "resourceVersion": version, "annotations": {TOKEN: token.to_string()}},
               "spec": {"holderIdentity": holder}})
    }

    #[tokio::test]
    async fn a_lost_answer_is_read_back_and_not_sent_again() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, lease("", 2, "5"));
        fake.answer_next(503, status(503, UNAVAILABLE, "gone for a moment"));
        fake.answer_next(200, lease("uid-a/7/3", 3, "6"));
        take(fake.api_server().own(), "ops", &key(), &me()).await.unwrap();
        let methods: Vec<_> = fake.requests().iter().map(|it| it[..3].to_owned()).collect();
        assert_eq!(methods, ["GET", "PUT", "GET"]);
        let sent = &fake.bodies()[1];
        assert_eq!(
            sent["metadata"]["resourceVersion"], "5",
            "the write is bound to the version that was read"
        );
        assert_eq!(sent["spec"]["holderIdentity"], "uid-a/7/3");
        assert_eq!(sent["metadata"]["annotations"][TOKEN], "3");
    }

    #[tokio::test]
    async fn a_conflict_is_decided_anew_and_the_winner_named() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, lease("", 2, "5"));
        fake.answer_next(409, status(409, "Conflict", "the object has been modified"));
        fake.answer_next(200, lease("uid-b/1/3", 3, "6"));
        let error = take(fake.api_server().own(), "ops", &key(), &me()).await.unwrap_err();
        assert_eq!(error.to_string(), "aether/tas-shared is claimed by uid-b/1/3");
    }

    #[tokio::test]
    async fn a_lease_made_by_another_at_the_same_time_is_looked_at() {
        let fake = FakeApiServer::new();
        fake.answer_next(404, status(404, "NotFound", "none"));
        fake.answer_next(409, status(409, "AlreadyExists", "leases \"wb\" already exists"));
        fake.answer_next(200, lease("uid-a/7/3", 3, "1"));
        take(fake.api_server().own(), "ops", &key(), &me()).await.unwrap();
    }

    #[tokio::test]
    async fn a_fight_and_a_missing_right_end() {
        let fake = FakeApiServer::new();
        for _ in 0..5 {
            fake.answer_next(200, lease("", 2, "5"));
            fake.answer_next(409, status(409, "Conflict", "the object has been modified"));
        }
        let error = take(fake.api_server().own(), "ops", &key(), &me()).await.unwrap_err();
        assert!(matches!(error, SwapError::Write(WriteError::Stale)), "{error}");
        fake.answer_next(200, lease("", 2, "5"));
        let no = r#"x is forbidden: User "ops" cannot update resource "leases" in API group "coordination.k8s.io" in the namespace "ops""#;
        fake.answer_next(403, status(403, "Forbidden", no));
        let error = take(fake.api_server().own(), "ops", &key(), &me()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the operator itself may not update leases.coordination.k8s.io in namespace ops; its chart's roles are missing or older than it"
        );
    }
}
