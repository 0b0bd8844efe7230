//! Every sentence, in one place: where, what, why it waits or failed, what to do. One line, instants instead of
//! counters: a counter would write status every second, and nobody knows when it was read.

use super::facts::{PlanFacts, RunFacts};
use super::text::{capital, clock, one_line};
use super::view::View;
use crate::api::Outcome;
use crate::api::bounds::{MESSAGE, cut};
use crate::api::plan::{Failure, Opening};
use crate::api::run::WayBack;
use crate::program::{DATA_LOSS, Gate, Kind, Op, ROLLBACK};
use crate::run::{Doing, Waiting};
use jiff::Timestamp;

/// The most that a sentence quotes of what somebody else wrote: a statement, a server's error.
const QUOTED: u32 = 200;

/// The most of a failure's own sentence, which holds a position and a fix beside what it quotes.
const FAILURE: u32 = 600;

/// One line for people: what the run does, waits for, or has come to.
pub(super) fn sentence(view: &View<'_>) -> String {
    let text = match view.outcome() {
        Some(outcome) => ended(view, outcome),
        None => match &view.report.waiting {
            Some(waiting) => waits(view, waiting),
            None => works(view),
        },
    };
    cut(&one_line(&text), MESSAGE)
}

fn waits(view: &View<'_>, waiting: &Waiting) -> String {
    let plan = view.plan;
    match waiting {
        Waiting::Paused => "paused by spec.paused: goes on when it is false".to_owned(),
        Waiting::Queued(holder) => match plan.queue {
            Some((place, all)) if all > 1 => {
                format!("waits for the release of {holder}, as number {place} of {all} in its queue")
            }
            _ => format!("waits for the release of {holder}"),
        },
        Waiting::Look { message, .. } => message.clone(),
        Waiting::Window(opens) => window(view, opens.as_ref()),
        Waiting::Approval(gate) => match gate {
            Gate::Plan | Gate::Window => {
                let hash = hash(view);
                format!("waits for approval of the preview in status: {}", approve(plan, "approve", hash))
            }
            Gate::Step { name, message } => {
                let question = if message.is_empty() { "waits for approval" } else { message };
                format!("{name}: {question} Yes: {}. No: {}", accept(view, name), abort(view))
            }
        },
    }
}

/// A run that waits for a window, and the way to go on without it: what stays down until then is said first.
fn window(view: &View<'_>, opens: Option<&Opening>) -> String {
    let opens = opens.map_or_else(
        || "a window opens, which none does within two weeks".to_owned(),
        |opens| format!("the next window opens {}", opens.shown),
    );
    if !view.frozen() {
        return format!("waits until {opens}");
    }
    let down = match view.down().len() {
        0 => "all workloads run".to_owned(),
        n => stay_down(n),
    };
    let go_on = format!(
        "kubectl patch mplan -n {} {} --type=merge -p '{{\"spec\":{{\"onWindowClose\":\"Continue\"}}}}'",
        view.plan.namespace, view.plan.name
    );
    format!(
        "its window has closed, {down}: goes on when {opens}. At once: {go_on}. Turn around: {}",
        abort(view)
    )
}

fn works(view: &View<'_>) -> String {
    let hand = view.at_hand();
    let Some(first) = hand.first() else {
        return if view.goes_back() { back_because(view) } else { "begins".to_owned() };
    };
    let mut text = activity(first, view.doing(first));
    if let Some(step) = view.asks().and_then(|op| op.step.as_deref()) {
        text.push_str(&format!(". Accept it: {}. Turn around: {}", accept(view, step), abort(view)));
    }
    if hand.len() > 1 {
        text.push_str(&format!(" (and {} more at once)", hand.len() - 1));
    }
    if view.goes_back() { format!("{}; {text}", back_because(view)) } else { text }
}

fn back_because(view: &View<'_>) -> String {
    format!("rolls back because {}", cause(view))
}

