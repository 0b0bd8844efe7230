//! The driver in a simulated world: seeded faults, kills, rivals and people, in virtual time.
//!
//! A failing seed prints the one command that replays it, with its trace, after its list of faults was shrunk.

mod approval;
mod cluster;
mod database;
mod faults;
mod harness;
mod offline;
mod oracle;
mod recheck;
mod rollback;
mod scenario;
mod stored;
mod swap;
mod world;

use faults::{Faults, draw};
use whimbrel::api::Outcome;
use world::Bugs;

/// Faults fall within the first calls of a run; most runs have about this many.
const CALLS: u64 = 260;

fn seeds() -> u64 {
    std::env::var("WHIMBREL_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

/// Leaves faults out for as long as the seed still fails.
fn shrink(seed: u64, mut faults: Faults) -> Faults {
    loop {
        let smaller = faults.keys().copied().find_map(|number| {
            let mut fewer = faults.clone();
            fewer.remove(&number);
            (!harness::run(seed, fewer.clone(), Bugs::default(), false).violations.is_empty())
                .then_some(fewer)
        });
        match smaller {
            Some(fewer) => faults = fewer,
            None => return faults,
        }
    }
}

#[test]
fn every_seed_ends_well() {
    let only: Option<u64> = std::env::var("WHIMBREL_SIM_SEED").ok().and_then(|text| text.parse().ok());
    let range = only.map_or(0..seeds(), |seed| seed..seed + 1);
    let mut outcomes = std::collections::BTreeMap::<String, u64>::new();
    for seed in range {
        let faults = draw(seed, CALLS);
        let result = harness::run(seed, faults.clone(), Bugs::default(), only.is_some());
        *outcomes.entry(format!("{:?}", result.outcome)).or_default() += 1;
        assert!(
            result.violations.is_empty(),
            "seed {seed} fails: {:#?}\noutcome {:?}\nsmallest faults: {:?}\nreplay: WHIMBREL_SIM_SEED={seed} cargo test --test sim every_seed -- --nocapture",
            result.violations,
            result.outcome,
            shrink(seed, faults),
        );
    }
    println!("outcomes: {outcomes:?}");
}

#[test]
fn undisturbed_runs_end_as_their_scenario_says() {
    let expected = [
        (0, Outcome::Succeeded),
        (1, Outcome::RolledBack),
        (2, Outcome::RolledBack),
        (3, Outcome::RolledBack),
        (4, Outcome::Aborted),
        (5, Outcome::Held),
        (6, Outcome::Held),
        (7, Outcome::RolledBack),
        (8, Outcome::RolledBack),
        (9, Outcome::Held),
        // Only the backup brings it back; and its Job fails; and it can't be put back by itself.
        (11, Outcome::RolledBack),
        (17, Outcome::Held),
        (47, Outcome::Held),
        // V3 statement by statement: a part of it is taken back where its undo may, else held.
        (10, Outcome::Succeeded),
        (11, Outcome::RolledBack),
        (12, Outcome::RolledBack),
        (18, Outcome::Succeeded),
        (20, Outcome::Succeeded),
        (21, Outcome::Held),
        (23, Outcome::RolledBack),
        (28, Outcome::Succeeded),
    ];
    for (seed, outcome) in expected {
        let result = harness::run(seed, Faults::new(), Bugs::default(), false);
        assert_eq!((result.outcome, result.violations), (Some(outcome), Vec::new()), "seed {seed}");
    }
}

/// A script without a transaction, with the driver dead or the answer lost at every call: no statement twice, and where
/// nothing tells, the run turns around and says so.
#[test]
fn statement_by_statement_everything_may_be_lost() {
    let calls = harness::run(10, Faults::new(), Bugs::default(), false).calls;
    let mut outcomes = std::collections::BTreeMap::<(u64, String), u64>::new();
    for seed in [10, 11, 18, 20, 21, 28] {
        for call in 1..calls {
            for fault in [faults::Fault::AbortAfter, faults::Fault::LostResponse, faults::Fault::NeverSent] {
                let result = harness::run(seed, Faults::from([(call, fault)]), Bugs::default(), false);
                assert_eq!(result.violations, Vec::<String>::new(), "seed {seed}, {fault:?} at call {call}");
                *outcomes.entry((seed, format!("{:?}", result.outcome.expect("ends")))).or_default() += 1;
            }
        }
    }
    let seen = |seed, outcome: &str| outcomes.contains_key(&(seed, outcome.to_owned()));
    // Lost behind the statement that nothing tells of: taken back where its undo may, else held.
    assert!(seen(18, "Succeeded") && seen(18, "RolledBack") && !seen(18, "Held"), "{outcomes:?}");
    assert!(seen(28, "Succeeded") && seen(28, "Held") && !seen(28, "RolledBack"), "{outcomes:?}");
    // What a probe tells of is gone on with.
    assert_eq!([seen(10, "RolledBack"), seen(20, "Held"), seen(11, "Held")], [false; 3], "{outcomes:?}");
}

#[test]
fn a_seed_is_the_same_every_time() {
    for seed in [3, 17, 4711] {
        let one = harness::run(seed, draw(seed, CALLS), Bugs::default(), false);
        let two = harness::run(seed, draw(seed, CALLS), Bugs::default(), false);
        assert_eq!(one, two);
    }
}

/// Whoever takes a run up without its program says so and stays where it is; the driver that has it goes on.
#[test]
fn a_run_without_its_frozen_program_is_held() {
    let lost = Bugs { frozen_lost: true, ..Bugs::default() };
    let undisturbed = harness::run(0, Faults::new(), lost, false);
    assert_eq!((undisturbed.outcome, undisturbed.violations), (Some(Outcome::Succeeded), Vec::new()));
    let mut held = 0;
    for call in 60..120 {
        let killed = harness::run(0, Faults::from([(call, faults::Fault::AbortAfter)]), lost, false);
        assert_eq!(killed.violations, Vec::<String>::new(), "killed at call {call}: {:?}", killed.outcome);
        held += usize::from(killed.outcome == Some(Outcome::Held));
    }
    assert!(held > 0, "no driver was killed after the program was frozen");
}

/// A world that breaks a promise must be noticed, or the oracles are blind.
#[test]
fn deliberate_bugs_are_each_caught() {
    let none = Bugs::default();
    let bugs = [
        ("naive fence", Bugs { naive_fence: true, ..none }),
        ("blind record", Bugs { blind_record: true, ..none }),
        ("blind workloads", Bugs { blind_workloads: true, ..none }),
        ("terminating is gone", Bugs { terminating_is_gone: true, ..none }),
        ("back to one", Bugs { back_to_one: true, ..none }),
        ("never resumes", Bugs { never_resumes: true, ..none }),
        ("backup unproven", Bugs { backup_unproven: true, ..none }),
        ("release forgets", Bugs { release_forgets: true, ..none }),
        ("row forgotten", Bugs { row_forgotten: true, ..none }),
        ("restores over writes", Bugs { restores_over_writes: true, ..none }),
        ("old images lost", Bugs { old_images_lost: true, ..none }),
        ("window unheard", Bugs { window_unheard: true, ..none }),
        ("blind probe", Bugs { blind_probe: true, ..none }),
    ];
    for (name, bug) in bugs {
        let caught = (0..10_000)
            .find(|seed| !harness::run(*seed, draw(*seed, CALLS), bug, false).violations.is_empty());
        println!("{name}: caught by seed {caught:?}");
        assert!(caught.is_some(), "{name} is not caught");
    }
}
