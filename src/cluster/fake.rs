//! An API server inside the test's own process: a scripted service behind a real client.

use super::ApiServer;
use http::{Request, Response};
use kube::client::Body;
use serde_json::Value;
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

/// What the server does with one request.
#[derive(Clone)]
enum Deed {
    Answer(u16, Value),
    Hang,
}

/// One request as it arrived.
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    next: VecDeque<Deed>,
    always: Option<Deed>,
}

/// Records requests and answers them as told; a request nothing was said about is a 404.
#[derive(Clone, Default)]
pub(crate) struct FakeApiServer(Arc<Mutex<State>>);

impl FakeApiServer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn api_server(&self) -> ApiServer {
        let state = self.0.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let state = state.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect_bytes().await.expect("bodies of tests are in memory");
                let line = format!("{} {}", parts.method, parts.uri);
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let deed = {
                    let mut state = state.lock().expect("no test panics while it holds this");
                    state.seen.push(Seen { line, headers: parts.headers, body });
                    state.next.pop_front().or_else(|| state.always.clone())
                };
                match deed {
                    Some(Deed::Answer(code, body)) => Ok::<_, Infallible>(response(code, &body)),
                    Some(Deed::Hang) => std::future::pending().await,
                    None => Ok(response(404, &status(404, "NotFound", "nothing was said about this"))),
                }
            }
        });
        ApiServer::over(kube::Client::new(service, "operator-ns"))
    }

    pub(crate) fn answer_always(&self, code: u16, body: Value) {
        self.state().always = Some(Deed::Answer(code, body));
    }

    pub(crate) fn answer_next(&self, code: u16, body: Value) {
        self.state().next.push_back(Deed::Answer(code, body));
    }

    pub(crate) fn hang_next(&self) {
        self.state().next.push_back(Deed::Hang);
    }

    /// Method and address of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().seen.iter().map(|seen| seen.line.clone()).collect()
    }

    /// One header of every request so far.
    pub(crate) fn headers(&self, name: &str) -> Vec<Option<String>> {
        let text = |seen: &Seen| seen.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
        self.state().seen.iter().map(text).collect()
    }

    /// The body of every request so far.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.state().seen.iter().map(|seen| seen.body.clone()).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }
}

/// The body of an error answer.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Value {
    serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn response(code: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string().into_bytes()))
        .expect("a status and a body make a response")
}
