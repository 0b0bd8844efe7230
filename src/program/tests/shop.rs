//! The platform that the plans of these tests are compiled against: two databases, three Deployments, a CronJob, a
//! ConfigMap of flags, and the sources of scripts that their steps name.

use super::super::{Compiled, Intent, Program, Refusal, Seen, TargetSeen, WorkloadRef, WorkloadSeen};
use super::super::{compile, parse};
use crate::api::WorkloadKind;
use crate::api::plan::MigrationPlanSpec;
use crate::api::target::VerificationLevel;
use crate::script::{Bundle, Dialect, read_bundle};
use std::collections::{BTreeMap, BTreeSet};

/// The namespace of everything.
pub(super) const SHOP: &str = "shop";

/// One script with an undo that keeps all data.
pub(super) const KEEPS: &[(&str, &str)] = &[
    ("V1__orders.sql", "create table orders (i int);\n"),
    ("U1__orders.sql", "-- whimbrel: undo keeps-data\ndrop table orders;\n"),
];

/// Two scripts; the undo of the second drops what was written since.
pub(super) const DESTROYS: &[(&str, &str)] = &[
    ("V1__orders.sql", "create table orders (i int);\n"),
    ("U1__orders.sql", "-- whimbrel: undo keeps-data\ndrop table orders;\n"),
    ("V2__tags.sql", "alter table orders add column tags text;\n"),
    ("U2__tags.sql", "alter table orders drop column tags;\n"),
];

/// Three scripts; the last has no undo.
pub(super) const ONE_WAY: &[(&str, &str)] = &[
    ("V1__orders.sql", "create table orders (i int);\n"),
    ("U1__orders.sql", "-- whimbrel: undo keeps-data\ndrop table orders;\n"),
    ("V2__tags.sql", "alter table orders add column tags text;\n"),
    ("U2__tags.sql", "alter table orders drop column tags;\n"),
    ("V3__seed.sql", "insert into orders values (1);\n"),
];

/// What comes after [`KEEPS`] in the same history.
pub(super) const LATER: &[(&str, &str)] = &[
    ("V7__notes.sql", "create table notes (i int);\n"),
    ("U7__notes.sql", "-- whimbrel: undo keeps-data\ndrop table notes;\n"),
];

/// A workload of the shop.
pub(super) fn workload(kind: WorkloadKind, name: &str) -> WorkloadRef {
    WorkloadRef { kind, namespace: SHOP.into(), name: name.into() }
}

/// A Deployment of the shop.
pub(super) fn deployment(name: &str) -> WorkloadRef {
    workload(WorkloadKind::Deployment, name)
}

/// The one CronJob.
pub(super) fn nightly() -> WorkloadRef {
    workload(WorkloadKind::CronJob, "nightly")
}

/// The scripts of a source.
pub(super) fn bundle(files: &[(&str, &str)]) -> Bundle {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    read_bundle(files, None, Dialect::Postgresql).unwrap()
}

/// A plan as it is written.
pub(super) fn spec(yaml: &str) -> MigrationPlanSpec {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

/// What is meant by a plan.
pub(super) fn intent(yaml: &str) -> Intent {
    parse(&spec(yaml), SHOP).unwrap()
}

/// The shop before any run. A source is named by the ConfigMap of its step.
pub(super) fn seen(yaml: &str) -> Seen {
    let bundles = spec(yaml)
        .steps()
        .into_iter()
        .filter_map(|(_, step)| {
            let source = step.migrate.as_ref()?.scripts.as_ref()?.config_map.as_ref()?;
            Some((step.name.clone(), bundle(source_of(&source.name))))
        })
        .collect();
    let names = ["api", "worker", "web"].map(deployment);
    Seen {
        targets: ["orders", "users"].map(|name| (name.to_owned(), target(name))).into(),
        bundles,
        variables: BTreeMap::new(),
        workloads: names.into_iter().chain([nightly()]).map(|of| (of.clone(), live(of))).collect(),
        flags: BTreeMap::from([(
            (SHOP.into(), "flags".into()),
            BTreeMap::from([("old".into(), "1".into())]),
        )]),
        succeeded_before: false,
    }
}

fn source_of(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "keeps" => KEEPS,
        "destroys" => DESTROYS,
        "one-way" => ONE_WAY,
        "later" => LATER,
        other => panic!("no source {other}"),
    }
}

fn target(name: &str) -> TargetSeen {
    TargetSeen {
        lease: format!("wb-{name}"),
        quiet_for_ms: 2000,
        bytes: 1,
        verification: VerificationLevel::Structure,
        histories: BTreeMap::from([("default".to_owned(), Vec::new())]),
        server: None,
        speaks: Dialect::Postgresql,
        proves: VerificationLevel::Restored,
        offline: None,
        of_the_peer: BTreeSet::new(),
    }
}

fn live(of: WorkloadRef) -> WorkloadSeen {
    WorkloadSeen {
        uid: of.slug(),
        version: "1".into(),
        replicas: if of.is_cron() { 0 } else { 2 },
        images: BTreeMap::from([("app".into(), format!("{}:1", of.name))]),
        suspend: false,
        claimed_by: None,
        hpa_min: None,
        controlled_by: None,
        deletes_volumes: false,
        not_ready: None,
        scaled_by: None,
        of,
    }
}

/// Compiles a plan against a shop.
pub(super) fn compiled(yaml: &str, seen: &Seen) -> Result<Compiled, Vec<Refusal>> {
    compile(&intent(yaml), seen, "sha256:intent")
}

/// The program of a plan in the shop.
pub(super) fn program(yaml: &str) -> Program {
    program_in(yaml, &seen(yaml))
}

/// The program of a plan in a shop that has one.
pub(super) fn program_in(yaml: &str, seen: &Seen) -> Program {
    match compiled(yaml, seen) {
        Ok(Compiled::Program(program)) => *program,
        other => panic!("{yaml} compiles to a program, not {other:?}"),
    }
}

/// What is wrong with a plan, each sentence.
pub(super) fn refusals(yaml: &str) -> Vec<String> {
    match compiled(yaml, &seen(yaml)) {
        Err(refusals) => refusals.into_iter().map(|refusal| refusal.message).collect(),
        Ok(compiled) => panic!("{yaml} is refused, not {compiled:?}"),
    }
}
