//! The table of dependents and rollouts, row by row: who goes to zero, who comes back where, and what the way back does.

use super::super::{BackOp, Kind, Program, RolloutOp, WorkloadRef};
use super::shop::{deployment, nightly, program, program_in, refusals, seen};

/// A migration between two rollouts' worth of stages, with these dependents and rollouts.
fn plan(dependents: &str, services: &str) -> String {
    format!(
        r#"
dependents: [{dependents}]
stages:
  - name: Data
    steps: [{{name: schema, migrate: {{target: orders, scripts: {{configMap: {{name: keeps}}}}}}}}]
  - name: Services
    steps: [{services}]
"#
    )
}

const CHECK: &str =
    r#"{name: check, verify: {query: {target: orders, statement: "select 0", expect: {equals: 0}}}}"#;
const API: &str = "{kind: Deployment, name: api}";
const ROLL_API: &str = r#"{name: api, rollout: {kind: Deployment, name: api, images: {app: "api:2"}}}"#;

/// Where in the way forward the ops of this kind about a workload stand.
fn places(program: &Program, of: &WorkloadRef, kind: fn(&Kind) -> Option<&WorkloadRef>) -> Vec<usize> {
    let groups = program.forward.iter().enumerate();
    groups.filter(|(_, group)| group.iter().any(|op| kind(&op.kind) == Some(of))).map(|(n, _)| n).collect()
}

fn quiesced(kind: &Kind) -> Option<&WorkloadRef> {
    if let Kind::Quiesce { workload } = kind { Some(workload) } else { None }
}

fn given_back(kind: &Kind) -> Option<&WorkloadRef> {
    if let Kind::GiveBack { workload, .. } = kind { Some(workload) } else { None }
}

fn rolled(kind: &Kind) -> Option<&WorkloadRef> {
    if let Kind::Rollout(RolloutOp { workload, .. }) = kind { Some(workload) } else { None }
}

fn at(program: &Program, id: &str) -> usize {
    program
        .forward
        .iter()
        .position(|group| group.iter().any(|op| op.id == id))
        .unwrap_or_else(|| panic!("no {id}"))
}

/// Ids of the way back that are about a workload, in order.
fn back(program: &Program, of: &WorkloadRef) -> Vec<String> {
    let about = |back: &&BackOp| match &back.op.kind {
        Kind::Quiesce { workload } | Kind::GiveBack { workload, .. } | Kind::RollBack { workload, .. } => {
            workload == of
        }
        _ => false,
    };
    program.back.iter().flatten().filter(about).map(|back| back.op.id.clone()).collect()
}

#[test]
fn a_dependent_that_is_rolled_out_comes_back_at_its_step_with_its_new_image() {
    let program = program(&plan(API, &format!("{CHECK}, {ROLL_API}")));
    let api = deployment("api");
    assert_eq!(places(&program, &api, quiesced).len(), 1);
    assert_eq!(places(&program, &api, given_back), Vec::<usize>::new(), "its step is its way back to life");
    assert_eq!(places(&program, &api, rolled), [at(&program, "verify/check") + 1]);
    let up = program.forward.iter().flatten().find_map(|op| match &op.kind {
        Kind::Rollout(rollout) => Some(rollout.clone()),
        _ => None,
    });
    assert!(up.unwrap().dependent, "it comes up from zero");
    let wanted =
        ["back/quiesce/deployment.shop.api", "back/rollout/api", "back/give-back/deployment.shop.api"];
    assert_eq!(back(&program, &api), wanted);
}

#[test]
fn a_dependent_without_a_rollout_is_given_back_right_after_the_last_script() {
    let program = program(&plan(API, CHECK));
    let api = deployment("api");
    assert_eq!(places(&program, &api, given_back), [at(&program, "apply/schema") + 2]);
    assert_eq!(at(&program, "mark-writes"), at(&program, "apply/schema") + 1);
    assert!(at(&program, "verify/check") > places(&program, &api, given_back)[0]);
    assert_eq!(
        back(&program, &api),
        ["back/quiesce/deployment.shop.api", "back/give-back/deployment.shop.api"]
    );
}

