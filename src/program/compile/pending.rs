//! What is left to do: scripts that are not in the history, images and keys that differ.

use super::super::{Action, Intent, Pending, Seen, Step, WorkloadRef};
use super::Refusal;
use crate::script::{self, Dialect, Script};
use std::collections::{BTreeMap, BTreeSet};

/// What is left to do, by step name.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// The scripts of each migrate step that has some.
    pub bundles: BTreeMap<String, Pending>,
    /// Rollout steps whose images or replicas differ, and configure steps whose values do.
    pub steps: BTreeSet<String>,
}

impl Work {
    /// Nothing is pending. Checks and approvals are never pending by themselves.
    pub(super) fn is_nothing(&self) -> bool {
        self.bundles.is_empty() && self.steps.is_empty()
    }
}

pub(super) fn pending(intent: &Intent, seen: &Seen) -> Result<Work, Vec<Refusal>> {
    let (mut work, mut refusals) = (Work::default(), Vec::new());
    for step in intent.steps.iter().flatten() {
        match scripts(step, seen, &work) {
            Ok(Some(pending)) => {
                work.bundles.insert(step.name.clone(), pending);
            }
            Ok(None) if differs(step, seen) => {
                work.steps.insert(step.name.clone());
            }
            Ok(None) => {}
            Err(mut more) => refusals.append(&mut more),
        }
    }
    if refusals.is_empty() { Ok(work) } else { Err(refusals) }
}

fn scripts(step: &Step, seen: &Seen, work: &Work) -> Result<Option<Pending>, Vec<Refusal>> {
    let Action::Migrate { target, history, policy } = &step.action else { return Ok(None) };
    let (Some(look), Some(bundle)) = (seen.targets.get(target), seen.bundles.get(&step.name)) else {
        return Ok(None);
    };
    let mut rows = look.histories.get(history).cloned().unwrap_or_default();
    // An earlier step of the same history has run when this one starts.
    let earlier = work.bundles.values().filter(|p| p.target == *target && p.history == *history);
    for script in earlier.flat_map(|pending| &pending.scripts) {
        rows.push(script::HistoryRow::of(script, rows.len() as u64 + 1));
    }
    let found = script::pending(bundle, &rows, policy)
        .map_err(|errors| errors.iter().map(|error| Refusal::order(&step.name, error)).collect::<Vec<_>>())?;
    let mut scripts: Vec<_> = found.scripts().cloned().collect();
    if let Some(filling) = seen.variables.get(&step.name) {
        scripts.iter_mut().for_each(|script| script.values.clone_from(&filling.values));
        let refusals: Vec<Refusal> = scripts.iter().flat_map(|script| unfilled(&step.name, script)).collect();
        if !refusals.is_empty() {
            return Err(refusals);
        }
    }
    Ok((!scripts.is_empty()).then(|| Pending::new(target, history, scripts, &rows)))
}

/// What in a script and its undo can't be filled.
fn unfilled(step: &str, script: &Script) -> Vec<Refusal> {
    // A search server writes no request into its log.
    let logged = script.directives.no_transaction && script.dialect != Dialect::Http;
    if logged && script.values.have_secrets() {
        return vec![Refusal::logged(step, &script.file)];
    }
    let undo = script.undo.iter().map(|undo| (&undo.file, &undo.body));
    let texts = std::iter::once((&script.file, &script.body)).chain(undo);
    texts
        .flat_map(|(file, text)| {
            script.values.check(text).into_iter().map(move |error| Refusal::unfilled(step, file, &error))
        })
        .collect()
}

fn differs(step: &Step, seen: &Seen) -> bool {
    if seen.succeeded_before {
        return false;
    }
    match &step.action {
        Action::Rollout { workload, images, replicas, .. } => {
            differs_from_live(workload, images, *replicas, seen)
        }
        Action::Configure { namespace, name, set } => {
            let live = seen.flags.get(&(namespace.clone(), name.clone()));
            set.iter().any(|(key, value)| live.and_then(|live| live.get(key)) != Some(value))
        }
        Action::Migrate { .. } | Action::Verify(_) | Action::Approve { .. } => false,
    }
}

fn differs_from_live(
    of: &WorkloadRef,
    images: &BTreeMap<String, String>,
    replicas: Option<i32>,
    seen: &Seen,
) -> bool {
    let Some(live) = seen.workloads.get(of) else { return false };
    images.iter().any(|(container, image)| live.images.get(container) != Some(image))
        || replicas.is_some_and(|replicas| replicas != live.replicas)
}
