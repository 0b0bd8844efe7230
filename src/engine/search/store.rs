//! Whimbrel's own index in the target: fence, lease and journal as documents, each read by its id and written only over the
//! version that was read.

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::Answer;
use super::client::{Client, Missed};
use crate::engine::{BlockedBy, EngineError};

/// Hidden, so that no pattern of anybody's covers it by chance.
pub(super) const INDEX: &str = ".whimbrel";

/// The form of what is in it. Another one is refused.
pub(super) const FORMAT: u32 = 1;

/// As many documents as one search gives.
pub(super) const MOST_DOCUMENTS: usize = 10_000;

/// Which version of a document was read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) seq_no: u64,
    pub(super) term: u64,
}

impl Version {
    fn of(body: &Value) -> Self {
        let number = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        Self { seq_no: number("/_seq_no"), term: number("/_primary_term") }
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    Done(Version),
    /// Somebody else wrote it since it was read.
    Stale,
}

impl Client {
    pub(super) fn error(&self, missed: Missed) -> EngineError {
        missed.into_error(self.settings.at())
    }

    /// What the server said to a request of our own, as an error.
    pub(super) fn said(&self, answer: &Answer) -> EngineError {
        let at = self.settings.at();
        if matches!(answer.status, 429 | 502..=504) {
            let what =
                format!("the server takes no request now: {} ({})", answer.message(false), answer.code());
            return EngineError::Busy { at, by: BlockedBy::unnamed(what) };
        }
        let full = self.settings.diagnostics_full;
        EngineError::Server { at, code: answer.code(), message: answer.message(full) }
    }

    /// An answer that must be a 2xx.
    pub(super) fn expect(&self, answer: Result<Answer, Missed>) -> Result<Answer, EngineError> {
        let answer = answer.map_err(|missed| self.error(missed))?;
        if answer.is_success() { Ok(answer) } else { Err(self.said(&answer)) }
    }

    /// Makes our index unless it is there. All copies of a shard take a write before it counts; a cluster of one node has
    /// one copy, a larger one two.
    pub(super) async fn make_index(&self) -> Result<(), EngineError> {
        let body = json!({
            "settings": {"index": {"hidden": true, "number_of_shards": 1, "auto_expand_replicas": "0-1"}},
            "mappings": {"dynamic": false, "properties": {"kind": {"type": "keyword"}}},
        });
        let path = format!("/{INDEX}?wait_for_active_shards=all");
        let made = self.effect("make the index", Method::PUT, &path, Some(body.to_string())).await;
        let answer = made.map_err(|missed| self.error(missed))?;
        if answer.is_success() || answer.code() == "resource_already_exists_exception" {
            return Ok(());
        }
        Err(self.said(&answer))
    }

    /// Whether an index is there.
    pub(super) async fn has_index(&self, index: &str) -> Result<bool, EngineError> {
        let answer = self.read(&format!("/{index}?filter_path=*.settings.index.uuid")).await;
        let answer = answer.map_err(|missed| self.error(missed))?;
        match answer.status {
            404 => Ok(false),
            _ if answer.is_success() => Ok(true),
            _ => Err(self.said(&answer)),
        }
    }

    /// A document by its id.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        index: &str,
        id: &str,
    ) -> Result<Option<(Version, T)>, EngineError> {
        let answer = self.read(&format!("/{index}/_doc/{id}")).await.map_err(|missed| self.error(missed))?;
        if answer.status == 404 {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(self.said(&answer));
        }
        let source = answer.at("/_source").cloned().unwrap_or_default();
        Ok(Some((Version::of(&answer.body), self.document(index, id, source)?)))
    }

    fn document<T: DeserializeOwned>(&self, index: &str, id: &str, source: Value) -> Result<T, EngineError> {
        serde_json::from_value(source).map_err(|error| EngineError::Unsupported {
            at: self.settings.at(),
            reason: format!(
                "document {id} of {index} can't be read: {error}. Another version of Whimbrel wrote it"
            ),
        })
    }

    /// Writes a document over the version that was read; `None`: over none.
    pub(super) async fn put(
        &self,
        what: &str,
        index: &str,
        id: &str,
        over: Option<Version>,
        document: &impl Serialize,
    ) -> Result<Wrote, EngineError> {
        self.try_put(what, index, id, over, document)
            .await
            .map_err(|missed| self.error(missed))?
            .map_err(|answer| self.said(&answer))
    }

    /// As [`Client::put`], with what is known when it fails.
    pub(super) async fn try_put(
        &self,
        what: &str,
        index: &str,
        id: &str,
        over: Option<Version>,
        document: &impl Serialize,
    ) -> Result<Result<Wrote, Answer>, Missed> {
        let body = serde_json::to_string(document).expect("documents of ours are JSON");
        let (how, condition) = condition(over);
        let path = format!("/{index}/{how}/{id}?{condition}{}", copies(index));
        let answer = self.effect(what, Method::PUT, &path, Some(body)).await?;
        Ok(match answer.status {
            409 => Ok(Wrote::Stale),
            _ if answer.is_success() => Ok(Wrote::Done(Version::of(&answer.body))),
            _ => Err(answer),
        })
    }

