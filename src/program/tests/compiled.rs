//! What compile makes of scripts: what is pending, how far a backup must be proven, and where a history stands.

use super::super::{Compiled, Drift, Kind, Program};
use super::shop::{KEEPS, LATER, bundle, compiled, deployment, program, program_in, seen};
use crate::api::target::VerificationLevel;
use crate::script::HistoryRow;

fn plan(source: &str) -> String {
    format!(
        "stages: [{{name: Data, steps: [{{name: schema, migrate: {{target: orders, scripts: {{configMap: {{name: {source}}}}}}}}}]}}]"
    )
}

const TWO: &str = r#"
stages:
  - name: Data
    steps:
      - {name: first, migrate: {target: orders, scripts: {configMap: {name: keeps}}}}
      - {name: second, migrate: {target: orders, scripts: {configMap: {name: later}}}}
"#;

/// A history after the first `n` of these files' scripts.
fn rows(files: &[&[(&str, &str)]], n: usize) -> Vec<HistoryRow> {
    let scripts = files.iter().flat_map(|files| bundle(files).scripts).take(n);
    scripts.zip(1..).map(|(script, rank)| HistoryRow::of(&script, rank)).collect()
}

fn level(program: &Program) -> VerificationLevel {
    program
        .forward
        .iter()
        .flatten()
        .find_map(|op| match op.kind {
            Kind::VerifyBackup { level, .. } => Some(level),
            _ => None,
        })
        .expect("a backup is verified")
}

#[test]
fn what_only_a_backup_could_bring_back_is_proven_by_restoring_it() {
    assert_eq!(level(&program(&plan("keeps"))), VerificationLevel::Structure, "what the target asks");
    for risky in ["destroys", "one-way"] {
        assert_eq!(level(&program(&plan(risky))), VerificationLevel::Restored, "{risky}");
    }
    let asked = format!("{{backup: {{verification: Restored}}, {}}}", plan("keeps"));
    assert_eq!(level(&program(&asked)), VerificationLevel::Restored, "what the plan asks");
    let less = format!("{{backup: {{verification: None}}, {}}}", plan("destroys"));
    assert_eq!(level(&program(&less)), VerificationLevel::Restored, "nobody can ask for less");
}

/// The kinds of op from Freeze to the first Apply, one for a group.
fn to_the_first_script(program: &Program) -> Vec<&'static str> {
    let word = |kind: &Kind| match kind {
        Kind::Freeze => "freeze",
        Kind::Backup { .. } => "backup",
        Kind::VerifyBackup { .. } => "verify",
        Kind::Quiesce { .. } => "quiesce",
        Kind::ProveQuiet { .. } => "quiet",
        Kind::Apply { .. } => "apply",
        _ => "",
    };
    let groups = program.forward.iter().map(|group| word(&group[0].kind)).filter(|word| !word.is_empty());
    groups.collect()
}

#[test]
fn online_backups_are_taken_and_proven_before_anybody_is_taken_down() {
    let dependents = "dependents: [{kind: Deployment, name: api}]";
    let yaml = |when: &str| format!("{{{dependents}, backup: {{when: {when}}}, {}}}", plan("keeps"));
    let online = program(&yaml("Online"));
    assert_eq!(to_the_first_script(&online), ["freeze", "backup", "verify", "quiesce", "quiet", "apply"]);
    let quiesced = program(&yaml("Quiesced"));
    assert_eq!(to_the_first_script(&quiesced), ["freeze", "quiesce", "quiet", "backup", "verify", "apply"]);
    assert_eq!((online.backs_up_online(), quiesced.backs_up_online()), (true, false));
    assert_ne!(online.plan_hash, quiesced.plan_hash, "another backup is another approval");
    assert_eq!(online.back, quiesced.back, "undo is as good as before");
}

