//! What a plan may not ask for, each with where, what and how to mend it.

use super::super::{Action, Intent, Seen, Step, WorkloadRef, WorkloadSeen};
use crate::script::{Layout, OrderError, PlaceholderError};
use std::collections::BTreeSet;

/// Why a plan can't be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The reason of the condition: InvalidSpec, SourceNotReady, HistoryDrift, GuardBlocked.
    pub reason: &'static str,
    /// Where, what and how to mend it.
    pub message: String,
}

impl Refusal {
    fn invalid(message: String) -> Self {
        Self { reason: "InvalidSpec", message }
    }

    /// A text that can't be filled.
    pub(super) fn unfilled(step: &str, what: &str, error: &PlaceholderError) -> Self {
        Self::invalid(format!("step {step}: {what}: {error}"))
    }

    /// A statement that stands alone in its message can't be kept out of the server's log.
    pub(super) fn logged(step: &str, file: &str) -> Self {
        let why = "a script without a transaction takes no variable from a Secret: the server may log its statements as they are sent; move what needs the Secret into a script of its own";
        Self { reason: "NotBuilt", message: format!("step {step}: {file}: {why}") }
    }

    /// A bundle that does not fit its history.
    pub(super) fn order(step: &str, error: &OrderError) -> Self {
        let reason = match error {
            OrderError::PinnedAbsent { .. } => "SourceNotReady",
            OrderError::DuplicateRow { .. } => "HistoryDrift",
            _ => "InvalidSpec",
        };
        Self { reason, message: format!("step {step}: {error}") }
    }
}

/// Checks everything that names something else.
pub(super) fn check(intent: &Intent, seen: &Seen) -> Result<(), Vec<Refusal>> {
    let mut refusals = Vec::new();
    for step in intent.steps.iter().flatten() {
        refusals.extend(step_rules(step, seen));
    }
    for (name, check) in &intent.preflight {
        refusals.extend(known_target(name, &check.target, seen));
    }
    refusals.extend(dependents(intent, seen));
    refusals.extend(order(intent));
    refusals.extend(groups(intent));
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

fn step_rules(step: &Step, seen: &Seen) -> Vec<Refusal> {
    match &step.action {
        Action::Migrate { target, history, .. } => {
            let mut refusals: Vec<Refusal> = known_target(&step.name, target, seen).into_iter().collect();
            refusals.extend(language(&step.name, target, history, seen));
            if let Some(look) = seen.targets.get(target)
                && !look.histories.contains_key(history)
            {
                let there = look.histories.keys().cloned().collect::<Vec<_>>().join(", ");
                refusals.push(Refusal::invalid(format!(
                    "step {}: target {target} has no history {history}; it has {there}",
                    step.name
                )));
            }
            refusals
        }
        Action::Verify(check) => {
            let mut refusals: Vec<Refusal> =
                known_target(&step.name, &check.target, seen).into_iter().collect();
            let values = seen.variables.get(&step.name).map(|filling| &filling.values);
            let errors = values.into_iter().flat_map(|values| values.check(&check.statement));
            refusals
                .extend(errors.map(|error| Refusal::unfilled(&step.name, "verify.query.statement", &error)));
            refusals
        }
        Action::Rollout { workload, images, replicas, .. } => {
            rollout(step, workload, images.keys(), *replicas, seen)
        }
        Action::Configure { namespace, name, .. } => {
            let known = seen.flags.contains_key(&(namespace.clone(), name.clone()));
            let refusal =
                || Refusal::invalid(format!("step {}: ConfigMap {namespace}/{name} is not there", step.name));
            (!known).then(refusal).into_iter().collect()
        }
        Action::Approve { .. } => Vec::new(),
    }
}

/// Files in another language than the target's, or with names that its history can't hold.
fn language(step: &str, target: &str, history: &str, seen: &Seen) -> Option<Refusal> {
    let (look, bundle) = (seen.targets.get(target)?, seen.bundles.get(step)?);
    if let Some(error) = bundle.layout.in_another_language(look.speaks) {
        return Some(Refusal::invalid(format!("step {step}: {error}")));
    }
    let fits = bundle.layout == Layout::Cypher || !look.of_the_peer.contains(history);
    (!fits).then(|| {
        Refusal::invalid(format!(
            "step {step}: history {history} of target {target} is neo4j-migrations' too, which knows no files named as {}: name them V001__text.cypher, or declare a history in format Whimbrel",
            bundle.layout
        ))
    })
}

fn known_target(step: &str, target: &str, seen: &Seen) -> Option<Refusal> {
    (!seen.targets.contains_key(target)).then(|| Refusal {
        reason: "TargetNotReady",
        message: format!("step {step}: there is no DatabaseTarget {target} in the plan's namespace"),
    })
}

fn rollout<'a>(
    step: &Step,
    workload: &WorkloadRef,
    containers: impl Iterator<Item = &'a String>,
    replicas: Option<i32>,
    seen: &Seen,
) -> Vec<Refusal> {
    let name = &step.name;
    let Some(live) = seen.workloads.get(workload) else {
        return vec![Refusal::invalid(format!("step {name}: {workload} is not there"))];
    };
    let mut refusals: Vec<Refusal> = controlled(&format!("step {name}"), live).into_iter().collect();
    for container in containers.filter(|container| !live.images.contains_key(*container)) {
        let there = live.images.keys().cloned().collect::<Vec<_>>().join(", ");
        refusals.push(Refusal::invalid(format!(
            "step {name}: {workload} has no container {container}; it has {there}"
        )));
    }
    if replicas.is_some() && live.hpa_min.is_some() {
        refusals.push(Refusal::invalid(format!(
            "step {name}: {workload} has a HorizontalPodAutoscaler, which owns its replicas; remove replicas from the step"
        )));
    }
    if let Some((target, _)) = seen.targets.iter().find(|(_, look)| look.server.as_ref() == Some(workload)) {
        refusals.push(Refusal {
            reason: "NotBuilt",
            message: format!(
                "step {name}: {workload} serves target {target}; rolling a database server out is not built yet"
            ),
        });
    }
    refusals
}

