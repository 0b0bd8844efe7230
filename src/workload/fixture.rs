//! Workloads and pods as a user and Kubernetes would write them, for the tests of this room.

use super::Workload;
use crate::api::reference::Images;
use k8s_openapi::api::core::v1::Pod;

pub(super) fn images<const N: usize>(pairs: [(&str, &str); N]) -> Images {
    pairs.map(|(name, image)| (name.to_owned(), image.to_owned())).into()
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

/// Deployment aether/web, three ready replicas, with more lines of metadata.
pub(super) fn deployment(metadata: &str) -> Workload {
    let yaml = format!(
        "
metadata:
  name: web
  namespace: aether
  uid: uid-web
  resourceVersion: '5'
  generation: 2
{}spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      initContainers: [{{name: wait, image: 'busybox:1'}}]
      containers: [{{name: app, image: 'web:1'}}, {{name: sidecar, image: 'proxy:7'}}]
status: {{observedGeneration: 2, replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3}}
",
        indented(metadata, 2)
    );
    let live: k8s_openapi::api::apps::v1::Deployment =
        serde_saphyr::from_str(&yaml).expect("the fixture is YAML");
    live.into()
}

/// StatefulSet aether/db, one ready replica, with more lines of spec.
pub(super) fn stateful_set(spec: &str) -> Workload {
    let yaml = format!(
        "
metadata: {{name: db, namespace: aether, uid: uid-db, resourceVersion: '8', generation: 4}}
spec:
  replicas: 1
  serviceName: db
  selector: {{matchLabels: {{app: db}}}}
{}  template:
    spec:
      containers: [{{name: db, image: 'db:2'}}]
status:
  observedGeneration: 4
  replicas: 1
  readyReplicas: 1
  updatedReplicas: 1
  availableReplicas: 1
  currentRevision: db-2
  updateRevision: db-2
",
        indented(spec, 2)
    );
    let live: k8s_openapi::api::apps::v1::StatefulSet =
        serde_saphyr::from_str(&yaml).expect("the fixture is YAML");
    live.into()
}

/// CronJob aether/nightly, owned by another controller.
pub(super) fn cron_job() -> Workload {
    let yaml = "
metadata:
  name: nightly
  namespace: aether
  uid: uid-nightly
  resourceVersion: '3'
  ownerReferences: [{apiVersion: x/v1, kind: Platform, name: aether, uid: p, controller: true}]
spec:
  schedule: '0 3 * * *'
  jobTemplate:
    spec:
      template:
        spec:
          containers: [{name: sync, image: 'sync:1'}]
";
    let live: k8s_openapi::api::batch::v1::CronJob =
        serde_saphyr::from_str(yaml).expect("the fixture is YAML");
    live.into()
}

/// A pod of aether, owned by `owner` (kind and uid) if one is given, with this status.
pub(super) fn pod(name: &str, owner: Option<(&str, &str)>, more: &str, status: &str) -> Pod {
    let owner = owner
        .map(|(kind, uid)| format!("\n  ownerReferences: [{{apiVersion: v1, kind: {kind}, name: o, uid: {uid}, controller: true}}]"))
        .unwrap_or_default();
    let yaml = format!(
        "metadata:\n  name: {name}\n  namespace: aether\n  uid: uid-{name}{owner}\n{}status:\n{}",
        indented(more, 2),
        indented(status, 2)
    );
    serde_saphyr::from_str(&yaml).expect("the fixture is YAML")
}
