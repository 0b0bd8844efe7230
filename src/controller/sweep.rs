//! The sweeper: what runs leave behind that are over, and nothing that a live one holds.
//!
//! A claim has no expiry: its run gives it up, or nobody does. When a run's record is gone for good (somebody removed its
//! finalizer, a namespace went), its claims would keep others out for ever. They are given up here, but only by proof:
//! the claim is read first and then all runs, live, so that a run that could have taken it is in the list; what is freed
//! is freed under its lock and its version, as its own driver would.

use super::looking;
use super::operator::Operator;
use super::targets::OpenTarget;
use crate::api::run::Watermark;
use crate::api::{DatabaseTarget, MigrationPlan, MigrationRun, Outcome, Time};
use crate::cluster::{
    Acting, Holder, ReadError, SwapError, WriteError, get_if_there, lease, list_all, record,
};
use crate::engine::{Claim, ClaimSeen, Engine, EngineError, Fence, Session};
use crate::words::{BACKUPS_KEPT, FAILED_KEPT, is_live, is_refused_rollback, no_rollback, touches};
use crate::workload::{self as hands, WorkloadKey};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often the sweeper looks by itself.
pub(super) const EVERY: Duration = Duration::from_secs(600);

/// How long the runs of a deleted plan stay, for whoever asks the next morning what happened.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Why something could not be swept.
#[derive(Debug, thiserror::Error)]
pub(super) enum SweepError {
    /// The cluster could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The cluster could not be written.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The cluster could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The target could not be entered.
    #[error(transparent)]
    Engine(Box<EngineError>),
}

impl From<EngineError> for SweepError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// The live run behind a claim, by what stands in a Lease or on a workload. None: it is over, or gone.
pub(super) fn holds<'r>(holder: &Holder, runs: &'r [MigrationRun]) -> Option<&'r MigrationRun> {
    let same = |run: &&MigrationRun| {
        run.spec.plan.uid == holder.plan_uid && run.spec.number.unsigned_abs() == holder.run
    };
    runs.iter().filter(same).find(|run| is_live(run))
}

/// Whether the claim in a target's fence row is of a run that is over or gone. Another cluster's runs are not in our
/// list, nor are those of namespaces that another operator watches: of them nothing can be proven.
fn fence_is_left(operator: &Operator, claim: &ClaimSeen, runs: &[MigrationRun]) -> bool {
    let namespace = claim.plan.split('/').next().unwrap_or_default();
    claim.cluster == operator.cluster
        && watches(&operator.namespaces, namespace)
        && !runs.iter().filter(|run| run.metadata.uid.as_ref() == Some(&claim.run_uid)).any(is_live)
}

/// Whether all runs of a namespace are in our list.
fn watches(namespaces: &[String], namespace: &str) -> bool {
    namespaces.is_empty() || namespaces.iter().any(|watched| watched == namespace)
}

/// Whether a claim on a workload is of a run that is over or gone. It names no namespace: unless all are watched, only a
/// plan that has runs in our list is surely ours.
fn claim_is_left(namespaces: &[String], holder: &Holder, runs: &[MigrationRun]) -> bool {
    let ours = namespaces.is_empty() || runs.iter().any(|run| run.spec.plan.uid == holder.plan_uid);
    ours && holds(holder, runs).is_none()
}

/// The same, where most holders are live: their targets are not connected to.
pub(super) async fn free_if_over(operator: &Operator, target: &OpenTarget) -> Result<(), SweepError> {
    free(operator, target).await.map(drop)
}

/// Frees a target whose holder is over or gone. True: nobody of this cluster holds it now.
///
/// # Errors
/// What keeps it from being proven or freed; then everything stays as it is.
pub(super) async fn free(operator: &Operator, target: &OpenTarget) -> Result<bool, SweepError> {
    let Some(key) = looking::known_key(target) else { return Ok(true) };
    let found = lease::look(operator.own(), &operator.namespace, &key).await?;
    // Read after the claim: who could have taken it is in here.
    let runs: Vec<MigrationRun> = operator.all_runs().await?;
    let holder = match &found.holder {
        None => None,
        Some(text) => match text.parse::<Holder>() {
            Ok(holder) if holds(&holder, &runs).is_none() => Some(holder),
            // Live, or nothing that we can read: not ours to free.
            _ => return Ok(false),
        },
    };
    if let Some(claim) = target.engine.look().await?.claim {
        if !fence_is_left(operator, &claim, &runs) {
            return Ok(false);
        }
        give_up_fence(target, &claim, found.token).await?;
        tracing::warn!(
            plan = claim.plan,
            run = claim.run,
            lease = key.name,
            "freed the fence row of a run that is over"
        );
    }
    if let Some(holder) = holder {
        lease::release(operator.own(), &operator.namespace, &key, &holder).await?;
        tracing::warn!(%holder, lease = key.name, "freed the Lease of a run that is over");
    }
    Ok(true)
}