    /// Writes several documents of one index in one request, each over its version as [`Client::put`] does. One that is refused
    /// keeps no other from being written: of each it is said what became of it.
    pub(super) async fn put_all<const N: usize>(
        &self,
        what: &str,
        index: &str,
        documents: &[(String, Option<Version>, Value); N],
    ) -> Result<[Result<Wrote, EngineError>; N], EngineError> {
        let lines = documents.iter().map(|(id, over, document)| {
            let action = match over {
                None => json!({"create": {"_id": id}}),
                Some(Version { seq_no, term }) => {
                    json!({"index": {"_id": id, "if_seq_no": seq_no, "if_primary_term": term}})
                }
            };
            format!("{action}\n{document}\n")
        });
        let path = format!("/{index}/_bulk?{}", copies(index));
        let answer = self.expect(self.effect(what, Method::POST, &path, Some(lines.collect())).await)?;
        let items = answer.at("/items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let results = items.iter().filter_map(|item| item.as_object()?.values().next());
        let wrote = results.map(|result| match result["status"].as_u64().unwrap_or_default() {
            409 => Ok(Wrote::Stale),
            200..=299 => Ok(Wrote::Done(Version::of(result))),
            status => Err(self.said(&Answer::of_item(status, result))),
        });
        let wrote = wrote.collect::<Vec<_>>().try_into();
        wrote.map_err(|wrote: Vec<_>| EngineError::Lost {
            at: self.settings.at(),
            reason: format!("the server answered {} of {N} writes", wrote.len()),
        })
    }

    /// Takes a document away, if it still is the version that was read.
    pub(super) async fn delete(
        &self,
        what: &str,
        index: &str,
        id: &str,
        over: Version,
    ) -> Result<Wrote, EngineError> {
        let (_, condition) = condition(Some(over));
        let path = format!("/{index}/_doc/{id}?{condition}{}", copies(index));
        let answer =
            self.effect(what, Method::DELETE, &path, None).await.map_err(|missed| self.error(missed))?;
        match answer.status {
            409 => Ok(Wrote::Stale),
            404 => Ok(Wrote::Done(over)),
            _ if answer.is_success() => Ok(Wrote::Done(Version::of(&answer.body))),
            _ => Err(self.said(&answer)),
        }
    }

    /// All documents that a query finds, after a refresh: what was acknowledged before is among them.
    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        index: &str,
        query: Value,
    ) -> Result<Vec<(Version, String, T)>, EngineError> {
        let whole = |answer: &Answer, what: &str| match answer.number_at("/_shards/failed") {
            0 => Ok(()),
            n => Err(EngineError::Unsupported {
                at: self.settings.at(),
                reason: format!(
                    "{what} of {index} reached all but {n} of its shards: see that they are assigned"
                ),
            }),
        };
        let refreshed = self.expect(self.read(&format!("/{index}/_refresh")).await)?;
        whole(&refreshed, "a refresh")?;
        let body = json!({"size": MOST_DOCUMENTS, "query": query, "seq_no_primary_term": true, "track_total_hits": true});
        let found = self.expect(self.ask(&format!("/{index}/_search"), body.to_string()).await)?;
        whole(&found, "a search")?;
        if found.number_at("/hits/total/value") > MOST_DOCUMENTS as u64 {
            let reason = format!("{index} holds more than {MOST_DOCUMENTS} scripts");
            return Err(EngineError::Unsupported { at: self.settings.at(), reason });
        }
        let hits = found.at("/hits/hits").and_then(Value::as_array).cloned().unwrap_or_default();
        hits.into_iter()
            .map(|mut hit| {
                let id = hit["_id"].as_str().unwrap_or_default().to_owned();
                let document = self.document(index, &id, hit["_source"].take())?;
                Ok((Version::of(&hit), id, document))
            })
            .collect()
    }
}

/// Of our own index all copies take a write before it counts. How another tool's index is copied is not ours to say: a copy
/// of it that no node can hold would be waited for in vain.
fn copies(index: &str) -> &'static str {
    if index == INDEX {
        "wait_for_active_shards=all&timeout=5s"
    } else {
        "wait_for_active_shards=1&timeout=5s"
    }
}

fn condition(over: Option<Version>) -> (&'static str, String) {
    match over {
        None => ("_create", String::new()),
        Some(Version { seq_no, term }) => ("_doc", format!("if_seq_no={seq_no}&if_primary_term={term}&")),
    }
}
