//! What runs leave behind on a target, as its status says it: who holds it, what failed on it, its backups and how long
//! they took, how far its histories are.
//!
//! A projection of the run records, made anew at each look. What a run said that has been pruned since is in the old
//! status and stays there.

use super::retained;
use crate::api::condition::{self, Status};
use crate::api::run::{BackupRecord, OpRecord, OpState};
use crate::api::target::{
    DatabaseTargetStatus, FailedIntent, HistoryFormat, HistoryStatus, Measured, TargetBackupStatus,
    TargetClaim, VerificationLevel,
};
use crate::api::{ConditionType, Duration, MigrationPlan, MigrationRun, Outcome, Reason, Time};
use jiff::Timestamp;
use std::cmp::Reverse;

/// The most failed intents and backups that a target keeps; the API's bounds.
pub const FAILED_KEPT: usize = 10;
/// See [`FAILED_KEPT`].
pub const BACKUPS_KEPT: usize = 100;

/// A target, as far as its status needs it.
pub struct TargetFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its generation.
    pub generation: i64,
    /// The runs of its namespace.
    pub runs: &'a [MigrationRun],
    /// The plans of its namespace.
    pub plans: &'a [MigrationPlan],
    /// The run that holds it.
    pub claim: Option<TargetClaim>,
}

/// The status with all that runs left behind.
pub fn target_left(old: &DatabaseTargetStatus, target: &TargetFacts<'_>, now: &Time) -> DatabaseTargetStatus {
    let mut new = old.clone();
    new.claim = target.claim.clone();
    new.failed = failed(old, target);
    new.backups = backups(old, target, now.0);
    new.aside = retained::aside(old, target);
    new.measured = measured(target).or_else(|| old.measured.clone());
    histories(&mut new, target);
    identity(&mut new, target);
    for (of, status, reason, message) in tested(&new.backups) {
        condition::set(&mut new.conditions, of, status, reason, &message, target.generation, now);
    }
    new
}

/// Whether the run has said anything of this target: from its claim on it has.
pub fn touches(run: &MigrationRun, target: &str) -> bool {
    let Some(status) = &run.status else { return false };
    status.watermarks.iter().any(|mark| mark.target == target)
        || status.backups.iter().any(|backup| backup.target == target)
}

/// Whether a run still holds what it claimed: it has not ended, or it is Held and nobody ended that.
pub fn is_live(run: &MigrationRun) -> bool {
    let Some(status) = &run.status else { return true };
    match status.outcome {
        None => true,
        Some(Outcome::Held) => {
            let mut releases = status.ops.iter().filter(|(id, _)| id.ends_with("release"));
            !releases.any(|(_, op)| op.state == OpState::Done)
        }
        Some(_) => false,
    }
}

/// Whether this was the attempt to take a run back that ended before anything was changed: that run's outcome stands.
pub fn is_refused_rollback(run: &MigrationRun) -> bool {
    let outcome = run.status.as_ref().and_then(|status| status.outcome);
    run.spec.rolls_back.is_some() && outcome == Some(Outcome::Aborted)
}

fn name(run: &MigrationRun) -> String {
    run.metadata.name.clone().unwrap_or_default()
}

fn ended(run: &MigrationRun) -> Option<(Outcome, &Time)> {
    let status = run.status.as_ref()?;
    Some((status.outcome?, status.finished_at.as_ref()?))
}

/// The last word on each intent, if that was a failure.
fn failed(old: &DatabaseTargetStatus, target: &TargetFacts<'_>) -> Vec<FailedIntent> {
    let mut all = old.failed.clone();
    for run in target.runs.iter().filter(|run| touches(run, target.name) && !is_refused_rollback(run)) {
        let Some((outcome, at)) = ended(run) else { continue };
        let intent = &run.spec.intent_hash;
        if all.iter().any(|known| known.intent_hash == *intent && known.at.0 > at.0) {
            continue;
        }
        all.retain(|known| known.intent_hash != *intent);
        if matches!(outcome, Outcome::RolledBack | Outcome::Held | Outcome::Aborted) {
            let failed =
                FailedIntent { intent_hash: intent.clone(), run: name(run), outcome, at: at.clone() };
            all.push(failed);
        }
    }
    all.sort_by_key(|failed| Reverse(failed.at.0));
    all.truncate(FAILED_KEPT);
    all
}

