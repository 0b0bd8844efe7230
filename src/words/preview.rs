//! What a run will do, before it does it, and how it would be taken back: what a person approves.

use super::message::activity;
use crate::api::bounds::PREVIEW;
use crate::api::run::MigrationRunStatus as Record;
use crate::program::{Kind, ONLINE, Op, Pending, Program, can_be_undone};
use crate::script::{Dialect, Script};

/// The ops in order, one line each, without bodies; what does not fit is counted.
pub(super) fn preview(program: &Program, record: &Record) -> String {
    if program.rolls_back.is_some() {
        let ops = program.foreseen().map(|back| format!("  {}", activity(&back.op, None)));
        return fitted(&ops.collect::<Vec<_>>());
    }
    let ops = program.forward.iter().enumerate();
    let ops = ops.flat_map(|(n, group)| group.iter().flat_map(move |op| lines(program, n + 1, op)));
    let ways = program
        .applied_targets()
        .map(|target| format!("  back of {target}: {}", way_back_of(program, record, target)));
    fitted(&ops.chain(ways).collect::<Vec<_>>())
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
    let online = matches!(op.kind, Kind::Backup { .. }) && program.backs_up_online();
    let online = if online { ", while services run" } else { "" };
    let mut lines = vec![format!("{group:>3}  {}{online}", activity(op, None))];
    let pending = op.step.as_ref().filter(|_| matches!(op.kind, Kind::Apply { .. }));
    if let Some(pending) = pending.and_then(|step| program.bundles.get(step)) {
        lines.extend(pending.scripts.iter().map(|script| {
            let steps = match script.dialect {
                Dialect::Http => ", request by request",
                _ if script.directives.no_transaction => ", without a transaction",
                _ => "",
            };
            format!("       {}{steps}, {}{}", script.file, undo_of(script), bare(script))
        }));
    }
    lines
}

/// A secret that is put into a script unquoted: whoever can write it writes the script.
fn bare(script: &Script) -> String {
    let undo = script.undo.iter().map(|undo| (&undo.file, &undo.body));
    let texts = std::iter::once((&script.file, &script.body)).chain(undo);
    let found = texts.flat_map(|(file, text)| {
        script.values.bare_secrets(text).into_iter().map(move |line| format!("{file}:{line}"))
    });
    match found.collect::<Vec<_>>().join(", ") {
        places if places.is_empty() => places,
        places if script.dialect == Dialect::Cypher => {
            format!("; a bare secret at {places}: write ${{…:cypher}} or ${{…:label}}")
        }
        places if script.dialect == Dialect::Http => {
            format!("; a secret at {places}: whoever can write it writes the request")
        }
        places => format!("; a bare secret at {places}: write ${{…:literal}} or ${{…:ident}}"),
    }
}

fn undo_of(script: &Script) -> &'static str {
    match &script.undo {
        None => "no undo",
        Some(_) if !can_be_undone(script) => "its undo brings no data back",
        Some(_) if script.undo_loses_data() => "undo drops what is written later",
        Some(_) => "undo keeps data",
    }
}

/// Whether the backup of a target could be put back by itself.
enum Restore<'r> {
    /// The plan does not want it.
    NotWanted,
    /// No backup is taken.
    NoBackup,
    /// Trial finds it out before anything is touched.
    NotTried,
    /// It could.
    Possible,
    /// It could not, for this reason.
    Manual(&'r str),
}

fn restore<'r>(program: &Program, record: &'r Record, target: &str) -> Restore<'r> {
    match record.restore_trials.get(target).map(String::as_str) {
        _ if !program.on_failure.may_restore() => Restore::NotWanted,
        _ if program.targets.get(target).is_some_and(|it| !it.backed_up) => Restore::NoBackup,
        _ if program.backs_up_online() => Restore::Manual(ONLINE),
        None => Restore::NotTried,
        Some("") => Restore::Possible,
        Some(why) => Restore::Manual(why),
    }
}

/// How a target would be brought back, in one line.
fn way_back_of(program: &Program, record: &Record, target: &str) -> String {
    let undo = program.on_failure.may_undo() && scripts(program, target).all(can_be_undone);
    let otherwise = match restore(program, record, target) {
        Restore::NotWanted => return by_undo_or_hand(undo),
        Restore::NoBackup => "a person: no backup of it is taken".to_owned(),
        Restore::NotTried => {
            "restore of its backup, if that can be done: tried before anything is touched".to_owned()
        }
        Restore::Possible => "restore of its backup, while nobody has written".to_owned(),
        Restore::Manual(why) => format!("restore of its backup by hand: {why}"),
    };
    if undo { format!("undo scripts, else {otherwise}") } else { otherwise }
}

fn by_undo_or_hand(undo: bool) -> String {
    let way = if undo { "undo scripts, else a person" } else { "a person" };
    format!("{way} (onFailure.schema)")
}

fn scripts<'p>(program: &'p Program, target: &str) -> impl Iterator<Item = &'p Script> {
    let of = program.bundles.values().filter(move |pending: &&Pending| pending.target == target);
    of.flat_map(|pending| &pending.scripts)
}

/// From where on the way back may lose data or needs a person; none when every script can be undone without a loss.
pub(super) fn point_of_no_return(program: &Program, record: &Record) -> Option<String> {
    let targets: Vec<&str> = program.applied_targets().collect();
    let files = |of: &dyn Fn(&Script) -> bool, targets: &[&str]| {
        let all = targets.iter().flat_map(|target| scripts(program, target));
        all.filter(|script| of(script)).map(|script| script.file.as_str()).collect::<Vec<_>>().join(", ")
    };
    let without = |script: &Script| !can_be_undone(script);
    let (by_hand, by_itself): (Vec<&str>, Vec<&str>) = targets.iter().partition(|target| {
        let how = restore(program, record, target);
        matches!(how, Restore::NotWanted | Restore::NoBackup | Restore::Manual(_))
    });
    let stuck = files(&without, &by_hand);
    if !stuck.is_empty() {
        let why = by_hand.iter().find_map(|target| match restore(program, record, target) {
            Restore::Manual(why) => Some(format!(": {why}")),
            _ => None,
        });
        return Some(format!(
            "once it is applied: {stuck} has no undo that brings the data back, and a restore needs a person{}",
            why.unwrap_or_default()
        ));
    }
    let only_restore = files(&without, &by_itself);
    let destructive = files(&|script| can_be_undone(script) && script.undo_loses_data(), &targets);
    let mut why = Vec::new();
    if !only_restore.is_empty() {
        why.push(format!("{only_restore} has no undo, and the restore would drop it"));
    }
    if !destructive.is_empty() {
        why.push(format!("the undo of {destructive} would drop it"));
    }
    (!why.is_empty()).then(|| {
        format!("after the first give-back, only if somebody has written by then: {}", why.join("; "))
    })
}
