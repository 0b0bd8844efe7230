//! The platform that every seed runs: two scripts-bearing steps on one database, two backends, a frontend that is no
//! dependent, a CronJob and a flag.

use super::stored::{Behaviour, Database};
use super::world::{Bugs, Scenario, State, Workload};
use std::collections::{BTreeMap, BTreeSet};
use whimbrel::api::target::VerificationLevel;
use whimbrel::check::Expect;
use whimbrel::program::{
    Action, Compiled, Intent, OnFailure, Program, QueryCheck, Seen, Step, TargetSeen, WorkloadRef,
    WorkloadSeen, compile,
};
use whimbrel::script::{Bundle, Dialect, HistoryRow, Policy, Script, read_bundle};

/// The one target.
pub const TARGET: &str = "db";

/// A workload of the scenario.
pub fn workload(kind: &str, name: &str) -> WorkloadRef {
    WorkloadRef { kind: kind.parse().expect("a kind"), namespace: "ns".into(), name: name.into() }
}

/// What the undo of V3 is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It keeps what was written since.
    Keeps,
    /// It drops it.
    Drops,
    /// There is none: only the backup brings it back.
    None,
}

impl Undo {
    /// That of a seed.
    pub fn of_seed(seed: u64) -> Self {
        [Self::Keeps, Self::Drops, Self::None][usize::try_from(seed % 3).expect("less than three")]
    }
}

/// How the script V3 runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Third {
    /// In one transaction.
    Whole,
    /// Statement by statement, with an undo that takes back any part of it.
    Steps,
    /// Statement by statement; a part of it is not taken back.
    StepsForGood,
}

impl Third {
    /// Of a seed: each with everything that may go wrong in the platform.
    pub fn of_seed(seed: u64) -> Self {
        [Third::Whole, Third::Steps, Third::StepsForGood][usize::try_from(seed / 10 % 3).expect("small")]
    }
}

/// The scripts of step `schema`: V1 is in already, V2 and V3 are pending.
pub fn bundle(undo: Undo, third: Third) -> Bundle {
    let partial = if third == Third::Steps { "-- whimbrel: undo partial-ok\n" } else { "" };
    let body = match third {
        Third::Whole => "create table t3 (i int);\n",
        Third::Steps | Third::StepsForGood => {
            "-- whimbrel: no-transaction\n-- whimbrel: mixed: true\ncreate table t3 (i int);\n\
             create index concurrently i3 on t3 (i);\ninsert into t3 values (3);\n"
        }
    };
    let third = match undo {
        Undo::Keeps => Some(format!("{partial}-- whimbrel: undo keeps-data\nselect 1;\n")),
        Undo::Drops => Some(format!("{partial}drop table t3;\n")),
        Undo::None => None,
    };
    let mut files = vec![
        ("V1__one.sql", "create table t1 (i int);\n"),
        ("V2__two.sql", "create table t2 (i int);\n"),
        ("U2__two.sql", "-- whimbrel: undo keeps-data\nselect 2;\n"),
        ("V3__three.sql", body),
    ];
    files.extend(third.iter().map(|undo| ("U3__three.sql", undo.as_str())));
    read(&files)
}

/// The scripts of step `more`, in the same history.
fn more() -> Bundle {
    read(&[
        ("V4__four.sql", "create table t4 (i int);\n"),
        ("U4__four.sql", "-- whimbrel: undo keeps-data\nselect 4;\n"),
    ])
}

fn read(files: &[(&str, &str)]) -> Bundle {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    read_bundle(files, None, Dialect::Postgresql).expect("the scenario's scripts are good")
}

fn query() -> QueryCheck {
    QueryCheck {
        target: TARGET.into(),
        statement: "select count(*) from orphans".into(),
        expect: Expect::Equals("0".into()),
        values: Default::default(),
    }
}

fn rollout(kind: &str, name: &str) -> Step {
    Step {
        name: name.into(),
        action: Action::Rollout {
            workload: workload(kind, name),
            images: BTreeMap::from([("app".into(), format!("{name}:2"))]),
            replicas: None,
            ready_within: 60,
        },
    }
}

fn intent() -> Intent {
    let migrate =
        Action::Migrate { target: TARGET.into(), history: "default".into(), policy: Policy::default() };
    let flag = Action::Configure {
        namespace: "ns".into(),
        name: "flags".into(),
        set: BTreeMap::from([("new".into(), "true".into())]),
    };
    Intent {
        approval: false,
        windows: false,
        online: false,
        dependents: vec![
            workload("Deployment", "api"),
            workload("Deployment", "worker"),
            workload("Deployment", "mailer"),
            workload("CronJob", "nightly"),
        ],
        preflight: Vec::new(),
        steps: vec![
            vec![Step { name: "schema".into(), action: migrate.clone() }],
            vec![Step { name: "more".into(), action: migrate }],
            vec![rollout("Deployment", "api"), rollout("Deployment", "worker")],
            vec![Step { name: "flag".into(), action: flag }],
            vec![Step { name: "orphans".into(), action: Action::Verify(query()) }],
            vec![rollout("Deployment", "web")],
        ],
        on_failure: OnFailure::default(),
        verification: Some(VerificationLevel::Structure),
    }
}

fn live(of: &WorkloadRef, w: &Workload) -> WorkloadSeen {
    WorkloadSeen {
        of: of.clone(),
        uid: of.slug(),
        version: "0".into(),
        replicas: w.replicas,
        images: w.images.clone(),
        suspend: w.suspend,
        claimed_by: None,
        hpa_min: None,
        controlled_by: None,
        deletes_volumes: false,
        not_ready: None,
        scaled_by: None,
    }
}

