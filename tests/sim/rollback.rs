//! Rollback after success: a run that succeeded is taken back by another one, under faults.

use super::faults::{Faults, draw};
use super::harness::{Stage, drive, finish};
use super::oracle;
use super::scenario::{self, TARGET, Third, Undo};
use super::world::{Bugs, Scenario, World};
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use whimbrel::api::Outcome;
use whimbrel::api::run::MigrationRunStatus;
use whimbrel::program::{Signals, rollback};

/// What a rollback came to, and what is wrong with it.
struct Ended {
    outcome: Option<Outcome>,
    code: String,
    violations: Vec<String>,
}

/// A run that succeeds undisturbed, perhaps writes by its users, then its rollback with these faults.
fn play(seed: u64, undo: Undo, writes: bool, faults: Faults, accepts_loss: bool, trace: bool) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let state = scenario::platform(undo, Third::Whole, scenario::Taken::Quiesced, Bugs::default());
        let world = World::new(seed, Faults::new(), state, Scenario::default(), orders, trace);
        let mut stage = Stage::new(world.clone(), Signals::default());
        let first = drive(&mut stage, &mut inbox, false).await;
        assert_eq!(first, Some(Outcome::Succeeded), "{:?}", world.state().violations);
        {
            let mut state = world.state();
            if writes {
                state.write_as_others();
            }
            let (of, record) = (state.frozen.take().expect("it was frozen"), state.record.clone());
            state.compiled = Some(rollback(&of, &record, 1, &BTreeMap::new()));
            state.record = MigrationRunStatus::default();
        }
        world.faults_from_here(faults);
        stage.next_run();
        stage.signals.send_modify(|signals| signals.accept_data_loss = accepts_loss);
        let outcome = drive(&mut stage, &mut inbox, trace).await;
        finish(&mut stage, &mut inbox, outcome).await;
        let mut state = world.state();
        match outcome {
            Some(Outcome::RolledBack) => oracle::as_before(&mut state),
            Some(Outcome::Aborted) => oracle::in_place(&mut state),
            Some(Outcome::Held) => {}
            other => state.violation(format!("a rollback ended {other:?}")),
        }
        if state.database(TARGET).lost_writes > 0 && !accepts_loss {
            state.violation("what users wrote is lost, and nobody had accepted that".into());
        }
        let code = state.record.failure.as_ref().map(|failure| failure.code.clone()).unwrap_or_default();
        Ended { outcome, code, violations: state.violations.clone() }
    })
}

#[test]
fn an_undisturbed_rollback_ends_as_what_was_written_since_allows() {
    let cases = [
        (Undo::Keeps, false, false, Outcome::RolledBack, ""),
        (Undo::Keeps, true, false, Outcome::RolledBack, ""),
        (Undo::Drops, false, false, Outcome::RolledBack, ""),
        (Undo::Drops, true, false, Outcome::Aborted, "DataLoss"),
        (Undo::Drops, true, true, Outcome::RolledBack, ""),
        (Undo::None, false, false, Outcome::RolledBack, ""),
        (Undo::None, true, false, Outcome::Aborted, "DataLoss"),
        (Undo::None, true, true, Outcome::RolledBack, ""),
    ];
    for (undo, writes, accepts_loss, outcome, code) in cases {
        let ended = play(1, undo, writes, Faults::new(), accepts_loss, false);
        let case = format!("{undo:?}, written since: {writes}, loss accepted: {accepts_loss}");
        assert_eq!(ended.violations, Vec::<String>::new(), "{case}");
        assert_eq!((ended.outcome, ended.code.as_str()), (Some(outcome), code), "{case}");
    }
}

#[test]
fn a_disturbed_rollback_keeps_every_promise() {
    let only: Option<u64> = std::env::var("WHIMBREL_SIM_SEED").ok().and_then(|text| text.parse().ok());
    // A tenth of what goes forward: the ways are the same, only their beginning is another one.
    let range = only.map_or(0..super::seeds() / 10, |seed| seed..seed + 1);
    let mut outcomes = BTreeMap::<String, u64>::new();
    for seed in range {
        let faults = draw(seed, 140);
        let ended = play(seed, Undo::of_seed(seed), seed % 2 == 1, faults, seed % 5 == 0, only.is_some());
        *outcomes.entry(format!("{:?}", ended.outcome)).or_default() += 1;
        assert!(
            ended.violations.is_empty(),
            "seed {seed} fails: {:#?}\noutcome {:?} {}\nreplay: WHIMBREL_SIM_SEED={seed} cargo test --test sim a_disturbed_rollback -- --nocapture",
            ended.violations,
            ended.outcome,
            ended.code,
        );
    }
    println!("outcomes: {outcomes:?}");
}
