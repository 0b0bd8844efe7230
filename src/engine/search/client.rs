//! One request, one answer. Nothing here follows a redirect, or sends again what may have arrived.
//!
//! A request of a script has a connection of its own: on a kept one, which the server may be closing just then, nobody could
//! tell whether it arrived, and a person would be asked about what never happened. Our own requests share connections: each
//! of them may be lost without harm.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Hyper, Error as HyperError};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::answer::Answer;
use super::settings::Settings;
use crate::engine::tls::{TlsFault, client_config, handshake_fault};
use crate::engine::{EngineError, TlsMode, credentials};
use crate::fault::Point;

/// More than any answer that we ask for: a thousand documents of a check.
const MOST_BYTES: usize = 64 << 20;

/// A kept connection is closed after this long: long before servers and what stands in front of them close theirs.
const KEPT: Duration = Duration::from_secs(5);

type Http = Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// One request as it is sent.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(String, String)],
    /// JSON, unless `headers` say otherwise.
    pub(super) body: Option<String>,
    /// How it is found again among the server's tasks.
    pub(super) opaque: Option<&'a str>,
    pub(super) within: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Missed {
    /// The request surely had no effect.
    NotSent(EngineError),
    /// It may have been executed, or may still be.
    Lost(String),
}

impl Missed {
    pub(super) fn into_error(self, at: String) -> EngineError {
        match self {
            Self::NotSent(error) => error,
            Self::Lost(reason) => EngineError::Lost { at, reason },
        }
    }
}

/// The way to one server.
pub(super) struct Client {
    pub(super) settings: Arc<Settings>,
    /// Keeps connections.
    shared: Http,
    /// Makes a connection for each request.
    fresh: Http,
    base: String,
    login: Mutex<Option<HeaderValue>>,
}

