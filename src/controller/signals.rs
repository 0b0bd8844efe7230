//! What people and clocks ask of a run, from the plan as it is now. Pure.
//!
//! Whose name stands under a verb is proven only where the chart's admission policy is, and only for the verbs that it
//! guards: the record says of all others that they are unverified.

use crate::api::plan::{OnDelete, Standing, Windows};
use crate::api::run::MigrationRunStatus;
use crate::api::verb::{self, Asked, Guard, PREFIX, Verb};
use crate::api::{Duration, MigrationPlan, MigrationRun};
use crate::program::{Closed, Exit, Said, Signals};
use crate::run::STOPPED;
use jiff::Timestamp;

/// The run that signals are for.
#[derive(Clone, Copy)]
pub(super) struct For<'a> {
    /// The run.
    pub(super) run: &'a MigrationRun,
    /// The number of the run before it that meant the same; none if there was none.
    pub(super) before: Option<i64>,
    /// Whether the API server proves who asks.
    pub(super) proven: bool,
}

/// The signals for a run, and how long until a clock changes them.
pub(super) fn signals(
    plan: &MigrationPlan,
    whose: For<'_>,
    now: Timestamp,
) -> (Signals, Option<std::time::Duration>) {
    let (number, rolled_back) = (whose.run.spec.number, whose.run.spec.rolls_back);
    let none = MigrationRunStatus::default();
    let record = whose.run.status.as_ref().unwrap_or(&none);
    let deleted = plan.metadata.deletion_timestamp.is_some();
    let mut signals = Signals {
        paused: plan.spec.paused,
        deleted: deleted && plan.spec.on_delete == OnDelete::RollBack,
        stopped: deleted && plan.spec.on_delete == OnDelete::Stop,
        superseded: plan.metadata.generation != Some(whose.run.spec.plan.generation),
        ..Signals::default()
    };
    let annotations = plan.metadata.annotations.clone().unwrap_or_default();
    for asked in verb::on_plan(&annotations).into_iter().flatten() {
        let Asked { verb, by } = asked;
        let key = verb.key();
        let value = annotations.get(&format!("{PREFIX}{key}")).cloned().unwrap_or_default();
        let said = Said { verified: whose.proven && verb.is_guarded(), verb: key, value, by };
        let said_of = match &verb {
            Verb::Approve(_) | Verb::ApproveStep { .. } => Some(number),
            Verb::Abort(run) | Verb::Resolve(run) | Verb::Abandon(run) => Some(*run),
            // Of a rollback it may name the run that is taken back: the other number is not known before.
            Verb::Override { run, .. } if rolled_back == Some(*run) => Some(number),
            Verb::Override { run, .. } => Some(*run),
            // It named the run before, and this one is what came of it.
            Verb::Retry(run) => whose.before.filter(|before| before == run).map(|_| number),
            Verb::Rollback(run) => rolled_back.filter(|of| of == run).map(|_| number),
            Verb::Adopt { .. } => None,
        };
        if said_of == Some(number) {
            signals.said.push(said);
        }
        match verb {
            Verb::Approve(hash) => drop(signals.approved.insert(String::new(), hash)),
            Verb::ApproveStep { step, plan_hash } => drop(signals.approved.insert(step, plan_hash)),
            Verb::Abort(run) if run == number => signals.abort = true,
            Verb::Resolve(run) if run == number => signals.exit = Some(Exit::Resolve),
            Verb::Abandon(run) if run == number => signals.exit = Some(Exit::Abandon),
            Verb::Override { guard: Guard::DataLoss, run, until, .. }
                if run == number || rolled_back == Some(run) =>
            {
                signals.accept_data_loss = now < until.0;
            }
            _ => {}
        }
    }
    if signals.stopped && record.failure.as_ref().is_some_and(|failure| failure.code == STOPPED) {
        // What was stopped in the middle is left as it is: its claims go, so that the plan can.
        signals.exit.get_or_insert(Exit::Abandon);
    }
    let left = |since: Option<Timestamp>, most: Option<Duration>| {
        let (since, most) = (since?, most?);
        let passed = between(since, now).saturating_sub(waited(record, since, now));
        Some(most.get().saturating_sub(passed))
    };
    let deadline = left(record.claimed_at.as_ref().map(|at| at.0), plan.spec.deadline);
    let downtime = left(record.down_from.as_ref().map(|at| at.0), plan.spec.max_downtime);
    signals.deadline = deadline.is_some_and(|left| left.is_zero());
    signals.downtime = downtime.is_some_and(|left| left.is_zero());
    // A window that can't be read was refused before there was a run; one that came with an edit holds nobody.
    let standing = Windows::read(&plan.spec.windows).map(|windows| windows.at(now));
    let turns = match standing {
        Ok(Standing::Open(until)) => until,
        Ok(Standing::Closed(opens)) => {
            let at = opens.as_ref().map(|opens| opens.at);
            signals.closed = Some(Closed { opens, then: plan.spec.on_window_close });
            at
        }
        Err(_) => None,
    };
    let turns = turns.map(|at| between(now, at));
    let waits = record.waits.last().is_some_and(|wait| wait.to.is_none());
    let counted = [deadline, downtime].into_iter().flatten().filter(|_| !waits);
    let next = counted.chain(turns).filter(|left| !left.is_zero()).min();
    (signals, next)
}

