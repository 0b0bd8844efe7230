//! Rollouts with real pods: up, down, stuck, and back.

use crate::place::{Place, holder, until};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use serde_json::{Value, json};
use whimbrel::{
    api::WorkloadKind,
    cluster::Acting,
    workload::{
        BackTo, Readiness, Remaining, Rollout, Volumes, WorkloadKey, claim, give_back, look, pods, readiness,
        remaining, roll_out, silence, unstick,
    },
};

fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "app", "image": image, "imagePullPolicy": "Never",
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1}
            }]
        }
    })
}

fn image(image: &str) -> Rollout {
    Rollout { images: [("app".to_owned(), image.to_owned())].into(), replicas: None }
}

async fn state(own: &Acting, key: &WorkloadKey) -> Readiness {
    let found = look(own, key).await.expect("it is there");
    readiness(&found, &pods(own, &found).await.expect("its pods can be listed"))
}

async fn ready(own: &Acting, key: &WorkloadKey) {
    until("it is ready", async || (state(own, key).await == Readiness::Ready).then_some(())).await;
}

async fn failing(own: &Acting, key: &WorkloadKey) -> String {
    until("it fails", async || match state(own, key).await {
        Readiness::Failing(why) => Some(why),
        Readiness::Waiting(_) | Readiness::Ready => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_goes_down_to_nothing_and_comes_back_with_a_new_image() {
    let place = Place::new("rollout").await;
    let (own, me) = (place.own(), holder(7, 3));
    place
        .create::<Deployment>(json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("localhost/demo-app:1.0")}
        }))
        .await;
    let key = WorkloadKey {
        kind: WorkloadKind::Deployment,
        namespace: place.namespace.clone(),
        name: "web".into(),
    };
    claim(own, &key, &me).await.unwrap();
    ready(own, &key).await;
    let up = remaining(own, &look(own, &key).await.unwrap()).await.unwrap();
    assert!(up.len() == 2 && up.iter().all(|it| matches!(it, Remaining::Running(_))), "{up:?}");

    let down = silence(own, &key, &me, Volumes::MustStay).await.unwrap();
    until("it is silent", async || remaining(own, &down).await.unwrap().is_empty().then_some(())).await;

    roll_out(own, &key, &me, &Rollout { replicas: Some(2), ..image("localhost/demo-app:none") })
        .await
        .unwrap();
    let why = failing(own, &key).await;
    assert!(why.contains("container app: ErrImageNeverPull: "), "{why}");
    roll_out(own, &key, &me, &image("localhost/demo-app:2.0")).await.unwrap();
    ready(own, &key).await;
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_with_a_bad_image_is_brought_back() {
    let place = Place::new("stuck").await;
    let (own, me) = (place.own(), holder(7, 3));
    place
        .create::<StatefulSet>(json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 1, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
                     "template": template("localhost/demo-app:1.0")}
        }))
        .await;
    let key = WorkloadKey {
        kind: WorkloadKind::StatefulSet,
        namespace: place.namespace.clone(),
        name: "web".into(),
    };
    claim(own, &key, &me).await.unwrap();
    ready(own, &key).await;

    roll_out(own, &key, &me, &image("localhost/demo-app:none")).await.unwrap();
    failing(own, &key).await;
    let back = roll_out(own, &key, &me, &image("localhost/demo-app:1.0")).await.unwrap();
    // As soon as its controller has seen the old template again, its bad pod is the only thing in the way.
    let removed = until("the bad pod is in the way", async || {
        let found = look(own, &key).await.expect("it is there");
        let removed = unstick(own, &found, &me).await.expect("the pod can go");
        (!removed.is_empty()).then_some(removed)
    })
    .await;
    assert_eq!(removed, ["web-0"]);
    ready(own, &key).await;
    assert_eq!(look(own, &key).await.unwrap().uid, back.uid);
    give_back(own, &key, &me, BackTo::Replicas(1)).await.unwrap();
    place.done().await;
}