/// Enters as the run that is over and gives its claim up: its own lock, its own row, and a token that is not lower.
async fn give_up_fence(target: &OpenTarget, claim: &ClaimSeen, token: u64) -> Result<(), SweepError> {
    let metadata = &target.object.metadata;
    let fence = Fence {
        target: format!(
            "{}/{}",
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default()
        ),
        run_uid: claim.run_uid.clone(),
        run: claim.run,
        plan: claim.plan.clone(),
        cluster: claim.cluster.clone(),
        token: claim.token.max(token),
    };
    let session = target.engine.enter(&fence).await?;
    Ok(session.leave(Claim::GiveUp).await?)
}

/// Takes the marks of a run that is over off a workload, as the account of the plan that needs it. What can't be proven
/// or done now is named when the next run claims it.
pub(super) async fn free_workload(operator: &Operator, acting: &Acting, key: &WorkloadKey, claim: &str) {
    let Ok(holder) = claim.parse::<Holder>() else { return };
    // Read after the claim: who could have taken it is in here.
    match operator.all_runs().await {
        Ok(runs) if claim_is_left(&operator.namespaces, &holder, &runs) => {
            match hands::forget(acting, key, &holder).await {
                Ok(()) => tracing::warn!(workload = %key, %holder, "freed a workload of a run that is over"),
                Err(error) => {
                    tracing::warn!(workload = %key, %error, "a claim that is over could not be freed")
                }
            }
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(workload = %key, %error, "whether its claim is over can't be told"),
    }
}

/// The ended runs of a plan that may go: all but the last `limit`, never a live one, never one whose word its targets
/// have not taken over yet. `runs` are oldest first.
pub(super) fn prunable<'r>(
    limit: usize,
    runs: &'r [MigrationRun],
    targets: &[DatabaseTarget],
) -> Vec<&'r MigrationRun> {
    old(limit, runs).filter(|run| is_projected(run, runs, targets)).collect()
}

/// The ended runs before the last `limit`.
fn old(limit: usize, runs: &[MigrationRun]) -> impl Iterator<Item = &MigrationRun> {
    let over = runs.len().saturating_sub(limit);
    runs.iter().take(over).filter(|run| !is_live(run) && run.metadata.deletion_timestamp.is_none())
}

/// Whether the targets that the run touched know of it what must outlive it.
fn is_projected(run: &MigrationRun, runs: &[MigrationRun], targets: &[DatabaseTarget]) -> bool {
    let Some(said) = &run.status else { return true };
    let name = |target: &DatabaseTarget| target.metadata.name.clone().unwrap_or_default();
    targets.iter().filter(|target| touches(run, &name(target))).all(|target| {
        let name = name(target);
        let known = target.status.clone().unwrap_or_default();
        let mut backups = said.backups.iter().filter(|backup| backup.target == name);
        let backups = known.backups.len() >= BACKUPS_KEPT
            || backups.all(|backup| {
                known.backups.iter().any(|it| it.path == backup.path)
                    || known.deleted.iter().any(|it| it.what == backup.path && it.id == backup.sha256)
            });
        let failed = known.failed.len() >= FAILED_KEPT
            || !is_last_word(run, runs)
            || known.failed.iter().any(|it| it.intent_hash == run.spec.intent_hash);
        let mut marks = said.watermarks.iter().filter(|mark| mark.target == name);
        let reached = |mark: &Watermark| {
            known.histories.iter().any(|it| it.name == mark.history && it.count >= mark.count)
        };
        let extended = said.outcome != Some(Outcome::Succeeded) || marks.all(reached);
        backups && failed && extended
    })
}

/// Whether the run failed, and no later one meant the same.
fn is_last_word(run: &MigrationRun, runs: &[MigrationRun]) -> bool {
    let outcome = run.status.as_ref().and_then(|status| status.outcome);
    let later = |other: &&MigrationRun| {
        other.spec.number > run.spec.number && other.spec.intent_hash == run.spec.intent_hash
    };
    matches!(outcome, Some(Outcome::RolledBack | Outcome::Held | Outcome::Aborted))
        && !is_refused_rollback(run)
        && runs.iter().find(later).is_none()
}

