//! The clients: one connection pool, and a thin client per account on top of it.
//!
//! A client per account made from `Config` would be a pool, a token refresher and idle connections per account; here
//! every account shares the base and adds one header.

use super::Account;
use crate::fault::Point;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use kube::{
    Api, Client, Config, Resource,
    client::Body,
    config::{InferConfigError, KubeConfigOptions, KubeconfigError},
    core::NamespaceResourceScope,
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tower::BoxError;

/// How long one request may take, answer read included. The API server itself gives up after 60 s; a write that hears
/// nothing for half of that is treated as lost and read back, a watch has its own idle timeout.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Pauses before a read is tried again: together 3.1 s, long enough for an API server behind a load balancer to be
/// replaced, short enough that a driver still says within seconds why it waits.
const READ_AGAIN_AFTER: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// The API server could not be found or its client not be built.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor the mounted service account could be used.
    #[error(
        "no Kubernetes API server is configured (KUBECONFIG, ~/.kube/config or a pod's service account): {0}"
    )]
    NoConfig(#[from] InferConfigError),
    /// The kubeconfig that was named could not be used.
    #[error("kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// The configuration names certificates or credentials that can't be used.
    #[error("the client for the Kubernetes API server could not be made: {0}")]
    Client(#[from] kube::Error),
}

/// The API server, reached as the operator itself or as an account.
#[derive(Clone)]
pub struct ApiServer {
    base: Client,
    own: Acting,
    accounts: Arc<Mutex<BTreeMap<Account, Acting>>>,
}

impl ApiServer {
    /// Connects as the environment says: `KUBECONFIG`, `~/.kube/config`, or the pod's own service account.
    ///
    /// # Errors
    /// No usable configuration, or certificates that can't be read. The server itself is not contacted yet.
    pub async fn connect() -> Result<Self, ConnectError> {
        Self::from_config(Config::infer().await?)
    }

    /// Connects as a kubeconfig file says, with its current context.
    ///
    /// # Errors
    /// The file can't be read or used. The server itself is not contacted yet.
    pub async fn from_kubeconfig(path: &Path) -> Result<Self, ConnectError> {
        let failed = |source| ConnectError::Kubeconfig { path: path.display().to_string(), source };
        let file = kube::config::Kubeconfig::read_from(path).map_err(failed)?;
        let config =
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)?;
        Self::from_config(config)
    }

    fn from_config(mut config: Config) -> Result<Self, ConnectError> {
        // kube's own retry sends POST and PATCH again as well: a second Job, or a 409 from our own first try.
        config.default_retry = false;
        // Fails only when a provider is installed already, and there is but one in this program.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self::over(Client::try_from(config)?))
    }

    /// The client below every account's.
    pub(super) fn bare(&self) -> &Client {
        &self.base
    }

    /// Puts the accounts on top of a bare client.
    pub(crate) fn over(base: Client) -> Self {
        let own = Acting::new(&base, Account::Operator);
        Self { base, own, accounts: Arc::default() }
    }

    /// The client that does everything as `account`; the same one for the same account.
    pub fn acting_as(&self, account: &Account) -> Acting {
        if *account == Account::Operator {
            return self.own.clone();
        }
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.entry(account.clone()).or_insert_with(|| Acting::new(&self.base, account.clone())).clone()
    }

    /// The operator with its own rights: for its own kinds, events, leases and metadata watches, never for anything
    /// that is done for a plan.
    pub fn own(&self) -> &Acting {
        &self.own
    }

    /// The namespace of the pod or of the kubeconfig's context.
    pub fn default_namespace(&self) -> &str {
        self.base.default_namespace()
    }
}

/// A client that acts as one account. Rooms that touch a user's objects take this, never a bare client, so "who did
/// this" is a question of types.
#[derive(Clone)]
pub struct Acting {
    client: Client,
    account: Account,
}

