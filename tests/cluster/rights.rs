//! Who may do what is decided by the API server, and a refusal prints the command that ends it.

use crate::place::{Place, kubeconfig, read, until};
use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{ConfigMap, ServiceAccount},
    rbac::v1::{ClusterRole, Role, RoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
    config::Kubeconfig,
};
use serde_json::json;
use whimbrel::{
    api::plan::ScriptSource,
    cluster::{Account, ApiServer, source},
};

/// Runs the part of a message behind `allow it: `, which is a promise to the reader.
fn obey(message: &str) {
    let (_, command) = message.split_once("allow it: ").expect("the message says how");
    let status = std::process::Command::new("sh")
        .args(["-c", command])
        .env("KUBECONFIG", kubeconfig())
        .stdout(std::process::Stdio::null())
        .status()
        .expect("a shell runs");
    assert!(status.success(), "{command}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_rights_is_refused_and_the_message_mends_it() {
    let place = Place::new("rights").await;
    place
        .create::<ConfigMap>(json!({"metadata": {"name": "scripts"}, "data": {"V1__a.sql": "select 1"}}))
        .await;
    let acting = place.acting_as("whimbrel");
    let wanted = ScriptSource::ConfigMaps(vec!["scripts".to_owned()]);
    let refused = source::scripts(&acting, &place.namespace, &wanted).await.unwrap_err();
    let namespace = &place.namespace;
    assert_eq!(
        refused.to_string(),
        format!(
            "service account {namespace}/whimbrel may not get configmaps in namespace {namespace}; allow it: kubectl \
             create rolebinding whimbrel-runner-{namespace}-whimbrel --namespace={namespace} \
             --clusterrole=whimbrel-runner --serviceaccount={namespace}:whimbrel"
        )
    );
    with_runner_role(&place, async || {
        obey(&refused.to_string());
        let files = until("the binding is in force", async || {
            source::scripts(&acting, &place.namespace, &wanted).await.ok()
        })
        .await;
        assert_eq!(files["V1__a.sql"], b"select 1");
    })
    .await;
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_of_the_accounts_group_count_though_only_its_user_is_impersonated() {
    let place = Place::new("group").await;
    place
        .create::<ConfigMap>(json!({"metadata": {"name": "scripts"}, "data": {"V1__a.sql": "select 1"}}))
        .await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
    place.create::<Role>(json!({"metadata": {"name": "reader"}, "rules": rules})).await;
    let group = format!("system:serviceaccounts:{}", place.namespace);
    place
        .create::<RoleBinding>(json!({
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]
        }))
        .await;
    let wanted = ScriptSource::ConfigMaps(vec!["scripts".to_owned()]);
    let acting = place.acting_as("whimbrel");
    until("the binding is in force", async || source::scripts(&acting, &place.namespace, &wanted).await.ok())
        .await;
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_may_not_impersonate_says_so() {
    let place = Place::new("impersonate").await;
    place.create::<ServiceAccount>(json!({"metadata": {"name": "operator"}})).await;
    let server = as_service_account(&place, "operator").await;
    let acting = server.acting_as(&Account::of(&place.namespace, "whimbrel"));
    let wanted = ScriptSource::ConfigMaps(vec!["scripts".to_owned()]);
    let refused = source::scripts(&acting, &place.namespace, &wanted).await.unwrap_err();
    let namespace = &place.namespace;
    assert_eq!(
        refused.to_string(),
        format!(
            "the operator may not act as service account {namespace}/whimbrel; allow it: kubectl create role \
             whimbrel-impersonate-whimbrel --namespace={namespace} --verb=impersonate --resource=serviceaccounts \
             --resource-name=whimbrel && kubectl create rolebinding whimbrel-impersonate-whimbrel \
             --namespace={namespace} --role=whimbrel-impersonate-whimbrel --serviceaccount={namespace}:operator"
        )
    );
    obey(&refused.to_string());
    let next = until("the binding is in force", async || {
        let refused = source::scripts(&acting, &place.namespace, &wanted).await.unwrap_err().to_string();
        (!refused.starts_with("the operator")).then_some(refused)
    })
    .await;
    assert!(
        next.starts_with(&format!("service account {namespace}/whimbrel may not get configmaps")),
        "{next}"
    );
    place.done().await;
}

/// The API server as a service account sees it, with a token of its own.
async fn as_service_account(place: &Place, name: &str) -> ApiServer {
    let accounts = place.api::<ServiceAccount>();
    let request: TokenRequest = read(json!({"spec": {"audiences": []}}));
    let answer = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .expect("a token is given");
    let token = answer.status.expect("an answered request has a status").token;
    let mut config = serde_json::to_value(Kubeconfig::read_from(kubeconfig()).expect("it was read before"))
        .expect("a kubeconfig is serialisable");
    config["users"][0]["user"] = json!({ "token": token });
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), config.to_string()).expect("the file is ours");
    ApiServer::from_kubeconfig(file.path()).await.expect("only the user was replaced")
}

/// Makes the chart's ClusterRole if the chart is not installed, and runs the test with it. It is taken away again, so
/// that a chart that is installed later finds no stranger's object of that name.
async fn with_runner_role(place: &Place, test: impl AsyncFnOnce()) {
    let role = json!({
        "metadata": {"name": "whimbrel-runner"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    });
    let all: Api<ClusterRole> = Api::all(place.own().client().clone());
    let made = all.get_opt("whimbrel-runner").await.expect("the cluster answers").is_none();
    if made {
        all.create(&PostParams::default(), &read(role)).await.expect("the role is admitted");
    }
    test().await;
    if made {
        all.delete("whimbrel-runner", &DeleteParams::default()).await.expect("our own role can go");
    }
}
