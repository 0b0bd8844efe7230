//! Rollback after success: the way back of a run that has ended well, under a claim of its own.

use super::super::{Decision, Kind, Program, next, rollback};
use super::laws::Case;
use super::shop::program;
use super::world::{State, World};
use crate::api::Outcome;
use crate::api::WorkloadKind;
use crate::api::run::{MigrationRunStatus, Original};
use std::collections::BTreeMap;

/// Scripts, a rollout that sets replicas, one that does not, a flag, a CronJob.
const PLAN: &str = r#"
approval: Required
dependents: [{kind: Deployment, name: api}, {kind: CronJob, name: nightly}]
stages:
  - name: Data
    steps: [{name: orders, migrate: {target: orders, scripts: {configMap: {name: destroys}}}}]
  - name: Services
    steps:
      - {name: api, rollout: {kind: Deployment, name: api, images: {app: "api:2"}}}
      - {name: flag, configure: {configMap: {name: flags, set: {new: "true"}}}}
      - {name: web, rollout: {kind: Deployment, name: web, images: {app: "web:2"}, replicas: 5}}
"#;

fn original(name: &str, image: &str, replicas: i32) -> Original {
    Original {
        kind: WorkloadKind::Deployment,
        namespace: super::shop::SHOP.into(),
        name: name.into(),
        uid: format!("{name} of {replicas}"),
        replicas: Some(replicas),
        images: BTreeMap::from([("app".to_owned(), image.to_owned())]),
        suspend: None,
    }
}

/// The run that succeeded: its program, and its record when it had ended.
fn succeeded() -> (Program, MigrationRunStatus) {
    let world = World::new(program(PLAN), false);
    let ids: Vec<String> = world.program.forward.iter().flatten().map(|op| op.id.clone()).collect();
    let mut record = world.record(&world.done(&world.start(), &ids));
    record.originals = vec![original("api", "api:1", 3), original("web", "web:1", 2)];
    record.write_marks = BTreeMap::from([("orders".to_owned(), "sha256:0".to_owned())]);
    (world.program, record)
}

fn back() -> World {
    let (of, record) = succeeded();
    let leases = BTreeMap::from([("orders".to_owned(), "wb-another".to_owned())]);
    World::new(rollback(&of, &record, 7, &leases), false)
}

/// What is performed, group by group, until it ends.
fn walk(world: &World, mut state: State) -> (Vec<String>, Outcome) {
    let mut groups = Vec::new();
    loop {
        match next(&world.program, &world.record(&state), &world.calm()) {
            Decision::Perform(ids) => {
                groups.push(ids.join(" "));
                state = world.done(&state, &ids);
            }
            Decision::TurnAround(cause) => {
                groups.push(format!("turns around: {}", cause.reason()));
                state = state.turned_around();
            }
            Decision::Finish(outcome) => return (groups, outcome),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn it_claims_inherits_turns_around_and_walks_the_others_way_back() {
    let world = back();
    let (groups, outcome) = walk(&world, world.start());
    assert_eq!(outcome, Outcome::RolledBack);
    assert_eq!(
        groups,
        [
            "foresee",
            "approval",
            "claim",
            "recheck",
            "freeze",
            "inherit",
            "turns around: RollbackRequested",
            "back/end-jobs",
            "back/quiesce/cronjob.shop.nightly",
            "back/quiesce/deployment.shop.api",
            "back/prove-quiet/orders",
            "back/weigh",
            "back/undo/orders",
            "back/verify-undone/orders",
            "back/configure/flag",
            "back/rollout/web back/rollout/api",
            "back/give-back/deployment.shop.api",
            "back/give-back/cronjob.shop.nightly",
            "back/release",
        ]
    );
    assert_eq!(
        world.program.targets["orders"].lease, "wb-another",
        "the database may have been restored since"
    );
}

#[test]
fn every_state_of_a_rollback_keeps_the_laws() {
    let world = back();
    let states = world.visit(&world.some_signals(true), |state, record, signals, decision| {
        Case { world: &world, state, record, signals, decision }.check();
    });
    assert!(states > 300, "{states} states were seen");
}

#[test]
fn nothing_is_inherited_but_what_the_way_back_looks_at() {
    let (of, record) = succeeded();
    let program = rollback(&of, &record, 7, &BTreeMap::new());
    let inherited = &program.rolls_back.as_ref().unwrap().record;
    let ids: Vec<&str> = inherited.ops.keys().map(String::as_str).collect();
    let kinds = program.forward.iter().flatten().filter(|op| ids.contains(&op.id.as_str()));
    assert!(
        !kinds
            .clone()
            .any(|op| matches!(op.kind, Kind::Claim | Kind::Freeze | Kind::Release | Kind::Gate(_)))
    );
    assert!(ids.contains(&"apply/orders") && ids.contains(&"rollout/api"), "{ids:?}");
    assert_eq!(inherited.write_marks, record.write_marks);
    assert_ne!(program.plan_hash, of.plan_hash, "nobody approved this one");
    assert_ne!(program.plan_hash, rollback(&of, &record, 8, &BTreeMap::new()).plan_hash);
}

#[test]
fn images_are_those_before_and_replicas_those_of_today_unless_the_run_set_them() {
    let (of, record) = succeeded();
    let program = rollback(&of, &record, 7, &BTreeMap::new());
    let now = [original("api", "api:2", 9), original("web", "web:2", 5), original("new", "new:1", 1)];
    let inherited = program.inherited_originals(program.rolls_back.as_ref().unwrap(), &now);
    let brief =
        |original: &Original| (original.images["app"].clone(), original.replicas, original.uid.clone());
    assert_eq!(
        inherited.iter().map(brief).collect::<Vec<_>>(),
        [
            ("api:1".to_owned(), Some(9), "api of 9".to_owned()),
            ("web:1".to_owned(), Some(2), "web of 5".to_owned()),
            ("new:1".to_owned(), Some(1), "new of 1".to_owned()),
        ]
    );
}
