//! What our patches leave behind on objects that belong to somebody else.

use crate::place::{Place, holder};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
};
use kube::ResourceExt;
use serde_json::{Value, json};
use whimbrel::{
    api::WorkloadKind,
    workload::{
        self, BackTo, CLAIMED, CLAIMED_BY, ORIGINAL, Remaining, Rollout, Volumes, WorkloadKey, claim,
        give_back, look, release, remaining, roll_out, silence,
    },
};

/// As the owner's Git has it: two containers, three replicas.
fn web(image: &str, replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": image}, {"name": "sidecar", "image": "localhost/pause:1"}]}
            }
        }
    })
}

fn key(place: &Place, kind: WorkloadKind, name: &str) -> WorkloadKey {
    WorkloadKey { kind, namespace: place.namespace.clone(), name: name.to_owned() }
}

fn images(image: &str) -> Rollout {
    Rollout { images: [("app".to_owned(), image.to_owned())].into(), replicas: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_run_the_owner_applies_without_a_conflict_and_the_sidecar_lives() {
    let place = Place::new("workloads").await;
    let (own, me) = (place.own(), holder(7, 3));
    place.apply::<Deployment>("web", web("localhost/demo-app:1.0", 0)).await.unwrap();
    let key = key(&place, WorkloadKind::Deployment, "web");

    let original = claim(own, &key, &me).await.unwrap();
    assert_eq!((original.replicas, original.images.len()), (Some(0), 2));
    assert_eq!(claim(own, &key, &me).await.unwrap(), original, "claimed again after a crash");
    let claimed = look(own, &key).await.unwrap();
    assert_eq!(claimed.annotations[CLAIMED_BY], me.to_string());

    roll_out(own, &key, &me, &images("localhost/demo-app:2.0")).await.unwrap();
    let rolled = look(own, &key).await.unwrap();
    assert_eq!(rolled.containers["app"], "localhost/demo-app:2.0");
    assert_eq!(rolled.containers["sidecar"], "localhost/pause:1", "a sidecar survives our patch");
    let unclean = place.apply::<Deployment>("web", web("localhost/demo-app:3.0", 0)).await.unwrap_err();
    assert!(unclean.to_string().contains(r#"conflict with "whimbrel""#), "before the release: {unclean}");

    release(own, &key, &me).await.unwrap();
    release(own, &key, &me).await.expect("released twice");
    let released: Deployment = place.api().get("web").await.unwrap();
    assert!(
        !released.annotations().contains_key(CLAIMED_BY) && !released.annotations().contains_key(ORIGINAL)
    );
    assert!(!released.labels().contains_key(CLAIMED));
    let managers: Vec<_> = released.managed_fields().iter().filter_map(|it| it.manager.as_deref()).collect();
    assert!(managers.contains(&"owner") && !managers.contains(&"whimbrel"), "{managers:?}");
    place.apply::<Deployment>("web", web("localhost/demo-app:3.0", 1)).await.expect("no conflict is left");
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_and_an_older_driver_can_not_write() {
    let place = Place::new("fence").await;
    let own = place.own();
    place.apply::<Deployment>("web", web("localhost/demo-app:1.0", 1)).await.unwrap();
    let key = key(&place, WorkloadKind::Deployment, "web");
    claim(own, &key, &holder(7, 3)).await.unwrap();

    let other = claim(own, &key, &holder(8, 9)).await.unwrap_err();
    assert_eq!(other.to_string(), format!("{key} is claimed by {}", holder(7, 3)));
    claim(own, &key, &holder(7, 4)).await.expect("a newer driver takes the run up");
    let older = silence(own, &key, &holder(7, 3), Volumes::MustStay).await.unwrap_err();
    assert_eq!(older.to_string(), format!("{key} carries epoch 4, newer than ours"));
    assert_eq!(look(own, &key).await.unwrap().replicas, Some(1), "it was not scaled");

    // Deleted and created anew, it is another workload: no claim, so no write.
    let api = place.api::<Deployment>();
    api.delete("web", &kube::api::DeleteParams::background()).await.unwrap();
    crate::place::until("it is gone", async || api.get_opt("web").await.unwrap().is_none().then_some(()))
        .await;
    place.apply::<Deployment>("web", web("localhost/demo-app:1.0", 1)).await.unwrap();
    let lost = silence(own, &key, &holder(7, 4), Volumes::MustStay).await.unwrap_err();
    assert!(matches!(lost, workload::WorkloadError::ClaimLost { .. }), "{lost}");
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_all_arrive() {
    let place = Place::new("busy").await;
    let (own, me) = (place.own(), holder(7, 3));
    place.apply::<Deployment>("web", web("localhost/demo-app:1.0", 0)).await.unwrap();
    let key = key(&place, WorkloadKind::Deployment, "web");
    claim(own, &key, &me).await.unwrap();
    // Each of these changes the version under the others.
    let changes = (0..4).map(|number| {
        let (own, key, me) = (own.clone(), key.clone(), me.clone());
        let rollout = match number % 2 {
            0 => Rollout {
                images: [("app".to_owned(), "localhost/demo-app:2.0".to_owned())].into(),
                replicas: None,
            },
            _ => Rollout {
                images: [("sidecar".to_owned(), "localhost/pause:2".to_owned())].into(),
                replicas: None,
            },
        };
        tokio::spawn(async move { roll_out(&own, &key, &me, &rollout).await.map(drop) })
    });
    for change in futures::future::join_all(changes).await {
        change.expect("no change panics").expect("it arrived");
    }
    let found = look(own, &key).await.unwrap().containers;
    assert_eq!(
        (found["app"].as_str(), found["sidecar"].as_str()),
        ("localhost/demo-app:2.0", "localhost/pause:2")
    );
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_is_silent_when_its_jobs_have_ended() {
    let place = Place::new("cron").await;
    let (own, me) = (place.own(), holder(7, 3));
    let pod = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "sync", "image": "localhost/pause:1"}]}});
    let nightly: CronJob = place
        .create(json!({
            "metadata": {"name": "nightly"},
            "spec": {"schedule": "0 3 1 1 *", "jobTemplate": {"spec": {"template": pod}}}
        }))
        .await;
    let key = key(&place, WorkloadKind::CronJob, "nightly");
    assert_eq!(claim(own, &key, &me).await.unwrap().suspend, Some(false));
    let owner = json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": nightly.uid(), "controller": true});
    // Suspended, so that it has no pod: an unfinished Job counts all the same.
    place
        .create::<Job>(json!({
            "metadata": {"name": "nightly-1", "ownerReferences": [owner]}, "spec": {"suspend": true, "template": pod}
        }))
        .await;
    place
        .create::<Job>(json!({"metadata": {"name": "other"}, "spec": {"suspend": true, "template": pod}}))
        .await;

    let silenced = silence(own, &key, &me, Volumes::MustStay).await.unwrap();
    assert_eq!(silenced.suspend, Some(true));
    assert_eq!(remaining(own, &silenced).await.unwrap(), [Remaining::Job("nightly-1".to_owned())]);
    place.api::<Job>().delete("nightly-1", &kube::api::DeleteParams::background()).await.unwrap();
    crate::place::until("its job is gone", async || {
        remaining(own, &silenced).await.unwrap().is_empty().then_some(())
    })
    .await;
    let back = give_back(own, &key, &me, BackTo::Suspend(false)).await.unwrap();
    assert_eq!(back.suspend, Some(false));
    release(own, &key, &me).await.unwrap();
    place.done().await;
}