impl Acting {
    fn new(base: &Client, account: Account) -> Self {
        // A plan can name an account that no header can carry: its requests fail, the program goes on.
        let user = account
            .user()
            .map(HeaderValue::try_from)
            .transpose()
            .map_err(|_| format!("no such name: {account}"));
        let inner = base.clone();
        let service = tower::service_fn(move |mut request: Request<Body>| {
            let inner = inner.clone();
            let user = user.clone();
            async move {
                if let Some(user) = user? {
                    request.headers_mut().insert("impersonate-user", user);
                }
                send(inner, request).await
            }
        });
        Self { client: Client::new(service, base.default_namespace()), account }
    }

    /// The typed door to one kind in one namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The bare client, for watches and for what has no namespace.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// As whom this client acts.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

/// Sends one request: strict if it writes, bounded in time unless it watches, tried again only if it reads.
async fn send(base: Client, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    let request = strict(request);
    if is_stream(request.uri()) {
        return Ok(base.send(request).await?);
    }
    if request.method() != Method::GET {
        let point = Point::of_request(request.method(), request.uri());
        return point.around(answer(&base, request), BoxError::from).await;
    }
    let (parts, _) = request.into_parts();
    for pause in READ_AGAIN_AFTER {
        match answer(&base, Request::from_parts(parts.clone(), Body::empty())).await {
            Ok(response) if !is_passing(response.status()) => return Ok(response),
            Ok(_) | Err(_) => tokio::time::sleep(pause).await,
        }
    }
    answer(&base, Request::from_parts(parts, Body::empty())).await
}

/// The whole answer within the time: a server that stops in the middle of a body hangs a caller as well as one that
/// never starts it.
async fn answer(base: &Client, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    tokio::time::timeout(ANSWER_WITHIN, async {
        let (parts, body) = base.send(request).await?.into_parts();
        let body = body.collect_bytes().await?;
        Ok(Response::from_parts(parts, Body::from(body.to_vec())))
    })
    .await?
}

fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn is_stream(uri: &Uri) -> bool {
    has_parameter(uri, "watch") || has_parameter(uri, "follow")
}

fn has_parameter(uri: &Uri, name: &str) -> bool {
    uri.query().is_some_and(|query| {
        query.split('&').any(|pair| pair.split_once('=').is_some_and(|(key, _)| key == name))
    })
}

/// Adds `fieldValidation=Strict` to a write that does not say otherwise. Without it an older CRD drops a field it does
/// not know and answers 200: an intent would be written into the void.
fn strict(request: Request<Body>) -> Request<Body> {
    let writes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    if !writes || has_parameter(request.uri(), "fieldValidation") {
        return request;
    }
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path();
    let query = match parts.uri.query() {
        Some(query) if !query.is_empty() => format!("{path}?{query}&fieldValidation=Strict"),
        _ => format!("{path}?fieldValidation=Strict"),
    };
    let mut uri = parts.uri.clone().into_parts();
    uri.path_and_query =
        Some(query.parse().expect("a valid path and query stay valid with one more parameter"));
    parts.uri = Uri::from_parts(uri).expect("only the query of a valid address changed");
    Request::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::FakeApiServer;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, ValidationDirective};
    use serde_json::json;

