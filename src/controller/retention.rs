//! Retention: what nothing keeps any more goes, one target at a time and never while a run may need it.
//!
//! What goes is written into the target's status first, by compare-and-swap; from then on it is no backup, whatever
//! happens. A Job on the volume deletes it and says what it found; that is written next, and only then is the Job
//! removed. A crash between any two of these is continued by the next look, of whichever operator.

use super::aside;
use super::merge::merge_patch;
use super::operator::Operator;
use super::snapshots;
use super::sweep;
use super::target::{Error, claim, reference, user};
use super::targets;
use crate::api::condition::{self, Status};
use crate::api::run::OpState;
use crate::api::target::{DatabaseTargetStatus, Deleted, Pruning, Retention, TargetBackupStatus};
use crate::api::{
    ConditionType, DatabaseTarget, EventReason, MigrationPlan, MigrationRun, Reason, Time,
    bounds::{STRING, cut},
};
use crate::backup::{BackupJob, Fate, Found, Kept, Pruned, Told, fates, job_for_prune};
use crate::cluster::events::{Severity, Transition};
use crate::cluster::{SwapError, WriteError, api_server_time, get_if_there, list_all, record};
use crate::job::{self, JobKey, JobState};
use crate::words::{self, TargetFacts, is_live};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// There is more to do, or somebody else wrote.
pub(super) const NOW: Duration = Duration::from_secs(1);
/// While a Job of ours is at work.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// The most backups of one Job: what it says of them must fit into its termination message.
const AT_ONCE: usize = 10;
/// How long one Job may take: millions of small files on a slow network volume.
pub(super) const WITHIN: Duration = Duration::from_secs(3600);
/// When a Job that failed is tried again: by then somebody has looked, or the volume is back.
pub(super) const FAILED_AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// When what was refused is tried again: it does not change by itself.
const REFUSED_AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// A target and all that decides about its backups, read live.
pub(super) struct Seen {
    pub(super) object: DatabaseTarget,
    /// Its status as it was read.
    pub(super) old: DatabaseTargetStatus,
    /// The same with what runs left behind: pins as of now.
    pub(super) status: DatabaseTargetStatus,
    pub(super) runs: Vec<MigrationRun>,
    /// Why nothing may be begun.
    pub(super) busy: Option<String>,
    /// The earlier of our clock and the API server's: one of them that is ahead makes nothing older.
    pub(super) now: Timestamp,
}

/// Whether there is anything to look at.
pub(super) fn concerns(target: &DatabaseTarget, status: &DatabaseTargetStatus) -> bool {
    let begun = status.pruning.is_some() || status.aside.iter().any(|it| it.dropping_since.is_some());
    let said = condition::get(&status.conditions, ConditionType::Retained).is_some();
    target.spec.backup.retention.is_some() || begun || said
}

/// One look. Gives when the next one is due; none: nothing here is kept by time.
pub(super) async fn tend(operator: &Operator, target: &DatabaseTarget) -> Result<Option<Duration>, Error> {
    match look(operator, target).await {
        // Somebody else wrote meanwhile: all is decided anew.
        Err(Error::Swap(SwapError::Write(WriteError::Stale))) => Ok(Some(NOW)),
        done => done,
    }
}

async fn look(operator: &Operator, target: &DatabaseTarget) -> Result<Option<Duration>, Error> {
    let Some(seen) = see(operator, target).await? else { return Ok(None) };
    if let Some(pruning) = &seen.status.pruning {
        return follow(operator, &seen, pruning).await.map(Some);
    }
    if let Some(soon) = aside::tend(operator, &seen).await? {
        return Ok(Some(soon));
    }
    let Some(retention) = seen.object.spec.backup.retention else {
        let mut new = seen.status.clone();
        condition::remove(&mut new.conditions, ConditionType::Retained);
        write(operator, &seen, new).await?;
        return Ok(None);
    };
    decide(operator, &seen, &retention).await.map(Some)
}

