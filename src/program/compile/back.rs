//! The way back, compiled with the way forward: quiesce again, prove quiet, weigh, undo in reverse or restore, verify,
//! configuration and images back, give back, release. Each op is needed only when what it takes back may be there.

use super::super::{BackOp, Kind, Op, OpId, When, WorkloadRef};
use super::forward::{Parts, op, quiesce, start_server, stop_server};
use crate::api::run::WayBack;

/// How long an old image may take to become ready again, when its step does not say.
const BACK_WITHIN: u64 = 600;

/// The way back, and the way that a person's `resolve` walks after Held.
pub(super) fn ways(parts: &Parts<'_>, forward: &[Vec<Op>]) -> (Vec<Vec<BackOp>>, Vec<Vec<BackOp>>) {
    let ops: Vec<&Op> = forward.iter().flatten().collect();
    let mut back = data_back(parts, &ops);
    back.extend(platform_back(parts, &ops, "back/"));
    let mut resolve = vec![servers_back(parts, "resolve/")];
    resolve.extend(platform_back(parts, &ops, "resolve/"));
    (trim(back), trim(resolve))
}

/// What nothing can make necessary is no part of the way: a run that takes no backup has no Jobs to end.
fn trim(mut groups: Vec<Vec<BackOp>>) -> Vec<Vec<BackOp>> {
    let never = |back: &BackOp| matches!(&back.when, When::Any(causes) if causes.is_empty());
    groups.iter_mut().for_each(|group| group.retain(|back| !never(back)));
    groups.retain(|group| !group.is_empty());
    groups
}

/// Schema and data, as far as scripts changed them.
fn data_back(parts: &Parts<'_>, ops: &[&Op]) -> Vec<Vec<BackOp>> {
    let jobs = ids(ops, |kind| matches!(kind, Kind::Backup { .. } | Kind::VerifyBackup { .. }));
    let applies = ids(ops, |kind| matches!(kind, Kind::Apply { .. }));
    let applied_to = |target: &str| ids(ops, |k| matches!(k, Kind::Apply { target: t, .. } if t == target));
    let (crons, others): (Vec<_>, Vec<_>) = parts.dependents().into_iter().partition(WorkloadRef::is_cron);
    let again = |all: Vec<WorkloadRef>| {
        all.into_iter().map(|of| needed(&applies, quiesce("back/", of))).collect::<Vec<_>>()
    };
    let per_target = |id: &str, kind: fn(String) -> Kind| {
        let targets = parts.applied.iter();
        targets
            .map(|t| needed(&applied_to(t), op(&format!("back/{id}/{t}"), kind(t.clone()))))
            .collect::<Vec<_>>()
    };
    let mut groups = vec![
        vec![needed(&jobs, op("back/end-jobs", Kind::EndJobs))],
        servers_back(parts, "back/"),
        again(crons),
        again(others),
        per_target("prove-quiet", |target| Kind::ProveQuiet { target }),
        vec![needed(&applies, op("back/weigh", Kind::Weigh))],
    ];
    if parts.intent.on_failure.may_undo() {
        groups.extend(ops.iter().rev().filter_map(|forward| undo(forward)).map(|undo| vec![undo]));
    }
    if parts.intent.on_failure.may_restore() {
        let offline = |target: &&String| parts.server_of(target).is_some();
        let (stopped, running): (Vec<_>, Vec<_>) = parts.applied.iter().partition(offline);
        groups.push(running.into_iter().map(|target| restore(target, applied_to(target))).collect());
        // One after the other: two databases may share a server.
        for target in stopped {
            groups.extend(restore_offline(parts, target, &applied_to(target)));
        }
    }
    groups.push(per_target("verify-undone", |target| Kind::VerifyUndone { target }));
    groups
}

fn undo(forward: &Op) -> Option<BackOp> {
    let Kind::Apply { target, history } = &forward.kind else { return None };
    let step = forward.step.clone();
    let id = format!("back/undo/{}", step.as_deref().unwrap_or_default());
    let kind = Kind::Undo { target: target.clone(), history: history.clone() };
    let when = When::Way { target: target.clone(), way: WayBack::Undo, any: vec![forward.id.clone()] };
    Some(BackOp { when, op: Op { id, step, kind } })
}

fn restore(target: &str, applied: Vec<OpId>) -> BackOp {
    let when = When::Way { target: target.to_owned(), way: WayBack::Restore, any: applied };
    BackOp { when, op: op(&format!("back/restore/{target}"), Kind::Restore { target: target.to_owned() }) }
}

