//! The CEL rules without a server: each is broken by a case of `tests/apiserver/refused.yaml`, none by an example.

use super::{DatabaseTarget, MigrationPlan, MigrationRun, crd};
use kube::core::cel::Validator;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::LazyLock};

/// The cases that a CEL rule refuses.
fn broken_rules() -> Vec<Value> {
    let cases: Vec<Value> =
        serde_saphyr::from_str(include_str!("../../tests/apiserver/refused.yaml")).unwrap();
    cases.into_iter().filter(|case| case["rule"] == true).collect()
}

fn examples() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/api");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let example = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            (path.file_name().unwrap().to_string_lossy().into_owned(), example)
        })
        .collect()
}

/// A kind's schema; made once, for making it costs more than a hundred evaluations.
fn schema(kind: &str) -> &'static Value {
    static SCHEMAS: LazyLock<Vec<Value>> =
        LazyLock::new(|| crd::crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect());
    let crd = SCHEMAS.iter().find(|crd| crd["spec"]["names"]["kind"] == kind).unwrap();
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// The texts of the rules that an object breaks.
fn broken(kind: &str, object: &Value, was: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(schema(kind), object, was) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.message).collect(),
    }
}

/// The object with every default, through its type.
fn typed(object: &Value) -> Value {
    fn through<T: for<'a> Deserialize<'a> + Serialize>(object: &Value) -> Value {
        serde_json::to_value(serde_json::from_value::<T>(object.clone()).unwrap()).unwrap()
    }
    match object["kind"].as_str() {
        Some("DatabaseTarget") => through::<DatabaseTarget>(object),
        Some("MigrationPlan") => through::<MigrationPlan>(object),
        Some("MigrationRun") => through::<MigrationRun>(object),
        other => panic!("no kind of ours: {other:?}"),
    }
}

/// Every rule's text in a schema.
fn rules(schema: &Value, texts: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                texts.push(rule["message"].as_str().expect("every rule has a text").to_owned());
            }
            fields.values().for_each(|below| rules(below, texts));
        }
        Value::Array(items) => items.iter().for_each(|below| rules(below, texts)),
        _ => {}
    }
}

#[test]
fn every_rule_has_a_case_that_breaks_it() {
    let cases = broken_rules();
    for kind in ["DatabaseTarget", "MigrationPlan", "MigrationRun"] {
        let mut texts = Vec::new();
        rules(schema(kind), &mut texts);
        assert!(!texts.is_empty(), "{kind} has rules");
        for text in texts {
            let broken = cases.iter().any(|case| case["says"].as_str().unwrap().ends_with(&text));
            assert!(broken, "{kind}: no case breaks: {text}");
        }
    }
}

#[test]
fn each_case_breaks_its_rule_alone() {
    for case in broken_rules() {
        let kind = case["kind"].as_str().unwrap();
        let object = |spec: &Value| {
            typed(&json!({
                "apiVersion": "whimbrel.dev/v1alpha1", "kind": kind,
                "metadata": {"name": case["name"].as_str().unwrap_or("refused")}, "spec": spec,
            }))
        };
        let was = (!case["was"].is_null()).then(|| object(&case["was"]));
        let broken = broken(kind, &object(&case["spec"]), was.as_ref());
        assert_eq!(broken.len(), 1, "{}: {broken:?}", case["spec"]);
        // The API server puts the field before the text of the rule, and the value where it is no object.
        let (_, text) = case["says"].as_str().unwrap().split_once(": Invalid value: ").unwrap();
        assert!(text.ends_with(&broken[0]), "{}: {broken:?}", case["spec"]);
    }
}

#[test]
fn no_example_breaks_a_rule() {
    for (file, example) in examples() {
        let kind = example["kind"].as_str().unwrap();
        assert_eq!(broken(kind, &typed(&example), None), [""; 0], "{file}");
    }
}

/// Nothing that people write is lost between YAML and the types.
#[test]
fn the_types_keep_every_field_of_an_example() {
    fn kept(path: &str, written: &Value, typed: &Value) {
        match (written, typed) {
            (Value::Object(fields), _) => {
                fields.iter().for_each(|(key, value)| kept(&format!("{path}.{key}"), value, &typed[key]));
            }
            (Value::Array(items), Value::Array(typed)) if items.len() == typed.len() => {
                items.iter().zip(typed).for_each(|(item, typed)| kept(&format!("{path}[]"), item, typed));
            }
            _ => assert_eq!(written, typed, "{path}"),
        }
    }
    for (file, example) in examples() {
        kept(&file, &example, &typed(&example));
    }
}

#[test]
fn the_full_plan_uses_every_action_and_the_gate_makes_it_an_action() {
    let (_, plan) = examples().into_iter().find(|(file, _)| file == "plan-every-field.yaml").unwrap();
    let plan: MigrationPlan = serde_json::from_value(plan).unwrap();
    let mut words: Vec<&str> = plan
        .spec
        .steps()
        .into_iter()
        .map(|(_, step)| super::Action::try_from(step).unwrap().word())
        .collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words, ["approve", "configure", "job", "migrate", "rollout", "verify"]);
}
