//! Rollback after success: the program that takes a run back that has ended well. It is that run's own way back, walked
//! under a claim of its own, over what that run has recorded.

use super::{BackOp, Gate, Kind, Op, Program, TargetPlan, digest};
use crate::api::run::{MigrationRunStatus as Record, Original};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The run that is taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolledBackRun {
    /// Its number.
    pub run: u64,
    /// What the way back needs of its record: frozen here, since that run may be pruned meanwhile.
    pub record: Box<Record>,
}

/// The program that takes the run `number` back, given what it walked and what it recorded. `leases` are those of the
/// targets as they are now.
pub fn rollback(of: &Program, record: &Record, number: u64, leases: &BTreeMap<String, String>) -> Program {
    let mut program = of.clone();
    program.plan_hash = digest(&format!("rollback of run {number}: {}", of.plan_hash));
    program.forward = forward(of);
    for (name, target) in &mut program.targets {
        if let Some(lease) = leases.get(name) {
            *target = TargetPlan { lease: lease.clone(), ..target.clone() };
        }
    }
    program.rolls_back = Some(RolledBackRun { run: number, record: Box::new(needed(of, record)) });
    program
}

/// Looks, gates and claims like any run; then everything that the other run did counts as done, and only the way back is
/// left.
fn forward(of: &Program) -> Vec<Vec<Op>> {
    let op = |id: &str, kind: Kind| vec![Op { id: id.to_owned(), step: None, kind }];
    let asks = of.forward.iter().flatten().any(|op| op.kind == Kind::Gate(Gate::Plan));
    let mut groups = vec![op("foresee", Kind::Foresee)];
    groups.extend(asks.then(|| op("approval", Kind::Gate(Gate::Plan))));
    groups.extend([
        op("claim", Kind::Claim),
        op("recheck", Kind::Recheck),
        op("freeze", Kind::Freeze),
        op("inherit", Kind::Inherit),
    ]);
    let frozen = of.forward.iter().position(|group| group.iter().any(|op| op.kind == Kind::Freeze));
    groups.extend(of.forward.iter().skip(frozen.map_or(0, |place| place + 1)).cloned());
    groups
}

/// What the way back looks at.
fn needed(of: &Program, record: &Record) -> Record {
    let done: BTreeSet<&str> = forward(of)
        .iter()
        .flatten()
        .filter(|op| !prelude(&op.kind) && op.kind != Kind::Release)
        .filter_map(|op| record.ops.get_key_value(&op.id))
        .map(|(id, _)| id.as_str())
        .collect();
    Record {
        ops: record
            .ops
            .iter()
            .filter(|(id, _)| done.contains(id.as_str()))
            .map(|(id, op)| (id.clone(), op.clone()))
            .collect(),
        originals: record.originals.clone(),
        backups: record.backups.clone(),
        quiet_unbroken: record.quiet_unbroken,
        quiet_broken: record.quiet_broken.clone(),
        write_marks: record.write_marks.clone(),
        fingerprints: record.fingerprints.clone(),
        restore_trials: record.restore_trials.clone(),
        ..Record::default()
    }
}

/// The ops that a rollback does itself before it turns around.
fn prelude(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Foresee | Kind::Gate(Gate::Plan) | Kind::Claim | Kind::Recheck | Kind::Freeze | Kind::Inherit
    )
}

impl Program {
    /// The workloads as they are brought back: the images from before the run that is taken back; replicas and schedules
    /// as they are now, unless that run set them itself.
    pub fn inherited_originals(&self, of: &RolledBackRun, now: &[Original]) -> Vec<Original> {
        let set = |original: &Original| {
            self.forward.iter().flatten().any(|op| match &op.kind {
                Kind::Rollout(rollout) => {
                    let to = &rollout.workload;
                    let same = (to.kind, &to.namespace, &to.name)
                        == (original.kind, &original.namespace, &original.name);
                    same && rollout.replicas.is_some()
                }
                _ => false,
            })
        };
        now.iter()
            .map(|now| {
                let same = |then: &&Original| {
                    (then.kind, &then.namespace, &then.name) == (now.kind, &now.namespace, &now.name)
                };
                match of.record.originals.iter().find(same) {
                    Some(then) if set(then) => Original { uid: now.uid.clone(), ..then.clone() },
                    Some(then) => Original { images: then.images.clone(), ..now.clone() },
                    None => now.clone(),
                }
            })
            .collect()
    }

    /// The ops of the way back that the run which is taken back has made necessary: for the preview.
    pub fn foreseen(&self) -> impl Iterator<Item = &BackOp> {
        let record = self.rolls_back.as_ref().map(|of| of.record.as_ref());
        let needed =
            move |back: &&BackOp| record.is_some_and(|record| super::next::foreseen(&back.when, record));
        self.back.iter().flatten().filter(needed)
    }
}
