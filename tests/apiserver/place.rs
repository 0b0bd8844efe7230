//! A cluster with our CRDs, and a namespace of a test's own in it.

use k8s_openapi::{
    api::core::v1::Namespace,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use std::{path::PathBuf, process::Command, sync::OnceLock, time::Duration};
use whimbrel::{api::crd, cluster::ApiServer};

/// How long a CRD may take to be served before the test fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// A fresh namespace. It stays when its test fails, to be looked at.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

pub(crate) fn kubeconfig() -> PathBuf {
    std::env::var_os("WHIMBREL_TEST_KUBECONFIG")
        .expect("WHIMBREL_TEST_KUBECONFIG names the kubeconfig of a cluster (testbed/testbed up)")
        .into()
}

/// The testbed's own kubectl: the same version everywhere.
pub(crate) fn kubectl() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let testbed = concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/testbed");
        let output = Command::new(testbed).args(["tools", "kubectl"]).output().expect("the testbed starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a path").trim_end().to_owned()
    })
}

impl Place {
    pub(crate) async fn new(topic: &str) -> Self {
        let server = ApiServer::from_kubeconfig(&kubeconfig()).await.expect("the kubeconfig is usable");
        let client = server.own().client().clone();
        install(&client).await;
        let metadata =
            ObjectMeta { generate_name: Some(format!("wb-api-{topic}-")), ..ObjectMeta::default() };
        let object = Namespace { metadata, ..Namespace::default() };
        let all: Api<Namespace> = Api::all(client.clone());
        let made = all.create(&PostParams::default(), &object).await.expect("the cluster answers");
        Self { client, namespace: made.metadata.name.expect("a created object has a name") }
    }

    pub(crate) async fn done(self) {
        let all: Api<Namespace> = Api::all(self.client.clone());
        all.delete(&self.namespace, &DeleteParams::background()).await.expect("our own namespace can go");
    }
}

async fn install(client: &Client) {
    let api: Api<Crd> = Api::all(client.clone());
    for ours in crd::crds() {
        let name = ours.metadata.name.as_deref().expect("a CRD has a name");
        let params = PatchParams::apply("whimbrel-test").force();
        api.patch(name, &params, &Patch::Apply(&ours)).await.expect("the CRD is accepted");
        let served = await_condition(api.clone(), name, is_crd_established());
        tokio::time::timeout(DEADLINE, served).await.expect("served in time").expect("the cluster answers");
    }
}
