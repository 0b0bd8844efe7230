//! The tree of a plan as it stands: plan, stages, steps, ops, workloads. Pure: objects in, lines out.

use crate::api::plan::{MigrationPlanStatus, StageStatus, StepState, StepStatus, WorkloadState};
use crate::api::run::{MigrationRunStatus, OpRecord, OpState};
use crate::api::{MigrationPlan, MigrationRun, Phase};
use crate::words::text::clock;

/// How something stands, as one sign before its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// No sign: a heading or a sentence.
    Plain,
    Done,
    Running,
    Waiting,
    Failed,
    Undone,
    Pending,
}

/// One line of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) depth: usize,
    pub(super) mark: Mark,
    pub(super) text: String,
}

/// One event, as the tail shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at: String,
    pub(super) reason: String,
    pub(super) note: String,
}

fn line(depth: usize, mark: Mark, text: impl Into<String>) -> Line {
    Line { depth, mark, text: text.into() }
}

/// Everything that is known of a plan, what matters most on top.
pub(super) fn tree(plan: &MigrationPlan, run: Option<&MigrationRun>, events: &[Told]) -> Vec<Line> {
    let unseen = MigrationPlanStatus::default();
    let status = plan.status.as_ref().unwrap_or(&unseen);
    let mut lines = vec![head(plan, status)];
    let message = match status.message.as_str() {
        "" => "the operator has not looked at this plan yet",
        message => message,
    };
    lines.push(line(1, Mark::Plain, message));
    lines.extend(next_action(status).map(|next| line(1, Mark::Plain, format!("next: {next}"))));
    let record = run.and_then(|run| run.status.as_ref());
    if let Some(record) = record {
        lines.extend(ops(record, status, "before the steps", &BEFORE));
    }
    for stage in &status.stages {
        lines.extend(stage_lines(stage));
    }
    if let Some(record) = record {
        lines.extend(ops(record, status, "after the steps", &AFTER));
        lines.extend(way(record, "back/", "way back"));
        lines.extend(way(record, "resolve/", "resolve"));
    }
    lines.extend(workloads(status));
    lines.extend(backups(status));
    lines.extend(record.and_then(downtime));
    lines.extend(tail(events));
    lines
}

/// What a person does next, where the sentence does not say it already.
fn next_action(status: &MigrationPlanStatus) -> Option<&str> {
    let next = status.failure.as_ref()?.next_action.as_str();
    // The sentence of Held has all of them, numbered.
    let said = status.phase == Phase::Held || status.message.to_lowercase().contains(&next.to_lowercase());
    (!said).then_some(next)
}

fn head(plan: &MigrationPlan, status: &MigrationPlanStatus) -> Line {
    let namespace = plan.metadata.namespace.as_deref().unwrap_or_default();
    let name = plan.metadata.name.as_deref().unwrap_or_default();
    let mut text = format!("{namespace}/{name}");
    if let Some(version) = &plan.spec.version {
        text.push_str(&format!("  {version}"));
    }
    text.push_str(&format!("  {}", status.phase));
    if !status.progress.is_empty() {
        text.push_str(&format!("  {}", status.progress));
    }
    if let Some(run) = &status.run {
        text.push_str(&format!("  run {}", run.number));
    }
    line(0, mark_of(status.phase), text)
}

pub(super) fn mark_of(phase: Phase) -> Mark {
    match phase {
        Phase::Succeeded => Mark::Done,
        Phase::RolledBack | Phase::Aborted | Phase::Held | Phase::Stalled => Mark::Failed,
        Phase::Pending | Phase::Queued | Phase::Paused | Phase::AwaitingApproval | Phase::AwaitingWindow => {
            Mark::Waiting
        }
        Phase::BackingUp
        | Phase::Quiescing
        | Phase::Migrating
        | Phase::RollingOut
        | Phase::Verifying
        | Phase::RollingBack => Mark::Running,
    }
}

fn stage_lines(stage: &StageStatus) -> Vec<Line> {
    // A stage stands where its most urgent step stands.
    const URGENT: [Mark; 5] = [Mark::Failed, Mark::Waiting, Mark::Running, Mark::Undone, Mark::Pending];
    let marks: Vec<Mark> = stage.steps.iter().map(|step| step_mark(step.state)).collect();
    let mark = URGENT.into_iter().find(|mark| marks.contains(mark)).unwrap_or(Mark::Done);
    let begun = marks.iter().any(|mark| !matches!(mark, Mark::Pending | Mark::Plain));
    let mark = if mark == Mark::Pending && begun { Mark::Running } else { mark };
    let mut lines = vec![line(1, mark, stage.name.as_str())];
    lines.extend(stage.steps.iter().map(step_line));
    lines
}

