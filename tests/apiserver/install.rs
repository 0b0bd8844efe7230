//! Installing the CRDs: by kubectl, by server-side apply, and with bounds twice as large.

use super::place::{Place, kubeconfig, kubectl};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd;
use kube::{Api, api::PostParams};
use std::process::Command;
use whimbrel::api::crd;

/// Client-side apply keeps the whole object in an annotation of at most 256 KiB; a larger CRD can't be installed by it.
#[tokio::test]
async fn kubectl_applies_the_committed_files() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    let output = Command::new(kubectl())
        .args(["apply", "--validate=strict", "--filename", folder, "--kubeconfig"])
        .arg(kubeconfig())
        .output()
        .expect("kubectl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every place installs by server-side apply with strict validation; what is served then carries our own hash.
#[tokio::test]
async fn the_served_crd_carries_the_hash_of_the_types() {
    let place = Place::new("install").await;
    let api: Api<Crd> = Api::all(place.client.clone());
    for ours in crd::crds() {
        let name = ours.metadata.name.as_deref().expect("a CRD has a name");
        let served = api.get(name).await.expect("installed");
        assert!(
            crd::schema_hash(&ours).is_some_and(|hash| crd::schema_hash(&served) == Some(hash)),
            "{name}"
        );
    }
    place.done().await;
}

/// Headroom: a bound may grow later. A group of its own, so that the API server judges a new kind and not an update.
#[tokio::test]
async fn every_bound_could_be_twice_as_large() {
    let place = Place::new("doubled").await;
    let api: Api<Crd> = Api::all(place.client.clone());
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    for mut doubled in crd::crds_with_bounds_times(2) {
        doubled.spec.group = "doubled.whimbrel.dev".into();
        doubled.metadata.name = Some(format!("{}.{}", doubled.spec.names.plural, doubled.spec.group));
        let accepted = api.create(&dry, &doubled).await;
        accepted.unwrap_or_else(|error| panic!("{}: {error}", doubled.spec.names.kind));
    }
    place.done().await;
}
