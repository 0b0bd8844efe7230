//! Leader election: one operator drives, the others stand by.
//!
//! The Lease is advice. It keeps two operators from working against each other in ordinary times; what protects data
//! and workloads when it fails (a paused VM, a partition) are the fences on targets and workloads. So losing it means:
//! no further effect of any kind, then the process exits. Nothing is aborted or given back: a statement that still runs
//! on a server is ended, or its outcome read, by the successor under a higher epoch.

use super::{Acting, FIELD_MANAGER, WriteError, get_if_there};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::api::PostParams;
use rand::Rng;
use std::time::Duration;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How long leadership lasts. The defaults are those of Kubernetes' own controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A lease that nobody renewed for this long may be taken: 15 s.
    pub lease: Duration,
    /// A leader that could not renew for this long stops: 10 s. Shorter than `lease`, so that it has stopped before
    /// another one starts.
    pub renew_within: Duration,
    /// Pause between two attempts: 2 s.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self::of_lease(Duration::from_secs(15))
    }
}

impl Timing {
    /// The usual proportions for another length, such as 2 s in builds that kill the leader all day.
    pub fn of_lease(lease: Duration) -> Self {
        Self { lease, renew_within: lease * 2 / 3, retry: lease * 2 / 15 }
    }
}

/// A candidate for the leadership that one Lease stands for.
pub struct Election {
    own: Acting,
    namespace: String,
    name: String,
    identity: String,
    timing: Timing,
}

/// Leadership, as long as [`Leadership::lost`] is not cancelled.
pub struct Leadership {
    lost: CancellationToken,
    given_up: CancellationToken,
    renewal: JoinHandle<()>,
}

impl Leadership {
    /// Cancelled when leadership is lost: do nothing more that anybody could see, then exit the process.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Hands leadership over without making the next leader wait. Only after every driver has ended.
    pub async fn give_up(self) {
        self.given_up.cancel();
        if let Err(error) = self.renewal.await {
            tracing::error!(%error, "the renewal of the leader's lease ended badly");
        }
    }
}

impl Election {
    /// `pod` names the candidate for people; a random part makes a restarted container another candidate, which must
    /// not believe that it still holds what its forerunner held.
    pub fn new(own: Acting, namespace: &str, name: &str, pod: &str, timing: Timing) -> Self {
        let identity = format!("{pod}_{:016x}", rand::rng().random::<u64>());
        Self { own, namespace: namespace.to_owned(), name: name.to_owned(), identity, timing }
    }