#[test]
fn a_rollout_of_no_dependent_is_rolled_in_place() {
    let program = program(&plan("", ROLL_API));
    let api = deployment("api");
    assert_eq!((places(&program, &api, quiesced), places(&program, &api, given_back)), (vec![], vec![]));
    assert_eq!(places(&program, &api, rolled).len(), 1);
    assert_eq!(back(&program, &api), ["back/rollout/api"]);
    assert!(program.workloads.contains(&api), "it is claimed all the same");
}

#[test]
fn a_cron_job_goes_first_and_comes_back_last() {
    let program = program(&plan(&format!("{API}, {{kind: CronJob, name: nightly}}"), ROLL_API));
    let (api, cron) = (deployment("api"), nightly());
    assert!(places(&program, &cron, quiesced) < places(&program, &api, quiesced));
    assert_eq!(places(&program, &cron, given_back), [at(&program, "verify-final") + 1]);
    assert_eq!(program.forward.len(), at(&program, "verify-final") + 3, "then only Release is left");
    let ids: Vec<&str> = program.back.iter().flatten().map(|back| back.op.id.as_str()).collect();
    assert_eq!(ids[ids.len() - 2..], ["back/give-back/cronjob.shop.nightly", "back/release"]);
}

#[test]
fn dependents_go_down_in_the_reverse_of_the_order_in_which_they_come_back() {
    let worker = r#"{name: worker, rollout: {kind: Deployment, name: worker, images: {app: "worker:2"}}}"#;
    let all = format!("{{kind: Deployment, name: worker}}, {{kind: Deployment, name: web}}, {API}");
    let program = program(&plan(&all, &format!("{ROLL_API}, {worker}")));
    let names: Vec<&str> = program.dependents.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["worker", "api", "web"]);
}

#[test]
fn a_dependent_comes_back_at_its_step_even_where_its_image_is_the_same() {
    let bare = "{name: api, rollout: {kind: Deployment, name: api}}";
    let same = r#"{name: api, rollout: {kind: Deployment, name: api, images: {app: "api:1"}}}"#;
    for step in [bare, same] {
        let program = program(&plan(API, &format!("{CHECK}, {step}")));
        assert_eq!(
            places(&program, &deployment("api"), rolled),
            [at(&program, "verify/check") + 1],
            "{step}"
        );
    }
}

#[test]
fn nobody_is_scaled_down_where_nothing_is_migrated() {
    let yaml = plan(API, ROLL_API);
    let mut seen = seen(&yaml);
    let scripts = seen.bundles["schema"].scripts.iter().zip(1..);
    let rows = scripts.map(|(script, rank)| crate::script::HistoryRow::of(script, rank)).collect();
    seen.targets.get_mut("orders").unwrap().histories.insert("default".into(), rows);
    let program = program_in(&yaml, &seen);
    let api = deployment("api");
    assert_eq!(places(&program, &api, quiesced), Vec::<usize>::new());
    assert_eq!(places(&program, &api, rolled).len(), 1);
    assert!(program.targets.is_empty() && program.dependents.is_empty());
}

#[test]
fn a_dependent_may_not_come_back_before_or_beside_a_script() {
    let before = r#"
dependents: [{kind: Deployment, name: api}]
stages:
  - name: SharedInfra
    steps: [{name: early, rollout: {kind: Deployment, name: api, images: {app: "api:2"}}}]
  - name: Data
    steps: [{name: schema, migrate: {target: orders, scripts: {configMap: {name: keeps}}}}]
"#;
    assert_eq!(
        refusals(before),
        [
            "step early rolls out Deployment shop/api, a dependent, before step schema migrates: move it behind, or take it out of dependents"
        ]
    );
    let beside = r#"
dependents: [{kind: Deployment, name: api}]
stages:
  - name: Data
    steps:
      - {name: schema, group: all, migrate: {target: orders, scripts: {configMap: {name: keeps}}}}
      - {name: beside, group: all, rollout: {kind: Deployment, name: api, images: {app: "api:2"}}}
"#;
    assert_eq!(
        refusals(beside),
        [
            "step beside rolls out Deployment shop/api, a dependent, side by side with step schema, which migrates: take it out of the group and move it behind, or take it out of dependents"
        ]
    );
}

#[test]
fn what_keep_down_means_is_compiled() {
    let yaml = format!("onFailure: {{workloads: KeepDown}}{}", plan(API, ROLL_API));
    let program = program(&yaml);
    assert_eq!(back(&program, &deployment("api")), ["back/quiesce/deployment.shop.api", "back/rollout/api"]);
}
