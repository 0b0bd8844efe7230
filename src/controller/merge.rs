//! What is written of a status: only what changed.

use serde_json::Value;

/// The JSON merge patch that makes `old` into `new`: only what changed, null for what is gone, lists whole.
pub(super) fn merge_patch(old: &Value, new: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (old, new) else { return new.clone() };
    let mut patch = serde_json::Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        match before.get(key) {
            Some(same) if same == value => {}
            Some(old) => drop(patch.insert(key.clone(), merge_patch(old, value))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_says_only_what_changed() {
        let old =
            json!({"epoch": 1, "ops": {"a": {"state": "Intent"}, "b": {"state": "Done"}}, "outcome": "Held"});
        let new = json!({"epoch": 2, "ops": {"a": {"state": "Done"}, "c": {"state": "Intent"}}});
        let patch = json!({
            "epoch": 2,
            "ops": {"a": {"state": "Done"}, "b": null, "c": {"state": "Intent"}},
            "outcome": null
        });
        assert_eq!(merge_patch(&old, &new), patch);
    }
}