    /// Waits until this candidate leads; none if `stop` is cancelled before.
    pub async fn win(self, stop: &CancellationToken) -> Option<Leadership> {
        let mut watched = Watched::default();
        loop {
            let asked = Instant::now();
            match self.bid(&mut watched).await {
                Ok(true) => break self.lead(asked),
                Ok(false) => {}
                Err(why) => tracing::warn!(lease = self.name, why, "could not ask for leadership"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = sleep(self.timing.retry) => {}
            }
        }
    }

    fn lead(self, asked: Instant) -> Option<Leadership> {
        tracing::info!(lease = self.name, identity = self.identity, "leading");
        let lost = CancellationToken::new();
        let given_up = CancellationToken::new();
        let renewal = tokio::spawn(self.renew(asked, lost.clone(), given_up.clone()));
        Some(Leadership { lost, given_up, renewal })
    }

    /// Renews until it can't. The time counts from before a request was sent: an answer that took 9 s proves that we
    /// led 9 s ago.
    async fn renew(self, asked: Instant, lost: CancellationToken, given_up: CancellationToken) {
        let mut led_until = asked + self.timing.renew_within;
        let mut watched = Watched::default();
        loop {
            tokio::select! {
                biased;
                () = given_up.cancelled() => return self.hand_over().await,
                () = sleep(self.timing.retry) => {}
            }
            let asked = Instant::now();
            match timeout_at(led_until, self.bid(&mut watched)).await {
                Ok(Ok(true)) => led_until = asked + self.timing.renew_within,
                Ok(Ok(false)) => break tracing::error!(lease = self.name, "another operator leads now"),
                Ok(Err(why)) => tracing::warn!(lease = self.name, why, "could not renew leadership"),
                Err(_) => {}
            }
            if Instant::now() >= led_until {
                break tracing::error!(lease = self.name, "leadership could not be renewed in time");
            }
        }
        lost.cancel();
    }

    /// One attempt to take or renew the Lease; whether we lead after it.
    async fn bid(&self, watched: &mut Watched) -> Result<bool, String> {
        let found = get_if_there::<Lease>(&self.own, &self.namespace, &self.name)
            .await
            .map_err(|it| it.to_string())?;
        if !watched.may_take(found.as_ref(), &self.identity, self.timing.lease, Instant::now()) {
            return Ok(false);
        }
        match self.put(found.is_some(), self.held(found)).await {
            Ok(()) => Ok(true),
            // Another candidate was faster, or our own lost request: the next attempt reads which.
            Err(WriteError::Stale | WriteError::NotOurs(_)) => {
                Err("the lease was changed meanwhile".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn put(&self, exists: bool, lease: Lease) -> Result<(), WriteError> {
        let api = self.own.api::<Lease>(&self.namespace);
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let answer = if exists {
            api.replace(&self.name, &parameters, &lease).await
        } else {
            api.create(&parameters, &lease).await
        };
        answer.map(drop).map_err(|error| WriteError::of(error, self.own.account()))
    }

    fn held(&self, found: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = found.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
            spec.holder_identity = Some(self.identity.clone());
        }
        spec.renew_time = Some(now);
        spec.lease_duration_seconds =
            Some(i32::try_from(self.timing.lease.as_secs()).unwrap_or(i32::MAX).max(1));
        lease
    }

    async fn hand_over(&self) {
        let Ok(Some(mut lease)) = get_if_there::<Lease>(&self.own, &self.namespace, &self.name).await else {
            return;
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return;
        }
        let transitions = spec.lease_transitions;
        *spec = LeaseSpec { lease_transitions: transitions, ..LeaseSpec::default() };
        if let Err(error) = self.put(true, lease).await {
            tracing::warn!(lease = self.name, %error, "leadership was not handed over, it will expire");
        }
    }
}

/// What was seen of another holder's Lease, and since when on our own clock: the times in the Lease are those of
/// another machine, and a clock that is wrong by a minute must not make two leaders.
#[derive(Default)]
struct Watched {
    spec: Option<LeaseSpec>,
    since: Option<Instant>,
}

impl Watched {
    fn may_take(&mut self, found: Option<&Lease>, me: &str, lease: Duration, now: Instant) -> bool {
        let spec = found.and_then(|it| it.spec.clone()).unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == me {
            return true;
        }
        // The holder stops by the duration that it wrote, which may be another build's.
        let theirs =
            spec.lease_duration_seconds.and_then(|it| u64::try_from(it).ok()).map(Duration::from_secs);
        let lasts = theirs.unwrap_or(lease);
        if self.spec.as_ref() != Some(&spec) {
            self.spec = Some(spec);
            self.since = Some(now);
        }
        self.since.is_some_and(|since| now.duration_since(since) >= lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::{FakeApiServer, status};
    use serde_json::{Value, json};

    fn lease(holder: &str, renewed: &str) -> Value {
        json!({"metadata": {"name": "whimbrel", "namespace": "ops", "resourceVersion": "5"},
               "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15, "leaseTransitions": 3}})
    }

    fn election(fake: &FakeApiServer) -> Election {
        Election::new(fake.api_server().own().clone(), "ops", "whimbrel", "operator-0", Timing::default())
    }

    const NOW: &str = "2026-11-20T23:00:00.000000Z";
    const LATER: &str = "2026-11-20T23:00:02.000000Z";

    #[test]
    fn the_defaults_are_those_of_kubernetes() {
        let seconds =
            |timing: Timing| [timing.lease, timing.renew_within, timing.retry].map(|it| it.as_secs_f32());
        assert_eq!(seconds(Timing::default()), [15.0, 10.0, 2.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_expires_by_our_own_clock_and_only_if_nobody_renewed_it() {
        let at = Instant::now();
        let after = |seconds| at + Duration::from_secs(seconds);
        let read = |renewed| serde_json::from_value::<Lease>(lease("other_1", renewed)).unwrap();
        let mut watched = Watched::default();
        let mut may =
            |renewed, now| watched.may_take(Some(&read(renewed)), "me", Duration::from_secs(2), now);
        assert!(!may(NOW, at), "however old its time says it is");
        assert!(!may(NOW, after(14)), "the holder's 15 s count, not our 2 s");
        assert!(!may(LATER, after(15)), "renewed: from here on again");
        assert!(!may(LATER, after(29)));
        assert!(may(LATER, after(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_lease_is_taken_at_once_under_the_version_that_was_read() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, lease("", NOW));
        fake.answer_always(200, lease("", NOW));
        let leadership = election(&fake).win(&CancellationToken::new()).await.unwrap();
        assert!(!leadership.lost().is_cancelled());
        let taken = &fake.bodies()[1];
        assert_eq!(taken["metadata"]["resourceVersion"], "5");
        assert_eq!(taken["spec"]["leaseTransitions"], 4);
        assert!(taken["spec"]["holderIdentity"].as_str().unwrap().starts_with("operator-0_"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_leader_is_waited_out() {
        let fake = FakeApiServer::new();
        fake.answer_always(200, lease("other_1", NOW));
        let before = Instant::now();
        election(&fake).win(&CancellationToken::new()).await.unwrap();
        assert_eq!(before.elapsed().as_secs(), 16, "15 s, seen every 2 s");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_by_can_be_stopped() {
        let fake = FakeApiServer::new();
        fake.answer_always(200, lease("other_1", NOW));
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(election(&fake).win(&stop).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_is_lost_before_another_one_can_begin() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, lease("", NOW));
        fake.answer_next(200, lease("", NOW));
        fake.answer_always(500, status(500, "InternalError", "etcd is gone"));
        let leadership = election(&fake).win(&CancellationToken::new()).await.unwrap();
        let before = Instant::now();
        leadership.lost().cancelled().await;
        let (after, timing) = (before.elapsed(), Timing::default());
        assert!(after >= timing.renew_within && after < timing.lease, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_is_lost_at_once_when_another_one_has_it() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, lease("", NOW));
        fake.answer_next(200, lease("", NOW));
        fake.answer_always(200, lease("other_1", NOW));
        let leadership = election(&fake).win(&CancellationToken::new()).await.unwrap();
        let before = Instant::now();
        leadership.lost().cancelled().await;
        assert_eq!(before.elapsed(), Timing::default().retry);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_gives_up_frees_the_lease() {
        let fake = FakeApiServer::new();
        fake.answer_next(200, lease("", NOW));
        fake.answer_next(200, lease("", NOW));
        let leadership = election(&fake).win(&CancellationToken::new()).await.unwrap();
        let mine = fake.bodies()[1].clone();
        fake.answer_always(200, mine);
        leadership.give_up().await;
        let freed = fake.bodies().pop().unwrap();
        assert_eq!(freed["spec"], json!({"leaseTransitions": 4}));
    }
}