fn step_mark(state: StepState) -> Mark {
    match state {
        StepState::Pending => Mark::Pending,
        StepState::Skipped => Mark::Plain,
        StepState::Running => Mark::Running,
        StepState::Waiting => Mark::Waiting,
        StepState::Done => Mark::Done,
        StepState::Failed => Mark::Failed,
        StepState::Undone => Mark::Undone,
    }
}

fn step_line(step: &StepStatus) -> Line {
    let mut text = step.name.clone();
    match step.state {
        StepState::Skipped => text.push_str("  nothing to do"),
        StepState::Undone => text.push_str("  taken back"),
        _ => {}
    }
    if let (Some(from), Some(to)) = (&step.started_at, &step.finished_at) {
        text.push_str(&format!("  {} to {}", clock(from.0), clock(to.0)));
    } else if let Some(from) = &step.started_at {
        text.push_str(&format!("  since {}", clock(from.0)));
    }
    if !step.message.is_empty() {
        text.push_str(&format!("  {}", step.message));
    }
    line(2, step_mark(step.state), text)
}

/// Sorts of ops that no step stands for, in the order in which a run meets them.
const BEFORE: [&str; 12] = [
    "preflight",
    "trial",
    "approval",
    "claim",
    "recheck",
    "freeze",
    "quiesce",
    "prove-quiet",
    "stop-server",
    "backup",
    "start-server",
    "verify-backup",
];
const AFTER: [&str; 4] = ["mark-writes", "give-back", "verify-final", "release"];

/// The ops of some sorts: what is done is one line per sort, the others one line each.
fn ops(record: &MigrationRunStatus, status: &MigrationPlanStatus, title: &str, sorts: &[&str]) -> Vec<Line> {
    let mut lines = Vec::new();
    for sort in sorts {
        let of_sort: Vec<(&str, &OpRecord)> = record
            .ops
            .iter()
            .filter(|(id, _)| id.split('/').next() == Some(sort))
            .map(|(id, op)| (id.as_str(), op))
            .collect();
        let done = of_sort.iter().filter(|(_, op)| op.state == OpState::Done).count();
        if done > 0 {
            let text = if of_sort.len() == 1 {
                words(of_sort[0].0)
            } else {
                format!("{sort}  {done}/{}", of_sort.len())
            };
            lines.push(line(2, Mark::Done, text));
        }
        for (id, op) in of_sort.iter().filter(|(_, op)| op.state != OpState::Done) {
            lines.push(op_line(id, op, status));
        }
    }
    headed(title, lines)
}

fn way(record: &MigrationRunStatus, prefix: &str, title: &str) -> Vec<Line> {
    let mut ops: Vec<(&str, &OpRecord)> =
        record.ops.iter().filter_map(|(id, op)| id.strip_prefix(prefix).map(|id| (id, op))).collect();
    // An op that was over sooner came first, where both began in one second.
    ops.sort_by_key(|(_, op)| [&op.started_at, &op.finished_at].map(|at| at.as_ref().map(|at| at.0)));
    let none = MigrationPlanStatus::default();
    headed(title, ops.into_iter().map(|(id, op)| op_line(id, op, &none)).collect())
}

fn headed(title: &str, lines: Vec<Line>) -> Vec<Line> {
    if lines.is_empty() {
        return lines;
    }
    let worst =
        [Mark::Failed, Mark::Running].into_iter().find(|mark| lines.iter().any(|line| line.mark == *mark));
    [line(1, worst.unwrap_or(Mark::Done), title)].into_iter().chain(lines).collect()
}

fn op_line(id: &str, op: &OpRecord, status: &MigrationPlanStatus) -> Line {
    let (mark, mut text) = match op.state {
        OpState::Intent => (Mark::Running, words(id)),
        OpState::Done => (Mark::Done, words(id)),
        OpState::Failed => (Mark::Failed, words(id)),
        OpState::Unknown => (Mark::Failed, format!("{}  outcome unknown", words(id))),
    };
    match (&op.note, &op.started_at, op.state) {
        (Some(note), _, OpState::Failed | OpState::Unknown) => text.push_str(&format!("  {note}")),
        (_, Some(since), OpState::Intent) => text.push_str(&format!("  since {}", clock(since.0))),
        _ => {}
    }
    // Blockers are written by name; a run that waits for several things shows all of them below the op at hand.
    if op.state == OpState::Intent
        && let Some(blocked) = status.blocked_by.iter().find(|blocked| id.contains(&blocked.name))
    {
        text.push_str(&format!("  waits for {}", blocked.detail));
    }
    line(2, mark, text)
}