#[test]
fn nothing_pending_is_no_program_whatever_checks_and_gates_there_are() {
    let yaml = r#"
approval: Required
dependents: [{kind: Deployment, name: api}]
stages:
  - name: Data
    steps:
      - {name: schema, migrate: {target: orders, scripts: {configMap: {name: keeps}}}}
      - {name: holds, verify: {query: {target: orders, statement: "select 0", expect: {equals: 0}}}}
      - {name: go-live, approve: {message: "Well?"}}
      - {name: api, rollout: {kind: Deployment, name: api, images: {app: "api:1"}}}
"#;
    let mut seen = seen(yaml);
    seen.targets.get_mut("orders").unwrap().histories.insert("default".into(), rows(&[KEEPS], 1));
    assert_eq!(compiled(yaml, &seen), Ok(Compiled::NothingPending));
    // An image that somebody changed after an earlier run of this intent is that person's will.
    seen.workloads.values_mut().for_each(|live| drop(live.images.insert("app".into(), "newer:9".into())));
    assert!(matches!(compiled(yaml, &seen), Ok(Compiled::Program(_))));
    seen.succeeded_before = true;
    assert_eq!(compiled(yaml, &seen), Ok(Compiled::NothingPending));
}

#[test]
fn two_steps_of_one_history_know_where_each_of_them_stands() {
    let program = program(TWO);
    let all: &[&[(&str, &str)]] = &[KEEPS, LATER];
    let stands = |n| (program.applied("first", &rows(all, n)), program.applied("second", &rows(all, n)));
    assert_eq!(stands(0), (Ok(0), Ok(0)));
    assert_eq!(stands(1), (Ok(1), Ok(0)));
    assert_eq!(stands(2), (Ok(1), Ok(1)), "the later step's rows are no drift of the earlier one's");
    // Applying looks closer: before its first script a step needs all that stands before it, and nothing else.
    let (first, second) = (&program.bundles["first"], &program.bundles["second"]);
    assert!(second.applied(&rows(all, 0)).is_err() && second.applied(&rows(all, 1)) == Ok(0));
    assert!(first.applied(&rows(all, 2)).is_err());
    assert_eq!(program.applied("no such step", &rows(all, 2)), Ok(0));
}

#[test]
fn a_row_of_somebody_else_is_drift_wherever_it_stands() {
    let program = program(TWO);
    let mut foreign = rows(&[KEEPS, LATER], 2);
    foreign[1].checksum = "sha256:other".into();
    for step in ["first", "second"] {
        let drift = program.applied(step, &foreign);
        assert!(matches!(&drift, Err(Drift::Foreign { found, .. }) if found == "7"), "{drift:?}");
    }
    let mut more = rows(&[KEEPS, LATER], 2);
    more.push(HistoryRow { key: "8".into(), installed_rank: 3, ..more[1].clone() });
    assert!(program.applied("second", &more).is_err());
    let mut seen = seen(TWO);
    seen.targets.get_mut("orders").unwrap().histories.insert("default".into(), rows(&[KEEPS], 1));
    let rest = program_in(TWO, &seen);
    assert!(matches!(rest.applied("second", &[]), Err(Drift::Base { there: 0, then: 1, .. })));
}

#[test]
fn a_workload_of_another_controller_is_left_to_that_one() {
    let plan = r#"
dependents: [{kind: Deployment, name: api}]
stages: [{name: Services, steps: [{name: web, rollout: {kind: Deployment, name: web, images: {app: "web:2"}}}]}]
"#;
    let mut owned = seen(plan);
    for name in ["api", "web"] {
        owned.workloads.get_mut(&deployment(name)).unwrap().controlled_by = Some("Shop main".into());
    }
    let refusals = compiled(plan, &owned).unwrap_err();
    assert!(refusals.iter().all(|refusal| refusal.reason == "GuardBlocked"), "{refusals:?}");
    let mut texts: Vec<_> = refusals.into_iter().map(|refusal| refusal.message).collect();
    texts.sort();
    assert_eq!(
        texts,
        ["dependents: Deployment shop/api", "step web: Deployment shop/web"].map(|place| format!(
            "{place} belongs to Shop main, whose controller would undo every change of it; have that controller scale it and roll it out, and take it out of the plan"
        ))
    );
}
