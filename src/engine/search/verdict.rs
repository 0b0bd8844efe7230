//! What an answer to a script's request means: done, refused, not now, or nobody can tell.

use serde_json::Value;

use super::answer::{Answer, sentence};
use crate::script::http::{Class, Method, Path, Request};

/// What an answer says about its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// Refused, with what of it is there all the same.
    Refused(Refused),
    /// Surely not done, and not the script's fault.
    NotNow(String),
    /// It may be done: as when no answer came.
    Unclear(String),
}

/// Why a request failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Something of it took effect.
    pub(super) in_part: bool,
}

/// What is known beside the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Whether what it makes or takes away was there before it was sent first.
    pub(super) before: Option<bool>,
    /// It was sent before, and may have been done then.
    pub(super) again: bool,
    /// Messages may quote documents.
    pub(super) full: bool,
}

/// Judges an answer.
pub(super) fn judge(request: &Request, answer: &Answer, known: Known) -> Verdict {
    if expected(request, answer.status) {
        return failures(request, answer, known);
    }
    if known.again && was_done(request, answer, known) {
        return Verdict::Done;
    }
    let said = format!("{} ({})", answer.message(known.full), answer.code());
    match answer.status {
        // Rejected before it is executed; a part of a bulk is told by its items.
        429 => Verdict::NotNow(said),
        // Whoever stands between has given up waiting, or the cluster has.
        408 | 502..=504 => Verdict::Unclear(said),
        500.. if request.class() == Class::Once => Verdict::Unclear(said),
        status => {
            let written = ["/updated", "/created", "/deleted"].iter().any(|n| answer.number_at(n) > 0);
            Verdict::Refused(Refused {
                code: answer.code(),
                message: answer.message(known.full) + &counts(answer),
                hint: hint(answer, request),
                in_part: written || (status >= 500 && request.class() != Class::Free),
            })
        }
    }
}

fn expected(request: &Request, status: u16) -> bool {
    if request.expect.is_empty() { (200..300).contains(&status) } else { request.expect.contains(&status) }
}

/// A second sending that meets what the first one did.
fn was_done(request: &Request, answer: &Answer, known: Known) -> bool {
    let code = answer.code();
    let there = match code.as_str() {
        "resource_already_exists_exception" | "version_conflict_engine_exception" => true,
        "invalid_snapshot_name_exception" => answer.message(true).contains("already exists"),
        _ => false,
    };
    match request.method {
        Method::Delete => answer.status == 404 && known.before == Some(true),
        _ => there && known.before == Some(false),
    }
}

/// A 2xx may carry failures.
fn failures(request: &Request, answer: &Answer, known: Known) -> Verdict {
    let path = Path::of(&request.path);
    match path.endpoint() {
        "_bulk" => return bulk(answer, known),
        "_reindex" | "_update_by_query" | "_delete_by_query" if !request.awaits => {
            return by_query(answer, known);
        }
        "_snapshot" if answer.at("/snapshot/state").is_some() && request.method == Method::Put => {
            let state = answer.text_at("/snapshot/state");
            if state != "SUCCESS" {
                return refused("snapshot", format!("the snapshot ended {state}"), true);
            }
        }
        _ => {}
    }
    if answer.at("/acknowledged") == Some(&Value::Bool(false)) {
        return Verdict::Unclear(
            "the cluster took it and has not finished it in time (acknowledged: false)".to_owned(),
        );
    }
    Verdict::Done
}

/// The code of work that somebody ended at the server.
pub(super) const CANCELED: &str = "canceled";

fn refused(code: &str, message: String, in_part: bool) -> Verdict {
    Verdict::Refused(Refused { code: code.to_owned(), message, hint: None, in_part })
}

/// Each item of a bulk fails for itself.
fn bulk(answer: &Answer, known: Known) -> Verdict {
    let items = answer.at("/items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let item = |item: &Value| {
        item.as_object().and_then(|item| item.iter().next()).map(|(what, it)| (what.clone(), it.clone()))
    };
    let failed: Vec<(usize, String, Value)> = items
        .iter()
        .enumerate()
        .filter_map(|(n, one)| item(one).map(|(what, it)| (n, what, it)))
        .filter(|(_, what, it)| {
            let status = it["status"].as_u64().unwrap_or_default();
            // What a first sending has created or deleted.
            let done_before =
                known.again && ((what == "create" && status == 409) || (what == "delete" && status == 404));
            it.get("error").is_some() && !done_before
        })
        .collect();
    let Some((n, what, first)) = failed.first() else { return Verdict::Done };
    let all = items.len();
    if failed.iter().all(|(_, _, it)| it["status"] == 429) {
        return Verdict::Unclear(format!(
            "the server was too busy for {} of {all} items (429)",
            failed.len()
        ));
    }
    let error = &first["error"];
    let code = error["type"].as_str().unwrap_or("bulk").to_owned();
    let message = format!(
        "{} of {all} items failed, the others are in; the first is item {} ({what} of {}): {}",
        failed.len(),
        n + 1,
        first["_id"].as_str().unwrap_or("no id"),
        sentence(error, known.full)
    );
    let in_part = failed.len() < all;
    Verdict::Refused(Refused { hint: hint_for(&code), code, message, in_part })
}

