//! Databases that are backed up while their server is stopped.

use super::super::next::next;
use super::super::{Decision, Kind, Program, Seen, WorkloadRef};
use super::laws::Case;
use super::shop::{compiled, program_in, seen, workload};
use super::world::{State, World};
use crate::api::WorkloadKind;

/// One script without an undo on a database of files, one on another database, a dependent.
const PLAN: &str = r#"
dependents: [{kind: Deployment, name: api}]
stages:
  - name: Data
    steps:
      - {name: graph, migrate: {target: orders, scripts: {configMap: {name: one-way}}}}
      - {name: rows, migrate: {target: users, scripts: {configMap: {name: keeps}}}}
"#;

fn store() -> WorkloadRef {
    workload(WorkloadKind::StatefulSet, "store")
}

/// The shop, with the database `orders` in the files of a StatefulSet.
fn shop() -> Seen {
    let mut seen = seen(PLAN);
    let target = seen.targets.get_mut("orders").unwrap();
    target.server = Some(store());
    target.offline = Some(store());
    let mut live = seen.workloads.values().next().unwrap().clone();
    (live.of, live.replicas) = (store(), 1);
    seen.workloads.insert(store(), live);
    seen
}

fn ops(world: &World, mut state: State, until: &str) -> (Vec<String>, State) {
    let mut ops = Vec::new();
    while let Decision::Perform(ids) = next(&world.program, &world.record(&state), &world.calm()) {
        if ids.iter().any(|id| id == until) {
            break;
        }
        ops.push(ids.join(" "));
        state = world.done(&state, &ids);
    }
    (ops, state)
}

#[test]
fn the_server_is_down_for_the_backup_alone() {
    let world = World::new(program_in(PLAN, &shop()), false);
    let (ops, _) = ops(&world, world.start(), "mark-writes");
    assert_eq!(
        ops[5..],
        [
            "prove-quiet/orders prove-quiet/users",
            "stop-server/statefulset.shop.store",
            "backup/orders backup/users",
            "start-server/statefulset.shop.store verify-backup/orders verify-backup/users",
            "apply/graph",
            "apply/rows",
        ]
    );
    assert!(world.program.workloads.contains(&store()), "it is claimed, and what it was is recorded");
    assert!(!world.program.dependents.contains(&store()), "scripts need it");
}

#[test]
fn whoever_turns_around_starts_the_server_before_anything_else() {
    let world = World::new(program_in(PLAN, &shop()), false);
    let (_, state) = ops(&world, world.start(), "backup/orders");
    let (back, _) = ops(&world, state.turned_around(), "");
    assert_eq!(
        back,
        ["back/start-server/statefulset.shop.store", "back/give-back/deployment.shop.api", "back/release"]
    );
}

#[test]
fn a_restore_stops_the_server_and_starts_it_again() {
    let program = program_in(PLAN, &shop());
    let restore: Vec<Vec<&str>> = program
        .back
        .iter()
        .map(|group| group.iter().map(|back| back.op.id.as_str()).collect())
        .skip_while(|group: &Vec<&str>| !group.contains(&"back/restore/users"))
        .take(5)
        .collect();
    assert_eq!(
        restore,
        [
            ["back/restore/users"].as_slice(),
            &["back/restore/orders/stop-server/statefulset.shop.store"],
            &["back/restore/orders"],
            &["back/restore/orders/start-server/statefulset.shop.store"],
            &["back/verify-undone/orders", "back/verify-undone/users"],
        ]
    );
    let resolve = &program.resolve[0][0].op;
    assert!(
        matches!(&resolve.kind, Kind::StartServer { workload, .. } if *workload == store()),
        "{resolve:?}"
    );
}

#[test]
fn every_state_keeps_the_laws() {
    let world = World::new(program_in(PLAN, &shop()), false);
    let states = world.visit(&world.some_signals(true), |state, record, signals, decision| {
        Case { world: &world, state, record, signals, decision }.check();
    });
    assert!(states > 300, "{states} states were seen");
}

fn refused(seen: &Seen, yaml: &str) -> Vec<String> {
    let refusals = compiled(yaml, seen).map(|_: crate::program::Compiled| ()).unwrap_err();
    refusals.into_iter().map(|refusal| refusal.message).collect()
}

#[test]
fn a_server_that_can_not_be_stopped_without_a_loss_is_refused() {
    let change = |of: &dyn Fn(&mut Seen)| {
        let mut seen = shop();
        of(&mut seen);
        refused(&seen, PLAN)
    };
    let live = |seen: &mut Seen, of: &dyn Fn(&mut crate::program::WorkloadSeen)| {
        of(seen.workloads.get_mut(&store()).unwrap());
    };
    assert_eq!(
        change(&|seen| live(seen, &|live| live.deletes_volumes = true)),
        [
            "server of target orders: StatefulSet shop/store has persistentVolumeClaimRetentionPolicy.whenScaled: Delete, so scaling it to zero would delete its volumes; set it to Retain"
        ]
    );
    assert_eq!(
        change(&|seen| live(seen, &|live| live.replicas = 3)),
        [
            "server of target orders: StatefulSet shop/store has 3 replicas; offline backups are built for a server of one; say backup.verification: None, and take backups by the cluster's own means"
        ]
    );
    assert_eq!(
        change(&|seen| live(seen, &|live| live.controlled_by = Some("Neo4j graph".into()))),
        [
            "server of target orders: StatefulSet shop/store belongs to Neo4j graph, whose controller would undo every change of it; have that controller scale it and roll it out, and take it out of the plan"
        ]
    );
    assert_eq!(
        change(&|seen| drop(seen.workloads.remove(&store()))),
        ["server of target orders: StatefulSet shop/store is not there: see spec.server of the target"]
    );
    assert_eq!(
        refused(&shop(), &format!("backup: {{when: Online}}{PLAN}")),
        [
            "backup.when: target orders is backed up with its server stopped, which Online is not: leave it at Quiesced"
        ]
    );
}

#[test]
fn only_what_is_migrated_is_stopped() {
    let plan = r#"
stages: [{name: Data, steps: [{name: rows, migrate: {target: users, scripts: {configMap: {name: keeps}}}}]}]
"#;
    let mut shop = shop();
    shop.bundles.retain(|step, _| step == "rows");
    let program: Program = program_in(plan, &shop);
    let stops = |kind: &Kind| matches!(kind, Kind::StopServer { .. });
    assert!(!program.forward.iter().flatten().any(|op| stops(&op.kind)));
    assert!(!program.workloads.contains(&store()));
}
