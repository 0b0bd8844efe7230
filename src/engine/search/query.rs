//! A check's query: one request that only reads, its answer as rows.
//!
//! `GET /users/_count?q=active:true`, or with a body behind a line end `POST /users/_search` and a query in JSON. A count is
//! one row `count`; a search has a row per hit, its id and the fields of its document; `_cat` a row per line; anything else
//! one row, its status. ` -> /json/pointer` behind the path takes a part of the answer instead: a value is one row, a list a
//! row per item, an object a row per key.

use std::time::Duration;

use serde_json::Value;

use super::answer::Answer;
use super::client::Client;
use super::walk::method;
use crate::engine::facts::MOST_ROWS;
use crate::engine::{EngineError, Rows};
use crate::script::http::{Class, Path, Request, requests};

impl Client {
    pub(super) async fn query(&self, statement: &str, timeout: Duration) -> Result<Rows, EngineError> {
        let bad = |reason: String| EngineError::Unsupported { at: self.settings.at(), reason };
        let (request, pointer) = parse(statement).map_err(bad)?;
        let body = if request.body.trim().is_empty() { None } else { Some(request.body.clone()) };
        let path = with_json(&request.path);
        let call = super::client::Call {
            method: method(&request),
            path: &path,
            headers: &request.headers,
            body,
            opaque: None,
            within: timeout,
        };
        let answer = self.of_script("a check", &call).await.map_err(|missed| self.error(missed))?;
        if !answer.is_success() && pointer.is_some() {
            return Err(self.said(&answer));
        }
        rows(&request, &answer, pointer.as_deref()).map_err(|reason| match answer.is_success() {
            true => bad(reason),
            false => self.said(&answer),
        })
    }
}

/// `_cat` speaks to people unless it is asked for JSON.
fn with_json(path: &str) -> String {
    match (Path::of(path).endpoint(), path.contains('?')) {
        ("_cat", true) if !path.contains("format=") => format!("{path}&format=json"),
        ("_cat", false) => format!("{path}?format=json"),
        _ => path.to_owned(),
    }
}

fn parse(statement: &str) -> Result<(Request, Option<String>), String> {
    let (first, rest) = statement.trim().split_once('\n').unwrap_or((statement.trim(), ""));
    let (line, pointer) = match first.split_once("->") {
        Some((line, pointer)) => (line.trim(), Some(pointer.trim().to_owned())),
        None => (first.trim(), None),
    };
    // The blank line between request and body, which in a plan would only be in the way.
    let gap = if rest.trim_start().starts_with(['{', '[']) { "\n" } else { "" };
    let text = format!("{line}\n{gap}{rest}");
    let all = requests(&text).map_err(|faults| match faults.into_iter().next() {
        Some((line, fault)) => format!("the query can't be read, line {line}: {fault}"),
        None => "the query can't be read".to_owned(),
    })?;
    let [request] = all.as_slice() else {
        return Err("a query is one request, as GET /users/_count".to_owned());
    };
    if request.class() != Class::Free {
        return Err(format!(
            "{request} does not only read: a query is GET, HEAD, or a POST of _search or _count"
        ));
    }
    if let Some(pointer) = pointer.as_ref().filter(|pointer| !pointer.starts_with('/')) {
        return Err(format!("{pointer:?} is no JSON pointer: write it as /hits/total/value"));
    }
    Ok((request.clone(), pointer))
}

fn rows(request: &Request, answer: &Answer, pointer: Option<&str>) -> Result<Rows, String> {
    if let Some(pointer) = pointer {
        let found = answer.at(pointer).ok_or_else(|| format!("the answer has nothing at {pointer}"))?;
        return Ok(part(found));
    }
    match Path::of(&request.path).endpoint() {
        "_count" if answer.is_success() => Ok(one("count", text(&answer.body["count"]))),
        "_search" if answer.is_success() => {
            let failed = answer.number_at("/_shards/failed");
            if failed > 0 || answer.at("/timed_out") == Some(&Value::Bool(true)) {
                return Err(format!("the search did not reach everything ({failed} shards failed)"));
            }
            let hits = answer.at("/hits/hits").and_then(Value::as_array).cloned().unwrap_or_default();
            let hit = |hit: &Value| {
                let mut fields = vec![("_id".to_owned(), text(&hit["_id"]))];
                let source = hit["_source"].as_object().into_iter().flatten();
                fields.extend(source.map(|(name, value)| (name.clone(), text(value))));
                fields
            };
            Ok(table(hits.iter().map(hit).collect()))
        }
        "_cat" if answer.is_success() => {
            let lines = answer.body.as_array().cloned().unwrap_or_default();
            let line = |line: &Value| {
                let fields = line.as_object().into_iter().flatten();
                fields.map(|(name, value)| (name.clone(), text(value))).collect()
            };
            Ok(table(lines.iter().map(line).collect()))
        }
        "_count" | "_search" | "_cat" => Err(String::new()),
        _ => Ok(one("status", Some(answer.status.to_string()))),
    }
}

