//! What an `.http` script may not hold, found before anything is touched.

use super::super::directives::Role;
use super::super::variables::sql_quoting;
use super::super::{Directives, Place, ScriptError};
use super::read::{Method, Request, lines, read};
use super::{Class, HttpFault, Path, body, directives, path};

/// Indices that hold histories and locks.
const OURS: [&str; 2] = [".whimbrel", "es_evolution"];

/// Endpoints of the cluster and of its security, none of which is data.
const WHOLE_CLUSTER: [&str; 8] =
    ["_cluster", "_nodes", "_tasks", "_security", "_plugins", "_opendistro", "_license", "_shutdown"];

/// Reads the directives of `text` and adds to `errors` all that it may not hold. A search server has no transaction: every
/// script goes request by request, with a cursor.
pub(in super::super) fn examine(
    file: &str,
    text: &str,
    role: Role,
    errors: &mut Vec<ScriptError>,
) -> Directives {
    let mut said = Directives { no_transaction: role == Role::Script, ..Directives::default() };
    let (requests, mut faults) = read(text);
    for (at, line) in lines(text).enumerate() {
        let line = line.trim();
        let Some(comment) = line.strip_prefix('#').or_else(|| line.strip_prefix("//")) else { continue };
        if let Err(fault) = directives::of_file(&mut said, comment.trim_start_matches('#').trim(), role) {
            faults.push((at + 1, fault));
        }
    }
    if requests.is_empty() && faults.is_empty() {
        faults.push((1, HttpFault::NoRequest));
    }
    for request in &requests {
        faults.extend(refusals(request).into_iter().map(|fault| (request.line, fault)));
    }
    faults.extend(lines(text).enumerate().flat_map(|(at, line)| {
        sql_quoting(line).map(move |(_, placeholder)| (at + 1, HttpFault::SqlQuoting(placeholder.to_owned())))
    }));
    faults.sort_by_key(|(line, _)| *line);
    errors.extend(faults.into_iter().map(|(line, fault)| ScriptError::Http {
        at: Place { file: file.to_owned(), line, column: 1 },
        fault,
    }));
    said
}

fn refusals(request: &Request) -> Vec<HttpFault> {
    let mut faults = Vec::new();
    for (name, _) in &request.headers {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("authorization") || is("cookie") || is("proxy-authorization") {
            faults.push(HttpFault::Credentials(name.clone()));
        } else if ["x-opaque-id", "host", "content-length", "transfer-encoding", "connection"]
            .into_iter()
            .any(is)
        {
            faults.push(HttpFault::OwnHeader(name.clone()));
        }
    }
    if request.awaits && !request.is_by_query() {
        faults.push(HttpFault::NoTask(request.to_string()));
    }
    let place = Path::of(&request.path);
    if request.awaits && place.endpoint() == "_reindex" && request.class() == (Class::Task { again: false }) {
        faults.push(HttpFault::ReindexTwice);
    }
    if place.endpoint() == "_bulk" && !request.body.is_empty() && !request.body.ends_with('\n') {
        faults.push(HttpFault::BulkEnd);
    }
    faults.extend(out_of_bounds(request, &place));
    faults
}

/// What a script may not change.
fn out_of_bounds(request: &Request, place: &Path<'_>) -> Option<HttpFault> {
    if request.class() == Class::Free {
        return None;
    }
    let endpoint = place.endpoint();
    if place.indices().is_none() && WHOLE_CLUSTER.contains(&endpoint) {
        return Some(HttpFault::WholeCluster(request.to_string()));
    }
    let indices = place.indices().map(|names| names.split(',').filter(|name| !name.starts_with('-')));
    for name in indices.into_iter().flatten() {
        if name == "_all" || name.chars().all(|c| c == '*') {
            return Some(HttpFault::EveryIndex(request.to_string()));
        }
        if let Some(own) = OURS.into_iter().find(|own| path::covers(name, own)) {
            return Some(HttpFault::OurOwn(own.to_owned()));
        }
    }
    let every =
        matches!(endpoint, "_settings" | "_mapping" | "_close" | "_update_by_query" | "_delete_by_query");
    if place.indices().is_none() && (every || (request.method == Method::Delete && endpoint.is_empty())) {
        return Some(HttpFault::EveryIndex(request.to_string()));
    }
    if !matches!(endpoint, "_aliases" | "_reindex" | "_bulk") {
        return None;
    }
    // In these a body names indices; a document that only speaks of one is not meant.
    let named = |own: &&str| {
        let quoted = format!("\"{own}\"");
        request.body.lines().any(|line| {
            let line = if endpoint == "_bulk" { bulk_names(line) } else { line.to_owned() };
            line.contains(&quoted)
        })
    };
    OURS.iter().find(|own| named(own)).map(|own| HttpFault::OurOwn((*own).to_owned()))
}

/// The `_index` of a line of a bulk body, quoted.
fn bulk_names(line: &str) -> String {
    let action = body::json(line);
    let index =
        action.as_ref().and_then(|action| action.as_object()?.values().next()?.get("_index")?.as_str());
    index.map(|index| format!("\"{index}\"")).unwrap_or_default()
}