/// `quiesce/deployment.aether.web` as `quiesce deployment.aether.web`.
fn words(id: &str) -> String {
    id.replacen('/', " ", 1)
}

fn workloads(status: &MigrationPlanStatus) -> Vec<Line> {
    let lines: Vec<Line> = status
        .workloads
        .iter()
        .filter(|workload| workload.state != WorkloadState::Untouched)
        .map(|workload| {
            let mark = match workload.state {
                WorkloadState::Untouched | WorkloadState::RolledOut | WorkloadState::GivenBack => Mark::Done,
                WorkloadState::Quiesced => Mark::Waiting,
                WorkloadState::RollingOut => Mark::Running,
                WorkloadState::KeptDown => Mark::Failed,
            };
            let mut text =
                format!("{} {}/{}  {}", workload.kind, workload.namespace, workload.name, workload.state);
            if !workload.message.is_empty() {
                text.push_str(&format!("  {}", workload.message));
            }
            line(2, mark, text)
        })
        .collect();
    titled("workloads", lines)
}

fn backups(status: &MigrationPlanStatus) -> Vec<Line> {
    let lines: Vec<Line> = status
        .backups
        .iter()
        .map(|backup| {
            let text = format!(
                "{}  {}  {}  {}  {}",
                backup.target,
                backup.level,
                size(backup.bytes),
                clock(backup.at.0),
                backup.path
            );
            line(2, Mark::Done, text)
        })
        .collect();
    titled("backups", lines)
}

fn tail(events: &[Told]) -> Vec<Line> {
    let lines = events
        .iter()
        .map(|told| line(2, Mark::Plain, format!("{}  {}  {}", told.at, told.reason, told.note)));
    titled("events", lines.collect())
}

fn titled(title: &str, lines: Vec<Line>) -> Vec<Line> {
    let heading = (!lines.is_empty()).then(|| line(1, Mark::Plain, title));
    heading.into_iter().chain(lines).collect()
}

fn downtime(record: &MigrationRunStatus) -> Option<Line> {
    let from = clock(record.down_from.as_ref()?.0);
    let text = match (&record.outcome, &record.down_to, record.downtime) {
        (Some(_), Some(to), Some(span)) => format!("downtime  {span}  {from} to {}", clock(to.0)),
        _ => format!("downtime  since {from}"),
    };
    Some(line(1, Mark::Plain, text))
}

/// Bytes as people read them, in powers of 1024.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut whole = bytes;
    let mut rest = 0;
    let mut unit = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (whole, rest) = (whole / 1024, whole % 1024);
        unit += 1;
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{} {}", rest * 10 / 1024, UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{approval, held, migrating, succeeded, unseen};
    use super::super::paint::{Look, text};
    use super::*;

    fn shown(of: &(MigrationPlan, MigrationRun)) -> String {
        text(&tree(&of.0, Some(&of.1), &[]), Look { utf8: true, color: false }, None)
    }

    #[test]
    fn a_run_at_work_shows_what_is_done_and_what_it_waits_for() {
        insta::assert_snapshot!(shown(&migrating()));
    }

    #[test]
    fn a_run_that_ended_well_shows_its_downtime_and_backups() {
        insta::assert_snapshot!(shown(&succeeded()));
    }

    #[test]
    fn a_held_run_shows_what_stays_down_and_the_ways_on() {
        insta::assert_snapshot!(shown(&held()));
    }

    #[test]
    fn a_gate_shows_its_question() {
        insta::assert_snapshot!(shown(&approval()));
    }

    #[test]
    fn a_plan_that_nobody_has_looked_at_says_so() {
        let plan = unseen();
        let events =
            [Told { at: "02:14:05Z".into(), reason: "RunStarted".into(), note: "run 1 begins".into() }];
        let shown = text(&tree(&plan, None, &events), Look { utf8: false, color: false }, None);
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn sizes_are_readable() {
        let sizes = [0, 1023, 1024, 1_600_000, 5_368_709_120].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 GiB"]);
    }
}