fn backups(old: &DatabaseTargetStatus, target: &TargetFacts<'_>, now: Timestamp) -> Vec<TargetBackupStatus> {
    let gone =
        |path: &str, sha256: &str| old.deleted.iter().any(|gone| gone.what == path && gone.id == sha256);
    let mut all = old.backups.clone();
    // A status that was read before the deletion may have been written after it.
    all.retain(|known| !gone(&known.path, &known.sha256));
    for backup in &mut all {
        backup.pinned_by = None;
    }
    // A run that takes another one back has that one's backups in its record.
    for run in target.runs.iter().filter(|run| run.spec.rolls_back.is_none()) {
        let of_run = run.status.iter().flat_map(|status| &status.backups);
        let pin = retained::pin(run, target.runs, target.plans, now);
        for backup in of_run
            .filter(|backup| backup.target == target.name)
            .filter(|backup| !gone(&backup.path, &backup.sha256))
        {
            let before = all.iter().position(|known| known.path == backup.path).map(|it| all.remove(it));
            let not_deleted = before.filter(|it| it.sha256 == backup.sha256).and_then(|it| it.not_deleted);
            all.push(entry(run, backup, pin.clone(), not_deleted));
        }
    }
    all.sort_by_key(|backup| Reverse(backup.at.0));
    // What a run may need is never the one that gives way, nor what is being deleted.
    let goes = |backup: &TargetBackupStatus| {
        old.pruning.as_ref().is_some_and(|pruning| pruning.paths.contains(&backup.path))
    };
    let (pinned, free): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|backup| backup.pinned_by.is_some() || goes(backup));
    let mut kept: Vec<_> = pinned.into_iter().chain(free).take(BACKUPS_KEPT).collect();
    kept.sort_by_key(|backup| Reverse(backup.at.0));
    kept
}

fn entry(
    run: &MigrationRun,
    backup: &BackupRecord,
    pinned_by: Option<String>,
    not_deleted: Option<String>,
) -> TargetBackupStatus {
    TargetBackupStatus {
        run: name(run),
        plan_uid: Some(run.spec.plan.uid.clone()),
        path: backup.path.clone(),
        at: backup.at.clone(),
        level: backup.level,
        bytes: backup.bytes,
        sha256: backup.sha256.clone(),
        pinned_by,
        not_deleted,
    }
}

/// How long the newest backup took, and its proof.
fn measured(target: &TargetFacts<'_>) -> Option<Measured> {
    let of = |run: &MigrationRun| {
        let ops = &run.status.as_ref()?.ops;
        let dump = ops.get(&format!("backup/{}", target.name))?;
        let verify = ops.get(&format!("verify-backup/{}", target.name)).and_then(took);
        let at = verify.as_ref().map_or_else(|| dump.finished_at.clone(), |(_, at)| Some(at.clone()))?;
        let (dump, _) = took(dump)?;
        Some(Measured { dump: Some(dump), verify: verify.map(|(took, _)| took), restore: None, at })
    };
    target.runs.iter().filter_map(of).max_by_key(|measured| measured.at.0)
}

/// How long an op that is done took, and when it was.
fn took(op: &OpRecord) -> Option<(Duration, Time)> {
    let (from, to) = (op.started_at.as_ref()?, op.finished_at.as_ref()?);
    let seconds = u64::try_from(to.0.as_second() - from.0.as_second()).unwrap_or_default();
    (op.state == OpState::Done).then(|| (Duration::from_secs(seconds), to.clone()))
}