impl Client {
    /// Reads the credentials; connects nowhere yet.
    pub(super) async fn new(settings: &Arc<Settings>) -> Result<Self, EngineError> {
        let fault = |fault: TlsFault| fault.at(settings.at());
        let base = base(&settings.url, settings.tls.mode).map_err(|refused| match refused {
            Ok(tls) => fault(tls),
            Err(reason) => EngineError::Unsupported { at: settings.at(), reason },
        })?;
        let tls = client_config(&settings.tls).map_err(fault)?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(settings.connect_timeout));
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.as_ref().clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let shared = Hyper::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            // Only of what was not written to its connection.
            .retry_canceled_requests(true)
            .build(connector.clone());
        let fresh = Hyper::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(connector);
        let client = Self { settings: settings.clone(), shared, fresh, base, login: Mutex::new(None) };
        client.log_in().await?;
        Ok(client)
    }

    async fn log_in(&self) -> Result<(), EngineError> {
        let Some(source) = &self.settings.credentials else { return Ok(()) };
        let refused = |reason: String| EngineError::Authentication { at: self.settings.at(), reason };
        let login = credentials::ask(source, &self.settings.at()).await?;
        let header = login.header().ok_or_else(|| refused("the credentials hold a line end".to_owned()))?;
        *self.login.lock().expect("nobody panics while holding it") = Some(header);
        Ok(())
    }

    /// Reads: no numbered point, no effect.
    pub(super) async fn read(&self, path: &str) -> Result<Answer, Missed> {
        self.send(&self.shared, &self.plain(Method::GET, path, None)).await
    }

    /// A search or count with a body.
    pub(super) async fn ask(&self, path: &str, body: String) -> Result<Answer, Missed> {
        self.send(&self.shared, &self.plain(Method::POST, path, Some(body))).await
    }

    /// An effect of ours, under a name: if the process may die before it, after it, or without its answer, it does so here.
    pub(super) async fn effect(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer, Missed> {
        let call = self.plain(method, path, body);
        Point::of_message(what).around(self.send(&self.shared, &call), Missed::Lost).await
    }

    /// A request of a script.
    pub(super) async fn of_script(&self, what: &str, call: &Call<'_>) -> Result<Answer, Missed> {
        Point::of_message(what).around(self.send(&self.fresh, call), Missed::Lost).await
    }

    fn plain<'a>(&self, method: Method, path: &'a str, body: Option<String>) -> Call<'a> {
        Call { method, path, headers: &[], body, opaque: None, within: self.settings.request_timeout }
    }

    /// A login that was refused changed nothing: with one that was read anew the request is sent once more.
    async fn send(&self, http: &Http, call: &Call<'_>) -> Result<Answer, Missed> {
        let answer = self.once(http, call).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.log_in().await.map_err(Missed::NotSent)?;
        let answer = self.once(http, call).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let reason = match self.settings.credentials {
                Some(_) => answer.message(false),
                None => "the server asks for one, and spec.credentials names no Secret".to_owned(),
            };
            return Err(Missed::NotSent(EngineError::Authentication { at: self.settings.at(), reason }));
        }
        Ok(answer)
    }

    async fn once(&self, http: &Http, call: &Call<'_>) -> Result<Answer, Missed> {
        let request = self.request(call).map_err(Missed::NotSent)?;
        let exchange = async {
            let answer = http.request(request).await.map_err(|error| self.missed(&error))?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
            let body = body.map_err(|error| Missed::Lost(format!("its answer broke off: {error}")))?;
            Ok(Answer::of(status, &body.to_bytes()))
        };
        let within = call.within;
        tokio::time::timeout(within, exchange)
            .await
            .unwrap_or_else(|_| Err(Missed::Lost(format!("no answer within {} s", within.as_secs_f32()))))
    }

    fn request(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, EngineError> {
        let unfit = |reason: String| EngineError::Unsupported { at: self.settings.at(), reason };
        let uri: Uri = format!("{}{}", self.base, call.path).parse().map_err(|_| {
            unfit(format!("the path {:?} can't be sent: write what is no letter as %20", call.path))
        })?;
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header("user-agent", concat!("whimbrel/", env!("CARGO_PKG_VERSION")))
            .header("accept", "application/json");
        if let Some(login) = self.login.lock().expect("nobody panics while holding it").clone() {
            request = request.header("authorization", login);
        }
        if let Some(opaque) = call.opaque {
            request = request.header("x-opaque-id", opaque);
        }
        let body = call.body.clone().unwrap_or_default();
        let typed = call.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !body.trim().is_empty() {
            request = request.header("content-type", content_type(typed.map(|(_, value)| value.as_str())));
        }
        for (name, value) in
            call.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-type"))
        {
            request = request.header(name, value);
        }
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| unfit(format!("the request can't be sent: {error}")))
    }

    /// What a failed exchange means, with the cause that helps.
    fn missed(&self, error: &HyperError) -> Missed {
        let at = self.settings.at();
        let mut cause = std::error::Error::source(error);
        let mut said = "the host can't be reached".to_owned();
        while let Some(error) = cause {
            let mut inside = None;
            if let Some(io) = error.downcast_ref::<io::Error>() {
                if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                    let host = self.base.split("://").nth(1).unwrap_or_default();
                    let TlsFault { reason, fix } =
                        handshake_fault(io, host.split(':').next().unwrap_or(host));
                    return Missed::NotSent(EngineError::Tls { at, reason, fix });
                }
                said = io.to_string();
                inside = io.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
            } else if !error.to_string().is_empty() {
                said = error.to_string();
            }
            cause = inside.or_else(|| error.source());
        }
        if error.is_connect() {
            Missed::NotSent(EngineError::Unreachable { at, reason: said })
        } else {
            Missed::Lost(said)
        }
    }
}

/// As the other tool sends it: JSON unless the author says otherwise, and always with a charset.
fn content_type(said: Option<&str>) -> String {
    match said {
        None => "application/json; charset=UTF-8".to_owned(),
        Some(said) if said.contains("charset=") => said.to_owned(),
        Some(said) => format!("{said}; charset=UTF-8"),
    }
}

