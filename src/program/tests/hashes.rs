//! The two hashes: what makes a plan another one, and what makes an approval die.

use super::super::hash::intent_hash;
use super::shop::{program, program_in, seen, spec};
use std::collections::BTreeMap;

const PLAN: &str = r#"
version: "2026.11.0"
dependents: [{kind: Deployment, name: api}]
stages:
  - name: Data
    steps: [{name: schema, migrate: {target: orders, scripts: {configMap: {name: destroys}}}}]
  - name: Services
    steps:
      - {name: api, rollout: {kind: Deployment, name: api, images: {app: "api:2"}}}
      - {name: flag, configure: {configMap: {name: flags, set: {old: "2"}}}}
      - {name: holds, verify: {query: {target: orders, statement: "select 0", expect: {equals: 0}}}}
"#;

fn intent(yaml: &str) -> String {
    intent_hash(&spec(yaml), &BTreeMap::from([("schema".into(), "sha256:1".into())]))
}

/// The plan with one text in place of another.
fn with(old: &str, new: &str) -> String {
    assert!(PLAN.contains(old), "{old}");
    PLAN.replacen(old, new, 1)
}

#[test]
fn defaults_that_are_written_out_are_the_same_intent() {
    let spelled = with(
        "version:",
        "onFailure: {schema: Auto, images: Revert, workloads: GiveBack}\nbackup: {when: Quiesced}\ndiagnostics: Codes\nversion:",
    );
    let spelled = spelled
        .replace("target: orders, scripts", "target: orders, history: default, outOfOrder: Reject, scripts");
    let spelled = spelled
        .replace("images: {app: \"api:2\"}", "images: {app: \"api:2\"}, readyWithin: 10m, imageOwner: Plan");
    assert_eq!(intent(&spelled), intent(PLAN));
}

#[test]
fn how_a_plan_is_run_is_not_what_it_means() {
    for control in [
        "paused: true",
        "approval: Required",
        r#"windows: [{days: [Sat], from: "01:00", to: "04:00", timeZone: Europe/Berlin}]"#,
        "onWindowClose: Pause",
        "deadline: 2h",
        "maxDowntime: 15m",
        "rollbackWindow: 1h",
        "runHistoryLimit: 3",
        "notifications: [{name: slack, url: {secretKeyRef: {name: slack, key: url}}, on: [RunFailed]}]",
        "onDelete: Stop",
        "serviceAccountName: other",
    ] {
        assert_eq!(intent(&format!("{control}{PLAN}")), intent(PLAN), "{control}");
    }
}

#[test]
fn what_shall_become_of_the_platform_is() {
    for (old, new) in [
        ("2026.11.0", "2026.11.1"),
        ("name: api}]", "name: worker}]"),
        ("api:2", "api:3"),
        ("{old: \"2\"}", "{old: \"3\"}"),
        ("equals: 0", "atLeast: 0"),
        ("version:", "onFailure: {schema: Hold}\nversion:"),
        ("target: orders", "target: users"),
    ] {
        assert_ne!(intent(&with(old, new)), intent(PLAN), "{new}");
    }
    let other = BTreeMap::from([("schema".into(), "sha256:2".into())]);
    assert_ne!(intent_hash(&spec(PLAN), &other), intent(PLAN), "another bundle");
}

#[test]
fn an_approval_dies_when_what_would_run_changes() {
    let approved = program(PLAN).plan_hash;
    assert_eq!(program(PLAN).plan_hash, approved, "compiled again");
    for (old, new) in [
        ("name: destroys", "name: one-way"),
        ("api:2", "api:3"),
        ("{old: \"2\"}", "{old: \"3\"}"),
        ("equals: 0", "atLeast: 0"),
        ("select 0", "select 1"),
        ("name: api}]", "name: api}, {kind: Deployment, name: worker}]"),
        ("version:", "onFailure: {schema: Hold}\nversion:"),
        ("version:", "onFailure: {images: Hold}\nversion:"),
        ("version:", "onFailure: {workloads: KeepDown}\nversion:"),
        ("target: orders, scripts", "target: users, scripts"),
    ] {
        assert_ne!(program(&with(old, new)).plan_hash, approved, "{new}");
    }
    let mut undone = seen(PLAN);
    undone.bundles.get_mut("schema").unwrap().scripts[1].undo.as_mut().unwrap().checksum = "sha256:0".into();
    assert_ne!(program_in(PLAN, &undone).plan_hash, approved, "another undo");
    let mut applied = seen(PLAN);
    let first = crate::script::HistoryRow::of(&applied.bundles["schema"].scripts[0], 1);
    applied.targets.get_mut("orders").unwrap().histories.insert("default".into(), vec![first]);
    assert_ne!(program_in(PLAN, &applied).plan_hash, approved, "somebody applied one of the scripts");
}

#[test]
fn it_lives_through_what_changes_by_itself() {
    let approved = program(PLAN).plan_hash;
    let mut later = seen(PLAN);
    for live in later.workloads.values_mut() {
        live.replicas += 3;
        live.version = "99".into();
        live.hpa_min = Some(2);
        live.not_ready = Some("a pod starts".into());
    }
    let flags = later.flags.values_mut().next().unwrap();
    flags.insert("old".into(), "switched by hand".into());
    for target in later.targets.values_mut() {
        target.bytes *= 1000;
    }
    assert_eq!(program_in(PLAN, &later).plan_hash, approved);
    assert_eq!(program(&format!("deadline: 3h\npaused: true{PLAN}")).plan_hash, approved);
}