async fn see(operator: &Operator, target: &DatabaseTarget) -> Result<Option<Seen>, Error> {
    let namespace = target.metadata.namespace.as_deref().unwrap_or_default();
    let name = target.metadata.name.as_deref().unwrap_or_default();
    let Some(object) = get_if_there::<DatabaseTarget>(operator.own(), namespace, name).await? else {
        return Ok(None);
    };
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let old = object.status.clone().unwrap_or_default();
    let runs: Vec<MigrationRun> = list_all(operator.own(), namespace, "").await?;
    let plans: Vec<MigrationPlan> = list_all(operator.own(), namespace, "").await?;
    let claim = claim(operator, &object, &old, &runs).await?.map(|(claim, _)| claim);
    let busy = match user(&runs, name, claim.is_some()) {
        None => None,
        Some(Some(run)) => Some(format!("run {} is live", run.name_any())),
        Some(None) => claim.as_ref().map(|claim| format!("{} of {} holds the target", claim.run, claim.plan)),
    };
    let facts = TargetFacts {
        name,
        created: object.metadata.creation_timestamp.as_ref().map(|at| at.0),
        generation: object.metadata.generation.unwrap_or_default(),
        runs: &runs,
        plans: &plans,
        claim,
    };
    let own = Timestamp::now();
    let Some(now) = api_server_time(operator.own()).await?.map(|theirs| theirs.min(own)) else {
        tracing::warn!(
            target = name,
            "the API server does not say what time it is: nothing is deleted by age"
        );
        return Ok(None);
    };
    // Pins end by time as well.
    let status = words::target_left(&old, &facts, &Time(now));
    Ok(Some(Seen { object, old, status, runs, busy, now }))
}

/// What goes now, and why the rest stays.
async fn decide(operator: &Operator, seen: &Seen, retention: &Retention) -> Result<Duration, Error> {
    let mut new = seen.status.clone();
    if let Some(busy) = &seen.busy {
        say(&mut new, seen, Status::Unknown, Reason::Pending, &format!("nothing is deleted while {busy}"));
        write(operator, seen, new).await?;
        return Ok(sweep::EVERY);
    }
    let now = seen.now;
    let fates = fates(retention, &new.backups, &[], now);
    let again = due(new.pruned_at.as_ref(), REFUSED_AGAIN, now);
    let mut expired: Vec<&TargetBackupStatus> = new
        .backups
        .iter()
        .zip(&fates)
        .filter(|(backup, fate)| **fate == Fate::Expired && (backup.not_deleted.is_none() || again))
        .map(|(backup, _)| backup)
        .collect();
    // The oldest first.
    expired.reverse();
    if !expired.is_empty() || aborted(seen) {
        let paths = expired.iter().take(AT_ONCE).map(|backup| backup.path.clone()).collect();
        new.pruning = Some(Pruning { since: Time(now), paths, failed: None });
        say(&mut new, seen, Status::Unknown, Reason::Progressing, "what nothing keeps is being deleted");
        write(operator, seen, new).await?;
        return Ok(NOW);
    }
    let refused = new.backups.iter().find_map(|it| Some((&it.path, it.not_deleted.as_ref()?)));
    let aside = new.aside.iter().find_map(|it| Some((&it.run, it.not_dropped.as_ref()?)));
    let failed = match (refused, aside) {
        (Some((path, why)), _) => Some(format!("backup {path} is not deleted: {why}")),
        (_, Some((run, why))) => Some(format!("what run {run} put aside is not dropped: {why}")),
        _ => None,
    };
    match failed {
        Some(message) => say(&mut new, seen, Status::False, Reason::Failed, &message),
        None => {
            let message = kept(&new.backups, &fates);
            say(&mut new, seen, Status::True, Reason::Done, &message);
        }
    }
    write(operator, seen, new).await?;
    Ok(sweep::EVERY)
}