fn one(column: &str, value: Option<String>) -> Rows {
    Rows { columns: vec![column.to_owned()], rows: vec![vec![value]], truncated: false }
}

fn part(found: &Value) -> Rows {
    match found {
        Value::Array(all) => table(all.iter().map(|item| vec![("value".to_owned(), text(item))]).collect()),
        Value::Object(map) => {
            let row = |(key, value): (&String, &Value)| {
                vec![("key".to_owned(), Some(key.clone())), ("value".to_owned(), text(value))]
            };
            table(map.iter().map(row).collect())
        }
        value => one("value", text(value)),
    }
}

/// Rows that need not have the same fields.
fn table(all: Vec<Vec<(String, Option<String>)>>) -> Rows {
    let mut columns: Vec<String> = Vec::new();
    for (name, _) in all.iter().flatten() {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    let truncated = all.len() > usize::from(MOST_ROWS);
    let row = |fields: Vec<(String, Option<String>)>| -> Vec<Option<String>> {
        let value = |column: &String| {
            fields.iter().find(|(name, _)| name == column).and_then(|(_, value)| value.clone())
        };
        columns.iter().map(value).collect()
    };
    let rows = all.into_iter().take(usize::from(MOST_ROWS)).map(row).collect();
    Rows { columns: columns.clone(), rows, truncated }
}

/// A string as it is, anything else as JSON writes it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(statement: &str, status: u16, body: &str) -> Result<Rows, String> {
        let (request, pointer) = parse(statement)?;
        rows(&request, &Answer::of(status, body.as_bytes()), pointer.as_deref())
    }

    fn shown(statement: &str, status: u16, body: &str) -> String {
        let Rows { columns, rows, .. } = of(statement, status, body).unwrap();
        let rows: Vec<String> = rows
            .iter()
            .map(|row| row.iter().map(|v| v.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(","))
            .collect();
        format!("{}: {}", columns.join(","), rows.join("; "))
    }

    #[test]
    fn an_answer_as_rows() {
        assert_eq!(shown("GET /users/_count", 200, r#"{"count":3}"#), "count: 3");
        let hits = r#"{"_shards":{"failed":0},"hits":{"hits":[{"_id":"1","_source":{"a":"x"}},{"_id":"2","_source":{"b":[1]}}]}}"#;
        assert_eq!(shown("POST /users/_search\n{\"size\":2}", 200, hits), "_id,a,b: 1,x,-; 2,-,[1]");
        assert_eq!(
            shown("GET /_cat/indices", 200, r#"[{"index":"a","docs.count":"3"}]"#),
            "index,docs.count: a,3"
        );
        assert_eq!(shown("HEAD /users", 404, ""), "status: 404");
        let total = r#"{"hits":{"total":{"value":7}}}"#;
        assert_eq!(shown("GET /users/_search -> /hits/total/value", 200, total), "value: 7");
        assert_eq!(shown("GET /users -> /a", 200, r#"{"a":{"x":1,"y":null}}"#), "key,value: x,1; y,-");
        assert_eq!(shown("GET /users -> /a", 200, r#"{"a":["x","y"]}"#), "value: x; y");
    }

    #[test]
    fn a_query_only_reads() {
        let refused = |statement: &str| of(statement, 200, "{}").unwrap_err();
        assert_eq!(
            refused("DELETE /users"),
            "DELETE /users does not only read: a query is GET, HEAD, or a POST of _search or _count"
        );
        assert_eq!(refused("GET /a\n###\nGET /b"), "a query is one request, as GET /users/_count");
        assert_eq!(
            refused("select 1"),
            "the query can't be read, line 1: select is no method: known are GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"
        );
        assert_eq!(refused("GET /a -> x"), "\"x\" is no JSON pointer: write it as /hits/total/value");
        assert_eq!(refused("GET /a -> /x"), "the answer has nothing at /x");
        let cut = r#"{"_shards":{"failed":2},"hits":{"hits":[]}}"#;
        assert_eq!(
            of("GET /a/_search", 200, cut).unwrap_err(),
            "the search did not reach everything (2 shards failed)"
        );
    }
}
