//! The two small HTTP servers: health for the kubelet, metrics for Prometheus.

use super::gates::Gates;
use super::metrics::Metrics;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}; choose another address")]
pub struct ServeError {
    address: SocketAddr,
    source: std::io::Error,
}

/// `/livez`: 200 while this process answers at all. A closed gate must not restart the operator: a restart opens
/// none. `/readyz`: 200, or 503 with the closed gates by name.
pub fn health_routes(gates: Gates) -> Router {
    Router::new().route("/livez", get(|| async { "ok\n" })).route(
        "/readyz",
        get(move || {
            let answer = readiness(&gates);
            async { answer }
        }),
    )
}

/// `/metrics` in the OpenMetrics text format.
pub fn metrics_routes(metrics: Arc<Metrics>) -> Router {
    Router::new().route(
        "/metrics",
        get(move || {
            let text = metrics.text(Timestamp::now());
            async { ([(header::CONTENT_TYPE, OPEN_METRICS)], text) }
        }),
    )
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn readiness(gates: &Gates) -> Response {
    let closed = gates.closed();
    let status = if closed.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let closed: Vec<_> =
        closed.iter().map(|(gate, why)| serde_json::json!({"gate": gate.name(), "why": why})).collect();
    let body = serde_json::json!({"ready": closed.is_empty(), "closed": closed});
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// Binds now, so that an address in use stops the operator at once, and gives back the address that was bound
/// (port 0 picks one) and the server to run until `stop`.
pub async fn listen(
    address: SocketAddr,
    routes: Router,
    stop: CancellationToken,
) -> Result<(SocketAddr, impl Future<Output = ()> + Send), ServeError> {
    let failed = |source| ServeError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let server = async move {
        let stopped = async move { stop.cancelled().await };
        if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, %bound, "the HTTP server ended");
        }
    };
    Ok((bound, server))
}

#[cfg(test)]
mod tests {
    use super::super::gates::Gate;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readyz_names_the_closed_gates_and_livez_does_not_care() {
        let gates = Gates::default();
        gates.open(Gate::Key);
        gates.open(Gate::Watches);
        gates.close(Gate::Crds, "too old");
        let stop = CancellationToken::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, server) = listen(any, health_routes(gates.clone()), stop.clone()).await.unwrap();
        let server = tokio::spawn(server);

        let closed = ask(address, "/readyz").await;
        assert!(closed.starts_with("HTTP/1.1 503"), "{closed}");
        assert!(
            closed.ends_with("{\"ready\":false,\"closed\":[{\"gate\":\"crds\",\"why\":\"too old\"}]}\n"),
            "{closed}"
        );
        assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 200"));

        gates.open(Gate::Crds);
        let open = ask(address, "/readyz").await;
        assert!(open.starts_with("HTTP/1.1 200"), "{open}");
        assert!(open.ends_with("{\"ready\":true,\"closed\":[]}\n"), "{open}");
        stop.cancel();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = taken.local_addr().unwrap();
        let Err(error) = listen(address, Router::new(), CancellationToken::new()).await else {
            panic!("two servers on one address");
        };
        let text = error.to_string();
        assert!(text.starts_with(&format!("can't listen on {address}: Address already in use")), "{text}");
    }

    #[tokio::test]
    async fn metrics_are_served_as_openmetrics() {
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::new());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, server) = listen(any, metrics_routes(metrics), stop.clone()).await.unwrap();
        tokio::spawn(server);
        let answer = ask(address, "/metrics").await;
        assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
        assert!(answer.contains("\nwhimbrel_leader 0\n"), "{answer}");
        stop.cancel();
    }
}
