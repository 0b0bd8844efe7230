//! A run whose frozen program is gone. Without it nobody knows how to undo what was done, so the run is Held; but its
//! record still knows the workloads as they were, and that is enough to end it by a person's word.

use super::walk::{Walk, epoch_of};
use crate::api::plan::Failure;
use crate::api::run::{Direction, MigrationRunStatus, Original, TurnedAround};
use crate::api::target::VerificationLevel;
use crate::api::{Outcome, Time, WorkloadKind};
use crate::program::{BackOp, FORMAT, Kind, OnFailure, Op, Program, TargetPlan, When, WorkloadRef};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The code of the failure.
const RECORD_BROKEN: &str = "RecordBroken";

/// How long an old image may take to become ready again.
const READY_WITHIN: u64 = 600;

/// What gives up the claims of a run that has nothing to do any more and was not frozen: it has changed nothing.
pub(super) fn left_over(record: &MigrationRunStatus, leases: &BTreeMap<String, String>) -> Program {
    let release = Op { id: "back/release".into(), step: None, kind: Kind::Release };
    let claimed = record.ops.contains_key("claim");
    let back = if claimed { vec![vec![always(release)]] } else { Vec::new() };
    Program { back, resolve: Vec::new(), ..salvage(record, leases) }
}

/// What `resolve` and `abandon` need and the record still has: nothing is applied and nothing is undone by it.
pub(super) fn salvage(record: &MigrationRunStatus, leases: &BTreeMap<String, String>) -> Program {
    let back = record.originals.iter().map(|original| vec![always(bring_back(original))]);
    let release = Op { id: "resolve/release".into(), step: None, kind: Kind::Release };
    let plan = |lease: &String| TargetPlan {
        lease: lease.clone(),
        quiet_for_ms: 0,
        bytes: 0,
        verification: VerificationLevel::None,
        backed_up: true,
        offline: None,
    };
    Program {
        format: FORMAT,
        plan_hash: String::new(),
        intent_hash: String::new(),
        forward: Vec::new(),
        back: Vec::new(),
        resolve: back.chain([vec![always(release)]]).collect(),
        bundles: BTreeMap::new(),
        dependents: record.originals.iter().map(workload).collect(),
        workloads: record.originals.iter().map(workload).collect(),
        targets: leases.iter().map(|(target, lease)| (target.clone(), plan(lease))).collect(),
        on_failure: OnFailure::default(),
        rolls_back: None,
    }
}

fn always(op: Op) -> BackOp {
    BackOp { when: When::Always, op }
}

fn workload(original: &Original) -> WorkloadRef {
    WorkloadRef { kind: original.kind, namespace: original.namespace.clone(), name: original.name.clone() }
}

fn bring_back(original: &Original) -> Op {
    let workload = workload(original);
    let (way, kind) = if original.kind == WorkloadKind::CronJob {
        ("give-back", Kind::GiveBack { workload: workload.clone(), ready_within: None })
    } else {
        let kind = Kind::RollBack { workload: workload.clone(), dependent: true, ready_within: READY_WITHIN };
        ("rollout", kind)
    };
    Op { id: format!("resolve/{way}/{}", workload.slug()), step: None, kind }
}

impl Walk {
    /// The run can't be walked any further, in no direction.
    pub(super) fn break_off(&mut self, why: &str, now: Timestamp) {
        let status = &mut self.saved.status;
        status.failure = Some(Failure {
            class: "Held".into(),
            code: RECORD_BROKEN.into(),
            message: format!("{why}: without it nobody knows how this run goes on or back"),
            next_action:
                "put the Secret back as it was, or put data and ConfigMaps right by hand; then resolve \
                          the run, which brings the old images and replicas back"
                    .into(),
            ..Failure::default()
        });
        status.direction = Direction::Back;
        status.turned_around.get_or_insert_with(|| TurnedAround {
            op: String::new(),
            cause: RECORD_BROKEN.into(),
            at: Time(now),
        });
        debug_assert!(epoch_of(status) > 0, "the epoch is raised before anything is said");
        self.finish(Outcome::Held, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Decision, Exit, Signals, next};
    use crate::run::seam::Saved;
    use std::sync::Arc;

    fn original(kind: WorkloadKind, name: &str) -> Original {
        Original {
            kind,
            namespace: "aether".into(),
            name: name.into(),
            uid: "u".into(),
            replicas: Some(3),
            images: BTreeMap::new(),
            suspend: None,
        }
    }

    #[test]
    fn what_has_nothing_to_do_any_more_gives_up_what_it_claimed() {
        let mut record = MigrationRunStatus { direction: Direction::Back, ..MigrationRunStatus::default() };
        let cause = "Superseded".to_owned();
        let at = Time(Timestamp::UNIX_EPOCH);
        record.turned_around = Some(TurnedAround { op: String::new(), cause, at });
        let decide = |record: &MigrationRunStatus| {
            next(&left_over(record, &BTreeMap::new()), record, &Signals::default())
        };
        assert_eq!(decide(&record), Decision::Finish(Outcome::Superseded), "nothing was claimed");
        let claim = serde_json::json!({"state": "Intent", "epoch": 1, "attempt": 1});
        record.ops.insert("claim".into(), serde_json::from_value(claim).unwrap());
        assert_eq!(decide(&record), Decision::Perform(vec!["back/release".into()]));
    }

    #[test]
    fn a_person_can_still_end_it() {
        let record = MigrationRunStatus {
            epoch: 4,
            originals: vec![
                original(WorkloadKind::Deployment, "web"),
                original(WorkloadKind::CronJob, "nightly"),
            ],
            ..MigrationRunStatus::default()
        };
        let leases = BTreeMap::from([("tas".to_owned(), "wb-1".to_owned())]);
        let program = Arc::new(salvage(&record, &leases));
        let saved = Saved { version: "1".into(), status: record };
        let mut walk = Walk { program, saved, dirty: false };
        walk.break_off("Secret aether/shop-1-0-ab is missing", Timestamp::UNIX_EPOCH);
        let decide =
            |walk: &Walk, exit| next(&walk.program, walk.record(), &Signals { exit, ..Signals::default() });
        assert_eq!(decide(&walk, None), Decision::Finish(Outcome::Held));
        let first = vec!["resolve/rollout/deployment.aether.web".to_owned()];
        assert_eq!(decide(&walk, Some(Exit::Resolve)), Decision::Perform(first));
        assert_eq!(decide(&walk, Some(Exit::Abandon)), Decision::Perform(vec!["resolve/release".into()]));
        assert_eq!(
            walk.record().failure.as_ref().map(|failure| failure.message.as_str()),
            Some(
                "Secret aether/shop-1-0-ab is missing: without it nobody knows how this run goes on or back"
            )
        );
    }
}
