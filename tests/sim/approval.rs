//! An approval is for the program that is walked: one that is compiled anew, because its driver died before Freeze, asks
//! again, and keeps nobody waiting meanwhile.

use super::faults::Faults;
use super::harness::Stage;
use super::scenario::{TARGET, Undo, asking, workload};
use super::world::{Scenario, State, World};
use std::collections::BTreeMap;
use std::time::Duration;
use whimbrel::api::Outcome;
use whimbrel::program::Signals;
use whimbrel::run::Ended;

fn approving(state: &State) -> Signals {
    let hash = state.compiled.as_ref().expect("the scenario has a program").plan_hash.clone();
    Signals { approved: BTreeMap::from([(String::new(), hash)]), ..Signals::default() }
}

async fn walk() {
    let (orders, _inbox) = tokio::sync::mpsc::unbounded_channel();
    let (first, edited) = (asking(Undo::Keeps), asking(Undo::Drops));
    let (approved, again) = (approving(&first), approving(&edited));
    assert_ne!(approved, again, "another undo is another program");
    let world = World::new(0, Faults::new(), first, Scenario::default(), orders, false);
    let held = workload("Deployment", "api");
    let claim = |by: Option<&str>| {
        let mut state = world.state();
        let api = state.workloads.get_mut(&held).expect("it is there");
        api.claimed_by = by.map(str::to_owned);
        api.version += 1;
    };
    claim(Some("another/1/1"));
    let mut stage = Stage::new(world.clone(), approved);
    stage.start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    stage.kill();
    assert!(world.state().frozen.is_none(), "it waits for the workload that another run holds");

    // While nobody drives, the source is edited and the other run ends.
    world.state().compiled = edited.compiled;
    claim(None);
    stage.start();
    tokio::time::sleep(Duration::from_secs(600)).await;
    {
        let mut state = world.state();
        assert!(state.frozen.is_none(), "nobody approved this one");
        assert!(state.workloads.values().all(|of| of.claimed_by.is_none()), "no workload is kept");
        assert!(state.leases.values().all(|(holder, _)| holder.is_none()), "no Lease is kept");
        assert_eq!(state.database(TARGET).claim, None, "no target is kept");
    }
    stage.signals.send_replace(again);
    let (_, ended) = stage.ended().await;
    assert_eq!(ended, Ended::Finished(Outcome::Succeeded));
    assert_eq!(world.state().violations, Vec::<String>::new());
}

#[test]
fn an_approval_is_for_the_program_that_is_walked() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(walk());
}