/// Prunes the runs of a plan. True: one must still wait for its targets to take over what it says.
pub(super) async fn prune(
    operator: &Operator,
    plan: &MigrationPlan,
    runs: &[MigrationRun],
) -> Result<bool, SweepError> {
    let limit = usize::try_from(plan.spec.run_history_limit).unwrap_or(usize::MAX);
    // Inside its rollbackWindow a run may be asked for whatever the limit says.
    let kept = |run: &MigrationRun| no_rollback(plan, run, Timestamp::now()).is_none();
    let old = old(limit, runs).filter(|run| !kept(run)).count();
    if old == 0 {
        return Ok(false);
    }
    let namespace = plan.metadata.namespace.as_deref().unwrap_or_default();
    let targets: Vec<DatabaseTarget> = list_all(operator.own(), namespace, "").await?;
    let mut ready = prunable(limit, runs, &targets);
    ready.retain(|run| !kept(run));
    for run in &ready {
        remove(operator, run).await?;
    }
    Ok(ready.len() < old)
}

/// Removes a run; its Secrets and Jobs go with it, for it owns them.
async fn remove(operator: &Operator, run: &MigrationRun) -> Result<(), SweepError> {
    let name = run.metadata.name.as_deref().unwrap_or_default();
    let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
    let uid = run.metadata.uid.as_deref().unwrap_or_default();
    tracing::info!(namespace, run = name, "an old run goes");
    Ok(record::delete::<MigrationRun>(operator.own(), namespace, name, uid).await?)
}

/// The runs of plans that are gone, once nobody will ask for them any more; and a word about live ones.
pub(super) async fn forgotten(operator: &Operator) -> Result<(), SweepError> {
    let runs = operator.all_runs().await?;
    let mut asked = BTreeSet::new();
    let mut gone = BTreeSet::new();
    for run in &runs {
        let plan = (run.metadata.namespace.clone().unwrap_or_default(), run.spec.plan.name.clone());
        if asked.insert(plan.clone()) {
            let found = get_if_there::<MigrationPlan>(operator.own(), &plan.0, &plan.1).await?;
            if found.is_none() {
                gone.insert(plan.clone());
            }
        }
        if !gone.contains(&plan) {
            continue;
        }
        if is_live(run) {
            tracing::warn!(
                namespace = plan.0,
                run = run.metadata.name,
                "a run is live and its plan is gone: apply the plan again, so that it is walked to its end"
            );
        } else if is_old(run, Timestamp::now()) {
            remove(operator, run).await?;
        }
    }
    Ok(())
}