/// Why the run turned around, as the end of a sentence.
pub(super) fn cause(view: &View<'_>) -> String {
    let record = view.record();
    let failure = record.failure.as_ref().map(failure_text);
    let Some(turned) = &record.turned_around else {
        return failure.unwrap_or_else(|| "it failed".to_owned());
    };
    match turned.cause.as_str() {
        "Aborted" => match record.verbs.iter().rev().find(|verb| verb.verb == "abort") {
            Some(verb) => format!("{} aborted it", verb.by),
            None => "it was aborted".to_owned(),
        },
        ROLLBACK => {
            let by = record.verbs.iter().rev().find(|verb| verb.verb == "rollback");
            let by = by.map_or("somebody", |verb| verb.by.as_str());
            let run = view.program().and_then(|program| program.rolls_back.as_ref());
            let run = run.map(|of| format!("run {}", of.run)).unwrap_or_else(|| "a run".to_owned());
            format!("{by} wants {run} taken back")
        }
        "Deleted" => "the plan is being deleted".to_owned(),
        "DeadlineExceeded" => "its deadline has passed".to_owned(),
        "BudgetExceeded" => "maxDowntime was used up before anything was changed".to_owned(),
        "Superseded" => "the plan was edited before anything was frozen".to_owned(),
        _ => failure.unwrap_or_else(|| format!("{} failed", turned.op)),
    }
}

/// A failure as a part of a sentence.
pub(super) fn failure_text(failure: &Failure) -> String {
    let message = cut(&one_line(&failure.message), FAILURE);
    let message = message.trim_end_matches('.');
    if failure.step.is_empty() {
        message.to_owned()
    } else {
        format!("step {} failed: {message}", failure.step)
    }
}

fn ended(view: &View<'_>, outcome: Outcome) -> String {
    let again = || {
        let fix =
            view.record().failure.as_ref().map(|failure| failure.next_action.as_str()).unwrap_or_default();
        let fix = if fix.is_empty() { String::new() } else { format!("{}. ", capital(fix)) };
        format!("{fix}A changed plan starts again by itself; the same one by {}", retry(view.plan, view.run))
    };
    match outcome {
        Outcome::Succeeded => succeeded(view),
        Outcome::RolledBack => {
            format!("rolled back, {}: {}. {}{}", all_back(view), cause(view), brought_back(view), again())
        }
        Outcome::Aborted => {
            format!("ended before anything was changed, {}: {}. {}", all_back(view), cause(view), again())
        }
        Outcome::Superseded => "gave way to the edited plan before anything was changed".to_owned(),
        Outcome::Held => held(view),
    }
}

/// How each database came back: by undo scripts, or from its backup, and where what was there before is kept.
fn brought_back(view: &View<'_>) -> String {
    let record = view.record();
    let undone = record.ways_back.iter().filter(|(_, way)| **way == WayBack::Undo);
    let undone: Vec<&str> = undone.map(|(target, _)| target.as_str()).collect();
    let undone = match undone.as_slice() {
        [] => String::new(),
        names => format!("Undo scripts brought back {}. ", names.join(", ")),
    };
    let restored = record.restores.iter().map(|restore| {
        format!(
            "{} was restored from its backup; the database that was there is kept as {}. ",
            restore.target, restore.aside
        )
    });
    std::iter::once(undone).chain(restored).collect()
}

fn all_back(view: &View<'_>) -> String {
    match view.down().len() {
        0 => "everything is as before".to_owned(),
        n => format!("{} by onFailure.workloads: KeepDown", stay_down(n)),
    }
}

fn succeeded(view: &View<'_>) -> String {
    let done = match &view.plan.version {
        Some(version) => format!("{version} is in place"),
        None => "done".to_owned(),
    };
    match (&view.record().down_from, &view.record().down_to) {
        (Some(from), Some(to)) => format!("{done}; workloads were down {} to {}", clock(from.0), clock(to.0)),
        _ => format!("{done}; no workload was down"),
    }
}

