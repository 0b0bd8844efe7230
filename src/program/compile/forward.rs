//! The way forward, group by group, in the order in which a run meets its ops.

use super::super::{
    Action, Filling, Gate, Intent, Kind, Op, QueryCheck, RolloutOp, Seen, Step, TargetPlan, WorkloadRef,
};
use super::pending::Work;
use crate::api::target::VerificationLevel;
use crate::script::Script;
use std::collections::BTreeMap;

/// A dependent that no step rolls out has this long to become ready.
const GIVE_BACK_WITHIN: u64 = 600;

/// A database server has this long to become ready: one that was not stopped well recovers first.
const STARTS_WITHIN: u64 = 1800;

/// What the ways are built from.
pub(super) struct Parts<'a> {
    pub(super) intent: &'a Intent,
    pub(super) work: &'a Work,
    /// Targets of the run, those of checks too.
    pub(super) targets: BTreeMap<String, TargetPlan>,
    /// Targets that scripts are applied to.
    pub(super) applied: Vec<String>,
    /// Workloads that Claim takes.
    pub(super) claimed: Vec<WorkloadRef>,
    /// What the texts of each step are filled with.
    pub(super) fillings: &'a BTreeMap<String, Filling>,
    /// The values of keys before the run, by step.
    pub(super) old_flags: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(intent: &'a Intent, seen: &'a Seen, work: &'a Work) -> Self {
        let mut applied: Vec<String> = work.bundles.values().map(|pending| pending.target.clone()).collect();
        applied.sort();
        applied.dedup();
        let mut parts = Self {
            intent,
            work,
            targets: targets(intent, seen, work, &applied),
            applied,
            claimed: Vec::new(),
            fillings: &seen.variables,
            old_flags: old_flags(intent, seen),
        };
        let mut claimed = parts.dependents();
        claimed.extend(parts.steps().filter_map(rolled_out).cloned());
        claimed.extend(parts.servers().into_keys());
        parts.claimed = claimed;
        parts
    }

    /// Only a run that applies scripts needs silence: one that only rolls out scales nothing down.
    pub(super) fn dependents(&self) -> Vec<WorkloadRef> {
        if self.applied.is_empty() { Vec::new() } else { self.ordered_dependents() }
    }

    /// CronJobs first, then dependents in the reverse of the order in which they come back.
    fn ordered_dependents(&self) -> Vec<WorkloadRef> {
        let rollouts: Vec<&WorkloadRef> = self.intent.steps.iter().flatten().filter_map(rolled_out).collect();
        let mut ordered = self.intent.dependents.clone();
        ordered.sort_by_key(|of| {
            let back = rollouts.iter().position(|rolled| *rolled == of).map_or(0, |n| n + 1);
            (!of.is_cron(), std::cmp::Reverse(back))
        });
        ordered
    }

    /// The steps that are walked: pending ones, and the checks, gates and bring-backs between them.
    fn steps(&self) -> impl Iterator<Item = &'a Step> {
        self.intent.steps.iter().flatten().filter(|step| self.walks(step))
    }

    fn walks(&self, step: &Step) -> bool {
        match &step.action {
            Action::Migrate { .. } => self.work.bundles.contains_key(&step.name),
            Action::Configure { .. } => self.work.steps.contains(&step.name),
            // A dependent that was scaled down comes back at its step, whether its image differs or not.
            Action::Rollout { workload, .. } => {
                self.work.steps.contains(&step.name) || self.is_down(workload)
            }
            Action::Verify(_) | Action::Approve { .. } => true,
        }
    }

    /// Whether a workload is down when its step comes.
    pub(super) fn is_down(&self, of: &WorkloadRef) -> bool {
        !self.applied.is_empty() && self.intent.dependents.contains(of)
    }

    /// Dependents that no step rolls out.
    fn given_back(&self, cron: bool) -> Vec<WorkloadRef> {
        let rolled: Vec<&WorkloadRef> = self.steps().filter_map(rolled_out).collect();
        let back = self.dependents().into_iter().rev();
        back.filter(|of| of.is_cron() == cron && !rolled.contains(&of)).collect()
    }

    pub(super) fn forward(&self) -> Vec<Vec<Op>> {
        let mut groups = self.before();
        groups.extend(self.silence());
        let mut steps: Vec<Vec<Op>> = self
            .intent
            .steps
            .iter()
            .map(|group| group.iter().filter(|step| self.walks(step)).map(|step| self.step(step)).collect())
            .collect();
        let is_apply = |group: &Vec<Op>| group.iter().any(|op| matches!(op.kind, Kind::Apply { .. }));
        if let Some(last) = steps.iter().rposition(is_apply) {
            let back =
                self.given_back(false).into_iter().map(|of| self.give_back(of, Some(GIVE_BACK_WITHIN)));
            let between = [vec![op("mark-writes", Kind::MarkWrites)], back.collect()];
            steps.splice(last + 1..last + 1, between);
        }
        groups.extend(steps);
        groups.push(vec![op("verify-final", Kind::VerifyFinal)]);
        groups.push(self.given_back(true).into_iter().map(|of| self.give_back(of, None)).collect());
        groups.push(vec![op("release", Kind::Release)]);
        groups.retain(|group| !group.is_empty());
        groups
    }

    fn before(&self) -> Vec<Vec<Op>> {
        let checks = self.intent.preflight.iter();
        let checks = checks.map(|(name, check)| Op {
            id: format!("preflight/{name}"),
            step: Some(name.clone()),
            kind: Kind::Verify(check.clone()),
        });
        let gate = self.intent.approval.then(|| op("approval", Kind::Gate(Gate::Plan)));
        // Behind the approval: people approve by day what runs by night.
        let window = self.intent.windows.then(|| op("window", Kind::Gate(Gate::Window)));
        vec![
            checks.collect(),
            self.per_backup("trial", |target| Kind::Trial { target }),
            gate.into_iter().collect(),
            window.into_iter().collect(),
            vec![op("claim", Kind::Claim)],
            vec![op("recheck", Kind::Recheck)],
            vec![op("freeze", Kind::Freeze)],
        ]
    }

    /// Silence and the backups under it; with `when: Online` the backups come first, and nobody is down for them.
    fn silence(&self) -> Vec<Vec<Op>> {
        let (crons, others): (Vec<_>, Vec<_>) = self.dependents().into_iter().partition(WorkloadRef::is_cron);
        let quiesce = |all: Vec<WorkloadRef>| all.into_iter().map(|of| quiesce("", of)).collect();
        let verified = self.applied.iter().filter_map(|name| {
            let level = self.targets.get(name)?.verification;
            let kind = Kind::VerifyBackup { target: name.clone(), level };
            (level > VerificationLevel::None && self.targets.get(name)?.backed_up)
                .then(|| op(&format!("verify-backup/{name}"), kind))
        });
        let silence = [
            quiesce(crons),
            quiesce(others),
            self.per_target("prove-quiet", |target| Kind::ProveQuiet { target }),
        ];
        let (stops, starts) = self.server_ops();
        // A server that is back keeps nobody waiting for the proof.
        let proven = starts.into_iter().chain(verified).collect();
        let backups = [stops, self.per_backup("backup", |target| Kind::Backup { target }), proven];
        if self.intent.online {
            backups.into_iter().chain(silence).collect()
        } else {
            silence.into_iter().chain(backups).collect()
        }
    }

    /// The servers that are stopped for the backups of these targets.
    pub(super) fn servers(&self) -> BTreeMap<WorkloadRef, Vec<String>> {
        let mut servers: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for name in &self.applied {
            let server = self.targets.get(name).and_then(|target| target.offline.clone());
            if let Some(server) = server {
                servers.entry(server).or_default().push(name.clone());
            }
        }
        servers
    }

    /// The server that is stopped for the backup of a target.
    pub(super) fn server_of(&self, target: &str) -> Option<&WorkloadRef> {
        self.targets.get(target)?.offline.as_ref()
    }

    fn server_ops(&self) -> (Vec<Op>, Vec<Op>) {
        let servers = self.servers();
        let stops = servers.keys().map(|of| stop_server("", of)).collect();
        let starts = servers.iter().map(|(of, targets)| start_server("", of, targets)).collect();
        (stops, starts)
    }

    fn per_target(&self, id: &str, kind: impl Fn(String) -> Kind) -> Vec<Op> {
        self.applied.iter().map(|name| op(&format!("{id}/{name}"), kind(name.clone()))).collect()
    }

    /// As [`Self::per_target`], for those that are backed up.
    fn per_backup(&self, id: &str, kind: impl Fn(String) -> Kind) -> Vec<Op> {
        let backed_up = |name: &&String| self.targets.get(*name).is_some_and(|target| target.backed_up);
        let names = self.applied.iter().filter(backed_up);
        names.map(|name| op(&format!("{id}/{name}"), kind(name.clone()))).collect()
    }

    fn step(&self, step: &Step) -> Op {
        let (id, kind) = match &step.action {
            Action::Migrate { target, history, .. } => {
                ("apply", Kind::Apply { target: target.clone(), history: history.clone() })
            }
            Action::Rollout { workload, images, replicas, ready_within } => {
                let rollout = RolloutOp {
                    workload: workload.clone(),
                    images: images.clone(),
                    replicas: *replicas,
                    dependent: self.is_down(workload),
                    ready_within: *ready_within,
                };
                ("rollout", Kind::Rollout(rollout))
            }
            Action::Verify(check) => {
                let values = self.fillings.get(&step.name).map(|filling| filling.values.clone());
                let values = values.unwrap_or_default();
                ("verify", Kind::Verify(QueryCheck { values, ..check.clone() }))
            }
            Action::Configure { namespace, name, set } => (
                "configure",
                Kind::Configure { namespace: namespace.clone(), name: name.clone(), set: set.clone() },
            ),
            Action::Approve { message } => {
                let gate = Gate::Step { name: step.name.clone(), message: message.clone() };
                ("approve", Kind::Gate(gate))
            }
        };
        Op { id: format!("{id}/{}", step.name), step: Some(step.name.clone()), kind }
    }

    fn give_back(&self, workload: WorkloadRef, ready_within: Option<u64>) -> Op {
        op(&format!("give-back/{}", workload.slug()), Kind::GiveBack { workload, ready_within })
    }
}