/// The result of work by query, as an answer or as that of a task.
pub(super) fn by_query(answer: &Answer, known: Known) -> Verdict {
    let number = |name: &str| answer.number_at(name);
    let written = number("/created") + number("/updated") + number("/deleted");
    let in_part = written > 0;
    if let Some(why) = answer.at("/canceled").and_then(Value::as_str) {
        return refused(CANCELED, format!("it was cancelled ({why}){}", counts(answer)), in_part);
    }
    if let Some(first) = answer.at("/failures").and_then(|all| all.get(0)) {
        let cause = if first["cause"].is_null() { &first["reason"] } else { &first["cause"] };
        let code = cause["type"].as_str().unwrap_or("failures").to_owned();
        let many = answer.at("/failures").and_then(Value::as_array).map_or(0, Vec::len);
        let message = format!(
            "{many} documents failed, the first is {}: {}{}",
            first["id"].as_str().unwrap_or("one without id"),
            sentence(cause, known.full),
            counts(answer)
        );
        return Verdict::Refused(Refused { hint: hint_for(&code), code, message, in_part });
    }
    if answer.at("/timed_out") == Some(&Value::Bool(true)) {
        return refused("timed_out", format!("it timed out{}", counts(answer)), in_part);
    }
    if number("/version_conflicts") > 0 && !known.again {
        return Verdict::Refused(Refused {
            code: "version_conflicts".to_owned(),
            message: format!(
                "{} documents were passed over, because they were there before or changed meanwhile{}",
                number("/version_conflicts"),
                counts(answer)
            ),
            hint: Some(
                "Write to an index of its own that is empty, and see that nobody else writes.".to_owned(),
            ),
            in_part,
        });
    }
    Verdict::Done
}

/// How far work by query came.
fn counts(answer: &Answer) -> String {
    if answer.at("/total").is_none() {
        return String::new();
    }
    format!(
        "; of {} documents {} are created, {} updated, {} deleted",
        answer.number_at("/total"),
        answer.number_at("/created"),
        answer.number_at("/updated"),
        answer.number_at("/deleted")
    )
}

fn hint(answer: &Answer, request: &Request) -> Option<String> {
    match answer.status {
        406 | 415 => Some(
            "Set Content-Type: application/json, or application/x-ndjson for _bulk and _msearch.".to_owned(),
        ),
        413 => Some(
            "The server takes at most http.max_content_length in one request (100mb unless it is set): cut it into several, separated by ###."
                .to_owned(),
        ),
        404 if request.method == Method::Delete => {
            Some("If it may be absent, write # @expect 200,404 above the request.".to_owned())
        }
        403 => Some("Grant the user of the target's Secret this right.".to_owned()),
        _ => hint_for(&answer.code()),
    }
}