fn held(view: &View<'_>) -> String {
    let down = match view.down().len() {
        0 => "all workloads run".to_owned(),
        n => stay_down(n),
    };
    let record = view.record();
    if let Some(exit) =
        record.verbs.iter().rev().find(|verb| matches!(verb.verb.as_str(), "resolve" | "abandon"))
    {
        return format!("Held, ended by {} with {}; {down}: {}", exit.by, exit.verb, cause(view));
    }
    let code = record.failure.as_ref().map(|failure| failure.code.as_str()).unwrap_or_default();
    let ways = ways_on(view.plan, view.run, code, !record.restore_by_hand.is_empty());
    let why = record.failure.as_ref().map_or_else(|| cause(view), failure_text);
    format!("Held, {down}: {why}. {}", numbered(&ways))
}

fn stay_down(workloads: usize) -> String {
    match workloads {
        1 => "1 workload stays down".to_owned(),
        n => format!("{n} workloads stay down"),
    }
}

/// The ways on from Held, each with its command: what a person at three in the morning copies. `by_hand`: whether the
/// run's record has the script that restores its backups.
pub fn ways_on(plan: &PlanFacts, run: &RunFacts, code: &str, by_hand: bool) -> Vec<String> {
    let number = run.number;
    let resolve = annotate(plan, "resolve", &format!("{number} by <you>"));
    let mut ways = Vec::new();
    if code == DATA_LOSS {
        let value = format!("{number} until=… why=… by <you>");
        ways.push(format!("give up what was written: {}", annotate(plan, "override.data-loss", &value)));
    }
    ways.push(format!("keep the data, make them fit the old images, then {resolve}"));
    if code != DATA_LOSS {
        ways.push(format!(
            "leave everything as it is and give up the claims: {}",
            annotate(plan, "abandon", &format!("{number} by <you>"))
        ));
    }
    if by_hand {
        ways.push(format!(
            "restore the backup by hand, then the same resolve; the script: kubectl get mrun -n {} {} -o jsonpath='{{.status.restoreByHand}}'",
            plan.namespace, run.name
        ));
    }
    ways
}

fn numbered(ways: &[String]) -> String {
    let ways: Vec<String> = ways.iter().enumerate().map(|(n, way)| format!("({}) {way}", n + 1)).collect();
    format!("Ways on: {}", ways.join("; "))
}

/// The command that starts a run of the same intent.
pub fn retry(plan: &PlanFacts, run: &RunFacts) -> String {
    annotate(plan, "retry", &format!("{} by <you>", run.number))
}

fn hash<'a>(view: &View<'a>) -> &'a str {
    view.program().map(|program| program.plan_hash.as_str()).unwrap_or_default()
}

/// The command that approves at a step, or accepts its check.
fn accept(view: &View<'_>, step: &str) -> String {
    approve(view.plan, &format!("approve.{step}"), hash(view))
}

fn abort(view: &View<'_>) -> String {
    annotate(view.plan, "abort", &format!("{} by <you>", view.run.number))
}

fn approve(plan: &PlanFacts, key: &str, hash: &str) -> String {
    annotate(plan, key, &format!("{hash} by <you>"))
}

fn annotate(plan: &PlanFacts, key: &str, value: &str) -> String {
    format!(
        "kubectl annotate mplan -n {} {} --overwrite whimbrel.dev/{key}=\"{value}\"",
        plan.namespace, plan.name
    )
}

/// What an op does: its step, if the user wrote one, what is done, and what it waits for.
pub(super) fn activity(op: &Op, doing: Option<&Doing>) -> String {
    let step = op.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
    match doing {
        Some(doing) if doing.blocked.is_some() => format!("{step}{}", doing_text(doing)),
        _ => format!("{step}{}", act(&op.kind, doing)),
    }
}