/// What is kept, in one sentence: how many, and why the oldest is there.
fn kept(backups: &[TargetBackupStatus], fates: &[Fate]) -> String {
    match backups.iter().zip(fates).next_back() {
        None => "there is no backup".to_owned(),
        Some((oldest, why)) => format!(
            "{} backups are kept; the oldest is of {}, by run {}: {why}",
            backups.len(),
            oldest.at.0,
            oldest.run
        ),
    }
}

/// Whether a run that has ended since the last prune may have left an attempt without a manifest. A snapshot that a lost Job
/// took and nobody recorded is whole like any other: only a person can tell that it is not needed.
fn aborted(seen: &Seen) -> bool {
    if targets::search(&seen.object.spec).is_some() {
        return false;
    }
    let name = seen.object.name_any();
    let since = seen.status.pruned_at.as_ref().map(|at| at.0);
    let left = |run: &&MigrationRun| {
        let Some(status) = run.status.as_ref().filter(|_| !is_live(run)) else { return false };
        let Some(op) = status.ops.get(&format!("backup/{name}")) else { return false };
        let newer = since.is_none_or(|since| status.finished_at.as_ref().is_some_and(|at| at.0 >= since));
        newer && (op.state != OpState::Done || op.attempt > 1)
    };
    seen.runs.iter().any(|run| left(&run))
}

/// Goes on with a deletion that was begun.
async fn follow(operator: &Operator, seen: &Seen, pruning: &Pruning) -> Result<Duration, Error> {
    if pruning.failed.is_some() {
        let now = seen.now;
        if seen.busy.is_some() || !due(Some(&pruning.since), FAILED_AGAIN, now) {
            return Ok(sweep::EVERY);
        }
        let mut new = seen.status.clone();
        new.pruning = Some(Pruning { since: Time(now), failed: None, ..pruning.clone() });
        write(operator, seen, new).await?;
        return Ok(NOW);
    }
    let (key, told, job) = match wanted(operator, seen, pruning) {
        Ok(wanted) => wanted,
        Err(why) => return failed(operator, seen, pruning, &why).await,
    };
    let acting = operator.for_target(&seen.object);
    let namespace = seen.object.namespace().unwrap_or_default();
    match job::look(&acting, &namespace, &key.name(), false).await? {
        JobState::Absent if seen.busy.is_some() => {
            let mut new = seen.status.clone();
            let busy = seen.busy.as_deref().unwrap_or_default();
            say(
                &mut new,
                seen,
                Status::Unknown,
                Reason::Pending,
                &format!("nothing is deleted while {busy}"),
            );
            write(operator, seen, new).await?;
            Ok(sweep::EVERY)
        }
        JobState::Absent => match job::create(&acting, &job).await {
            Ok(_) => Ok(SOON),
            Err(SwapError::Write(WriteError::Lost(error))) => Err(WriteError::Lost(error).into()),
            Err(error) => failed(operator, seen, pruning, &error.to_string()).await,
        },
        JobState::Pending { .. } | JobState::Running { .. } => Ok(SOON),
        JobState::Failed { why, .. } => {
            let after = failed(operator, seen, pruning, &why).await?;
            // Its successor has another name.
            let _ = job::remove(&acting, &namespace, &key.name()).await?;
            Ok(after)
        }
        JobState::Succeeded { result } => {
            let said = result.get("prune").cloned().unwrap_or_default();
            let pruned = serde_json::from_value::<Pruned>(said).ok();
            let after = match pruned.filter(|it| it.found.len() == told.len()) {
                Some(pruned) => outcome(operator, seen, &told, &pruned).await?,
                None => failed(operator, seen, pruning, "what its Job left can't be read").await?,
            };
            let _ = job::remove(&acting, &namespace, &key.name()).await?;
            Ok(after)
        }
    }
}