fn running(name: &str, replicas: i32) -> Workload {
    Workload {
        version: 1,
        replicas,
        images: BTreeMap::from([("app".into(), format!("{name}:1")), ("proxy".into(), "proxy:1".into())]),
        suspend: false,
        claimed_by: None,
        original: None,
        pods_until: None,
        ready_from: None,
    }
}

/// How the backup is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// In silence.
    Quiesced,
    /// While services run.
    Online,
    /// While the server is stopped.
    Offline,
}

impl Taken {
    /// Of a seed.
    pub fn of_seed(seed: u64) -> Self {
        match (seed % 7, seed % 5) {
            (0, _) => Self::Online,
            (_, 4) => Self::Offline,
            _ => Self::Quiesced,
        }
    }
}

/// The platform before the run.
pub fn platform(undo: Undo, third: Third, taken: Taken, bugs: Bugs) -> State {
    let online = taken == Taken::Online;
    of_intent(&Intent { online, ..intent() }, undo, third, taken, bugs)
}

/// The same platform, with a plan that a person must approve.
pub fn asking(undo: Undo) -> State {
    let intent = Intent { approval: true, ..intent() };
    of_intent(&intent, undo, Third::Whole, Taken::Quiesced, Bugs::default())
}

fn of_intent(intent: &Intent, undo: Undo, third: Third, taken: Taken, bugs: Bugs) -> State {
    let offline = (taken == Taken::Offline).then(|| workload("StatefulSet", "store"));
    let mut workloads = BTreeMap::from([
        (workload("Deployment", "api"), running("api", 3)),
        (workload("Deployment", "worker"), running("worker", 2)),
        (workload("Deployment", "mailer"), running("mailer", 1)),
        (workload("Deployment", "web"), running("web", 2)),
        (workload("CronJob", "nightly"), running("nightly", 0)),
    ]);
    workloads.extend(offline.iter().map(|of| (of.clone(), running("store", 1))));
    let all = bundle(undo, third);
    let first: Script = all.scripts[0].clone();
    let history = vec![HistoryRow::of(&first, 1)];
    let target = TargetSeen {
        lease: "wb-0123456789".into(),
        quiet_for_ms: 2000,
        bytes: 1,
        verification: VerificationLevel::Structure,
        histories: BTreeMap::from([("default".into(), history.clone())]),
        server: offline.clone(),
        speaks: Dialect::Postgresql,
        proves: VerificationLevel::Restored,
        offline: offline.clone(),
        of_the_peer: BTreeSet::new(),
    };
    let flags = BTreeMap::from([("old".to_owned(), "1".to_owned())]);
    let seen = Seen {
        targets: BTreeMap::from([(TARGET.into(), target)]),
        bundles: BTreeMap::from([("schema".into(), all), ("more".into(), more())]),
        variables: BTreeMap::new(),
        workloads: workloads.iter().map(|(of, w)| (of.clone(), live(of, w))).collect(),
        flags: BTreeMap::from([(("ns".into(), "flags".into()), flags.clone())]),
        succeeded_before: false,
    };
    let program: Program = match compile(intent, &seen, "sha256:intent") {
        Ok(Compiled::Program(program)) => *program,
        other => panic!("the scenario compiles to a program, not {other:?}"),
    };
    let effects = BTreeMap::from([(first.key.clone(), 1)]);
    let database = Database { history, effects, ..Database::default() };
    State {
        compiled: Some(program),
        workloads,
        server: offline,
        databases: BTreeMap::from([(TARGET.into(), database)]),
        flags,
        bugs,
        refused_looks: 0,
        ..State::default()
    }
}

/// The scenario of a seed: what goes wrong in the platform itself, beside the faults.
pub fn of_seed(seed: u64) -> Scenario {
    let mut scenario = Scenario::default();
    match seed % 10 {
        1 => scenario.behaviour = BTreeMap::from([(TARGET.into(), fails("3"))]),
        2 => scenario.broken_images = vec!["worker:2".into()],
        3 => scenario.check_fails = true,
        4 => scenario.backup_fails = true,
        5 => {
            scenario.check_fails = true;
            scenario.new_pods_write = true;
        }
        6 => {
            scenario.check_fails = true;
            let behaviour = Behaviour { undo_fails: vec!["2".into()], ..Behaviour::default() };
            scenario.behaviour = BTreeMap::from([(TARGET.into(), behaviour)]);
        }
        7 => scenario.broken_images = vec!["web:2".into()],
        8 => {
            let behaviour = Behaviour { unknown: vec!["3".into()], ..Behaviour::default() };
            scenario.behaviour = BTreeMap::from([(TARGET.into(), behaviour)]);
        }
        9 => {
            scenario.check_fails = true;
            let behaviour = Behaviour { undo_unknown: vec!["2".into()], ..Behaviour::default() };
            scenario.behaviour = BTreeMap::from([(TARGET.into(), behaviour)]);
        }
        _ => {}
    }
    match seed % 7 {
        3 => scenario.restore_fails = true,
        5 => scenario.behaviour.entry(TARGET.into()).or_default().no_restore = Some("no right".into()),
        _ => {}
    }
    scenario
}

fn fails(key: &str) -> Behaviour {
    Behaviour { fails: vec![key.into()], ..Behaviour::default() }
}
