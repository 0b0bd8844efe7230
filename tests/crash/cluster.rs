//! The cluster, for a test that asks it many times: one client for all lanes. A kubectl for each question is a program
//! to start, and on a small machine that is most of what a visit costs.

use crate::kubectl;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Runtime;
use whimbrel::api::{DatabaseTarget, MigrationPlan, MigrationRun};
use whimbrel::cluster::ApiServer;

struct Cluster {
    runtime: Runtime,
    server: ApiServer,
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("threads for the client");
    let server = runtime.block_on(ApiServer::from_kubeconfig(Path::new(&kubectl::kubeconfig())));
    Cluster { server: server.expect("the kubeconfig is usable"), runtime }
});

/// The objects of one kind in one namespace.
pub(crate) struct Objects {
    kind: String,
    api: Api<DynamicObject>,
}

/// The objects of a kind, by the kind's name.
pub(crate) fn objects(kind: &str, namespace: &str) -> Objects {
    let resource = match kind {
        "Deployment" => ApiResource::erase::<Deployment>(&()),
        "CronJob" => ApiResource::erase::<CronJob>(&()),
        "Job" => ApiResource::erase::<Job>(&()),
        "Lease" => ApiResource::erase::<Lease>(&()),
        "ConfigMap" => ApiResource::erase::<ConfigMap>(&()),
        "MigrationPlan" => ApiResource::erase::<MigrationPlan>(&()),
        "MigrationRun" => ApiResource::erase::<MigrationRun>(&()),
        "DatabaseTarget" => ApiResource::erase::<DatabaseTarget>(&()),
        other => panic!("tests ask for no {other}"),
    };
    let client = CLUSTER.server.own().client().clone();
    Objects { kind: kind.to_owned(), api: Api::namespaced_with(client, namespace, &resource) }
}

/// Applies the objects of a file that are of the wanted kinds, each with its namespace; they must be admitted.
pub(crate) fn apply(file: &str, wanted: impl Fn(&str) -> bool) {
    for document in file.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document).expect("a document of YAML");
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        if !wanted(text("/kind")) {
            continue;
        }
        let objects = objects(text("/kind"), text("/metadata/namespace"));
        objects.patch(text("/metadata/name"), &PatchParams::apply("test").force(), &Patch::Apply(&object));
    }
}

impl Objects {
    /// One of them, which must be there.
    pub(crate) fn get(&self, name: &str) -> Value {
        let found = CLUSTER.runtime.block_on(self.api.get(name));
        json!(found.unwrap_or_else(|error| panic!("{} {name}: {error}", self.kind)))
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Value> {
        let found = CLUSTER.runtime.block_on(self.api.list(&ListParams::default()));
        let found = found.unwrap_or_else(|error| panic!("every {}: {error}", self.kind));
        found.items.into_iter().map(|object| json!(object)).collect()
    }

    /// Merges a patch into one of them, which must be admitted.
    pub(crate) fn merge(&self, name: &str, patch: &Value) {
        self.patch(name, &PatchParams::default(), &Patch::Merge(patch));
    }

    /// Removes one of them, whoever still holds it. Gone already is as good.
    pub(crate) fn remove(&self, name: &str) {
        let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        CLUSTER.runtime.block_on(async {
            let freed = self.api.patch(name, &PatchParams::default(), &free).await;
            let removed = self.api.delete(name, &DeleteParams::background()).await;
            for error in freed.err().into_iter().chain(removed.err()) {
                let gone = matches!(&error, kube::Error::Api(status) if status.code == 404);
                assert!(gone, "{} {name}: {error}", self.kind);
            }
        });
    }

    /// Removes them all.
    pub(crate) fn remove_all(&self) {
        for object in self.list() {
            self.remove(object["metadata"]["name"].as_str().expect("an object has a name"));
        }
    }

    /// Watches one of them until it is so; the error is how it was in the end.
    pub(crate) fn until(
        &self,
        name: &str,
        within: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<(), Value> {
        let so = |object: Option<&DynamicObject>| object.is_some_and(|object| is_so(&json!(object)));
        let waiting = async {
            // A watch that breaks is begun again, for as long as there is time.
            while await_condition(self.api.clone(), name, &so).await.is_err() {}
        };
        let seen = CLUSTER.runtime.block_on(async { tokio::time::timeout(within, waiting).await });
        seen.map_err(|_| self.get(name))
    }

    fn patch(&self, name: &str, parameters: &PatchParams, patch: &Patch<&Value>) {
        let written = CLUSTER.runtime.block_on(self.api.patch(name, parameters, patch));
        written.unwrap_or_else(|error| panic!("{} {name}: {error}", self.kind));
    }
}

/// Whether the controller of a Deployment has done what its spec says, as `kubectl rollout status` sees it.
pub(crate) fn is_rolled_out(deployment: &Value) -> bool {
    let number = |path: &str| deployment.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let wanted = number("/spec/replicas");
    number("/status/observedGeneration") >= number("/metadata/generation")
        && ["/status/replicas", "/status/updatedReplicas", "/status/availableReplicas"]
            .iter()
            .all(|count| number(count) == wanted)
}