/// The address without a slash at its end. `Err(Ok)`: it does not fit what is said about TLS.
fn base(url: &str, mode: TlsMode) -> Result<String, Result<TlsFault, String>> {
    let unfit = || Err(format!("{url:?} is no address of a server: write https://host:9200"));
    let uri: Uri = url.trim().parse().map_err(|_| unfit())?;
    if uri.host().is_none_or(str::is_empty) || uri.query().is_some() || url.contains('@') {
        return Err(unfit());
    }
    match (uri.scheme_str(), mode) {
        (Some("https"), TlsMode::VerifyFull | TlsMode::VerifyCa) | (Some("http"), TlsMode::Disable) => {
            Ok(url.trim().trim_end_matches('/').to_owned())
        }
        (Some("http"), _) => Err(Ok(TlsFault::new(
            "the url is http, and tls.mode wants TLS",
            "Write https, or tls.mode: Disable.",
        ))),
        (Some("https"), TlsMode::Disable) => Err(Ok(TlsFault::new(
            "the url is https, and tls.mode is Disable",
            "Write http, or another tls.mode.",
        ))),
        _ => Err(unfit()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::engine::Tls;
    use crate::engine::search::settings::Names;

    /// A server that answers everything, and closes each connection behind its `most`-th answer without a word. Says over how
    /// many connections requests came.
    async fn server(most: usize) -> (Client, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                for _ in 0..most {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => break,
                        }
                    }
                    let answer =
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                    if stream.write_all(answer).await.is_err() {
                        break;
                    }
                }
            }
        });
        let settings = Settings {
            target: "aether/search".to_owned(),
            url,
            tls: Tls { mode: TlsMode::Disable, ca: None, client: None },
            credentials: None,
            indices: Vec::new(),
            names: Names::Alias,
            repository: None,
            histories: Vec::new(),
            identity_expect: None,
            connect_timeout: Settings::CONNECT_TIMEOUT,
            request_timeout: Settings::REQUEST_TIMEOUT,
            lease: Settings::LEASE,
            diagnostics_full: false,
        };
        (Client::new(&Arc::new(settings)).await.unwrap(), connections)
    }

    #[tokio::test]
    async fn our_own_requests_share_a_connection_and_those_of_scripts_have_one_each() {
        let (client, connections) = server(100).await;
        for _ in 0..3 {
            assert_eq!(client.read("/").await.unwrap().status, 200);
            client.effect("an effect", Method::PUT, "/a", None).await.unwrap();
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);
        for _ in 0..3 {
            let call = client.plain(Method::POST, "/a/_doc", None);
            client.of_script("a request", &call).await.unwrap();
        }
        assert_eq!(connections.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_shared_connection_that_the_server_closed_is_no_fault() {
        let (client, connections) = server(1).await;
        for n in 1..=5 {
            assert_eq!(client.read("/").await.unwrap().status, 200, "request {n}");
            // What closed it has come by then.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(connections.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn address_and_tls_must_agree() {
        assert_eq!(base("https://es:9200/", TlsMode::VerifyFull).ok().as_deref(), Some("https://es:9200"));
        assert_eq!(
            base("http://es:9200/search", TlsMode::Disable).ok().as_deref(),
            Some("http://es:9200/search")
        );
        let said = |url, mode| match base(url, mode).unwrap_err() {
            Ok(TlsFault { reason, fix }) => format!("{reason}. {fix}"),
            Err(reason) => reason,
        };
        assert_eq!(
            said("http://es:9200", TlsMode::VerifyFull),
            "the url is http, and tls.mode wants TLS. Write https, or tls.mode: Disable."
        );
        assert_eq!(
            said("https://es:9200", TlsMode::Disable),
            "the url is https, and tls.mode is Disable. Write http, or another tls.mode."
        );
        for url in ["es:9200", "ftp://es", "https://", "https://u:p@es:9200", "https://es/?a=b"] {
            assert!(said(url, TlsMode::VerifyFull).ends_with("write https://host:9200"), "{url}");
        }
    }

    #[test]
    fn a_content_type_as_the_other_tool_sends_it() {
        assert_eq!(content_type(None), "application/json; charset=UTF-8");
        assert_eq!(content_type(Some("application/x-ndjson")), "application/x-ndjson; charset=UTF-8");
        assert_eq!(content_type(Some("text/plain; charset=latin1")), "text/plain; charset=latin1");
    }
}
