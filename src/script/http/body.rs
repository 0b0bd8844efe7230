//! What of a body decides whether its request may be sent twice.

use serde_json::Value;

/// One line of a bulk body that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    /// index, create, update, delete
    pub(super) what: String,
    pub(super) has_id: bool,
}

/// The actions of a bulk body; `None` where it can't be read, because placeholders stand in it or it is none.
pub(super) fn bulk(body: &str) -> Option<Vec<Action>> {
    let mut actions = Vec::new();
    let mut lines = body.lines().filter(|line| !line.trim().is_empty());
    while let Some(line) = lines.next() {
        let Value::Object(action) = serde_json::from_str(line).ok()? else { return None };
        let (what, about) = action.into_iter().next()?;
        if what != "delete" {
            lines.next()?;
        }
        actions.push(Action { what, has_id: about.get("_id").is_some_and(|id| !id.is_null()) });
    }
    Some(actions)
}

/// The body as JSON.
pub(super) fn json(body: &str) -> Option<Value> {
    serde_json::from_str(body).ok()
}

/// One action of `POST /_aliases`, by its name and what it is about.
pub(super) fn alias_actions(body: &str) -> Option<Vec<(String, Value)>> {
    let Value::Object(mut body) = json(body)? else { return None };
    let Value::Array(actions) = body.remove("actions")? else { return None };
    actions
        .into_iter()
        .map(|action| match action {
            Value::Object(action) if action.len() == 1 => action.into_iter().next(),
            _ => None,
        })
        .collect()
}

/// A `_reindex` that does nothing twice: documents that are there already are passed over.
pub(super) fn reindex_passes_over(body: &Value) -> bool {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    text("/dest/op_type") == Some("create") && text("/conflicts") == Some("proceed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_actions() {
        let body =
            "{\"index\":{\"_id\":\"1\"}}\n{\"a\":1}\n{\"delete\":{\"_id\":2}}\n{\"create\":{}}\n{\"a\":2}\n";
        let actions = bulk(body).unwrap();
        let shown: Vec<_> = actions.iter().map(|action| (action.what.as_str(), action.has_id)).collect();
        assert_eq!(shown, [("index", true), ("delete", true), ("create", false)]);
        assert_eq!(bulk("{\"index\":{}}\n"), None);
        assert_eq!(bulk("${lines}\n"), None);
    }
}
