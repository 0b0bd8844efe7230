//! Every fault point of some acts, on a real cluster and real servers: the operator dies before an effect, dies after it,
//! or never hears its answer, is started again, and the world must end as if nothing had happened.
//!
//! A learning run of each act counts its points; the visits follow, several lanes side by side. Each lane has namespaces and an
//! operator of its own, and a scene: the demo's platform with its PostgreSQL, the testbed's Neo4j, or an OpenSearch.
//!
//! `make crash` visits all points; `SHARD=2/5` the second fifth of them; `WHIMBREL_CRASH_SAMPLE=30` that many, chosen by
//! `WHIMBREL_CRASH_SEED`; `ONLY='act2 abort-after@17'` one, `ONLY=act1,act2` those of acts. What ended well on this commit is
//! not visited again: `make crash` may be stopped and goes on. `WHIMBREL_CRASH_LANES` (4) says how many lanes have a platform:
//! as many as keep the machine busy, and no more.

mod act;
mod before;
mod cluster;
#[path = "../tools/curl.rs"]
mod curl;
mod graph;
#[path = "../neo4j/http.rs"]
mod http;
#[path = "../tools/kubectl.rs"]
mod kubectl;
#[path = "../lane/mod.rs"]
mod lane;
mod platform;
mod scene;
mod search;
mod server;
mod spent;
mod state;
#[path = "../tools/mod.rs"]
mod tools;
mod visit;
mod walk;

use act::Act;
use before::Before;
use scene::On;
use spent::Spent;
use state::State;
use std::collections::BTreeMap;
use std::sync::Mutex;
use visit::{Only, Visit, Visits};
use walk::Walker;

/// How an act goes undisturbed.
struct Learned {
    points: usize,
    end: State,
}

/// What the visits came to.
#[derive(Default)]
struct Ended {
    violations: Vec<String>,
    /// Watches and clocks decide a few of the writes: a run may have fewer points than the one that was learned from.
    not_reached: usize,
    spent: Spent,
}

#[test]
fn every_fault_point_ends_as_the_undisturbed_run() {
    let lanes = visit::number_of("WHIMBREL_CRASH_LANES").unwrap_or(4);
    lane::prepare_cluster();
    let (firsts, learned) = learn();
    let counted: usize = learned.values().map(|it| it.points).sum();
    let before = Before::read();
    let visits = Visits::choose(|act| learned[act.name].points, &before);
    let total = visits.total();
    println!(
        "{counted} points in {} acts, {total} visits, {} made before, {lanes} lanes",
        learned.len(),
        visits.before()
    );
    let ended = Mutex::new(Ended::default());
    std::thread::scope(|scope| {
        for (on, first) in firsts {
            let (visits, learned, before, ended) = (&visits, &learned, &before, &ended);
            for number in 2..=on.at_most(lanes).min(visits.on(on)) {
                scope.spawn(move || walk(on, Walker::set_up(on, number), visits, learned, before, ended));
            }
            scope.spawn(move || walk(on, first, visits, learned, before, ended));
        }
    });
    let Ended { violations, not_reached, spent } = ended.into_inner().expect("no lane panicked");
    println!("{spent}");
    println!(
        "points: {counted}, runs: {}, not reached: {not_reached}, violations: {}",
        total + visits.before(),
        violations.len()
    );
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Walks the acts that are asked for undisturbed, the scenes side by side. Gives the walkers too, for the visits.
fn learn() -> (Vec<(On, Walker)>, BTreeMap<&'static str, Learned>) {
    std::thread::scope(|scope| {
        let scenes = [On::Platform, On::Graph, On::Search].into_iter().filter_map(|on| {
            let acts: Vec<&'static Act> = Only::asked().acts().filter(|act| act.on == on).collect();
            (!acts.is_empty()).then(|| (on, scope.spawn(move || learn_on(on, &acts))))
        });
        let scenes: Vec<_> = scenes.collect();
        let (mut firsts, mut learned) = (Vec::new(), BTreeMap::new());
        for (on, scene) in scenes {
            let (walker, acts) = scene.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            firsts.push((on, walker));
            learned.extend(acts);
        }
        (firsts, learned)
    })
}

fn learn_on(on: On, acts: &[&'static Act]) -> (Walker, Vec<(&'static str, Learned)>) {
    let mut walker = Walker::set_up(on, 1);
    let learned = acts.iter().map(|act| {
        let end = walker.walk(act, None).unwrap_or_else(|why| panic!("{}, undisturbed: {why}", act.name));
        let points = walker.points();
        assert!(points.len() > 20, "{}: an act has more boundaries than {points:?}", act.name);
        assert_eq!(end.reason, act.ends, "{}, undisturbed", act.name);
        println!("{}: {} points, ends {}", act.name, points.len(), end.reason);
        (act.name, Learned { points: points.len(), end })
    });
    let learned = learned.collect();
    (walker, learned)
}

/// One lane's share of the visits.
fn walk(
    on: On,
    mut walker: Walker,
    visits: &Visits,
    learned: &BTreeMap<&'static str, Learned>,
    before: &Before,
    all: &Mutex<Ended>,
) {
    walker.spent = Spent::default();
    while let Some((at, visit)) = visits.next(on) {
        let ended = walker.walk(visit.act, Some(&visit));
        let struck = walker.struck();
        all.lock().expect("no lane panicked").not_reached += usize::from(struck.is_none());
        let reached = struck.is_some();
        let struck = struck.unwrap_or_else(|| "not reached".to_owned());
        let wrong = match ended {
            Ok(end) => end.differs_from(&learned[visit.act.name].end),
            Err(why) => Some(why),
        };
        println!(
            "[{at}/{}] {visit}: {struck}: {}",
            visits.total(),
            wrong.as_deref().unwrap_or("as undisturbed")
        );
        if wrong.is_none() && reached {
            before.keep(&visit);
        }
        if let Some(wrong) = wrong {
            let told = report(&visit, &struck, &wrong, &walker.keep(&visit));
            all.lock().expect("no lane panicked").violations.push(told);
        }
    }
    all.lock().expect("no lane panicked").spent.add(&walker.spent);
}

fn report(visit: &Visit, struck: &str, wrong: &str, kept: &str) -> String {
    format!("{visit}: {struck}: {wrong}\n  kept: {kept}\n  again: make crash ONLY='{visit}'")
}