/// The workload that a step rolls out.
fn rolled_out(step: &Step) -> Option<&WorkloadRef> {
    match &step.action {
        Action::Rollout { workload, .. } => Some(workload),
        _ => None,
    }
}

/// An op that no step wrote.
pub(super) fn op(id: &str, kind: Kind) -> Op {
    Op { id: id.to_owned(), step: None, kind }
}

pub(super) fn quiesce(way: &str, workload: WorkloadRef) -> Op {
    op(&format!("{way}quiesce/{}", workload.slug()), Kind::Quiesce { workload })
}

pub(super) fn stop_server(way: &str, of: &WorkloadRef) -> Op {
    op(&format!("{way}stop-server/{}", of.slug()), Kind::StopServer { workload: of.clone() })
}

pub(super) fn start_server(way: &str, of: &WorkloadRef, targets: &[String]) -> Op {
    let (workload, targets) = (of.clone(), targets.to_vec());
    let kind = Kind::StartServer { workload, targets, ready_within: STARTS_WITHIN };
    op(&format!("{way}start-server/{}", of.slug()), kind)
}

fn targets(intent: &Intent, seen: &Seen, work: &Work, applied: &[String]) -> BTreeMap<String, TargetPlan> {
    applied
        .iter()
        .filter_map(|name| {
            let look = seen.targets.get(name)?;
            let level = level(intent, look.verification, work, name);
            let plan = TargetPlan {
                lease: look.lease.clone(),
                quiet_for_ms: look.quiet_for_ms,
                bytes: look.bytes,
                verification: level,
                backed_up: look.proves > VerificationLevel::None,
                offline: look.offline.clone(),
            };
            Some((name.clone(), plan))
        })
        .collect()
}

