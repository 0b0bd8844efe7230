//! Requests to the API server, counted where their answers come in: a try of a read that is tried again is a request.

use super::ApiServer;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use tower::BoxError;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was answered as asked.
    Done,
    /// The object had changed meanwhile, or was there already.
    Conflict,
    /// The API server said no.
    Refused,
    /// No answer, or none within the time.
    Lost,
}

impl ApiServer {
    /// The same server, whose every request is told to `count` by its verb, such as `patch`.
    #[must_use]
    pub fn counted(self, count: impl Fn(&'static str, Answered) + Clone + Send + Sync + 'static) -> Self {
        let base = self.bare().clone();
        let namespace = base.default_namespace().to_owned();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (base, count, verb) = (base.clone(), count.clone(), verb(request.method()));
            async move {
                let mut counting = Counting { count, verb, answered: Answered::Lost };
                let answer = base.send(request).await;
                counting.answered = answered(&answer);
                answer.map_err(BoxError::from)
            }
        });
        Self::over(kube::Client::new(service, namespace))
    }
}

/// Counts when it is dropped: a request whose time is up is dropped without an answer.
struct Counting<F: Fn(&'static str, Answered)> {
    count: F,
    verb: &'static str,
    answered: Answered,
}

impl<F: Fn(&'static str, Answered)> Drop for Counting<F> {
    fn drop(&mut self) {
        (self.count)(self.verb, self.answered);
    }
}

fn answered(answer: &Result<Response<Body>, kube::Error>) -> Answered {
    match answer.as_ref().map(Response::status) {
        Ok(StatusCode::CONFLICT) => Answered::Conflict,
        Ok(status) if status.is_client_error() || status.is_server_error() => Answered::Refused,
        Ok(_) => Answered::Done,
        Err(_) => Answered::Lost,
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::FakeApiServer;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::{Patch, PatchParams};
    use serde_json::json;
    use std::sync::{Arc, Mutex};

    #[tokio::test(start_paused = true)]
    async fn every_request_is_counted_once_by_what_became_of_it() {
        let fake = FakeApiServer::new();
        let counts = Arc::new(Mutex::new(Vec::new()));
        let into = counts.clone();
        let server =
            fake.api_server().counted(move |verb, answered| into.lock().unwrap().push((verb, answered)));
        let api: Api<ConfigMap> = server.own().api("aether");
        let patch = async || api.patch("flags", &PatchParams::default(), &Patch::Merge(json!({}))).await;
        fake.answer_always(200, json!({"metadata": {"name": "flags"}}));
        patch().await.unwrap();
        fake.answer_next(
            409,
            json!({"kind": "Status", "code": 409, "message": "changed", "reason": "Conflict"}),
        );
        assert!(patch().await.is_err());
        fake.answer_next(403, json!({"kind": "Status", "code": 403, "message": "no", "reason": "Forbidden"}));
        assert!(api.get("flags").await.is_err());
        fake.hang_next();
        assert!(patch().await.is_err());
        let wanted = [
            ("patch", Answered::Done),
            ("patch", Answered::Conflict),
            ("get", Answered::Refused),
            ("patch", Answered::Lost),
        ];
        assert_eq!(*counts.lock().unwrap(), wanted);
    }
}
