//! Watches that wake a driver where it waits for pods, workloads and Jobs: sooner known, and less to ask.
//!
//! A hint and no more. What is decided is read live, and who gets no hint looks again after a while all the same: the
//! operator may not be allowed to watch everywhere, and a watch can be late.

use crate::cluster::Kind;
use futures::StreamExt;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// What moves one thing moves its neighbours: a pod that gets ready is in its Deployment's counts a moment later. One
/// look for both, and at most twenty a second where something never rests.
const SETTLE: Duration = Duration::from_millis(50);

/// The watches of one driver; they end with it.
pub(super) struct Waking {
    client: Client,
    moves: watch::Sender<u64>,
    followed: Arc<Mutex<Followed>>,
    watches: Mutex<BTreeMap<(String, String), AbortOnDropHandle<()>>>,
}

/// What counts: these names, and what begins with one of them and a hyphen: a workload's pods, a Job's pod.
#[derive(Default)]
struct Followed {
    /// Whatever happens to them.
    moves: BTreeSet<String>,
    /// That they are gone. How far the pods of a workload are is in its own counts, and these move by themselves; but who is
    /// gone is in no count.
    ends: BTreeSet<String>,
}

impl Waking {
    /// Follows nothing yet. The client is the operator's own: metadata only, never what decides.
    pub(super) fn new(client: Client) -> Self {
        Self { client, moves: watch::Sender::new(0), followed: Arc::default(), watches: Mutex::default() }
    }

    /// How often something has moved.
    pub(super) fn moves(&self) -> u64 {
        *self.moves.borrow()
    }

    /// Ends once something has moved since [`Waking::moves`] said `since`.
    pub(super) async fn moved(&self, since: u64) {
        // Never an error: the sender is ours.
        let _ = self.moves.subscribe().wait_for(|now| *now != since).await;
        tokio::time::sleep(SETTLE).await;
    }

    /// Follows from now on what is called `name`, and what it makes, among the objects of a kind in a namespace.
    pub(super) fn follow<K: Kind + Send + 'static>(&self, namespace: &str, name: &str) {
        lock(&self.followed).moves.insert(name.to_owned());
        self.watch::<K>(namespace);
    }

    /// The same, where only that they go is worth a look.
    pub(super) fn follow_ends<K: Kind + Send + 'static>(&self, namespace: &str, name: &str) {
        lock(&self.followed).ends.insert(name.to_owned());
        self.watch::<K>(namespace);
    }

    fn watch<K: Kind + Send + 'static>(&self, namespace: &str) {
        let which = (K::kind(&()).into_owned(), namespace.to_owned());
        lock(&self.watches).entry(which).or_insert_with(|| {
            let api = Api::<PartialObjectMeta<K>>::namespaced(self.client.clone(), namespace);
            AbortOnDropHandle::new(tokio::spawn(watch_all(api, self.followed.clone(), self.moves.clone())))
        });
    }
}

async fn watch_all<K: Kind + Send + 'static>(
    api: Api<PartialObjectMeta<K>>,
    followed: Arc<Mutex<Followed>>,
    moves: watch::Sender<u64>,
) {
    let mut events = watcher(api, Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let counts = match event {
            Ok(Event::Apply(object)) => lock(&followed).counts::<K>(&object.name_any(), false),
            Ok(Event::Delete(object)) => lock(&followed).counts::<K>(&object.name_any(), true),
            // What moved while the watch was away is not told.
            Ok(Event::InitDone) => true,
            Ok(Event::Init | Event::InitApply(_)) => false,
            Err(error) => {
                tracing::debug!(%error, "a watch that wakes drivers");
                false
            }
        };
        if counts {
            moves.send_modify(|moves| *moves += 1);
        }
    }
}

impl Followed {
    fn counts<K: Kind>(&self, name: &str, ends: bool) -> bool {
        // A workload has the name itself; its pods are of another kind.
        let by_name = |names: &BTreeSet<String>| {
            names.iter().any(|followed| {
                name.strip_prefix(followed.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
        };
        let only_ends = K::kind(&()) == "Pod" && by_name(&self.ends);
        if only_ends { ends } else { by_name(&self.moves) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::FakeApiServer;
    use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};

    #[test]
    fn a_workload_and_its_pods_are_followed_and_no_neighbour() {
        let mut followed = Followed::default();
        followed.moves.extend(["web".to_owned(), "wb-1".to_owned()]);
        followed.ends.insert("web".to_owned());
        let moves = |name: &str| followed.counts::<Deployment>(name, false);
        assert!(moves("web") && !moves("webhook-1") && !moves("my-web"));
        let pod = |name: &str, ends: bool| followed.counts::<Pod>(name, ends);
        assert!(pod("web-6d4f-x2x", true) && !pod("web-6d4f-x2x", false), "only that it is gone");
        assert!(pod("wb-1-x2x", false) && !pod("webhook-1", true), "a Job's pod says more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_moved_since_the_look_began_is_not_lost() {
        let waking = Waking::new(FakeApiServer::new().api_server().own().client().clone());
        let before = waking.moves();
        waking.moves.send_modify(|moves| *moves += 1);
        waking.moved(before).await;
        let now = waking.moves();
        let none = tokio::time::timeout(Duration::from_secs(60), waking.moved(now)).await;
        assert!(none.is_err(), "nothing moved after that");
    }
}