/// The watermarks that a run left which ended well. One that did not has left the histories as they were, or is Held,
/// and then a person says what is in them.
fn histories(new: &mut DatabaseTargetStatus, target: &TargetFacts<'_>) {
    let looked = new.engine.as_ref().map(|engine| engine.checked_at.0);
    let succeeded = target.runs.iter().filter_map(|run| match ended(run)? {
        (Outcome::Succeeded, at) if looked.is_none_or(|looked| looked < at.0) => Some((at.0, run)),
        _ => None,
    });
    let mut succeeded: Vec<_> = succeeded.collect();
    succeeded.sort_by_key(|(at, _)| *at);
    let marks = succeeded.iter().filter_map(|(_, run)| run.status.as_ref()).flat_map(|s| &s.watermarks);
    for mark in marks.filter(|mark| mark.target == target.name) {
        let there = HistoryStatus {
            name: mark.history.clone(),
            format: HistoryFormat::Whimbrel,
            count: mark.count,
            last: mark.last.clone(),
            digest: mark.digest.clone(),
        };
        match new.histories.iter_mut().find(|known| known.name == there.name) {
            Some(known) => *known = HistoryStatus { format: known.format, ..there },
            None => new.histories.push(there),
        }
    }
}

/// A database that a run of ours has put in the place of the one before is the one that is meant from that run's end on:
/// until then its Lease stands for the old one.
fn identity(new: &mut DatabaseTargetStatus, target: &TargetFacts<'_>) {
    let Some(engine) = &mut new.engine else { return };
    let ended = target.runs.iter().filter(|run| !is_live(run)).filter_map(|run| run.status.as_ref());
    let mut restores: Vec<_> =
        ended.flat_map(|status| &status.restores).filter(|restore| restore.target == target.name).collect();
    restores.sort_by_key(|restore| restore.at.0);
    for restore in restores {
        if engine.identity == restore.replaced {
            engine.identity = restore.identity.clone();
        }
    }
}

