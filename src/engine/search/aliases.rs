//! Whether what `POST /_aliases` asks for holds. The server does all of its actions or none, so that the state tells
//! whether it was done.

use serde_json::Value;

use super::client::{Client, Missed};

/// Whether every action of the body holds.
pub(super) async fn hold(client: &Client, body: &str) -> Result<bool, Missed> {
    let answer = client.read("/_alias?expand_wildcards=all").await?;
    if !answer.is_success() {
        return Err(Missed::NotSent(client.said(&answer)));
    }
    Ok(holds(body, &answer.body))
}

fn holds(body: &str, state: &Value) -> bool {
    let Ok(Value::Object(body)) = serde_json::from_str(body) else { return false };
    let actions = body.get("actions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    !actions.is_empty()
        && actions.iter().all(|action| {
            let Some((what, about)) = action.as_object().and_then(|action| action.iter().next()) else {
                return false;
            };
            let indices = names(about, "index", "indices");
            let aliases = names(about, "alias", "aliases");
            // Patterns mean what was there before, which nobody can see any more.
            if indices.is_empty() || indices.iter().chain(&aliases).any(|name| name.contains('*')) {
                return false;
            }
            let has = |index: &str, alias: &str| state[index]["aliases"].get(alias).is_some();
            let each = |wanted: bool| {
                !aliases.is_empty()
                    && indices.iter().all(|index| aliases.iter().all(|alias| has(index, alias) == wanted))
            };
            match what.as_str() {
                "add" => each(true),
                "remove" => each(false),
                "remove_index" => indices.iter().all(|index| state.get(index).is_none()),
                _ => false,
            }
        })
}

fn names(about: &Value, one: &str, many: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let of = |value: &Value| match value {
        Value::Array(all) => all.iter().filter_map(text).collect(),
        other => text(other).into_iter().collect::<Vec<_>>(),
    };
    [one, many].iter().filter_map(|name| about.get(name)).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_of_it_or_not() {
        let switch =
            r#"{"actions":[{"remove":{"index":"a","alias":"x"}},{"add":{"index":"b","alias":"x"}}]}"#;
        assert!(holds(switch, &json!({"a": {"aliases": {}}, "b": {"aliases": {"x": {}}}})));
        assert!(!holds(switch, &json!({"a": {"aliases": {"x": {}}}, "b": {"aliases": {"x": {}}}})));
        assert!(!holds(switch, &json!({"a": {"aliases": {}}, "b": {"aliases": {}}})));
        let gone = r#"{"actions":[{"remove_index":{"index":"a"}},{"add":{"indices":["b","c"],"aliases":["x","a"]}}]}"#;
        let both = json!({"b": {"aliases": {"x": {}, "a": {}}}, "c": {"aliases": {"x": {}, "a": {}}}});
        assert!(holds(gone, &both));
        for unknowable in
            [r#"{"actions":[{"remove":{"index":"a*","alias":"x"}}]}"#, r#"{"actions":[]}"#, "{}"]
        {
            assert!(!holds(unknowable, &both), "{unknowable}");
        }
    }
}
