//! The two hashes: "the same plan again?" and "what was approved?".

use super::{BackOp, Kind, OnFailure, Op, Pending};
use crate::script::Values;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Fields of a plan's spec that say how it is run, not what shall become of the platform: they are not in the
/// intentHash, so that pausing or approving a plan does not make it another one.
const CONTROL: [&str; 10] = [
    "paused",
    "approval",
    "windows",
    "onWindowClose",
    "deadline",
    "maxDowntime",
    "rollbackWindow",
    "runHistoryLimit",
    "notifications",
    "onDelete",
];

/// "The same plan again?": the spec with its defaults filled, without its control fields, and the digest of every
/// bundle. It does not depend on any history.
pub fn intent_hash(spec: &impl Serialize, bundles: &BTreeMap<String, String>) -> String {
    let mut spec = json(spec);
    if let Value::Object(fields) = &mut spec {
        for field in CONTROL.iter().chain(&["serviceAccountName"]) {
            fields.remove(*field);
        }
    }
    digest_parts(&[("spec", &spec), ("bundles", &json(bundles))])
}

/// What of a script is approved: its key, its checksum, that of its undo.
type Sums<'a> = (&'a str, &'a str, Option<&'a str>);

/// "What was approved?": the compiled ops with the checksums of what they run, and what shall happen when they fail.
/// No credentials, no replica counts, no times, and nothing that the way back only looks up in the platform as it is.
pub(super) fn plan_hash(
    forward: &[Vec<Op>],
    back: &[Vec<BackOp>],
    bundles: &BTreeMap<String, Pending>,
    on_failure: OnFailure,
    macs: &BTreeMap<String, String>,
) -> String {
    let scripts: BTreeMap<&String, Vec<Sums<'_>>> = bundles
        .iter()
        .map(|(step, pending)| {
            let scripts = pending.scripts.iter();
            let sums = scripts.map(|s| {
                (s.key.as_str(), s.checksum.as_str(), s.undo.as_ref().map(|undo| undo.checksum.as_str()))
            });
            (step, sums.collect())
        })
        .collect();
    let back: Vec<Vec<Op>> =
        back.iter().map(|group| group.iter().map(|back| approved(&back.op)).collect()).collect();
    let forward: Vec<Vec<Op>> = forward.iter().map(|group| group.iter().map(approved).collect()).collect();
    let (forward, back, scripts) = (json(&forward), json(&back), json(&scripts));
    let (on_failure, macs) = (json(&on_failure), json(macs));
    let mut parts =
        vec![("forward", &forward), ("back", &back), ("scripts", &scripts), ("onFailure", &on_failure)];
    // A program without variables has the hash that it had before there were any.
    parts.extend(macs.as_object().is_some_and(|macs| !macs.is_empty()).then_some(("variables", &macs)));
    digest_parts(&parts)
}

/// An op without the values of today: images and replicas to go back to are not in it either, nor is what a statement is
/// filled with, which can be guessed from a plain digest.
fn approved(op: &Op) -> Op {
    let mut op = op.clone();
    match &mut op.kind {
        Kind::Deconfigure { old, .. } => old.values_mut().for_each(|value| *value = None),
        Kind::Verify(check) => check.values = Values::default(),
        _ => {}
    }
    op
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("types of the API and of the program are JSON")
}

fn digest_parts(parts: &[(&str, &Value)]) -> String {
    let mut hash = Sha256::new();
    for (name, value) in parts {
        let mut text = String::new();
        canonical(value, &mut text);
        hash.update(name.as_bytes());
        hash.update(text.as_bytes());
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// The digest of a text.
pub fn digest(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())))
}

/// JSON with sorted keys and without nulls: an absent field and a null one are the same intent.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> =
                fields.iter().filter(|(_, value)| !value.is_null()).collect();
            out.push('{');
            for (key, value) in sorted {
                canonical(&Value::String(key.clone()), out);
                out.push(':');
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hash(spec: Value) -> String {
        intent_hash(&spec, &BTreeMap::new())
    }

    #[test]
    fn order_and_nulls_do_not_matter() {
        assert_eq!(hash(json!({"a": 1, "b": {"c": 2, "d": null}})), hash(json!({"b": {"c": 2}, "a": 1})));
    }

    #[test]
    fn control_fields_do_not_matter_and_version_does() {
        let plan = json!({"version": "1", "stages": []});
        let paused = json!({"version": "1", "stages": [], "paused": true, "deadline": "2h"});
        assert_eq!(hash(plan.clone()), hash(paused));
        assert_ne!(hash(plan), hash(json!({"version": "2", "stages": []})));
    }

    #[test]
    fn golden_so_that_an_upgrade_does_not_make_every_failed_plan_new() {
        assert_eq!(
            hash(json!({"version": "2026.11.0", "dependents": [{"kind": "Deployment", "name": "web"}]})),
            "sha256:179370e2482aed360feed04099edd7fd46357dc7b4ea2a5b096599e1b964e52d"
        );
    }
}