/// The same with the server stopped, which reads the files that it finds when it starts.
fn restore_offline(parts: &Parts<'_>, target: &str, applied: &[OpId]) -> Vec<Vec<BackOp>> {
    let Some(server) = parts.server_of(target) else { return Vec::new() };
    let way = format!("back/restore/{target}/");
    let restore = op(&format!("back/restore/{target}"), Kind::Restore { target: target.to_owned() });
    let ops = [
        stop_server(&way, server),
        restore,
        start_server(&way, server, std::slice::from_ref(&target.to_owned())),
    ];
    let needed = |op| {
        let when = When::Way { target: target.to_owned(), way: WayBack::Restore, any: applied.to_vec() };
        vec![BackOp { when, op }]
    };
    ops.map(needed).into()
}

/// Servers that were stopped, for a backup or a restore, run again.
fn servers_back(parts: &Parts<'_>, way: &str) -> Vec<BackOp> {
    let servers = parts.servers().into_iter();
    servers
        .map(|(of, targets)| {
            let restores =
                targets.iter().map(|target| stop_server(&format!("back/restore/{target}/"), &of).id);
            let stops: Vec<OpId> = std::iter::once(stop_server("", &of).id).chain(restores).collect();
            needed(&stops, start_server(way, &of, &targets))
        })
        .collect()
}

/// Configuration, images, replicas, schedules, claims.
fn platform_back(parts: &Parts<'_>, ops: &[&Op], way: &str) -> Vec<Vec<BackOp>> {
    let mut groups: Vec<Vec<BackOp>> = Vec::new();
    for forward in ops.iter().rev() {
        groups.extend(deconfigure(parts, forward, way).map(|back| vec![back]));
    }
    let rolled = ops.iter().rev().filter_map(|forward| roll_back(parts, forward, way));
    groups.push(rolled.collect());
    let (crons, others): (Vec<_>, Vec<_>) =
        parts.dependents().into_iter().rev().partition(WorkloadRef::is_cron);
    if parts.intent.on_failure.give_back {
        for group in [others, crons] {
            groups.push(group.into_iter().map(|of| give_back(of, way)).collect());
        }
    }
    let claims = ids(ops, |kind| *kind == Kind::Claim);
    groups.push(vec![needed(&claims, op(&format!("{way}release"), Kind::Release))]);
    groups
}

fn deconfigure(parts: &Parts<'_>, forward: &Op, way: &str) -> Option<BackOp> {
    let Kind::Configure { namespace, name, .. } = &forward.kind else { return None };
    let step = forward.step.clone()?;
    let old = parts.old_flags.get(&step)?.clone();
    let kind = Kind::Deconfigure { namespace: namespace.clone(), name: name.clone(), old };
    let op = Op { id: format!("{way}configure/{step}"), step: Some(step), kind };
    Some(BackOp { when: When::Any(vec![forward.id.clone()]), op })
}

fn roll_back(parts: &Parts<'_>, forward: &Op, way: &str) -> Option<BackOp> {
    let Kind::Rollout(rollout) = &forward.kind else { return None };
    let kind = Kind::RollBack {
        workload: rollout.workload.clone(),
        dependent: parts.is_down(&rollout.workload),
        ready_within: rollout.ready_within.max(BACK_WITHIN),
    };
    let step = forward.step.clone();
    let id = format!("{way}rollout/{}", step.as_deref().unwrap_or_default());
    Some(BackOp { when: When::Any(vec![forward.id.clone()]), op: Op { id, step, kind } })
}

/// Needed when the dependent was taken down, on the way forward or again on the way back.
fn give_back(of: WorkloadRef, way: &str) -> BackOp {
    let down = vec![quiesce("", of.clone()).id, quiesce("back/", of.clone()).id];
    let id = format!("{way}give-back/{}", of.slug());
    BackOp { when: When::Any(down), op: op(&id, Kind::GiveBack { workload: of, ready_within: None }) }
}

fn ids(ops: &[&Op], of: impl Fn(&Kind) -> bool) -> Vec<OpId> {
    ops.iter().filter(|op| of(&op.kind)).map(|op| op.id.clone()).collect()
}

fn needed(when: &[OpId], op: Op) -> BackOp {
    BackOp { when: When::Any(when.to_vec()), op }
}