/// What another controller owns comes back to what that one wants, in the middle of a run.
pub(super) fn controlled(place: &str, live: &WorkloadSeen) -> Option<Refusal> {
    let owner = live.controlled_by.as_ref()?;
    let of = &live.of;
    let message = format!(
        "{place}: {of} belongs to {owner}, whose controller would undo every change of it; have that controller scale it and roll it out, and take it out of the plan"
    );
    Some(Refusal { reason: "GuardBlocked", message })
}

/// Scaling to zero may not be what deletes data.
pub(super) fn deletes_volumes(place: &str, live: &WorkloadSeen) -> Option<Refusal> {
    let message = || {
        format!(
            "{place}: {} has persistentVolumeClaimRetentionPolicy.whenScaled: Delete, so scaling it to zero would delete its volumes; set it to Retain",
            live.of
        )
    };
    live.deletes_volumes.then(|| Refusal { reason: "GuardBlocked", message: message() })
}

fn dependents(intent: &Intent, seen: &Seen) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut once = BTreeSet::new();
    for of in &intent.dependents {
        if !once.insert(of) {
            refusals.push(Refusal::invalid(format!("dependents: {of} is named twice")));
        }
        let Some(live) = seen.workloads.get(of) else {
            refusals.push(Refusal::invalid(format!("dependents: {of} is not there")));
            continue;
        };
        refusals.extend(controlled("dependents", live));
        refusals.extend(deletes_volumes("dependents", live));
        if live.hpa_min == Some(0) {
            refusals.push(Refusal {
                reason: "GuardBlocked",
                message: format!(
                    "dependents: {of} has a HorizontalPodAutoscaler with minReplicas: 0, which may bring it up while it must be silent; set minReplicas to 1 or more"
                ),
            });
        }
        if let Some((target, _)) = seen.targets.iter().find(|(_, look)| look.server.as_ref() == Some(of)) {
            refusals.push(Refusal::invalid(format!(
                "dependents: {of} serves target {target}; a database must run while it is migrated"
            )));
        }
    }
    refusals
}

/// A dependent that comes back before the last script would be a writer under it.
fn order(intent: &Intent) -> Vec<Refusal> {
    let steps: Vec<&Step> = intent.steps.iter().flatten().collect();
    let last = steps.iter().rposition(|step| matches!(step.action, Action::Migrate { .. }));
    let Some(last) = last else { return Vec::new() };
    let early = steps[..last].iter().filter_map(|step| match &step.action {
        Action::Rollout { workload, .. } if intent.dependents.contains(workload) => Some((step, workload)),
        _ => None,
    });
    early
        .map(|(step, workload)| {
            Refusal::invalid(format!(
                "step {} rolls out {workload}, a dependent, before step {} migrates: move it behind, or take it out of dependents",
                step.name, steps[last].name
            ))
        })
        .collect()
}

/// A dependent that comes back beside a script is one that comes back before its end.
fn beside(group: &[Step], intent: &Intent) -> Vec<Refusal> {
    let migrates = group.iter().find(|step| matches!(step.action, Action::Migrate { .. }));
    let Some(migrates) = migrates else { return Vec::new() };
    let up = group.iter().filter_map(|step| Some((step, rolled(step)?)));
    up.filter(|(_, workload)| intent.dependents.contains(workload))
        .map(|(step, workload)| {
            Refusal::invalid(format!(
                "step {} rolls out {workload}, a dependent, side by side with step {}, which migrates: take it out of the group and move it behind, or take it out of dependents",
                step.name, migrates.name
            ))
        })
        .collect()
}

/// Steps of one group run side by side, so they must not meet.
fn groups(intent: &Intent) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for group in &intent.steps {
        refusals.extend(beside(group, intent));
        let mut once = BTreeSet::new();
        for step in group {
            let what = match &step.action {
                Action::Migrate { target, .. } => format!("target {target}"),
                Action::Rollout { workload, .. } => workload.to_string(),
                Action::Configure { namespace, name, .. } => format!("ConfigMap {namespace}/{name}"),
                Action::Verify(_) | Action::Approve { .. } => continue,
            };
            if !once.insert(what.clone()) {
                refusals.push(Refusal::invalid(format!(
                    "step {}: another step of its group also changes {what}; steps of a group run side by side",
                    step.name
                )));
            }
        }
    }
    let rolled: Vec<&WorkloadRef> = intent.steps.iter().flatten().filter_map(rolled).collect();
    for (n, of) in rolled.iter().enumerate() {
        if rolled[..n].contains(of) {
            refusals.push(Refusal::invalid(format!(
                "{of} is rolled out by two steps; its way back would be ambiguous"
            )));
        }
    }
    refusals
}

fn rolled(step: &Step) -> Option<&WorkloadRef> {
    match &step.action {
        Action::Rollout { workload, .. } => Some(workload),
        _ => None,
    }
}