/// The Job of a deletion, its key, and what it is told.
fn wanted(operator: &Operator, seen: &Seen, pruning: &Pruning) -> Result<(JobKey, Vec<Told>, Job), String> {
    let target = &seen.object;
    let spec = &target.spec.backup;
    let storage = spec.storage.as_ref().and_then(Kept::of);
    let told: Vec<Told> = pruning
        .paths
        .iter()
        .filter_map(|path| seen.status.backups.iter().find(|backup| backup.path == *path))
        .filter_map(told)
        .collect();
    let what = format!("{}/{}", pruning.since.0.as_second(), pruning.paths.join("/"));
    let key = key(target, "prune", &what);
    let pod = spec.pod.clone().unwrap_or_default();
    // A search cluster deletes its snapshots itself: it needs no image of tools and no storage of ours.
    let search = targets::search(&target.spec);
    let (tools_image, storage) = match search {
        Some(_) => (operator.image.as_str(), Kept::Server),
        None => (
            match targets::exported(&target.spec) {
                Some(_) => operator.image.as_str(),
                None => spec.image.as_deref().ok_or("spec.backup.image is needed to delete a backup")?,
            },
            storage.ok_or("spec.backup.storage is needed to delete a backup")?,
        ),
    };
    let input = BackupJob {
        key: &key,
        namespace: &target.namespace().unwrap_or_default(),
        owner: Some(owner(target)),
        whimbrel_image: &operator.image,
        tools_image,
        storage,
        pod: &pod,
        within: WITHIN,
    };
    let job = match search {
        Some(search) => snapshots::prune(&input, target, search, &told),
        None => job_for_prune(&input, &told, &over(&seen.runs)),
    };
    Ok((key, told, job))
}

/// The key of a Job that works for a target and for no run.
pub(super) fn key(target: &DatabaseTarget, work: &str, what: &str) -> JobKey {
    JobKey {
        plan_uid: target.uid().unwrap_or_default(),
        plan: String::new(),
        run: 0,
        run_uid: target.uid().unwrap_or_default(),
        target: target.name_any(),
        op: format!("{work}/{}", &hex::encode(Sha256::digest(what))[..16]),
        epoch: 0,
        attempt: 1,
    }
}

/// Its Jobs go with a target.
pub(super) fn owner(target: &DatabaseTarget) -> OwnerReference {
    OwnerReference {
        api_version: "whimbrel.dev/v1alpha1".into(),
        kind: "DatabaseTarget".into(),
        name: target.name_any(),
        uid: target.uid().unwrap_or_default(),
        ..OwnerReference::default()
    }
}

/// What proves that it is this backup; none: nobody knows.
fn told(backup: &TargetBackupStatus) -> Option<Told> {
    Some(Told {
        sha256: backup.sha256.clone(),
        plan_uid: backup.plan_uid.clone()?,
        run: number(&backup.run)?,
        path: backup.path.clone(),
    })
}

/// The number in a run's name.
pub(super) fn number(run: &str) -> Option<u64> {
    run.rsplit_once('-')?.1.parse().ok()
}

/// By plan, the number of its first run that may still write: its live one, else the one after its last.
fn over(runs: &[MigrationRun]) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, (Option<u64>, u64)> = BTreeMap::new();
    for run in runs {
        let number = run.spec.number.unsigned_abs();
        let (live, last) = all.entry(run.spec.plan.uid.clone()).or_default();
        *last = number.max(*last);
        if is_live(run) {
            *live = Some(live.map_or(number, |it| it.min(number)));
        }
    }
    all.into_iter().map(|(uid, (live, last))| (uid, live.unwrap_or(last + 1))).collect()
}