fn hint_for(code: &str) -> Option<String> {
    let hint = match code {
        "resource_already_exists_exception" => {
            "It was there before this run. If that is fine, write # @expect 200,400 above the request; else delete or rename one of them."
        }
        "strict_dynamic_mapping_exception" => {
            "The mapping is strict: add the field to it before (PUT /index/_mapping), or take it out of the document."
        }
        "mapper_parsing_exception" | "document_parsing_exception" => {
            "The value does not fit the type that the mapping gives its field."
        }
        "version_conflict_engine_exception" => "The document was there before, or changed meanwhile.",
        "index_not_found_exception" => "Make it in an earlier request, or correct the name.",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::http::requests;

    fn said(text: &str, status: u16, body: &str, known: Known) -> Verdict {
        let request = requests(text).unwrap().remove(0);
        judge(&request, &Answer::of(status, body.as_bytes()), known)
    }

    fn refusal(verdict: Verdict) -> Refused {
        match verdict {
            Verdict::Refused(refused) => refused,
            other => panic!("{other:?}"),
        }
    }

    const FIRST: Known = Known { before: Some(false), again: false, full: false };
    const AGAIN: Known = Known { before: Some(false), again: true, full: false };
    const EXISTS: &str =
        r#"{"error":{"type":"resource_already_exists_exception","reason":"index [users/x] already exists"}}"#;

    #[test]
    fn an_index_that_exists_is_ours_only_if_the_answer_was_lost_and_it_was_absent_before() {
        let first = refusal(said("PUT /users", 400, EXISTS, FIRST));
        assert_eq!(first.message, "index [users/x] already exists");
        assert!(first.hint.unwrap().contains("@expect 200,400"));
        assert_eq!(said("PUT /users", 400, EXISTS, AGAIN), Verdict::Done);
        let there = Known { before: Some(true), ..AGAIN };
        assert!(matches!(said("PUT /users", 400, EXISTS, there), Verdict::Refused(_)));
        assert_eq!(said("# @expect 200,400\nPUT /users", 400, EXISTS, FIRST), Verdict::Done);
    }

    #[test]
    fn a_delete_that_finds_nothing_was_done_before() {
        let gone = r#"{"error":{"type":"index_not_found_exception","reason":"no such index [a]"}}"#;
        let there = Known { before: Some(true), again: true, full: false };
        assert_eq!(said("DELETE /a", 404, gone, there), Verdict::Done);
        assert_eq!(said("# @expect 200,404\nDELETE /a", 404, gone, FIRST), Verdict::Done);
        let refused = refusal(said("DELETE /a", 404, gone, FIRST));
        assert_eq!((refused.code.as_str(), refused.in_part), ("index_not_found_exception", false));
    }

    #[test]
    fn what_is_not_now_and_what_is_unclear() {
        let busy = r#"{"error":{"type":"es_rejected_execution_exception","reason":"queue full"}}"#;
        assert_eq!(
            said("PUT /a/_doc/1", 429, busy, FIRST),
            Verdict::NotNow("queue full (es_rejected_execution_exception)".to_owned())
        );
        assert!(matches!(said("PUT /a", 504, "<html>", FIRST), Verdict::Unclear(_)));
        assert!(matches!(said("POST /a/_doc", 500, "{}", FIRST), Verdict::Unclear(_)));
        assert!(matches!(said("PUT /a", 200, r#"{"acknowledged":false}"#, FIRST), Verdict::Unclear(_)));
        assert!(matches!(said("PUT /a", 200, r#"{"acknowledged":true}"#, FIRST), Verdict::Done));
    }

    #[test]
    fn a_bulk_fails_item_by_item() {
        let body = r#"{"errors":true,"items":[{"index":{"_id":"1","status":201}},{"index":{"_id":"2","status":400,"error":{"type":"strict_dynamic_mapping_exception","reason":"mapping set to strict, dynamic introduction of [x] within [_doc] is not allowed"}}}]}"#;
        let refused = refusal(said("POST /_bulk", 200, body, FIRST));
        assert_eq!(
            refused.message,
            "1 of 2 items failed, the others are in; the first is item 2 (index of 2): mapping set to strict, dynamic introduction of [x] within [_doc] is not allowed"
        );
        assert!(refused.in_part && refused.hint.unwrap().starts_with("The mapping is strict"));
        let there = r#"{"errors":true,"items":[{"create":{"_id":"1","status":409,"error":{"type":"version_conflict_engine_exception"}}}]}"#;
        assert_eq!(said("POST /_bulk", 200, there, AGAIN), Verdict::Done);
        assert!(!refusal(said("POST /_bulk", 200, there, FIRST)).in_part);
        let busy = r#"{"errors":true,"items":[{"index":{"_id":"1","status":429,"error":{"type":"x"}}}]}"#;
        assert!(matches!(said("POST /_bulk", 200, busy, FIRST), Verdict::Unclear(_)));
    }

    #[test]
    fn work_by_query_that_passed_documents_over() {
        let reindex = "POST /_reindex\n\n{\"source\":{\"index\":\"a\"},\"dest\":{\"index\":\"b\"}}";
        let body = r#"{"total":5,"created":3,"updated":0,"deleted":0,"version_conflicts":2,"failures":[]}"#;
        let refused = refusal(said(reindex, 200, body, FIRST));
        assert_eq!(
            refused.message,
            "2 documents were passed over, because they were there before or changed meanwhile; of 5 documents 3 are created, 0 updated, 0 deleted"
        );
        assert!(refused.in_part);
        assert_eq!(said(reindex, 200, body, AGAIN), Verdict::Done);
        let failed = r#"{"total":5,"created":3,"failures":[{"id":"7","cause":{"type":"mapper_parsing_exception","reason":"failed to parse"}}]}"#;
        let refused = refusal(said(reindex, 200, failed, FIRST));
        assert!(
            refused
                .message
                .starts_with("1 documents failed, the first is 7: failed to parse; of 5 documents"),
            "{}",
            refused.message
        );
    }

    #[test]
    fn what_is_too_large_or_of_the_wrong_type() {
        let large = refusal(said("POST /_bulk", 413, "", FIRST));
        assert!(large.hint.unwrap().contains("http.max_content_length"));
        let kind = refusal(said(
            "PUT /a\nContent-Type: text/plain\n\nx",
            406,
            r#"{"error":"Content-Type header [text/plain] is not supported"}"#,
            FIRST,
        ));
        assert_eq!(kind.message, "Content-Type header [text/plain] is not supported");
        assert!(kind.hint.unwrap().starts_with("Set Content-Type: application/json"));
    }
}
