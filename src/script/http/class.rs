//! What may be sent again when an answer is lost.

use serde_json::Value;

use super::Path;
use super::body::{self, alias_actions};
use super::read::{Method, Request};

/// What a request does, and what becomes of it when its answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It changes nothing: sent again.
    Free,
    /// Done twice is done once: sent again.
    Idempotent,
    /// All or nothing, and the state says which: alias actions.
    Aliases,
    /// The author's probe decides.
    Probed,
    /// It runs as a task, found again by its id or by the id of the request; lost, it is started again if that is safe.
    Task {
        /// Started again it does nothing twice.
        again: bool,
    },
    /// Nothing can tell: never sent again.
    Once,
}

/// Endpoints that only read, whatever the method.
const READS: [&str; 17] = [
    "_search",
    "_count",
    "_msearch",
    "_mget",
    "_validate",
    "_analyze",
    "_explain",
    "_field_caps",
    "_rank_eval",
    "_termvectors",
    "_mtermvectors",
    "_render",
    "_search_shards",
    "_stats",
    "_cat",
    "_nodes",
    "_resolve",
];

/// POSTs after which a second one changes nothing.
const SETTLED: [&str; 13] = [
    "_refresh",
    "_flush",
    "_forcemerge",
    "_cache",
    "_open",
    "_close",
    "_mapping",
    "_settings",
    "_template",
    "_index_template",
    "_component_template",
    "_scripts",
    "_alias",
];

/// Work by query, which a server can run as a task.
const BY_QUERY: [&str; 3] = ["_reindex", "_update_by_query", "_delete_by_query"];

impl Request {
    /// The class of the request, from itself alone.
    pub fn class(&self) -> Class {
        let path = Path::of(&self.path);
        let endpoint = path.endpoint();
        match self.method {
            Method::Get | Method::Head | Method::Options if endpoint != "_refresh" => return Class::Free,
            Method::Post if READS.contains(&endpoint) => return Class::Free,
            _ => {}
        }
        if self.awaits {
            return Class::Task { again: self.by_query_again(endpoint) };
        }
        if self.probe.is_some() {
            return Class::Probed;
        }
        if let Some(class) = self.by_state(&path) {
            return class;
        }
        match self.method {
            Method::Put | Method::Delete if !BY_QUERY.contains(&endpoint) => Class::Idempotent,
            Method::Get | Method::Head | Method::Options => Class::Idempotent,
            _ => Class::Once,
        }
    }

    /// Whether the path is one of work by query.
    pub(super) fn is_by_query(&self) -> bool {
        BY_QUERY.contains(&Path::of(&self.path).endpoint())
    }

    fn by_state(&self, path: &Path<'_>) -> Option<Class> {
        let endpoint = path.endpoint();
        let class = |idempotent| if idempotent { Class::Idempotent } else { Class::Once };
        match endpoint {
            "_bulk" => Some(class(self.bulk_again(path))),
            "_aliases" => {
                let known =
                    |(what, _): &(String, Value)| matches!(what.as_str(), "add" | "remove" | "remove_index");
                let known = alias_actions(&self.body).is_some_and(|actions| actions.iter().all(known));
                Some(if known { Class::Aliases } else { Class::Once })
            }
            "_doc" | "_create" => {
                // A write that depends on what was there before is another one the second time.
                let depends = path.parameter("if_seq_no").is_some() || path.parameter("version").is_some();
                Some(class(path.behind(0).is_some() && !depends))
            }
            "_update" => Some(class(self.update_again())),
            "_clone" | "_split" | "_shrink" => Some(class(path.behind(0).is_some())),
            by_query if BY_QUERY.contains(&by_query) => Some(class(self.by_query_again(by_query))),
            _ if self.method == Method::Post && SETTLED.contains(&endpoint) => Some(Class::Idempotent),
            _ => None,
        }
    }

    fn by_query_again(&self, endpoint: &str) -> bool {
        let body = body::json(&self.body);
        match endpoint {
            "_reindex" => body.as_ref().is_some_and(body::reindex_passes_over),
            "_delete_by_query" => true,
            // Without a script it only indexes anew what is there.
            _ => self.body.trim().is_empty() || body.is_some_and(|body| body.get("script").is_none()),
        }
    }

