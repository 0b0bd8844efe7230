//! What a search server answers, and its errors in its own words, as far as they may be shown.

use serde_json::Value;

use crate::engine::error::bounded;

/// An answer that came whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Null where there is none or it is no JSON.
    pub(super) body: Value,
    /// The beginning of a body that is no JSON.
    pub(super) text: String,
}

/// As much of a server's sentence as is shown.
const MOST: usize = 400;

impl Answer {
    pub(super) fn of(status: u16, bytes: &[u8]) -> Self {
        let body = serde_json::from_slice(bytes).unwrap_or(Value::Null);
        let text = match &body {
            Value::Null => cut(&String::from_utf8_lossy(bytes)),
            _ => String::new(),
        };
        Self { status, body, text }
    }

    /// What a bulk answers to one of its items.
    pub(super) fn of_item(status: u64, item: &Value) -> Self {
        let status = u16::try_from(status).unwrap_or_default();
        Self { status, body: item.clone(), text: String::new() }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A value of the body.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.body.pointer(pointer)
    }

    pub(super) fn text_at(&self, pointer: &str) -> &str {
        self.at(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn number_at(&self, pointer: &str) -> u64 {
        self.at(pointer).and_then(Value::as_u64).unwrap_or_default()
    }

    /// The type of the error, as `resource_already_exists_exception`; the status where it has none.
    pub(super) fn code(&self) -> String {
        match self.text_at("/error/type") {
            "" => format!("HTTP {}", self.status),
            code => code.to_owned(),
        }
    }

    /// The server's own sentence. Its causes, which quote documents, only with `full`.
    pub(super) fn message(&self, full: bool) -> String {
        let error = self.at("/error");
        let said = error.map(|error| sentence(error, full)).filter(|said| !said.is_empty());
        said.unwrap_or_else(|| match self.text.trim() {
            "" => format!("it answered {}", self.status),
            text => format!("it answered {}: {text}", self.status),
        })
    }
}

/// The sentence of one error, of an answer or of an item in one.
pub(super) fn sentence(error: &Value, full: bool) -> String {
    let text = |pointer: &str| error.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let reason = error.as_str().unwrap_or(text("/reason"));
    // What stands behind this is what the document says.
    let shown =
        reason.split("Preview of field's value").next().unwrap_or_default().trim_end_matches([' ', '.']);
    if !full {
        return cut(shown);
    }
    match text("/caused_by/reason") {
        "" => cut(reason),
        cause => cut(&format!("{reason}: {cause}")),
    }
}

fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST + 1).collect();
    bounded(line, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_not_quoted() {
        let text = br#"{"error":{"type":"mapper_parsing_exception","reason":"failed to parse field [age] of type [long] in document with id '1'. Preview of field's value: 'hunter2'","caused_by":{"reason":"For input string: \"hunter2\""}},"status":400}"#;
        let answer = Answer::of(400, text);
        assert_eq!(answer.code(), "mapper_parsing_exception");
        assert_eq!(
            answer.message(false),
            "failed to parse field [age] of type [long] in document with id '1'"
        );
        assert!(answer.message(true).ends_with("For input string: \"hunter2\""));
    }

    #[test]
    fn what_is_no_json_is_shown_in_short() {
        let answer = Answer::of(502, b"<html>\nBad Gateway</html>");
        assert_eq!(
            (answer.code(), answer.message(false)),
            ("HTTP 502".to_owned(), "it answered 502: <html> Bad Gateway</html>".to_owned())
        );
        assert_eq!(Answer::of(404, b"").message(false), "it answered 404");
        let long = Answer::of(500, "ä".repeat(1000).as_bytes());
        assert_eq!(long.text.chars().count(), MOST + 1);
        let old =
            Answer::of(406, br#"{"error":"Content-Type header [text/plain] is not supported","status":406}"#);
        assert_eq!(old.message(false), "Content-Type header [text/plain] is not supported");
    }
}
