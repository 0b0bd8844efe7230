//! A run to look at in tests: two dependents and a CronJob, one script, one rollout, one check.

use super::{PlanFacts, RunFacts};
use crate::api::plan::Failure;
use crate::api::run::{
    AcceptedVerb, ApprovalRecord, BackupRecord, Direction, MigrationRunStatus, OpRecord, OpState,
    TurnedAround,
};
use crate::api::target::VerificationLevel;
use crate::api::{Outcome, Stage, Time, WorkloadKind};
use crate::check::Expect;
use crate::engine::BlockedBy;
use crate::program::next::holds;
use crate::program::{
    BackOp, FORMAT, Gate, Kind, OnFailure, Op, Program, QueryCheck, RolloutOp, When, WorkloadRef,
};
use crate::run::{Doing, Report, Waiting};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn at(time: &str) -> Timestamp {
    format!("2026-11-20T{time}Z").parse().unwrap()
}

pub(super) fn plan() -> PlanFacts {
    let steps = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    PlanFacts {
        namespace: "aether".into(),
        name: "platform".into(),
        generation: 4,
        version: Some("2026.11.0".into()),
        stages: vec![
            (Stage::Data, steps(&["entities", "users"])),
            (Stage::Services, steps(&["backend", "flags", "login", "go-live"])),
        ],
        queue: None,
    }
}

pub(super) fn run() -> RunFacts {
    RunFacts {
        name: "platform-3".into(),
        number: 3,
        plan_generation: 4,
        generation: 2,
        intent_hash: "sha256:1d".into(),
    }
}

fn workload(kind: WorkloadKind, name: &str) -> WorkloadRef {
    WorkloadRef { kind, namespace: "aether".into(), name: name.into() }
}

fn op(id: &str, step: Option<&str>, kind: Kind) -> Op {
    Op { id: id.into(), step: step.map(str::to_owned), kind }
}

fn program() -> Program {
    let backend = || workload(WorkloadKind::Deployment, "backend");
    let worker = || workload(WorkloadKind::Deployment, "worker");
    let nightly = || workload(WorkloadKind::CronJob, "nightly");
    let target = || "tas".to_owned();
    let quiesce = |way: &str, of: WorkloadRef| {
        op(&format!("{way}quiesce/{}", of.name), None, Kind::Quiesce { workload: of })
    };
    let give_back = |way: &str, of: WorkloadRef| {
        let id = format!("{way}give-back/{}", of.name);
        op(&id, None, Kind::GiveBack { workload: of, ready_within: Some(600) })
    };
    let check = QueryCheck {
        target: target(),
        statement: "select 1".into(),
        expect: Expect::Equals("1".into()),
        values: Default::default(),
    };
    let rollout = RolloutOp {
        workload: backend(),
        images: BTreeMap::from([("backend".into(), "backend:2".into())]),
        replicas: None,
        dependent: true,
        ready_within: 300,
    };
    let gate = Gate::Step { name: "go-live".into(), message: "Logged in by hand and it works?".into() };
    let set = BTreeMap::from([("new".to_owned(), "true".to_owned())]);
    let configure = Kind::Configure { namespace: "aether".into(), name: "flags".into(), set };
    let apply = Kind::Apply { target: target(), history: "default".into() };
    let forward = vec![
        vec![op("trial/tas", None, Kind::Trial { target: target() })],
        vec![op("gate", None, Kind::Gate(Gate::Plan))],
        vec![op("claim", None, Kind::Claim)],
        vec![op("recheck", None, Kind::Recheck)],
        vec![op("freeze", None, Kind::Freeze)],
        vec![quiesce("", nightly())],
        vec![quiesce("", worker()), quiesce("", backend())],
        vec![op("prove-quiet/tas", None, Kind::ProveQuiet { target: target() })],
        vec![op("backup/tas", None, Kind::Backup { target: target() })],
        vec![op(
            "verify-backup/tas",
            None,
            Kind::VerifyBackup { target: target(), level: VerificationLevel::Restored },
        )],
        vec![op("apply/entities", Some("entities"), apply)],
        vec![op("mark-writes", None, Kind::MarkWrites)],
        vec![give_back("", worker())],
        vec![op("rollout/backend", Some("backend"), Kind::Rollout(rollout))],
        vec![op("configure/flags", Some("flags"), configure)],
        vec![op("verify/login", Some("login"), Kind::Verify(check))],
        vec![op("gate/go-live", Some("go-live"), Kind::Gate(gate))],
        vec![op("verify-final", None, Kind::VerifyFinal)],
        vec![give_back("", nightly())],
        vec![op("release", None, Kind::Release)],
    ];
    let any = |ids: &[&str], op: Op| BackOp {
        when: When::Any(ids.iter().map(|id| (*id).to_owned()).collect()),
        op,
    };
    let undo = Kind::Undo { target: target(), history: "default".into() };
    let roll_back = Kind::RollBack { workload: backend(), dependent: true, ready_within: 600 };
    let old = BTreeMap::from([("new".to_owned(), Some("false".to_owned()))]);
    let deconfigure = Kind::Deconfigure { namespace: "aether".into(), name: "flags".into(), old };
    let back = vec![
        vec![any(&["apply/entities"], quiesce("back/", backend()))],
        vec![any(&["apply/entities"], op("back/weigh", None, Kind::Weigh))],
        vec![any(&["apply/entities"], op("back/undo/entities", Some("entities"), undo))],
        vec![any(
            &["apply/entities"],
            op("back/verify-undone/tas", None, Kind::VerifyUndone { target: target() }),
        )],
        vec![any(&["configure/flags"], op("back/configure/flags", Some("flags"), deconfigure))],
        vec![any(&["rollout/backend"], op("back/rollout/backend", Some("backend"), roll_back))],
        vec![
            any(&["quiesce/backend"], give_back("back/", backend())),
            any(&["quiesce/worker"], give_back("back/", worker())),
        ],
        vec![any(&["quiesce/nightly"], give_back("back/", nightly()))],
        vec![any(&["claim"], op("back/release", None, Kind::Release))],
    ];
    Program {
        format: FORMAT,
        plan_hash: "sha256:ab12".into(),
        intent_hash: "sha256:1d".into(),
        forward,
        back,
        resolve: Vec::new(),
        bundles: BTreeMap::new(),
        dependents: vec![nightly(), worker(), backend()],
        workloads: vec![nightly(), backend(), worker()],
        targets: BTreeMap::new(),
        on_failure: OnFailure::default(),
        rolls_back: None,
    }
}

