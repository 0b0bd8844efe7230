//! Records, frozen parts and events as the API server keeps them.

use crate::place::{Place, read};
use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, ObjectReference, Secret},
        events::v1::Event,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, CustomResourceExt, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::json;
use std::collections::BTreeMap;
use whimbrel::{
    api::MigrationRun,
    cluster::{
        NotOurs, SwapError, WriteError,
        events::{Recorder, Severity, Transition},
        record,
        secret::{LIMIT, Shelf, read_parts, write_parts},
    },
};

async fn install_runs(place: &Place) {
    let all: Api<CustomResourceDefinition> = Api::all(place.own().client().clone());
    let runs = MigrationRun::crd_name();
    let kinds = whimbrel::api::crd::crds();
    let kind = kinds.iter().find(|kind| kind.name_any() == runs).expect("runs are one of the three kinds");
    all.patch(runs, &PatchParams::apply("test").force(), &Patch::Apply(kind))
        .await
        .expect("the kind is admitted");
    await_condition(all, runs, is_crd_established()).await.expect("the kind is served");
}

fn run(place: &Place, intent: &str) -> MigrationRun {
    read(json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationRun",
        "metadata": {"name": "shop-1", "namespace": place.namespace},
        "spec": {"plan": {"name": "shop", "uid": "u", "generation": 1}, "number": 1, "intentHash": intent}
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_written_by_compare_and_swap_and_holds_no_unknown_field() {
    let place = Place::new("records").await;
    install_runs(&place).await;
    let (own, namespace) = (place.own(), place.namespace.as_str());
    let made = record::create(own, &run(&place, "h1"), |_| true).await.unwrap();
    let again = record::create(own, &run(&place, "h2"), |_| true).await.unwrap_err();
    assert!(
        matches!(again, SwapError::Write(WriteError::NotOurs(NotOurs::Exists { .. }))),
        "count again: {again}"
    );

    let version = made.resource_version().unwrap();
    let epoch = |epoch: u64| json!({ "epoch": epoch });
    let mine =
        record::write_status::<MigrationRun>(own, namespace, "shop-1", &version, &epoch(2)).await.unwrap();
    let stale = record::write_status::<MigrationRun>(own, namespace, "shop-1", &version, &epoch(3)).await;
    assert!(matches!(stale, Err(SwapError::Write(WriteError::Stale))), "{stale:?}");

    let version = mine.resource_version().unwrap();
    let unknown = json!({"epoch": 3, "intend": {"op": "x"}});
    let refused =
        record::write_status::<MigrationRun>(own, namespace, "shop-1", &version, &unknown).await.unwrap_err();
    assert!(refused.to_string().contains(r#"unknown field "status.intend""#), "{refused}");
    let kept: MigrationRun = place.api().get("shop-1").await.unwrap();
    assert_eq!(serde_json::to_value(&kept.status).unwrap()["epoch"], 2, "nothing of it was written");

    let added =
        record::add_finalizer::<MigrationRun>(own, namespace, "shop-1", "whimbrel.dev/run").await.unwrap();
    assert_eq!(added.unwrap().finalizers(), ["whimbrel.dev/run"]);
    let uid = kept.uid().unwrap();
    record::delete::<MigrationRun>(own, namespace, "shop-1", &uid).await.unwrap();
    let held: MigrationRun = place.api().get("shop-1").await.expect("the finalizer holds it");
    assert!(held.metadata.deletion_timestamp.is_some());
    record::remove_finalizer::<MigrationRun>(own, namespace, "shop-1", "whimbrel.dev/run").await.unwrap();
    assert!(place.api::<MigrationRun>().get_opt("shop-1").await.unwrap().is_none());
    let gone =
        record::remove_finalizer::<MigrationRun>(own, namespace, "shop-1", "whimbrel.dev/run").await.unwrap();
    assert!(gone.is_none());
    record::delete::<MigrationRun>(own, namespace, "shop-1", &uid).await.expect("gone is gone");
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_parts_come_back_and_a_forged_one_does_not() {
    let place = Place::new("parts").await;
    let (own, namespace) = (place.own(), place.namespace.as_str());
    let owner: ConfigMap = place.create(json!({"metadata": {"name": "run"}})).await;
    let shelf = Shelf {
        namespace: place.namespace.clone(),
        prefix: "shop-1".to_owned(),
        owner: OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: "run".to_owned(),
            uid: owner.uid().unwrap(),
            ..OwnerReference::default()
        },
        labels: BTreeMap::new(),
    };
    // Numbers in order compress to about half: two Secrets and a bit.
    let bytes: Vec<u8> =
        (0..1_200_000u32).flat_map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    assert!(bytes.len() < LIMIT);
    let parts = write_parts(own, &shelf, &bytes).await.unwrap();
    assert!(parts.len() > 1, "it needs several Secrets: {}", parts.len());
    assert_eq!(write_parts(own, &shelf, &bytes).await.unwrap(), parts, "freezing again finds them");
    assert_eq!(read_parts(own, namespace, &parts).await.unwrap(), bytes);

    let secrets: Api<Secret> = place.api();
    let name = &parts[0].secret;
    let forged = json!({"data": {"part": "ZHJvcCB0YWJsZQ=="}});
    let edit = secrets.patch(name, &PatchParams::default(), &Patch::Merge(&forged)).await.unwrap_err();
    assert!(edit.to_string().contains("field is immutable"), "{edit}");
    secrets.delete(name, &DeleteParams::default()).await.unwrap();
    let missing = read_parts(own, namespace, &parts).await.unwrap_err();
    assert_eq!(
        missing.to_string(),
        format!("Secret {namespace}/{name}, a part of the run's frozen record, is missing")
    );
    place.create::<Secret>(json!({"metadata": {"name": name}, "data": forged["data"]})).await;
    let changed = read_parts(own, namespace, &parts).await.unwrap_err();
    assert!(
        changed.to_string().starts_with(&format!("Secret {namespace}/{name} is not what was frozen")),
        "{changed}"
    );
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_told_twice_is_one_event() {
    let place = Place::new("events").await;
    let plan: ConfigMap = place.create(json!({"metadata": {"name": "plan"}})).await;
    let reference = |object: &ConfigMap| ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        namespace: object.namespace(),
        name: Some(object.name_any()),
        uid: object.uid(),
        ..ObjectReference::default()
    };
    let regarding = reference(&plan);
    let long = "ä".repeat(1000);
    let told = |once| Transition {
        regarding: &regarding,
        related: Some(&regarding),
        severity: Severity::Warning,
        reason: "StepFailed",
        note: &long,
        once,
    };
    let recorder = Recorder::new(place.own().clone(), "operator-0");
    recorder.publish(&told("1/apply-entities/0")).await;
    recorder.publish(&told("1/apply-entities/0")).await;
    recorder.publish(&told("2/apply-entities/0")).await;
    let events = place.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events.iter().all(|it| it.note.as_ref().unwrap().len() <= 1024 && it.related.is_some()));
    place.done().await;
}
