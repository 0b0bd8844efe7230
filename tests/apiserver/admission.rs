//! What the API server says to each example and to each mistake.

use super::place::Place;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};
use std::{fs, path::Path};

fn api(place: &Place, object: &Value) -> Api<DynamicObject> {
    let kind = object["kind"].as_str().expect("a kind");
    let resource = ApiResource {
        group: "whimbrel.dev".into(),
        version: "v1alpha1".into(),
        api_version: "whimbrel.dev/v1alpha1".into(),
        kind: kind.into(),
        plural: format!("{}s", kind.to_lowercase()),
    };
    Api::namespaced_with(place.client.clone(), &place.namespace, &resource)
}

fn read(object: Value) -> DynamicObject {
    serde_json::from_value(object).expect("an object")
}

#[tokio::test]
async fn each_example_is_admitted_and_counts_as_unseen() {
    let place = Place::new("examples").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/api");
    let mut admitted = 0;
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        let mut example: Value = serde_saphyr::from_str(&text).expect("YAML");
        example["metadata"]["namespace"] = place.namespace.clone().into();
        let stored = api(&place, &example).create(&PostParams::default(), &read(example)).await;
        let stored = stored.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // kstatus takes an absent observedGeneration for "current".
        assert_eq!(stored.data["status"]["observedGeneration"], -1, "{}", path.display());
        admitted += 1;
    }
    assert!(admitted >= 13, "ten engines, two plans and a run: {admitted}");
    place.done().await;
}

#[tokio::test]
async fn each_mistake_is_refused_with_its_text() {
    let place = Place::new("refused").await;
    let cases: Vec<Value> = serde_saphyr::from_str(include_str!("refused.yaml")).expect("YAML");
    let mut wrong = Vec::new();
    for case in cases {
        let says = case["says"].as_str().expect("a text");
        match refusal(&place, &case).await {
            Some(said) if said.contains(says) => {}
            Some(said) => wrong.push(format!("wanted: {says}\nsaid:   {said}")),
            None => wrong.push(format!("admitted: {} {}", case["kind"], case["spec"])),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    place.done().await;
}

/// What the API server says to a case, as a create or, where it has a `was`, as an update of that.
async fn refusal(place: &Place, case: &Value) -> Option<String> {
    let name = case["name"].as_str().unwrap_or("refused");
    let object = |spec: &Value| {
        read(json!({
            "apiVersion": "whimbrel.dev/v1alpha1", "kind": case["kind"], "metadata": {"name": name}, "spec": spec,
        }))
    };
    let api = api(place, case);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let answer = if case["was"].is_null() {
        api.create(&dry, &object(&case["spec"])).await
    } else {
        let stored =
            api.create(&PostParams::default(), &object(&case["was"])).await.expect("`was` is admitted");
        let mut edited = object(&case["spec"]);
        edited.metadata.resource_version = stored.metadata.resource_version;
        let answer = api.replace(name, &dry, &edited).await;
        api.delete(name, &DeleteParams::default()).await.expect("our own object can go");
        answer
    };
    match answer {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message),
        Err(other) => panic!("no answer of the API server: {other}"),
    }
}
