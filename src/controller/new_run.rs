//! A new run of a plan: whether the same has failed before, and the number that no other run ever had.

use super::operator::{FINALIZER, Operator};
use super::signals::retry;
use crate::api::run::{MigrationRunSpec, RunPlan};
use crate::api::target::DatabaseTargetStatus;
use crate::api::{MigrationPlan, MigrationRun, Outcome};
use crate::cluster::{SwapError, record};
use crate::words;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The newest run of the same intent, if it failed and nobody asked for it again. A run that was pruned is remembered by
/// the targets that it had claimed.
pub(super) fn failed_before(
    plan: &MigrationPlan,
    runs: &[MigrationRun],
    targets: &[DatabaseTargetStatus],
    intent: &str,
) -> Option<i64> {
    let same = |run: &&MigrationRun| run.spec.intent_hash == intent && !words::is_refused_rollback(run);
    let failed = match runs.iter().rev().find(same) {
        Some(last) => {
            let outcome = last.status.as_ref().and_then(|status| status.outcome);
            let failed = matches!(outcome, Some(Outcome::RolledBack | Outcome::Held | Outcome::Aborted));
            failed.then_some(last.spec.number)
        }
        None => {
            let remembered = targets.iter().flat_map(|target| &target.failed);
            let same = remembered.filter(|failed| failed.intent_hash == intent);
            same.filter_map(|failed| number_of(plan, &failed.run)).max()
        }
    };
    failed.filter(|number| retry(plan) != Some(*number))
}

/// The number of a run of this plan's name, by the run's name.
fn number_of(plan: &MigrationPlan, run: &str) -> Option<i64> {
    run.strip_prefix(plan.metadata.name.as_deref()?)?.strip_prefix('-')?.parse().ok()
}

/// What a new run is for.
pub(super) struct NewRun {
    /// Its number.
    pub(super) number: i64,
    /// Of what the plan wants.
    pub(super) intent_hash: String,
    /// The run that it takes back.
    pub(super) rolls_back: Option<i64>,
}

/// Makes it, or finds it made.
pub(super) async fn make_run(
    operator: &Operator,
    plan: &MigrationPlan,
    meant: NewRun,
) -> Result<MigrationRun, SwapError> {
    let number = meant.number;
    let name = plan.metadata.name.clone().unwrap_or_default();
    let run = MigrationRun {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{number}")),
            namespace: plan.metadata.namespace.clone(),
            finalizers: Some(vec![FINALIZER.into()]),
            ..ObjectMeta::default()
        },
        spec: MigrationRunSpec {
            plan: RunPlan {
                name,
                uid: plan.metadata.uid.clone().unwrap_or_default(),
                generation: plan.metadata.generation.unwrap_or_default(),
            },
            number,
            intent_hash: meant.intent_hash,
            rolls_back: meant.rolls_back,
            program: None,
        },
        status: None,
    };
    let same = |found: &MigrationRun| found.spec == run.spec;
    record::create(operator.own(), &run, same).await
}

/// The highest number that a run of this plan's name ever had, as far as anybody remembers: a verb that names a run
/// must never come to mean another one.
pub(super) fn highest(plan: &MigrationPlan, runs: &[MigrationRun], targets: &[DatabaseTargetStatus]) -> i64 {
    let shown = plan.status.as_ref().and_then(|status| status.run.as_ref()).map(|run| run.number);
    let failed = targets.iter().flat_map(|target| &target.failed).map(|failed| &failed.run);
    let taken = targets.iter().flat_map(|target| &target.backups).map(|backup| &backup.run);
    let remembered = failed.chain(taken).filter_map(|run| number_of(plan, run));
    runs.iter().map(|run| run.spec.number).chain(shown).chain(remembered).max().unwrap_or(0)
}