/// Notes what became of the deletion, and tells it.
async fn outcome(
    operator: &Operator,
    seen: &Seen,
    told: &[Told],
    pruned: &Pruned,
) -> Result<Duration, Error> {
    let now = Time(Timestamp::now());
    let mut new = seen.status.clone();
    new.pruning = None;
    new.pruned_at = Some(now.clone());
    let mut events = Vec::new();
    for (told, found) in told.iter().zip(&pruned.found) {
        let Some(place) = new.backups.iter().position(|backup| backup.path == told.path) else { continue };
        let (bytes, why) = match found {
            Found::Refused(why) => {
                new.backups[place].not_deleted = Some(cut(why, STRING));
                events.push((Severity::Warning, told, format!("backup {} is not deleted: {why}", told.path)));
                continue;
            }
            Found::Deleted(bytes) => (i64::try_from(*bytes).ok(), Fate::Expired.to_string()),
            Found::Absent => (
                None,
                "it was not there: somebody removed it, or spec.backup.storage is another one than when it was taken"
                    .to_owned(),
            ),
        };
        let backup = new.backups.remove(place);
        let severity = if bytes.is_some() { Severity::Normal } else { Severity::Warning };
        let of = format!("backup {} of {}, by run {}", told.path, backup.at.0, backup.run);
        let word = if bytes.is_some() { "deleted" } else { "gone" };
        events.push((severity, told, format!("{of} is {word}: {why}")));
        let deleted =
            Deleted { what: backup.path, id: backup.sha256, run: backup.run, at: now.clone(), bytes, why };
        words::gone(&mut new, deleted);
    }
    for left in &pruned.left {
        tracing::warn!(target = seen.object.name_any(), left, "an aborted attempt is not deleted");
    }
    if pruned.attempts > 0 {
        tracing::info!(
            target = seen.object.name_any(),
            attempts = pruned.attempts,
            bytes = pruned.attempts_bytes,
            "aborted attempts are deleted"
        );
    }
    write(operator, seen, new).await?;
    for (severity, told, note) in events {
        let reason = match note.contains(" is not deleted: ") {
            true => EventReason::RetentionBlocked,
            false => EventReason::BackupDeleted,
        };
        tell(operator, seen, severity, reason, &note, &format!("{}/{}", told.sha256, told.path)).await;
    }
    Ok(NOW)
}

/// Notes that a deletion could not be done now. It stays begun, and is tried again.
async fn failed(operator: &Operator, seen: &Seen, pruning: &Pruning, why: &str) -> Result<Duration, Error> {
    let mut new = seen.status.clone();
    let why = cut(why, STRING);
    let note = format!("what nothing keeps could not be deleted: {why}. It is tried again within the hour");
    new.pruning = Some(Pruning { failed: Some(why), ..pruning.clone() });
    say(&mut new, seen, Status::False, Reason::Failed, &note);
    write(operator, seen, new).await?;
    let once = pruning.since.0.to_string();
    tell(operator, seen, Severity::Warning, EventReason::RetentionBlocked, &note, &once).await;
    Ok(sweep::EVERY)
}

/// Whether `after` has passed since then. A time in the future was written by a clock that was ahead: it is due.
pub(super) fn due(since: Option<&Time>, after: SignedDuration, now: Timestamp) -> bool {
    since.is_none_or(|since| since.0 > now || now.duration_since(since.0) >= after)
}

fn say(new: &mut DatabaseTargetStatus, seen: &Seen, status: Status, reason: Reason, message: &str) {
    let generation = seen.object.metadata.generation.unwrap_or_default();
    let now = Time(Timestamp::now());
    condition::set(&mut new.conditions, ConditionType::Retained, status, reason, message, generation, &now);
}

/// Tells it once.
pub(super) async fn tell(
    operator: &Operator,
    seen: &Seen,
    severity: Severity,
    reason: EventReason,
    note: &str,
    once: &str,
) {
    let regarding = reference(&seen.object);
    let reason = reason.as_str();
    let transition = Transition { regarding: &regarding, related: None, severity, reason, note, once };
    operator.recorder.publish(&transition).await;
}

/// Writes the status, if the target is still as it was read.
pub(super) async fn write(operator: &Operator, seen: &Seen, new: DatabaseTargetStatus) -> Result<(), Error> {
    let changes = merge_patch(&json!(seen.old), &json!(new));
    if changes == json!({}) {
        return Ok(());
    }
    let metadata = &seen.object.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let version = metadata.resource_version.as_deref().unwrap_or_default();
    record::write_status::<DatabaseTarget>(operator.own(), namespace, name, version, &changes).await?;
    Ok(())
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