/// BackupFresh and RestoreTested.
fn tested(backups: &[TargetBackupStatus]) -> [(ConditionType, Status, Reason, String); 2] {
    use ConditionType::{BackupFresh, RestoreTested};
    let complete = |backup: &&TargetBackupStatus| backup.level > VerificationLevel::None;
    let fresh = match backups.iter().find(complete) {
        Some(newest) => {
            let message = format!("the newest is of {}, by run {}", newest.at.0, newest.run);
            (BackupFresh, Status::True, Reason::Done, message)
        }
        None => (BackupFresh, Status::False, Reason::Pending, "no proven backup yet".to_owned()),
    };
    let restored = backups.iter().find(|backup| backup.level == VerificationLevel::Restored);
    let tested = match (restored, backups.first()) {
        (Some(backup), _) => {
            let message = format!("that of {}, by run {}, was restored for a test", backup.at.0, backup.run);
            (RestoreTested, Status::True, Reason::Restored, message)
        }
        (None, Some(newest)) => {
            let message = format!(
                "no backup was restored for a test; the newest reached {}; verification: Restored asks for it",
                newest.level
            );
            (RestoreTested, Status::False, Reason::Pending, message)
        }
        (None, None) => (RestoreTested, Status::False, Reason::Pending, "no backup yet".to_owned()),
    };
    [fresh, tested]
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

    fn at(minute: u32) -> String {
        format!("2026-11-20T02:{minute:02}:00Z")
    }

    /// A run that claimed `tas`, backed it up, and ended.
    fn ended_run(number: i64, intent: &str, outcome: &str, minute: u32) -> MigrationRun {
        run(
            number,
            intent,
            json!({
                "outcome": outcome, "finishedAt": at(minute),
                "watermarks": [{"target": "tas", "history": "default", "count": number, "last": format!("V{number}"), "digest": "d"}],
                "backups": [{"target": "tas", "path": format!("aether/tas/{number}-1"), "at": at(minute - 5), "level": "Structure", "bytes": 7, "sha256": "ab"}],
                "ops": {
                    "backup/tas": {"state": "Done", "epoch": 1, "attempt": 1, "startedAt": at(minute - 8), "finishedAt": at(minute - 5)},
                    "verify-backup/tas": {"state": "Done", "epoch": 1, "attempt": 1, "startedAt": at(minute - 5), "finishedAt": at(minute - 4)}
                }
            }),
        )
    }

    fn project(old: &DatabaseTargetStatus, runs: &[MigrationRun]) -> DatabaseTargetStatus {
        let plan = json!({"metadata": {"name": "shop"}, "spec": {"rollbackWindow": "0s", "stages": []}});
        let plans = [serde_json::from_value(plan).unwrap()];
        let target = TargetFacts { name: "tas", generation: 1, runs, plans: &plans, claim: None };
        target_left(old, &target, &serde_json::from_value(json!(at(59))).unwrap())
    }

    fn says(status: &DatabaseTargetStatus, of: ConditionType) -> String {
        let found = condition::get(&status.conditions, of).unwrap();
        format!("{}/{}: {}", found.status, found.reason, found.message)
    }

    #[test]
    fn the_last_word_on_an_intent_counts_and_outlives_its_run() {
        let failed = |status: &DatabaseTargetStatus| -> Vec<String> {
            status.failed.iter().map(|it| format!("{} {} {}", it.intent_hash, it.run, it.outcome)).collect()
        };
        let runs = [ended_run(1, "a", "RolledBack", 10), ended_run(2, "b", "Aborted", 20)];
        let status = project(&DatabaseTargetStatus::default(), &runs);
        assert_eq!(failed(&status), ["b shop-2 Aborted", "a shop-1 RolledBack"]);
        let pruned = project(&status, &runs[1..]);
        assert_eq!(failed(&pruned), ["b shop-2 Aborted", "a shop-1 RolledBack"], "run 1 is gone");
        let again = project(&pruned, &[ended_run(3, "a", "Succeeded", 30)]);
        assert_eq!(failed(&again), ["b shop-2 Aborted"], "the same intent went through at last");
        let other = run(9, "c", json!({"outcome": "Aborted", "finishedAt": at(40)}));
        assert_eq!(failed(&project(&again, &[other])), ["b shop-2 Aborted"], "it never claimed this target");
    }

    #[test]
    fn backups_stay_with_their_runs_name_and_a_live_run_pins_its_own() {
        let mut live = ended_run(2, "b", "Succeeded", 20);
        live.status.as_mut().unwrap().outcome = None;
        let status = project(&DatabaseTargetStatus::default(), &[ended_run(1, "a", "Succeeded", 10), live]);
        let list = |status: &DatabaseTargetStatus| -> Vec<String> {
            let pin = |it: &TargetBackupStatus| it.pinned_by.clone().unwrap_or_else(|| "-".into());
            status.backups.iter().map(|it| format!("{} {} {}", it.path, it.level, pin(it))).collect()
        };
        assert_eq!(list(&status), ["aether/tas/2-1 Structure shop-2", "aether/tas/1-1 Structure -"]);
        let later = project(&status, &[]);
        assert_eq!(list(&later), ["aether/tas/2-1 Structure -", "aether/tas/1-1 Structure -"]);
        assert_eq!(
            says(&later, ConditionType::RestoreTested),
            "False/Pending: no backup was restored for a test; the newest reached Structure; verification: Restored asks for it"
        );
        assert_eq!(
            says(&later, ConditionType::BackupFresh),
            "True/Done: the newest is of 2026-11-20T02:15:00Z, by run shop-2"
        );
        let measured = later.measured.unwrap();
        assert_eq!(
            (measured.dump, measured.verify),
            (Some(Duration::from_secs(180)), Some(Duration::from_secs(60)))
        );
    }

    #[test]
    fn more_backups_than_fit_never_push_a_pinned_one_out() {
        let mut oldest = ended_run(1, "a", "Held", 9);
        let many = (0..4).flat_map(|hundred| (10..40).map(move |minute| (100 * hundred + minute, minute)));
        let mut runs: Vec<_> = many
            .map(|(n, minute): (i64, i64)| ended_run(n, "b", "Succeeded", minute.unsigned_abs() as u32))
            .collect();
        runs.push(oldest.clone());
        let status = project(&DatabaseTargetStatus::default(), &runs);
        assert_eq!(status.backups.len(), BACKUPS_KEPT);
        assert_eq!(status.backups.last().unwrap().pinned_by.as_deref(), Some("shop-1"), "Held needs it");
        oldest.status.as_mut().unwrap().outcome = Some(Outcome::RolledBack);
        runs.pop();
        runs.push(oldest);
        let status = project(&status, &runs);
        assert!(status.backups.iter().all(|backup| backup.run != "shop-1"));
    }

    #[test]
    fn only_what_ended_well_moves_a_watermark() {
        let runs = [ended_run(3, "a", "Succeeded", 10), ended_run(4, "b", "Held", 20)];
        let status = project(&DatabaseTargetStatus::default(), &runs);
        assert_eq!(status.histories.iter().map(|it| it.last.as_str()).collect::<Vec<_>>(), ["V3"]);
    }

    #[test]
    fn our_own_restore_makes_another_database_the_one_that_is_meant_once_the_run_has_ended() {
        let engine = json!({"kind": "postgresql", "version": "15", "identity": "7/1", "lineage": "7/1/1", "checkedAt": at(1)});
        let old = serde_json::from_value(json!({"engine": engine})).unwrap();
        let mut restored = ended_run(2, "b", "RolledBack", 20);
        restored.status.as_mut().unwrap().restores = vec![crate::api::run::RestoreRecord {
            target: "tas".into(),
            aside: "wb_1f2e3d4c_r2".into(),
            replaced: "7/1".into(),
            identity: "7/2".into(),
            at: serde_json::from_value(json!(at(15))).unwrap(),
        }];
        let identity = |runs: &[MigrationRun]| project(&old, runs).engine.unwrap().identity;
        assert_eq!(identity(&[restored.clone()]), "7/2");
        let mut live = restored.clone();
        live.status.as_mut().unwrap().outcome = None;
        assert_eq!(identity(&[live]), "7/1", "its Lease is that of the old one until its Release");
        restored.status.as_mut().unwrap().restores[0].replaced = "7/9".into();
        assert_eq!(identity(&[restored]), "7/1", "of another database");
    }

    #[test]
    fn a_restored_backup_says_so() {
        let mut tested = ended_run(1, "a", "Succeeded", 10);
        tested.status.as_mut().unwrap().backups[0].level = VerificationLevel::Restored;
        let status = project(&DatabaseTargetStatus::default(), &[tested]);
        assert_eq!(
            says(&status, ConditionType::RestoreTested),
            "True/Restored: that of 2026-11-20T02:05:00Z, by run shop-1, was restored for a test"
        );
        let none = project(&DatabaseTargetStatus::default(), &[]);
        assert_eq!(says(&none, ConditionType::RestoreTested), "False/Pending: no backup yet");
    }

    #[test]
    fn a_held_run_is_live_until_it_gave_its_claims_up() {
        assert!(is_live(&run(1, "a", json!({}))));
        assert!(is_live(&run(1, "a", json!({"outcome": "Held"}))));
        let release = json!({"state": "Done", "epoch": 1, "attempt": 1});
        let resolved = json!({"outcome": "Held", "ops": {"resolve/release": release}});
        assert!(!is_live(&run(1, "a", resolved)));
        assert!(!is_live(&run(1, "a", json!({"outcome": "Aborted"}))));
    }
}