fn is_old(run: &MigrationRun, now: Timestamp) -> bool {
    let ended = run.status.as_ref().and_then(|status| status.finished_at.as_ref());
    let old = |at: &Time| now.duration_since(at.0).as_secs() > FORGOTTEN_AFTER.as_secs().cast_signed();
    ended.is_some_and(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn run(number: i64, intent: &str, status: Value) -> MigrationRun {
        serde_json::from_value(json!({
            "metadata": {"name": format!("shop-{number}"), "namespace": "aether", "uid": format!("r{number}")},
            "spec": {"plan": {"name": "shop", "uid": "p", "generation": 1}, "number": number, "intentHash": intent},
            "status": status
        }))
        .unwrap()
    }

    fn ended(number: i64, intent: &str, outcome: &str) -> MigrationRun {
        let path = format!("aether/tas/{number}-1");
        run(
            number,
            intent,
            json!({
                "outcome": outcome,
                "finishedAt": "2026-11-20T02:00:00Z",
                "watermarks": [{"target": "tas", "history": "default", "count": number, "digest": "d"}],
                "backups": [{"target": "tas", "path": path, "at": "2026-11-20T01:00:00Z", "level": "Structure", "bytes": 1, "sha256": ""}],
            }),
        )
    }

    fn target(runs: &[MigrationRun]) -> DatabaseTarget {
        let facts = crate::words::TargetFacts { name: "tas", generation: 1, runs, plans: &[], claim: None };
        let at = Time("2026-11-20T03:00:00Z".parse().unwrap());
        let status = crate::words::target_left(&Default::default(), &facts, &at);
        let spec = json!({"postgresql": {"host": "db", "database": "tas"}});
        let mut target: DatabaseTarget =
            serde_json::from_value(json!({"metadata": {"name": "tas", "namespace": "aether"}, "spec": spec}))
                .unwrap();
        target.status = Some(status);
        target
    }

    fn names(runs: Vec<&MigrationRun>) -> Vec<i64> {
        runs.iter().map(|run| run.spec.number).collect()
    }

    #[test]
    fn the_oldest_ended_runs_go_and_never_a_live_one() {
        let held = ended(2, "b", "Held");
        let runs = [ended(1, "a", "Succeeded"), held, ended(3, "c", "Succeeded"), ended(4, "d", "Succeeded")];
        let knows = target(&runs);
        assert_eq!(names(prunable(2, &runs, std::slice::from_ref(&knows))), [1]);
        assert_eq!(names(prunable(5, &runs, &[knows])), Vec::<i64>::new());
    }

    #[test]
    fn what_no_target_knows_yet_stays() {
        let runs = [ended(1, "a", "RolledBack"), ended(2, "b", "Succeeded"), ended(3, "c", "Succeeded")];
        assert_eq!(names(prunable(1, &runs, &[target(&[])])), Vec::<i64>::new());
        assert_eq!(
            names(prunable(1, &runs, &[target(&runs[1..])])),
            [2],
            "run 1 is the last word on its intent"
        );
        assert_eq!(names(prunable(1, &runs, &[target(&runs)])), [1, 2]);
        assert_eq!(names(prunable(1, &runs, &[])), [1, 2], "the target is gone: nobody will ask");
    }

    #[test]
    fn a_claim_is_held_by_a_live_run_of_that_plan_and_number_alone() {
        let runs = [ended(1, "a", "Aborted"), run(2, "b", json!({})), ended(3, "c", "Held")];
        let held = |holder: &str| holds(&holder.parse().unwrap(), &runs).is_some();
        assert!(!held("p/1/4"), "it has ended");
        assert!(held("p/2/4"));
        assert!(held("p/3/4"), "Held holds what it has");
        assert!(!held("p/9/4") && !held("q/2/4"), "no such run");
    }

    // Async: a client lives in a runtime, though nothing is asked of it.
    #[tokio::test]
    async fn what_another_operator_or_cluster_holds_is_not_ours_to_free() {
        let fake = crate::cluster::fake::FakeApiServer::new();
        let server = fake.api_server();
        let mut operator = Operator {
            namespace: "whimbrel".into(),
            default_account: None,
            namespaces: Vec::new(),
            image: "whimbrel:1".into(),
            hmac_key_file: "/key".into(),
            names_are_proven: true,
            cluster: "c1".into(),
            told_verbs: std::sync::Arc::default(),
            notifier: std::sync::Arc::default(),
            recorder: crate::cluster::events::Recorder::new(server.own().clone(), "test"),
            metrics: std::sync::Arc::new(crate::serve::Metrics::new()),
            server,
        };
        let runs = [run(1, "a", json!({})), ended(2, "b", "Aborted")];
        let claim = |run_uid: &str, plan: &str, cluster: &str| ClaimSeen {
            run_uid: run_uid.into(),
            run: 1,
            plan: plan.into(),
            token: 3,
            cluster: cluster.into(),
        };
        assert!(fence_is_left(&operator, &claim("gone", "aether/shop", "c1"), &runs));
        assert!(fence_is_left(&operator, &claim("r2", "aether/shop", "c1"), &runs), "it has ended");
        assert!(!fence_is_left(&operator, &claim("r1", "aether/shop", "c1"), &runs), "it is live");
        assert!(!fence_is_left(&operator, &claim("gone", "aether/shop", "c2"), &runs), "another cluster");
        let left = |operator: &Operator, holder: &str| {
            claim_is_left(&operator.namespaces, &holder.parse().unwrap(), &runs)
        };
        assert!(left(&operator, "p/9/1") && left(&operator, "q/1/1") && !left(&operator, "p/1/1"));
        operator.namespaces = vec!["aether".into()];
        assert!(fence_is_left(&operator, &claim("gone", "aether/shop", "c1"), &runs));
        assert!(!fence_is_left(&operator, &claim("gone", "other/shop", "c1"), &runs), "another operator's");
        assert!(left(&operator, "p/9/1") && !left(&operator, "q/1/1"));
    }

    #[test]
    fn runs_of_a_deleted_plan_stay_for_a_day() {
        let run = ended(1, "a", "Succeeded");
        assert!(!is_old(&run, "2026-11-20T12:00:00Z".parse().unwrap()));
        assert!(is_old(&run, "2026-11-21T02:00:01Z".parse().unwrap()));
        assert!(!is_old(&self::run(2, "a", json!({})), "2027-11-21T02:00:01Z".parse().unwrap()));
    }
}
