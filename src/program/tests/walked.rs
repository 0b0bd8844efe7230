//! Every state of small programs.

use super::super::{Closed, Decision, Kind, Program, Signals};
use super::laws::Case;
use super::shop::program;
use super::world::{State, World};
use crate::api::Outcome;
use crate::api::plan::OnWindowClose;
use std::collections::{BTreeSet, HashMap};

/// One script, one dependent, an approval: small enough for every set of signals in every state.
const SMALLEST: &str = r#"
approval: Required
dependents: [{kind: Deployment, name: api}]
stages:
  - name: Data
    steps: [{name: schema, migrate: {target: orders, scripts: {configMap: {name: keeps}}}}]
"#;

/// Two databases side by side, a dependent with and one without a rollout, a CronJob, a flag, a check, a gate.
const WHOLE: &str = r#"
dependents: [{kind: Deployment, name: api}, {kind: Deployment, name: worker}, {kind: CronJob, name: nightly}]
stages:
  - name: Data
    steps:
      - {name: orders, group: data, migrate: {target: orders, scripts: {configMap: {name: destroys}}}}
      - {name: users, group: data, migrate: {target: users, scripts: {configMap: {name: one-way}}}}
  - name: Services
    steps:
      - {name: api, rollout: {kind: Deployment, name: api, images: {app: "api:2"}}}
      - {name: flag, configure: {configMap: {name: flags, set: {new: "true"}}}}
      - {name: go-live, approve: {message: "Logged in?"}}
      - {name: web, rollout: {kind: Deployment, name: web, images: {app: "web:2"}}}
"#;

/// Two steps of one history after each other; what fails is kept as it is.
const HELD_BY_POLICY: &str = r#"
onFailure: {schema: Hold, images: Hold, workloads: KeepDown}
dependents: [{kind: Deployment, name: api}]
stages:
  - name: Data
    steps:
      - {name: first, migrate: {target: orders, scripts: {configMap: {name: keeps}}}}
      - {name: second, migrate: {target: orders, scripts: {configMap: {name: later}}}}
      - {name: holds, verify: {query: {target: users, statement: "select 0", expect: {equals: 0}}}}
"#;

/// In windows, and a person approves as well: by day what runs by night.
const IN_WINDOWS: &str = r#"
approval: Required
windows: [{from: "01:00", to: "04:00", timeZone: UTC}]
dependents: [{kind: Deployment, name: api}, {kind: Deployment, name: worker}]
stages:
  - name: Data
    steps: [{name: schema, migrate: {target: orders, scripts: {configMap: {name: keeps}}}}]
  - name: Services
    steps:
      - {name: go-live, approve: {message: "Logged in?"}}
      - {name: api, rollout: {kind: Deployment, name: api, images: {app: "api:2"}}}
"#;

/// Nothing is migrated: two rollouts side by side.
const IMAGES_ONLY: &str = r#"
approval: Required
dependents: [{kind: Deployment, name: api}]
stages:
  - name: Services
    steps:
      - {name: api, group: all, rollout: {kind: Deployment, name: api, images: {app: "api:2"}}}
      - {name: web, group: all, rollout: {kind: Deployment, name: web, images: {app: "web:2"}, replicas: 5}}
"#;

#[test]
fn every_state_of_the_smallest_run_under_every_signal_keeps_the_laws() {
    let world = World::new(program(SMALLEST), true);
    let states = world.visit(&world.all_signals(), |state, record, signals, decision| {
        Case { world: &world, state, record, signals, decision }.check();
    });
    assert!(states > 300, "{states} states were seen");
}

#[test]
fn every_state_of_small_runs_keeps_the_laws() {
    for (yaml, exits) in [(WHOLE, false), (HELD_BY_POLICY, true), (IMAGES_ONLY, true), (IN_WINDOWS, false)] {
        let world = World::new(program(yaml), false);
        let states = world.visit(&world.some_signals(exits), |state, record, signals, decision| {
            Case { world: &world, state, record, signals, decision }.check();
        });
        assert!(states > 300, "{states} states were seen of {yaml}");
    }
}

#[test]
fn from_every_state_an_undisturbed_run_comes_to_an_outcome_and_stays_there() {
    for yaml in [SMALLEST, HELD_BY_POLICY, IMAGES_ONLY] {
        let world = World::new(program(yaml), false);
        let mut states: Vec<State> = Vec::new();
        world.visit(&world.some_signals(true), |state, _, _, _| {
            if states.last() != Some(state) {
                states.push(state.clone());
            }
        });
        let mut known = HashMap::new();
        let ends: BTreeSet<&str> =
            states.iter().map(|state| world.end_of(state, &mut known).as_str()).collect();
        let all =
            [Outcome::Aborted, Outcome::Held, Outcome::RolledBack, Outcome::Succeeded, Outcome::Superseded];
        assert_eq!(ends, all.map(Outcome::as_str).into(), "{yaml}");
    }
}