/// The higher of target's and plan's, raised to Restored when only the backup could bring back what a script does.
pub(super) fn level(
    intent: &Intent,
    target: VerificationLevel,
    work: &Work,
    name: &str,
) -> VerificationLevel {
    let asked = intent.verification.unwrap_or(VerificationLevel::None).max(target);
    let mut scripts = work.bundles.values().filter(|p| p.target == name).flat_map(|p| &p.scripts);
    if scripts.any(needs_a_backup) { VerificationLevel::Restored } else { asked }
}

/// Whether only a backup could bring back what a script does, or what its undo takes away.
pub(super) fn needs_a_backup(script: &Script) -> bool {
    script.undo.is_none() || script.undo_loses_data() || script.is_irreversible()
}

fn old_flags(intent: &Intent, seen: &Seen) -> BTreeMap<String, BTreeMap<String, Option<String>>> {
    let steps = intent.steps.iter().flatten();
    steps
        .filter_map(|step| {
            let Action::Configure { namespace, name, set } = &step.action else { return None };
            let live = seen.flags.get(&(namespace.clone(), name.clone()));
            let old = set.keys().map(|key| (key.clone(), live.and_then(|live| live.get(key).cloned())));
            Some((step.name.clone(), old.collect()))
        })
        .collect()
}
