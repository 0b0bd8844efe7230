//! What retention must know of a target: which backups a run may still need, what restores have put aside, and what is
//! gone already.

use super::target::{TargetFacts, is_live};
use crate::api::run::MigrationRunStatus;
use crate::api::target::{AsideStatus, DatabaseTargetStatus, Deleted};
use crate::api::{MigrationPlan, MigrationRun, Outcome, Time};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;

/// The most that a target keeps of what was put aside, and of what was deleted; the API's bounds.
const KEPT: usize = 20;

/// How long a run whose plan is gone may still be asked for: its record stays as long.
const WITHOUT_PLAN: SignedDuration = SignedDuration::from_hours(24);

/// Why the backups of a run may not be deleted: it is live, a live one takes it back, or it may still be taken back.
///
/// The window is counted whatever became of the plan since, and an instant before the end of the run is in it: a clock
/// that jumped back opens it again.
pub(super) fn pin(
    run: &MigrationRun,
    runs: &[MigrationRun],
    plans: &[MigrationPlan],
    now: Timestamp,
) -> Option<String> {
    if is_live(run) {
        return Some(name(run));
    }
    let takes_it_back = |other: &&MigrationRun| {
        is_live(other)
            && other.spec.rolls_back == Some(run.spec.number)
            && other.spec.plan.name == run.spec.plan.name
    };
    if let Some(other) = runs.iter().find(takes_it_back) {
        return Some(name(other));
    }
    let status = run.status.as_ref()?;
    if status.outcome != Some(Outcome::Succeeded) {
        return None;
    }
    let Some(ended) = &status.finished_at else {
        return Some(format!("{}: nobody knows when it ended", name(run)));
    };
    let plan = plans.iter().find(|plan| plan.metadata.name.as_ref() == Some(&run.spec.plan.name));
    let window = plan.map_or(WITHOUT_PLAN, |plan| {
        SignedDuration::try_from(plan.spec.rollback_window.get()).unwrap_or(SignedDuration::MAX)
    });
    let until = ended.0.saturating_add(window).unwrap_or(Timestamp::MAX);
    (now < until).then(|| format!("{}: it may be taken back until {until}", name(run)))
}

/// What restores have left beside the database, newest first.
pub(super) fn aside(old: &DatabaseTargetStatus, target: &TargetFacts<'_>) -> Vec<AsideStatus> {
    let gone = |aside: &AsideStatus| {
        old.deleted.iter().any(|gone| gone.id == aside.run_uid && gone.what == what(aside))
    };
    let mut all = old.aside.clone();
    all.retain(|known| !gone(known));
    for run in target.runs {
        let Some(status) = &run.status else { continue };
        let Some((name, at)) = left_by(run, status, target.name) else { continue };
        let uid = run.metadata.uid.clone().unwrap_or_default();
        let new = AsideStatus {
            name,
            run: self::name(run),
            run_uid: uid,
            at,
            dropping_since: None,
            not_dropped: None,
        };
        if gone(&new) {
            continue;
        }
        match all.iter_mut().find(|known| known.run_uid == new.run_uid) {
            // A restore that was tried and one that was done are the same two databases.
            Some(known) => known.name = new.name,
            None => all.push(new),
        }
    }
    all.sort_by_key(|aside| Reverse(aside.at.0));
    // What is being dropped is never the one that gives way.
    let (dropping, resting): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|aside| aside.dropping_since.is_some());
    let mut kept: Vec<_> = dropping.into_iter().chain(resting).take(KEPT).collect();
    kept.sort_by_key(|aside| Reverse(aside.at.0));
    kept
}

/// The database that a run's restore put aside; of one that has ended without, the copy that it may have made.
fn left_by(run: &MigrationRun, status: &MigrationRunStatus, target: &str) -> Option<(String, Time)> {
    if let Some(restore) = status.restores.iter().find(|restore| restore.target == target) {
        return Some((restore.aside.clone(), restore.at.clone()));
    }
    let tried = status.ops.get(&format!("back/restore/{target}"))?;
    let at = status.finished_at.clone().or_else(|| tried.started_at.clone())?;
    (!is_live(run)).then_some((String::new(), at))
}

/// How a thing put aside is called where it is deleted.
pub fn what(aside: &AsideStatus) -> String {
    match aside.name.as_str() {
        "" => format!("what run {} restored beside the database", aside.run),
        name => format!("database {name}"),
    }
}

/// Notes that something is gone.
pub fn gone(status: &mut DatabaseTargetStatus, deleted: Deleted) {
    status.deleted.insert(0, deleted);
    status.deleted.truncate(KEPT);
}

