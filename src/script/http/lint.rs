//! What a person should know about an `.http` script, in the words that hold for every engine.

use super::super::lint::{Class as Finds, Finding, Use};
use super::body;
use super::read::{Method, Request, read};
use super::{Class, Path};

/// What there is to say about `text`, request by request.
pub(in super::super) fn lint(text: &str, used: Use) -> impl Iterator<Item = Finding> + use<> {
    let (requests, _) = read(text);
    requests.into_iter().flat_map(move |request| of_request(&request, used))
}

fn of_request(request: &Request, used: Use) -> Vec<Finding> {
    let path = Path::of(&request.path);
    let mut findings = Vec::new();
    let mut find = |class, found: bool| {
        let what = request.to_string();
        let (statement, line) = (request.number, request.line);
        findings.extend(found.then_some(Finding { class, statement, line, column: 1, what }));
    };
    let loses = loses_data(request, &path);
    match used {
        Use::Undo => find(Finds::Destructive, loses || !keeps_data(request, &path)),
        Use::Versioned | Use::Repeatable => {
            find(Finds::Destructive, loses);
            find(Finds::Irreversible, loses);
        }
    }
    find(Finds::Locking, locks(request, &path));
    find(Finds::NotIdempotent, matches!(request.class(), Class::Once | Class::Task { again: false }));
    find(Finds::Unbounded, unbounded(request, &path));
    findings
}

/// What no undo script can bring back.
fn loses_data(request: &Request, path: &Path<'_>) -> bool {
    match (request.method, path.endpoint()) {
        (Method::Delete, endpoint) => !matches!(
            endpoint,
            "_alias"
                | "_aliases"
                | "_template"
                | "_index_template"
                | "_component_template"
                | "_ingest"
                | "_scripts"
                | "_search"
        ),
        (_, "_delete_by_query" | "_update_by_query") => true,
        (_, "_aliases") => body::alias_actions(&request.body)
            .is_none_or(|all| all.iter().any(|(what, _)| what == "remove_index")),
        (_, "_bulk") => body::bulk(&request.body)
            .is_none_or(|all| all.iter().any(|action| matches!(action.what.as_str(), "delete" | "update"))),
        _ => false,
    }
}

/// What an undo may do and lose nothing that services wrote since: in doubt, it loses.
fn keeps_data(request: &Request, path: &Path<'_>) -> bool {
    if request.class() == Class::Free || request.method == Method::Delete {
        return true;
    }
    match path.endpoint() {
        // An index that is made, or refused because it is there.
        "" => request.method == Method::Put,
        "_aliases"
        | "_alias"
        | "_settings"
        | "_mapping"
        | "_template"
        | "_index_template"
        | "_component_template"
        | "_ingest"
        | "_scripts"
        | "_open"
        | "_close"
        | "_refresh"
        | "_flush"
        | "_forcemerge"
        | "_clone"
        | "_create"
        | "_cache" => true,
        "_reindex" => body::json(&request.body).is_some_and(|body| body::reindex_passes_over(&body)),
        _ => false,
    }
}

fn locks(request: &Request, path: &Path<'_>) -> bool {
    match path.endpoint() {
        "_close" | "_forcemerge" => true,
        "_settings" => request.body.contains("blocks"),
        _ => false,
    }
}

/// Work over every document while a connection waits: whoever stands between may cut it.
fn unbounded(request: &Request, path: &Path<'_>) -> bool {
    let whole = |body: serde_json::Value| {
        let query = body.get("query").or_else(|| body.pointer("/source/query"));
        query.is_none_or(|query| query.get("match_all").is_some()) && body.get("max_docs").is_none()
    };
    let all = request.body.trim().is_empty() || body::json(&request.body).is_some_and(whole);
    !request.awaits && (path.endpoint() == "_forcemerge" || (request.is_by_query() && all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, used: Use) -> Vec<Finds> {
        lint(text, used).map(|finding| finding.class).collect()
    }

    #[test]
    fn one_line_per_thing_to_know() {
        let text = "PUT /a\n###\n# the old one\nDELETE /b\n";
        let finding =
            |class| Finding { class, statement: 2, line: 4, column: 1, what: "DELETE /b".to_owned() };
        let all: Vec<_> = lint(text, Use::Versioned).collect();
        assert_eq!(all, [finding(Finds::Destructive), finding(Finds::Irreversible)]);
    }

    #[test]
    fn an_undo_loses_what_it_is_not_known_to_keep() {
        for text in [
            "DELETE /users",
            "PUT /users/_doc/1\n\n{}",
            "POST /_bulk\n\n{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n",
            "POST /users/_doc\n\n{}",
            "POST /_aliases\n\n{\"actions\":[{\"remove_index\":{\"index\":\"a\"}}]}",
            "POST /_reindex\n\n{\"source\":{\"index\":\"a\"},\"dest\":{\"index\":\"b\"}}",
            "POST /x/_unheard_of",
        ] {
            assert!(found(text, Use::Undo).contains(&Finds::Destructive), "{text}");
        }
        for text in [
            "POST /_aliases\n\n{\"actions\":[{\"remove\":{\"index\":\"a\",\"alias\":\"x\"}},{\"add\":{\"index\":\"b\",\"alias\":\"x\"}}]}",
            "DELETE /_index_template/t",
            "DELETE /users/_alias/u",
            "PUT /users/_settings\n\n{}",
            "PUT /users",
            "GET /users",
        ] {
            assert_eq!(found(text, Use::Undo), [], "{text}");
        }
    }

    #[test]
    fn what_waits_and_what_locks() {
        let whole = "POST /_reindex\n\n{\"source\":{\"index\":\"a\"},\"dest\":{\"index\":\"b\"}}";
        assert_eq!(found(whole, Use::Versioned), [Finds::NotIdempotent, Finds::Unbounded]);
        let awaited = "# @await task\nPOST /_reindex\n\n{\"conflicts\":\"proceed\",\"source\":{\"index\":\"a\"},\"dest\":{\"index\":\"b\",\"op_type\":\"create\"}}";
        assert_eq!(found(awaited, Use::Versioned), []);
        assert_eq!(found("POST /a/_close", Use::Versioned), [Finds::Locking]);
        let blocks = "PUT /a/_settings\n\n{\"index.blocks.write\":true}";
        assert_eq!(found(blocks, Use::Versioned), [Finds::Locking]);
    }
}