fn between(from: Timestamp, to: Timestamp) -> std::time::Duration {
    std::time::Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// How long a run has waited for people and windows since an instant.
fn waited(record: &MigrationRunStatus, since: Timestamp, now: Timestamp) -> std::time::Duration {
    let spans = record.waits.iter().map(|wait| (wait.from.0, wait.to.as_ref().map_or(now, |to| to.0)));
    spans.map(|(from, to)| between(from.max(since), to.min(now))).sum()
}

/// The run whose intent a person wants again.
pub(super) fn retry(plan: &MigrationPlan) -> Option<i64> {
    let annotations = plan.metadata.annotations.clone().unwrap_or_default();
    verb::on_plan(&annotations).into_iter().flatten().find_map(|asked| match asked.verb {
        Verb::Retry(run) => Some(run),
        _ => None,
    })
}

/// The run that a person wants taken back.
pub(super) fn rollback_of(plan: &MigrationPlan) -> Option<i64> {
    let annotations = plan.metadata.annotations.clone().unwrap_or_default();
    verb::on_plan(&annotations).into_iter().flatten().find_map(|asked| match asked.verb {
        Verb::Rollback(run) => Some(run),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn plan(annotations: serde_json::Value) -> MigrationPlan {
        let mut plan: MigrationPlan = serde_json::from_value(json!({
            "metadata": {"name": "shop", "namespace": "aether", "uid": "p", "generation": 2},
            "spec": {"stages": [{"name": "Data", "steps": [{"name": "s", "approve": {"message": "go?"}}]}]}
        }))
        .unwrap();
        plan.metadata.annotations = serde_json::from_value(annotations).unwrap();
        plan
    }

    fn run(number: i64) -> MigrationRun {
        serde_json::from_value(json!({
            "metadata": {"name": format!("shop-{number}"), "namespace": "aether", "uid": "r"},
            "spec": {"plan": {"name": "shop", "uid": "p", "generation": 2}, "number": number, "intentHash": "i"}
        }))
        .unwrap()
    }

    fn said(plan: &MigrationPlan, number: i64, before: Option<i64>, proven: bool) -> Vec<(String, bool)> {
        let run = run(number);
        let (signals, _) = signals(plan, For { run: &run, before, proven }, Timestamp::UNIX_EPOCH);
        signals
            .said
            .into_iter()
            .map(|said| (format!("{}={}", said.verb, said.value), said.verified))
            .collect()
    }

    #[test]
    fn a_deleted_plan_turns_its_run_around_or_stops_it() {
        let mut plan = plan(json!({}));
        let mut run = run(4);
        let live = run.clone();
        let heard = |plan: &MigrationPlan| {
            let whose = For { run: &live, before: None, proven: false };
            let (signals, _) = signals(plan, whose, Timestamp::UNIX_EPOCH);
            (signals.deleted, signals.stopped, signals.exit)
        };
        assert_eq!(heard(&plan), (false, false, None));
        plan.metadata.deletion_timestamp = Some(crate::api::Time(Timestamp::UNIX_EPOCH));
        assert_eq!(heard(&plan), (true, false, None));
        plan.spec.on_delete = OnDelete::Stop;
        assert_eq!(
            heard(&plan),
            (false, true, None),
            "a run that is Held for another cause waits for a person"
        );
        let failure = json!({"code": STOPPED, "message": "m"});
        run.status = serde_json::from_value(json!({"outcome": "Held", "failure": failure})).unwrap();
        let whose = For { run: &run, before: None, proven: false };
        assert_eq!(signals(&plan, whose, Timestamp::UNIX_EPOCH).0.exit, Some(Exit::Abandon));
    }

    #[test]
    fn a_window_says_when_it_turns() {
        let mut plan = plan(json!({}));
        plan.spec.windows =
            serde_json::from_value(json!([{"from": "01:00", "to": "04:00", "timeZone": "Europe/Berlin"}]))
                .unwrap();
        let run = run(4);
        let heard = |at: &str| {
            let whose = For { run: &run, before: None, proven: false };
            let (signals, next) = signals(&plan, whose, at.parse().unwrap());
            (
                signals.closed.and_then(|closed| closed.opens).map(|opens| opens.shown),
                next.map(|n| n.as_secs()),
            )
        };
        let opens = Some("Sun 2026-11-22 01:00 Europe/Berlin".to_owned());
        assert_eq!(heard("2026-11-21T23:59:00Z"), (opens, Some(60)));
        assert_eq!(heard("2026-11-22T00:00:00Z"), (None, Some(3 * 3600)));
    }

    #[test]
    fn waits_count_neither_in_the_deadline_nor_in_the_downtime() {
        let mut plan = plan(json!({}));
        plan.spec.deadline = Some(Duration::from_secs(3600));
        plan.spec.max_downtime = Some(Duration::from_secs(600));
        let mut run = run(4);
        let mut heard = |waits: serde_json::Value, at: &str| {
            run.status = serde_json::from_value(json!({
                "claimedAt": "2026-11-22T00:00:00Z", "downFrom": "2026-11-22T00:30:00Z", "waits": waits
            }))
            .unwrap();
            let whose = For { run: &run, before: None, proven: false };
            let (signals, next) = signals(&plan, whose, at.parse().unwrap());
            (signals.deadline, signals.downtime, next.map(|next| next.as_secs()))
        };
        let none = json!([]);
        assert_eq!(heard(none.clone(), "2026-11-22T00:35:00Z"), (false, false, Some(300)));
        assert_eq!(heard(none, "2026-11-22T01:00:00Z"), (true, true, None));
        let over = json!([
            {"for": "Pause", "from": "2026-11-22T00:10:00Z", "to": "2026-11-22T00:20:00Z"},
            {"for": "Window", "from": "2026-11-22T00:35:00Z", "to": "2026-11-22T00:55:00Z"}
        ]);
        assert_eq!(
            heard(over, "2026-11-22T00:58:00Z"),
            (false, false, Some(120)),
            "5 of 10 minutes and 3 more"
        );
        let lasts = json!([{"for": "Window", "from": "2026-11-22T00:35:00Z"}]);
        assert_eq!(heard(lasts, "2026-11-29T00:00:00Z"), (false, false, None), "a week later");
    }

    #[test]
    fn what_names_the_run_is_kept_word_for_word() {
        let plan = plan(json!({
            "whimbrel.dev/approve": format!("{HASH} by ann"),
            "whimbrel.dev/abort": "4 by bob",
            "whimbrel.dev/resolve": "3 by bob",
            "whimbrel.dev/retry": "3 by cem",
            "whimbrel.dev/override.data-loss": "4 until=2026-11-21T04:00:00Z why=agreed by phone by ann",
        }));
        let words =
            |list: &[(&str, bool)]| list.iter().map(|(w, v)| ((*w).to_owned(), *v)).collect::<Vec<_>>();
        let approve = format!("approve={HASH} by ann");
        let over = "override.data-loss=4 until=2026-11-21T04:00:00Z why=agreed by phone by ann";
        let all =
            [("abort=4 by bob", false), (approve.as_str(), true), (over, true), ("retry=3 by cem", false)];
        assert_eq!(said(&plan, 4, Some(3), true), words(&all), "nobody proves who aborts");
        assert_eq!(said(&plan, 4, None, false), words(&[all[0], (&approve, false), (over, false)]));
        assert_eq!(said(&plan, 5, Some(4), true), words(&[all[1]]), "the verbs name run 4");
    }
}