    fn bulk_again(&self, path: &Path<'_>) -> bool {
        let Some(actions) = body::bulk(&self.body) else { return false };
        path.parameter("pipeline").is_none()
            && actions
                .iter()
                .all(|action| action.has_id && matches!(action.what.as_str(), "index" | "create" | "delete"))
    }

    /// A part of a document put into it; a script may count.
    fn update_again(&self) -> bool {
        let Some(Value::Object(body)) = body::json(&self.body) else { return false };
        body.keys().all(|key| matches!(key.as_str(), "doc" | "doc_as_upsert" | "_source" | "detect_noop"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::requests;
    use super::*;

    fn class(text: &str) -> Class {
        requests(text).unwrap().remove(0).class()
    }

    #[test]
    fn what_is_sent_again() {
        for text in [
            "PUT /users",
            "DELETE /users",
            "PUT /users/_mapping\n\n{}",
            "PUT /users/_doc/1\n\n{}",
            "PUT /users/_doc/1?op_type=create\n\n{}",
            "POST /users/_create/1\n\n{}",
            "POST /users/_refresh",
            "POST /users/_update/1\n\n{\"doc\":{\"a\":1}}",
            "POST /_bulk\n\n{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n",
            "POST /_reindex\n\n{\"conflicts\":\"proceed\",\"source\":{\"index\":\"a\"},\"dest\":{\"index\":\"b\",\"op_type\":\"create\"}}",
            "POST /users/_delete_by_query\n\n{\"query\":{\"match_all\":{}}}",
            "PUT /users/_clone/users-2",
        ] {
            assert_eq!(class(text), Class::Idempotent, "{text}");
        }
        for text in ["GET /users", "HEAD /users", "POST /users/_search\n\n{}", "POST /users/_count"] {
            assert_eq!(class(text), Class::Free, "{text}");
        }
    }

    #[test]
    fn what_is_never_sent_twice() {
        for text in [
            "POST /users/_doc\n\n{}",
            "POST /_reindex\n\n{\"source\":{\"index\":\"a\"},\"dest\":{\"index\":\"b\"}}",
            "POST /users/_update_by_query\n\n{\"script\":{\"source\":\"ctx._source.n++\"}}",
            "POST /users/_update/1\n\n{\"script\":\"ctx._source.n++\"}",
            "POST /_bulk\n\n{\"index\":{\"_index\":\"a\"}}\n{}\n",
            "POST /_bulk\n\n{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"script\":\"x\"}\n",
            "POST /users/_bulk?pipeline=p\n\n{\"index\":{\"_id\":\"1\"}}\n{}\n",
            "PUT /users/_doc/1?if_seq_no=1&if_primary_term=1\n\n{}",
            "POST /alias/_rollover",
            "POST /_aliases\n\n${actions}",
            "PATCH /x",
        ] {
            assert_eq!(class(text), Class::Once, "{text}");
        }
    }

    #[test]
    fn what_something_else_decides() {
        let aliases = "POST /_aliases\n\n{\"actions\":[{\"remove\":{\"index\":\"a\",\"alias\":\"x\"}},{\"add\":{\"index\":\"b\",\"alias\":\"x\"}}]}";
        assert_eq!(class(aliases), Class::Aliases);
        assert_eq!(class("# @probe GET /a/_count -> /count 1\nPOST /a/_doc\n\n{}"), Class::Probed);
        let reindex = |dest: &str, conflicts: &str| {
            format!(
                "# @await task\nPOST /_reindex\n\n{{{conflicts}\"source\":{{\"index\":\"a\"}},\"dest\":{{\"index\":\"b\"{dest}}}}}"
            )
        };
        let passes_over = reindex(",\"op_type\":\"create\"", "\"conflicts\":\"proceed\",");
        assert_eq!(class(&passes_over), Class::Task { again: true });
        assert_eq!(class(&reindex("", "")), Class::Task { again: false });
    }
}
