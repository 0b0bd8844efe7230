//! What a run will do, before it does it: what a person approves.

use super::message::activity;
use crate::api::bounds::PREVIEW;
use crate::program::{Kind, Op, Pending, Program};
use crate::script::Script;

/// The ops in order, one line each, without bodies; what does not fit is counted.
pub(super) fn preview(program: &Program) -> String {
    let lines: Vec<String> = program
        .forward
        .iter()
        .enumerate()
        .flat_map(|(n, group)| group.iter().flat_map(move |op| lines(program, n + 1, op)))
        .collect();
    fitted(&lines)
}

fn fitted(lines: &[String]) -> String {
    const TAIL: usize = 32;
    let room = PREVIEW as usize - TAIL;
    let mut text = String::new();
    let mut used = 0;
    for (n, line) in lines.iter().enumerate() {
        used += line.chars().count() + 1;
        if used > room {
            text.push_str(&format!("and {} more\n", lines.len() - n));
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn lines(program: &Program, group: usize, op: &Op) -> Vec<String> {
    let mut lines = vec![format!("{group:>3}  {}", activity(op, None))];
    let pending = op.step.as_ref().filter(|_| matches!(op.kind, Kind::Apply { .. }));
    if let Some(pending) = pending.and_then(|step| program.bundles.get(step)) {
        lines.extend(pending.scripts.iter().map(|script| {
            let steps = if script.directives.no_transaction { ", without a transaction" } else { "" };
            format!("       {}{steps}, {}", script.file, way_back(script))
        }));
    }
    lines
}

fn way_back(script: &Script) -> &'static str {
    match &script.undo {
        None => "no undo",
        Some(_) if script.undo_loses_data() => "undo drops what is written later",
        Some(_) => "undo keeps data",
    }
}

/// From where on the way back may lose data; none when every script can be undone without a loss.
pub(super) fn point_of_no_return(program: &Program) -> Option<String> {
    let scripts = || program.bundles.values().flat_map(|pending: &Pending| &pending.scripts);
    let named = |scripts: Vec<&Script>| {
        scripts.iter().map(|script| script.file.as_str()).collect::<Vec<_>>().join(", ")
    };
    let without: Vec<&Script> = scripts().filter(|script| script.undo.is_none()).collect();
    if !without.is_empty() {
        return Some(format!("once it is applied: {} has no undo", named(without)));
    }
    let destructive: Vec<&Script> = scripts().filter(|script| script.undo_loses_data()).collect();
    (!destructive.is_empty()).then(|| {
        let files = named(destructive);
        format!("after the first give-back, only if somebody has written by then: the undo of {files} would drop it")
    })
}