    fn config_map() -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": "flags", "namespace": "aether"}})).unwrap()
    }

    #[tokio::test]
    async fn every_write_is_strict_and_nothing_else_is() {
        let fake = FakeApiServer::new();
        let api: Api<ConfigMap> = fake.api_server().own().api("aether");
        fake.answer_always(200, json!(config_map()));
        api.create(&PostParams::default(), &config_map()).await.unwrap();
        api.replace("flags", &PostParams::default(), &config_map()).await.unwrap();
        let named = PatchParams { field_manager: Some("whimbrel".into()), ..PatchParams::default() };
        api.patch("flags", &named, &Patch::Merge(json!({}))).await.unwrap();
        let loose =
            PatchParams { field_validation: Some(ValidationDirective::Ignore), ..PatchParams::default() };
        api.patch("flags", &loose, &Patch::Merge(json!({}))).await.unwrap();
        api.get("flags").await.unwrap();
        api.delete("flags", &DeleteParams::default()).await.unwrap();
        let root = "/api/v1/namespaces/aether/configmaps";
        assert_eq!(
            fake.requests(),
            [
                format!("POST {root}?fieldValidation=Strict"),
                format!("PUT {root}/flags?fieldValidation=Strict"),
                format!("PATCH {root}/flags?&fieldManager=whimbrel&fieldValidation=Strict"),
                format!("PATCH {root}/flags?&fieldValidation=Ignore"),
                format!("GET {root}/flags"),
                format!("DELETE {root}/flags?"),
            ]
        );
    }

    #[tokio::test]
    async fn an_account_is_impersonated_by_its_user_alone_and_the_operator_not_at_all() {
        let fake = FakeApiServer::new();
        fake.answer_always(200, json!(config_map()));
        let server = fake.api_server();
        let acting = server.acting_as(&Account::of("aether", "whimbrel"));
        acting.api::<ConfigMap>("aether-be").get("flags").await.unwrap();
        server
            .acting_as(&Account::of("aether", ""))
            .api::<ConfigMap>("aether-be")
            .get("flags")
            .await
            .unwrap();
        let said = [Some("system:serviceaccount:aether:whimbrel".to_owned()), None];
        assert_eq!(fake.headers("impersonate-user"), said);
        assert_eq!(fake.headers("impersonate-group"), [None, None]);
        assert_eq!(acting.account(), &Account::of("aether", "whimbrel"));
    }

    #[tokio::test]
    async fn an_account_that_no_header_can_carry_fails_its_requests_alone() {
        let fake = FakeApiServer::new();
        let acting = fake.api_server().acting_as(&Account::of("aether", "x\ny"));
        let error = acting.api::<ConfigMap>("aether").get("flags").await.unwrap_err();
        assert_eq!(error.to_string(), "ServiceError: no such name: service account aether/x\ny");
        assert_eq!(fake.requests().len(), 0);
    }

    #[tokio::test]
    async fn the_same_account_gets_the_same_client() {
        let server = FakeApiServer::new().api_server();
        server.acting_as(&Account::of("a", "x"));
        server.acting_as(&Account::of("a", "x"));
        server.acting_as(&Account::of("b", "x"));
        assert_eq!(server.accounts.lock().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_never_sent_twice_and_a_read_is() {
        let fake = FakeApiServer::new();
        let api: Api<ConfigMap> = fake.api_server().own().api("aether");
        fake.answer_always(
            503,
            json!({"kind": "Status", "code": 503, "message": "later", "reason": "ServiceUnavailable"}),
        );
        assert!(api.create(&PostParams::default(), &config_map()).await.is_err());
        assert!(api.patch("flags", &PatchParams::default(), &Patch::Merge(json!({}))).await.is_err());
        assert_eq!(fake.requests().len(), 2, "one POST, one PATCH");
        assert!(api.list(&ListParams::default()).await.is_err());
        assert_eq!(fake.requests().len(), 2 + 1 + READ_AGAIN_AFTER.len());
        fake.answer_always(200, json!(config_map()));
        fake.answer_next(
            429,
            json!({"kind": "Status", "code": 429, "message": "slower", "reason": "TooManyRequests"}),
        );
        assert!(api.get("flags").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_answer_ends_as_an_error() {
        let fake = FakeApiServer::new();
        let api: Api<ConfigMap> = fake.api_server().own().api("aether");
        fake.hang_next();
        let lost = api.create(&PostParams::default(), &config_map()).await;
        assert!(matches!(lost, Err(kube::Error::Service(_))), "{lost:?}");
        assert_eq!(fake.requests().len(), 1);
    }
}
