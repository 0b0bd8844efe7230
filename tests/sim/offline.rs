//! A restore that fails while the database's server is stopped: what a person may do then.

use super::faults::{Fault, Faults};
use super::harness::{Stage, drive, finish};
use super::scenario::{self, TARGET, Taken, Third, Undo, workload};
use super::world::{Bugs, Scenario, State, World};
use tokio::sync::mpsc;
use whimbrel::api::Outcome;
use whimbrel::program::{Exit, Signals};

/// A run whose check fails behind a script without an undo, and whose backup can't be put back: Held, its server down. Then a
/// person ends it, while these faults are met. Gives what is left.
fn ended_by(exit: Exit, faults: Faults) -> (Option<Outcome>, State) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let state = scenario::platform(Undo::None, Third::Whole, Taken::Offline, Bugs::default());
        let fails = Scenario { check_fails: true, restore_fails: true, ..Scenario::default() };
        let world = World::new(4, Faults::new(), state, fails, orders, false);
        let mut stage = Stage::new(world.clone(), Signals::default());
        assert_eq!(drive(&mut stage, &mut inbox, false).await, Some(Outcome::Held));
        assert!(!world.state().answers(), "the restore's Job failed with the server stopped");
        world.faults_from_here(faults);
        stage.signals.send_modify(|signals| signals.exit = Some(exit));
        let outcome = drive(&mut stage, &mut inbox, false).await;
        finish(&mut stage, &mut inbox, outcome).await;
        let left = std::mem::take(&mut *world.state());
        (outcome, left)
    })
}

fn claims(state: &State) -> usize {
    let leases = state.leases.values().filter(|(holder, _)| holder.is_some()).count();
    leases + state.workloads.values().filter(|w| w.claimed_by.is_some()).count()
}

#[test]
fn whoever_abandons_it_is_not_kept_waiting_for_a_server_that_is_down() {
    for call in 0..40 {
        let faults = if call == 0 { Faults::new() } else { Faults::from([(call, Fault::LostResponse)]) };
        let (outcome, state) = ended_by(Exit::Abandon, faults);
        assert_eq!((outcome, claims(&state)), (Some(Outcome::Held), 0), "call {call}");
        assert!(!state.answers(), "abandon starts nothing: the files are that person's affair");
        assert_eq!(state.violations, Vec::<String>::new(), "call {call}");
    }
}

#[test]
fn whoever_resolves_it_has_the_server_started_first() {
    let (outcome, mut state) = ended_by(Exit::Resolve, Faults::new());
    assert_eq!((outcome, claims(&state)), (Some(Outcome::Held), 0));
    assert_eq!(state.workloads[&workload("StatefulSet", "store")].replicas, 1);
    assert_eq!(
        (state.workloads[&workload("Deployment", "api")].replicas, state.database(TARGET).claim.take()),
        (3, None)
    );
    assert_eq!(state.violations, Vec::<String>::new());
}