/// A report that grows by what happens.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) report: Report,
}

impl Story {
    pub(super) fn new() -> Self {
        let record =
            MigrationRunStatus { epoch: 1, started_at: Some(Time(at("02:10:00"))), ..Default::default() };
        let program = Some(Arc::new(program()));
        Self { report: Report { record, program, doing: BTreeMap::new(), waiting: None, over_budget: false } }
    }

    /// Every op of the way forward before this one is done.
    pub(super) fn up_to(mut self, id: &str) -> Self {
        let program = self.report.program.clone().unwrap();
        let ids: Vec<String> = program.forward.iter().flatten().map(|op| op.id.clone()).collect();
        assert!(ids.iter().any(|known| known == id), "no op {id}");
        for done in ids.iter().take_while(|done| *done != id) {
            self = self.op(done, OpState::Done);
        }
        if ids.iter().take_while(|done| *done != id).any(|done| done.starts_with("quiesce")) {
            self.report.record.down_from = Some(Time(at("02:12:00")));
        }
        self
    }

    pub(super) fn op(mut self, id: &str, state: OpState) -> Self {
        let record = OpRecord {
            state,
            epoch: 1,
            attempt: 1,
            started_at: Some(Time(at("02:13:00"))),
            finished_at: (state != OpState::Intent).then(|| Time(at("02:13:30"))),
            untouched: None,
            code: None,
            note: None,
        };
        self.report.record.ops.insert(id.to_owned(), record);
        self.report.doing.remove(id);
        self
    }

    pub(super) fn at_work(self, id: &str) -> Self {
        self.op(id, OpState::Intent)
    }

    pub(super) fn doing(mut self, id: &str, progress: (usize, usize), detail: &str) -> Self {
        let doing =
            Doing { progress: Some(progress), detail: Some(detail.into()), ..Doing::since(at("02:14:00")) };
        self.report.doing.insert(id.into(), doing);
        self
    }

    pub(super) fn blocked(mut self, id: &str, blocked: BlockedBy) -> Self {
        let doing = Doing { blocked: Some(blocked), ..Doing::since(at("02:14:05")) };
        self.report.doing.insert(id.into(), doing);
        self
    }