/// The ops of an undisturbed run, group by group.
fn walk(program: Program) -> Vec<String> {
    let world = World::new(program, false);
    let mut ops = Vec::new();
    let mut state = world.start();
    while let Decision::Perform(ids) =
        super::super::next(&world.program, &world.record(&state), &world.calm())
    {
        ops.push(ids.join(" "));
        state = world.done(&state, &ids);
    }
    ops
}

#[test]
fn an_undisturbed_run_walks_the_whole_program_in_order() {
    assert_eq!(
        walk(program(WHOLE)),
        [
            "trial/orders trial/users",
            "claim",
            "recheck",
            "freeze",
            "quiesce/cronjob.shop.nightly",
            "quiesce/deployment.shop.api quiesce/deployment.shop.worker",
            "prove-quiet/orders prove-quiet/users",
            "backup/orders backup/users",
            "verify-backup/orders verify-backup/users",
            "apply/orders apply/users",
            "mark-writes",
            "give-back/deployment.shop.worker",
            "rollout/api",
            "configure/flag",
            "approve/go-live",
            "rollout/web",
            "verify-final",
            "give-back/cronjob.shop.nightly",
            "release",
        ]
    );
}

/// What a run does after its window has closed, from where this op is about to be done.
fn outside(from: &str, then: OnWindowClose) -> Vec<String> {
    let world = World::new(program(IN_WINDOWS), false);
    let all: Vec<String> = world.program.forward.iter().flatten().map(|op| op.id.clone()).collect();
    let before: Vec<String> = all.into_iter().take_while(|id| id != from).collect();
    let mut state = world.done(&world.start(), &before);
    let signals = Signals { closed: Some(Closed { opens: None, then }), ..world.calm() };
    let mut ops = Vec::new();
    loop {
        match super::super::next(&world.program, &world.record(&state), &signals) {
            Decision::Perform(ids) => {
                ops.push(ids.join(" "));
                state = world.done(&state, &ids);
            }
            other => {
                ops.push(format!("{other:?}"));
                return ops;
            }
        }
    }
}

#[test]
fn a_window_that_closes_lets_through_what_its_policy_says() {
    use OnWindowClose::{Continue, FinishStep, Pause};
    const WAITS: &str = "AwaitWindow(None)";
    for then in [FinishStep, Pause, Continue] {
        assert_eq!(outside("trial/orders", then), ["trial/orders", "approval", WAITS], "{then}");
        assert_eq!(outside("freeze", then), [WAITS], "back to the gate: nobody waits for its claims");
    }
    let first = "quiesce/deployment.shop.api";
    assert_eq!(outside(first, Pause), [WAITS]);
    assert_eq!(outside(first, FinishStep), [WAITS], "nobody is taken down outside a window");
    assert_eq!(outside("prove-quiet/orders", Pause), [WAITS]);
    assert_eq!(
        outside("prove-quiet/orders", FinishStep),
        ["prove-quiet/orders", "backup/orders", "verify-backup/orders", WAITS]
    );
    let ends = ["mark-writes", "give-back/deployment.shop.worker", "approve/go-live", WAITS];
    assert_eq!(outside("mark-writes", FinishStep), ends, "who only waits for the give-back comes back");
    assert_eq!(outside("verify-final", FinishStep), ["verify-final", "release", "Finish(Succeeded)"]);
    assert_eq!(outside("verify-final", Pause), [WAITS]);
    assert_eq!(outside("release", Pause), ["release", "Finish(Succeeded)"]);
    assert_eq!(outside("apply/schema", Continue).last().map(String::as_str), Some("Finish(Succeeded)"));
}

#[test]
fn the_way_back_of_a_run_that_did_everything_takes_everything_back() {
    let world = World::new(program(WHOLE), false);
    let before_release = |kind: &Kind| *kind != Kind::Release;
    let ids: Vec<String> = world
        .program
        .forward
        .iter()
        .flatten()
        .filter(|op| before_release(&op.kind))
        .map(|op| op.id.clone())
        .collect();
    let mut state = world.done(&world.start(), &ids).turned_around();
    let mut ops = Vec::new();
    while let Decision::Perform(ids) =
        super::super::next(&world.program, &world.record(&state), &world.calm())
    {
        ops.push(ids.join(" "));
        state = world.done(&state, &ids);
    }
    assert_eq!(
        ops,
        [
            "back/end-jobs",
            "back/quiesce/cronjob.shop.nightly",
            "back/quiesce/deployment.shop.api back/quiesce/deployment.shop.worker",
            "back/prove-quiet/orders back/prove-quiet/users",
            "back/weigh",
            "back/undo/users",
            "back/undo/orders",
            "back/verify-undone/orders back/verify-undone/users",
            "back/configure/flag",
            "back/rollout/web back/rollout/api",
            "back/give-back/deployment.shop.worker back/give-back/deployment.shop.api",
            "back/give-back/cronjob.shop.nightly",
            "back/release",
        ]
    );
}
