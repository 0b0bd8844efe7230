//! Of many that want one thing at the same time, one gets it.

use crate::place::{Place, holder};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use whimbrel::cluster::{
    Holder, SwapError, WriteError,
    leader::{Election, Timing},
    lease::{self, TargetKey},
};

#[tokio::test(flavor = "multi_thread")]
async fn eight_runs_want_one_target_and_one_gets_it() {
    let place = Place::new("claims").await;
    let key = TargetKey::new("7391", "shop", "aether/shop");
    let tries = (1..=8).map(|run| {
        let (own, namespace, key) = (place.own().clone(), place.namespace.clone(), key.clone());
        tokio::spawn(async move { (run, lease::take(&own, &namespace, &key, &holder(run, 1)).await) })
    });
    let mut won = Vec::new();
    for outcome in futures::future::join_all(tries).await {
        match outcome.expect("no try panics") {
            (run, Ok(())) => won.push(run),
            (_, Err(SwapError::Write(WriteError::NotOurs(_)))) => {}
            (_, Err(error)) => panic!("{error}"),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    let winner = holder(won[0], 1);
    let found = lease::look(place.own(), &place.namespace, &key).await.unwrap();
    assert_eq!((found.holder, found.token), (Some(winner.to_string()), 1));

    let newer = Holder { epoch: 5, ..winner.clone() };
    lease::take(place.own(), &place.namespace, &key, &newer).await.unwrap();
    let older = lease::release(place.own(), &place.namespace, &key, &winner).await.unwrap_err();
    assert_eq!(older.to_string(), "aether/shop carries epoch 5, newer than ours");
    lease::release(place.own(), &place.namespace, &key, &newer).await.unwrap();
    let freed = lease::look(place.own(), &place.namespace, &key).await.unwrap();
    assert_eq!((freed.holder, freed.token), (None, 5), "the token stays");
    let below = lease::take(place.own(), &place.namespace, &key, &holder(99, 5)).await;
    assert!(below.is_ok(), "as high is high enough for the next run");
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_gives_up_is_followed_by_the_one_that_waits() {
    let place = Place::new("leader").await;
    let timing = Timing::of_lease(Duration::from_secs(2));
    let election =
        |pod: &str| Election::new(place.own().clone(), &place.namespace, "whimbrel-operator", pod, timing);
    let stop = CancellationToken::new();
    let first = election("operator-a").win(&stop).await.expect("nobody else wants it");
    let second = tokio::spawn({
        let (waiting, stop) = (election("operator-b"), stop.clone());
        async move { waiting.win(&stop).await }
    });
    assert!(!first.lost().is_cancelled());
    first.give_up().await;
    let second = second.await.expect("the candidate does not panic").expect("it was not stopped");
    assert!(!second.lost().is_cancelled());
    second.give_up().await;
    place.done().await;
}