fn name(run: &MigrationRun) -> String {
    run.metadata.name.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn run(number: i64, status: Value) -> MigrationRun {
        serde_json::from_value(json!({
            "metadata": {"name": format!("shop-{number}"), "namespace": "aether", "uid": format!("r{number}")},
            "spec": {"plan": {"name": "shop", "uid": "p", "generation": 1}, "number": number, "intentHash": "i"},
            "status": status
        }))
        .unwrap()
    }

    fn succeeded(number: i64) -> MigrationRun {
        run(number, json!({"outcome": "Succeeded", "finishedAt": "2026-11-20T02:00:00Z"}))
    }

    fn plan(window: &str, generation: i64) -> MigrationPlan {
        serde_json::from_value(json!({
            "metadata": {"name": "shop", "namespace": "aether", "generation": generation},
            "spec": {"rollbackWindow": window, "stages": []}
        }))
        .unwrap()
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-11-{time}:00Z").parse().unwrap()
    }

    #[test]
    fn the_backups_of_a_run_are_pinned_while_it_may_be_taken_back() {
        let (run, hour) = (succeeded(1), [plan("1h", 1)]);
        let pinned = |plans: &[MigrationPlan], now| pin(&run, std::slice::from_ref(&run), plans, now);
        assert_eq!(
            pinned(&hour, at("20T02:59")).unwrap(),
            "shop-1: it may be taken back until 2026-11-20T03:00:00Z"
        );
        assert_eq!(pinned(&hour, at("20T03:00")), None);
        assert!(pinned(&hour, at("01T00:00")).is_some(), "the clock jumped back");
        assert!(pinned(&[plan("1h", 2)], at("20T02:59")).is_some(), "edited since, and perhaps edited back");
        assert_eq!(pinned(&[plan("0s", 1)], at("20T02:00")), None);
        assert!(pinned(&[], at("21T01:59")).is_some() && pinned(&[], at("21T02:00")).is_none(), "plan gone");
    }

    #[test]
    fn who_takes_a_run_back_needs_its_backups_after_the_window_too() {
        let mut back = self::run(2, json!({}));
        back.spec.rolls_back = Some(1);
        let now = at("25T00:00");
        let runs = [succeeded(1), back.clone()];
        assert_eq!(pin(&runs[0], &runs, &[plan("1h", 1)], now).as_deref(), Some("shop-2"));
        back.status = Some(serde_json::from_value(json!({"outcome": "RolledBack"})).unwrap());
        let runs = [succeeded(1), back];
        assert_eq!(pin(&runs[0], &runs, &[plan("1h", 1)], now), None);
    }

    #[test]
    fn an_end_that_nobody_knows_pins() {
        let unknown = run(1, json!({"outcome": "Succeeded"}));
        let pinned = pin(&unknown, &[], &[plan("0s", 1)], at("25T00:00"));
        assert_eq!(pinned.unwrap(), "shop-1: nobody knows when it ended");
        let failed = run(1, json!({"outcome": "RolledBack", "finishedAt": "2026-11-20T02:00:00Z"}));
        assert_eq!(pin(&failed, &[], &[plan("1h", 1)], at("20T02:01")), None);
        let held = run(1, json!({"outcome": "Held", "finishedAt": "2026-11-20T02:00:00Z"}));
        assert_eq!(pin(&held, &[], &[], at("25T00:00")).as_deref(), Some("shop-1"), "Held needs it");
    }

    #[test]
    fn what_was_put_aside_is_listed_once_and_not_again_when_it_is_gone() {
        let restored = run(
            1,
            json!({"outcome": "RolledBack", "finishedAt": "2026-11-20T02:00:00Z",
                "restores": [{"target": "tas", "aside": "wb_1_r1", "replaced": "7/1", "identity": "7/2", "at": "2026-11-20T01:00:00Z"}],
                "ops": {"back/restore/tas": {"state": "Done", "epoch": 1, "attempt": 1}}}),
        );
        let tried = run(
            2,
            json!({"outcome": "Aborted", "finishedAt": "2026-11-21T02:00:00Z",
                "ops": {"back/restore/tas": {"state": "Failed", "epoch": 1, "attempt": 1}, "back/restore/other": {"state": "Done", "epoch": 1, "attempt": 1}}}),
        );
        let live = run(
            3,
            json!({"ops": {"back/restore/tas": {"state": "Intent", "epoch": 1, "attempt": 1, "startedAt": "2026-11-21T02:00:00Z"}}}),
        );
        let runs = [restored, tried, live];
        let facts = TargetFacts { name: "tas", generation: 1, runs: &runs, plans: &[], claim: None };
        let mut status = DatabaseTargetStatus::default();
        status.aside = aside(&status, &facts);
        let names: Vec<String> = status.aside.iter().map(what).collect();
        assert_eq!(names, ["what run shop-2 restored beside the database", "database wb_1_r1"]);
        assert_eq!(aside(&status, &facts), status.aside, "the same again");
        let first = status.aside.remove(1);
        let at = Time("2026-11-25T00:00:00Z".parse().unwrap());
        let note = Deleted {
            what: what(&first),
            id: first.run_uid.clone(),
            run: first.run.clone(),
            at,
            bytes: None,
            why: String::new(),
        };
        gone(&mut status, note);
        assert_eq!(aside(&status, &facts), status.aside, "it does not come back");
    }
}