    pub(super) fn asks(self, id: &str, why: &str) -> Self {
        let what = format!("a person, since the check can't be evaluated: {why}");
        let mut asked = self.blocked(id, BlockedBy { what, since: None, sql: None, pid: None });
        asked.report.doing.values_mut().for_each(|doing| doing.asks = true);
        asked
    }

    pub(super) fn waits(mut self, waiting: Waiting) -> Self {
        self.report.waiting = Some(waiting);
        self
    }

    pub(super) fn failed(mut self, id: &str, failure: Failure) -> Self {
        self = self.op(id, OpState::Failed);
        let op = self.report.record.ops.get_mut(id).unwrap();
        op.code = Some(failure.code.clone());
        op.note = Some(failure.message.clone());
        self.report.record.failure = Some(failure);
        self
    }

    pub(super) fn turned(mut self, cause: &str, id: &str) -> Self {
        self.report.record.direction = Direction::Back;
        let at = Time(at("02:15:00"));
        self.report.record.turned_around = Some(TurnedAround { op: id.into(), cause: cause.into(), at });
        self
    }

    /// Every op of the way back before this one that is needed is done.
    pub(super) fn back_to(mut self, id: &str) -> Self {
        let program = self.report.program.clone().unwrap();
        for back in program.back.iter().flatten().take_while(|back| back.op.id != id) {
            if holds(&back.when, &self.report.record) {
                self = self.op(&back.op.id, OpState::Done);
            }
        }
        self
    }

    pub(super) fn ended(mut self, outcome: Outcome) -> Self {
        self.report.record.outcome = Some(outcome);
        self.report.record.finished_at = Some(Time(at("02:20:00")));
        self.report.record.down_to = self.report.record.down_from.as_ref().map(|_| Time(at("02:16:31")));
        self.report.doing.clear();
        self
    }

    pub(super) fn verb(mut self, verb: &str, by: &str) -> Self {
        self.report.record.verbs.push(AcceptedVerb {
            verb: verb.into(),
            value: format!("3 by {by}"),
            by: by.into(),
            verified: true,
            at: Time(at("02:15:00")),
        });
        self
    }

    pub(super) fn approved(mut self, what: &str, hash: &str, verified: bool) -> Self {
        self.report.record.approvals.push(ApprovalRecord {
            what: what.into(),
            plan_hash: hash.into(),
            by: "jane".into(),
            verified,
            at: Time(at("02:11:00")),
        });
        self
    }

    pub(super) fn backed_up(mut self, level: VerificationLevel) -> Self {
        self.report.record.backups.push(BackupRecord {
            target: "tas".into(),
            path: "aether/tas/3-1".into(),
            at: Time(at("02:12:40")),
            level,
            bytes: 1_234_567,
            sha256: "00".into(),
        });
        self
    }
}

pub(super) fn failure(step: &str, code: &str, message: &str) -> Failure {
    Failure { step: step.into(), code: code.into(), message: message.into(), ..Failure::default() }
}

pub(super) fn lock() -> BlockedBy {
    BlockedBy { what: "lock held by pid 412 (app=billing)".into(), since: None, sql: None, pid: Some(412) }
}

/// A script that fails half way through a run, before the way back begins.
pub(super) fn broken_script() -> Story {
    let mut broken = failure(
        "entities",
        "42P07",
        "V7__orders.sql:3:5 (statement 2): relation \"orders\" already exists (42P07)",
    );
    broken.next_action = "mend the script, or its data, then apply again".into();
    Story::new()
        .up_to("apply/entities")
        .failed("apply/entities", broken)
        .turned("StepFailed", "apply/entities")
}

/// The new images wrote, then a check failed: the undo would drop what they wrote.
pub(super) fn data_loss() -> Story {
    Story::new()
        .up_to("verify/login")
        .failed("verify/login", failure("login", "StepFailed", "the answer is 0, expected 1"))
        .turned("StepFailed", "verify/login")
        .back_to("back/weigh")
        .failed(
            "back/weigh",
            failure(
                "",
                "DataLoss",
                "somebody wrote after the first workload was given back, and the undo of V7__orders.sql would drop what was written",
            ),
        )
        .backed_up(VerificationLevel::Restored)
        .ended(Outcome::Held)
}
