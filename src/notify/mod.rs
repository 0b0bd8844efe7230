//! Telling people outside the cluster: one POST to a webhook. Never in the way of a run.
//!
//! Where it goes is a Secret of the plan's author, who may be less than the operator's own network position: addresses
//! that only the operator's own pod or node can reach are refused, no redirect is followed, and nothing of an answer is
//! read but its status.

mod outside;

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use outside::{Outside, is_near};
use rand::Rng;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long one try may take, from the name's resolution to the status.
const WITHIN: Duration = Duration::from_secs(10);

/// How often it is tried in all: a receiver that restarts is back by then, and one that is gone is not worth more.
const TRIES: u32 = 3;

/// The pause before the second try; four times as long before the third, each a little longer by chance, so that a
/// receiver that comes back is not met by all at once.
const PAUSE: Duration = Duration::from_secs(2);

/// Why a notification was not delivered. No address in it: the path of a webhook is its password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The URL can't be one.
    #[error("its URL is none of http or https with a host")]
    BadUrl,
    /// The host is loopback or link-local.
    #[error("its host is a loopback or link-local address, which only the operator itself could reach")]
    Near,
    /// Nobody answered where it leads.
    #[error("no connection: {0}")]
    NoConnection(String),
    /// No answer in time; it may have been delivered.
    #[error("no answer within {} s; it may have arrived", WITHIN.as_secs())]
    Slow,
    /// The connection ended before the answer; it may have been delivered.
    #[error("the connection ended before the answer; it may have arrived")]
    Lost,
    /// Another status than 2xx.
    #[error("it answered {code}{}", if (300..400).contains(.code) { "; redirects are not followed" } else { "" })]
    Answered {
        /// The status.
        code: u16,
    },
}

impl Undelivered {
    /// Whether it surely did not arrive and may do so the next time. What may have arrived is not sent twice.
    fn passes(&self) -> bool {
        matches!(self, Self::NoConnection(_) | Self::Answered { code: 429 | 502..=504 })
    }
}

/// Sends webhooks.
pub struct Webhooks {
    client: Client<HttpsConnector<HttpConnector<Outside>>, Full<Bytes>>,
    near: bool,
    pause: Duration,
}

impl Webhooks {
    /// Trusts the public authorities that the image carries; `SSL_CERT_FILE` names others.
    pub fn new() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::over(roots, false, PAUSE)
    }

    fn over(roots: RootCertStore, near: bool, pause: Duration) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new_with_resolver(Outside { near });
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        // No connection is kept: a request that meets a closed one would be sent a second time.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(connector);
        Self { client, near, pause }
    }

    /// Posts `body` as JSON, in up to three tries as long as it surely did not arrive.
    ///
    /// # Errors
    /// Why the last try failed.
    pub async fn deliver(&self, url: &str, body: &serde_json::Value) -> Result<(), Undelivered> {
        let uri = self.uri(url)?;
        let bytes = Bytes::from(body.to_string());
        let mut tried = 0;
        loop {
            let answer = tokio::time::timeout(WITHIN, self.post(uri.clone(), bytes.clone())).await;
            tried += 1;
            match answer.unwrap_or(Err(Undelivered::Slow)) {
                Err(passing) if passing.passes() && tried < TRIES => {
                    let longer = rand::rng().random_range(1.0..1.5);
                    tokio::time::sleep((self.pause * 4_u32.pow(tried - 1)).mul_f64(longer)).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn uri(&self, url: &str) -> Result<Uri, Undelivered> {
        let uri: Uri = url.trim().parse().map_err(|_| Undelivered::BadUrl)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(Undelivered::BadUrl)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Undelivered::BadUrl);
        }
        // An address is not resolved, so nobody else looks at it.
        let address: Option<IpAddr> = host.trim_matches(['[', ']'].as_slice()).parse().ok();
        if address.is_some_and(|address| is_near(address) && !self.near) {
            return Err(Undelivered::Near);
        }
        Ok(uri)
    }

    async fn post(&self, uri: Uri, body: Bytes) -> Result<(), Undelivered> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("content-type", "application/json")
            .header("user-agent", concat!("whimbrel/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|_| Undelivered::BadUrl)?;
        let answer = self.client.request(request).await.map_err(|error| failed(&error))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(Undelivered::Answered { code: status.as_u16() }),
        }
    }
}

impl Default for Webhooks {
    fn default() -> Self {
        Self::new()
    }
}

/// The kind of a failure, in our words: those of others may hold the address.
fn failed(error: &hyper_util::client::legacy::Error) -> Undelivered {
    let mut cause = error.source();
    let mut said = "the host can't be reached".to_owned();
    while let Some(error) = cause {
        // The source of an error of IO is that of the error in it, which itself would be passed over.
        let mut inside = None;
        if let Some(io) = error.downcast_ref::<io::Error>() {
            if outside::refused(io) {
                return Undelivered::Near;
            }
            if io.kind() != io::ErrorKind::Other {
                said = io.kind().to_string();
            }
            inside = io.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            said = match tls {
                rustls::Error::InvalidCertificate(_) => "its certificate is not trusted".to_owned(),
                _ => "no TLS".to_owned(),
            };
        }
        cause = inside.or_else(|| error.source());
    }
    if error.is_connect() { Undelivered::NoConnection(said) } else { Undelivered::Lost }
}

#[cfg(test)]
mod tests;
