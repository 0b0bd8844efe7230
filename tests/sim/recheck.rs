//! A server that does not answer for a moment, when the run looks again under its claim, ends no run: nobody is down yet. One
//! that stays away does, and everything is given up.

use super::faults::Faults;
use super::harness::Stage;
use super::scenario::{Undo, asking};
use super::world::{Scenario, World};
use std::collections::BTreeMap;
use whimbrel::api::Outcome;
use whimbrel::program::Signals;
use whimbrel::run::Ended;

async fn walk(refused: u32) -> (Ended, String) {
    let (orders, _inbox) = tokio::sync::mpsc::unbounded_channel();
    let mut state = asking(Undo::Keeps);
    state.refused_looks = refused;
    let hash = state.compiled.as_ref().expect("the scenario has a program").plan_hash.clone();
    let approved = Signals { approved: BTreeMap::from([(String::new(), hash)]), ..Signals::default() };
    let world = World::new(0, Faults::new(), state, Scenario::default(), orders, false);
    let mut stage = Stage::new(world.clone(), approved);
    stage.start();
    let (_, ended) = stage.ended().await;
    let state = world.state();
    assert_eq!(state.violations, Vec::<String>::new());
    assert!(state.leases.values().all(|(holder, _)| holder.is_none()), "no Lease is kept");
    let failure = state.record.failure.as_ref().map(|failure| failure.message.clone());
    (ended, failure.unwrap_or_default())
}

#[test]
fn a_server_that_is_away_for_a_moment_ends_no_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        assert_eq!(walk(4).await, (Ended::Finished(Outcome::Succeeded), String::new()));
        let away = "ns/db is not reachable: no answer within 5 s".to_owned();
        assert_eq!(walk(u32::MAX).await, (Ended::Finished(Outcome::Aborted), away));
    });
}
