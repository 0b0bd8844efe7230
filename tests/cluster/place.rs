//! A namespace of a test's own, and waiting in it.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};
use whimbrel::cluster::{Account, Acting, ApiServer, Holder, Kind};

/// How long a condition may take to come true before the test fails.
const DEADLINE: Duration = Duration::from_secs(90);

/// A fresh namespace. It stays when its test fails, to be looked at.
pub(crate) struct Place {
    pub(crate) server: ApiServer,
    pub(crate) namespace: String,
}

pub(crate) fn kubeconfig() -> PathBuf {
    std::env::var_os("WHIMBREL_TEST_KUBECONFIG")
        .expect("WHIMBREL_TEST_KUBECONFIG names the kubeconfig of a cluster (testbed/testbed up)")
        .into()
}

impl Place {
    pub(crate) async fn new(topic: &str) -> Self {
        let server = ApiServer::from_kubeconfig(&kubeconfig()).await.expect("the kubeconfig is usable");
        let object: Namespace = read(json!({"metadata": {"generateName": format!("wb-{topic}-")}}));
        let all: Api<Namespace> = Api::all(server.own().client().clone());
        let made = all.create(&PostParams::default(), &object).await.expect("the cluster answers");
        Self { server, namespace: made.metadata.name.expect("a created object has a name") }
    }

    pub(crate) fn own(&self) -> &Acting {
        self.server.own()
    }

    pub(crate) fn acting_as(&self, account: &str) -> Acting {
        self.server.acting_as(&Account::of(&self.namespace, account))
    }

    pub(crate) fn api<K: Kind>(&self) -> Api<K> {
        self.own().api(&self.namespace)
    }

    pub(crate) async fn create<K: Kind + serde::Serialize>(&self, object: Value) -> K {
        self.api().create(&PostParams::default(), &read::<K>(object)).await.expect("the object is admitted")
    }

    /// A server-side apply as a user's GitOps does it: without force.
    pub(crate) async fn apply<K: Kind>(&self, name: &str, object: Value) -> Result<K, kube::Error> {
        self.api().patch(name, &PatchParams::apply("owner"), &Patch::Apply(object)).await
    }

    pub(crate) async fn done(self) {
        let all: Api<Namespace> = Api::all(self.own().client().clone());
        all.delete(&self.namespace, &DeleteParams::background()).await.expect("our own namespace can go");
    }
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).expect("the fixture fits its type")
}

pub(crate) fn holder(run: u64, epoch: u64) -> Holder {
    Holder { plan_uid: "0b3c1d2e".to_owned(), run, epoch }
}

/// Asks until the answer is there.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
    }
}
