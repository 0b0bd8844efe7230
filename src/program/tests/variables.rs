//! Values of variables: in the frozen program, in the planHash by their HMAC only, and nowhere that people read.

use super::super::{Compiled, Filling, Kind, Program, Seen, compile};
use super::shop::{bundle, intent, seen};
use crate::script::{Value, Values};
use std::collections::BTreeMap;

const PLAN: &str = r#"
stages:
  - name: Data
    steps:
      - name: schema
        variables: [{name: password, secretKeyRef: {name: s, key: k}}]
        migrate: {target: orders, scripts: {configMap: {name: keeps}}}
      - name: login
        variables: [{name: password, secretKeyRef: {name: s, key: k}}]
        verify: {query: {target: orders, statement: "select ${password:literal}", expect: {equals: 0}}}
"#;
const ROLE: &str = "alter role app password ${password:literal};\n";

fn filling(password: &str, mac: &str) -> Filling {
    let value = Value { text: password.into(), secret: true };
    Filling { values: Values::new(BTreeMap::from([("password".into(), value)])), mac: mac.into() }
}

fn filled(up: &str, filling: &Filling) -> Seen {
    let mut seen = seen(PLAN);
    let files = [("V1__role.sql", up), ("U1__role.sql", "alter role app password ${password:literal};\n")];
    seen.bundles.insert("schema".into(), bundle(&files));
    for step in ["schema", "login"] {
        seen.variables.insert(step.into(), filling.clone());
    }
    seen
}

fn program(up: &str, filling: &Filling) -> Program {
    match compile(&intent(PLAN), &filled(up, filling), "sha256:intent") {
        Ok(Compiled::Program(program)) => *program,
        other => panic!("a program, not {other:?}"),
    }
}

#[test]
fn what_was_approved_covers_values_by_their_hmac_alone() {
    let one = program(ROLE, &filling("hunter2", "hmac:1"));
    assert_eq!(one.plan_hash, program(ROLE, &filling("another", "hmac:1")).plan_hash, "only the HMAC counts");
    assert_ne!(one.plan_hash, program(ROLE, &filling("hunter2", "hmac:2")).plan_hash);
    let checksums = |program: &Program| {
        program.bundles["schema"].scripts.iter().map(|s| s.checksum.clone()).collect::<Vec<_>>()
    };
    assert_eq!(checksums(&one), checksums(&program(ROLE, &filling("another", "hmac:2"))));
}

#[test]
fn values_are_frozen_for_apply_undo_and_check_and_are_never_shown() {
    let program = program(ROLE, &filling("hunter2", "hmac:1"));
    let stored = serde_json::to_string(&program).unwrap();
    let program: Program = serde_json::from_str(&stored).unwrap();
    let script = &program.bundles["schema"].scripts[0];
    let filled = script.filled();
    assert_eq!(filled.executable().text(), "alter role app password 'hunter2';\n");
    assert_eq!(filled.undo.as_ref().unwrap().body, "alter role app password 'hunter2';\n");
    assert_eq!(script.body, ROLE, "what a history keeps is not filled");
    let check = program.forward.iter().flatten().find_map(|op| match &op.kind {
        Kind::Verify(check) => Some(check.clone()),
        _ => None,
    });
    let check = check.unwrap();
    assert_eq!(check.values.fill(&check.statement), "select 'hunter2'");
    assert!(!format!("{program:?} {check:?}").contains("hunter2"), "no log or panic shows it");
}

#[test]
fn what_nobody_declared_is_refused_with_its_file_and_line() {
    let seen = filled("select 1;\nselect ${nobody};\n", &filling("x", "m"));
    let refusals = compile(&intent(PLAN), &seen, "sha256:intent").unwrap_err();
    let said: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with(
            "step schema: V1__role.sql: line 2: ${nobody} is no variable of the step, which has password"
        ),
        "{said:?}"
    );
}