/// What an op says while it is at work.
pub(super) fn doing_text(doing: &Doing) -> String {
    match &doing.blocked {
        Some(blocked) => {
            let since = clock(blocked.since.unwrap_or(doing.since));
            let mut text = format!("since {since} waits for {}", cut(&one_line(&blocked.what), QUOTED));
            if let Some(sql) = &blocked.sql {
                text.push_str(&format!("; to end it: {}", cut(&one_line(sql), QUOTED)));
            }
            text
        }
        None => {
            let count = doing.progress.map(|(done, all)| format!("{done}/{all}"));
            let short = |text: &Option<String>| text.as_ref().map(|text| cut(&one_line(text), QUOTED));
            let detail = match (short(&doing.detail), short(&doing.so_far)) {
                (Some(detail), Some(so_far)) => Some(format!("{detail}: {so_far}")),
                (detail, so_far) => detail.or(so_far),
            };
            [count, detail].into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
    }
}

fn act(kind: &Kind, doing: Option<&Doing>) -> String {
    let detail = doing.and_then(|doing| doing.detail.as_deref()).map(|text| cut(&one_line(text), QUOTED));
    let count = doing.and_then(|doing| doing.progress).map(|(n, all)| format!(" ({n}/{all} done)"));
    let mut count = count.unwrap_or_default();
    if let Some(so_far) = doing.and_then(|doing| doing.so_far.as_deref()) {
        count.push_str(&format!(": {}", cut(&one_line(so_far), QUOTED)));
    }
    let what = |otherwise: &str| detail.clone().unwrap_or_else(|| otherwise.to_owned());
    let more = || detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    match kind {
        Kind::Trial { target } => {
            format!("tries the Jobs of {target} by dry-run, and whether it could be restored")
        }
        Kind::Foresee => "weighs what the way back would lose, before anything is taken down".to_owned(),
        Kind::Inherit => "takes over what the run did that is taken back".to_owned(),
        Kind::Gate(Gate::Window) => "begins in a window of the plan".to_owned(),
        Kind::Gate(_) => "passes the gate".to_owned(),
        Kind::Claim => "claims targets and workloads".to_owned(),
        Kind::Recheck => "looks again under the claim".to_owned(),
        Kind::Freeze => "freezes the program".to_owned(),
        Kind::Quiesce { workload } if workload.is_cron() => format!("suspends {workload}"),
        Kind::Quiesce { workload } => format!("scales {workload} to zero"),
        Kind::ProveQuiet { target } => format!("proves that {target} is quiet"),
        Kind::StopServer { workload } => format!("stops {workload}"),
        Kind::StartServer { workload, .. } => format!("starts {workload}"),
        Kind::Backup { target } => format!("backs up {target}{}", more()),
        Kind::VerifyBackup { target, level } => {
            format!("proves the backup of {target} to level {level}{}", more())
        }
        Kind::Apply { target, .. } => format!("applies {} to {target}{count}", what("scripts")),
        Kind::Configure { namespace, name, .. } => format!("sets keys of ConfigMap {namespace}/{name}"),
        Kind::MarkWrites => "takes the write marks".to_owned(),
        Kind::Rollout(rollout) => format!("rolls out {}", rollout.workload),
        Kind::Verify(check) => format!("asks {}", check.target),
        Kind::GiveBack { workload, .. } => format!("gives {workload} back"),
        Kind::VerifyFinal => "re-reads every history".to_owned(),
        Kind::Release => "gives up its claims".to_owned(),
        Kind::EndJobs => "ends its Jobs".to_owned(),
        Kind::Weigh => "weighs what the way back would lose".to_owned(),
        Kind::Undo { target, .. } => format!("undoes {} on {target}{count}", what("scripts")),
        Kind::Restore { target } => format!("restores {target} from its backup{}", more()),
        Kind::VerifyUndone { target } => format!("proves that {target} is as it was"),
        Kind::Deconfigure { namespace, name, .. } => format!("puts ConfigMap {namespace}/{name} back"),
        Kind::RollBack { workload, .. } => format!("puts the old image of {workload} back"),
    }
}

/// What an op has done, for its event.
pub(super) fn finished(kind: &Kind) -> String {
    match kind {
        Kind::Quiesce { workload } if workload.is_cron() => format!("{workload} is suspended"),
        Kind::Quiesce { workload } => format!("{workload} is at zero, its pods are gone"),
        Kind::ProveQuiet { target } => format!("{target} is proven quiet"),
        Kind::StopServer { workload } => format!("{workload} is stopped, its pods are gone"),
        Kind::StartServer { workload, .. } => format!("{workload} runs again and answers"),
        Kind::Backup { target } => format!("{target} is backed up"),
        Kind::VerifyBackup { target, level } => format!("the backup of {target} is proven to level {level}"),
        Kind::Apply { target, .. } => format!("all scripts are applied to {target}"),
        Kind::Configure { namespace, name, .. } => format!("keys of ConfigMap {namespace}/{name} are set"),
        Kind::Rollout(rollout) => format!("{} is rolled out and ready", rollout.workload),
        Kind::Verify(check) => format!("the check on {} holds", check.target),
        Kind::VerifyFinal => "every history holds what it should".to_owned(),
        Kind::GiveBack { workload, .. } => format!("{workload} is given back"),
        Kind::Undo { target, .. } => format!("its scripts are undone on {target}"),
        Kind::Restore { target } => {
            format!("{target} is restored from its backup; the database that was there is kept")
        }
        Kind::VerifyUndone { target } => format!("{target} is as it was"),
        Kind::Deconfigure { namespace, name, .. } => format!("ConfigMap {namespace}/{name} is as it was"),
        Kind::RollBack { workload, .. } => format!("{workload} has its old image"),
        Kind::Gate(Gate::Plan) => "the plan is approved".to_owned(),
        Kind::Gate(Gate::Window) => "a window is open".to_owned(),
        Kind::Gate(Gate::Step { name, .. }) => format!("{name} is approved"),
        Kind::Trial { .. }
        | Kind::Foresee
        | Kind::Claim
        | Kind::Recheck
        | Kind::Freeze
        | Kind::Inherit
        | Kind::MarkWrites
        | Kind::Release
        | Kind::EndJobs
        | Kind::Weigh => String::new(),
    }
}

/// A verb that was ignored, and why; for event VerbIgnored.
pub fn verb_ignored(annotation: &str, why: &str) -> String {
    format!("{annotation} is ignored: {}", one_line(why))
}

/// A guard that a person overrode; for event GuardOverridden.
pub fn guard_overridden(guard: &str, by: &str, verified: bool, why: &str) -> String {
    let proof = if verified { "" } else { " (unverified)" };
    format!("{by}{proof} overrides {guard}: {}", cut(&one_line(why), QUOTED))
}

/// Why a Held plan does not go yet; for event DeletionBlocked.
pub fn deletion_blocked(plan: &PlanFacts, run: &RunFacts) -> String {
    let value = format!("{} by <you>", run.number);
    format!(
        "run {} is Held: the plan goes after {} or {}",
        run.number,
        annotate(plan, "resolve", &value),
        annotate(plan, "abandon", &value)
    )
}

/// Why a target does not go yet; for event DeletionBlocked.
pub fn target_in_use(plan: &PlanFacts, run: &RunFacts) -> String {
    format!(
        "run {} of {}/{} is live: the target goes when it has ended; to end it: {}",
        run.name,
        plan.namespace,
        plan.name,
        annotate(plan, "abort", &format!("{} by <you>", run.number))
    )
}

/// The downtime budget is used up after scripts were applied; for event BudgetExceeded.
pub fn budget_exceeded(down_from: Timestamp) -> String {
    format!(
        "workloads are down since {}, longer than maxDowntime; the run goes on, for the way back would take longer",
        clock(down_from)
    )
}
