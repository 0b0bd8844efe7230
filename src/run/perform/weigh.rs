//! May the way back be walked without losing anything? Decided for all targets before the first undo: half a way
//! back is worse than none.

use super::super::asked::took;
use super::super::driver::Driver;
use super::super::seam::{Clock, World};
use super::super::walk::Walk;
use super::call::Facts;
use super::{Stop, failure};
use crate::engine::{Claim, Partial, Session};
use crate::program::{DATA_LOSS, Kind, Op, Pending};
use crate::script::Script;

impl<W: World> Driver<W> {
    /// Reads what is applied under lock and fence, then weighs.
    pub(super) async fn weigh(&self, walk: &Walk, op: &Op) -> Facts {
        let mut applied = Vec::new();
        for (step, pending) in &walk.program.bundles {
            if walk.applied_to(&pending.target) {
                applied.extend(self.applied_scripts(walk, op, step, pending).await?);
            }
        }
        if applied.is_empty() {
            return Ok(Vec::new());
        }
        if !walk.program.on_failure.undo {
            let message = "scripts are applied, and onFailure.schema is Hold".to_owned();
            return Err(held(op, self.run.number, "SchemaHeld", message));
        }
        let without: Vec<&Script> = applied.iter().filter(|script| !can_be_undone(script)).copied().collect();
        if !without.is_empty() {
            let message =
                format!("{} can't be undone: no undo script brings back what is gone", files(&without));
            return Err(held(op, self.run.number, "NoUndo", message));
        }
        let destructive: Vec<&Script> =
            applied.iter().filter(|script| script.undo_loses_data()).copied().collect();
        let signals = self.signals();
        if !destructive.is_empty() && signals.accept_data_loss {
            return Ok(took(&signals, "override.data-loss", self.clock().now()).into_iter().collect());
        }
        if destructive.is_empty() || !self.written_since(walk, op).await? {
            return Ok(Vec::new());
        }
        let message = format!(
            "somebody wrote after the first workload was given back, and the undo of {} would drop what was written",
            files(&destructive)
        );
        Err(held(op, self.run.number, DATA_LOSS, message))
    }

    /// The scripts of a step that are in the target, in the order in which they were applied.
    async fn applied_scripts<'w>(
        &self,
        walk: &'w Walk,
        op: &Op,
        step: &str,
        pending: &'w Pending,
    ) -> Result<Vec<&'w Script>, Stop> {
        let session = self.enter(walk, op, &pending.target).await?;
        let rows = session.histories().get(&pending.history).cloned().unwrap_or_default();
        let partial = session.partial().to_vec();
        self.leave(session, Claim::Keep).await;
        let stuck: Vec<String> = partial
            .iter()
            .filter(|half| {
                let script = begun_script(walk, &pending.target, half);
                !self.takes_back(script, half)
            })
            .map(|half| {
                let script = begun_script(walk, &pending.target, half);
                let file = script.map_or(half.key.as_str(), |script| script.file.as_str());
                format!("{file} (statements known to be done: {})", half.statement)
            })
            .collect();
        if !stuck.is_empty() {
            let message = format!("{} ran only in part on {}", stuck.join(", "), pending.target);
            return Err(held(op, self.run.number, "PartialScript", message));
        }
        match walk.program.applied(step, &rows) {
            Ok(done) => {
                let half = pending.scripts.get(done).filter(|script| {
                    partial.iter().any(|half| half.history == pending.history && half.key == script.key)
                });
                Ok(pending.scripts.iter().take(done).chain(half).collect())
            }
            Err(drift) => Err(held(op, self.run.number, "HistoryDrift", drift.to_string())),
        }
    }

    /// Whether anybody wrote since the write mark that was taken right before the first give-back. A mark that
    /// can't be read, then or now, counts as written.
    async fn written_since(&self, walk: &Walk, op: &Op) -> Result<bool, Stop> {
        // Somebody may have written while it should have been quiet: into what a script had just made, too.
        if walk.record().quiet_unbroken == Some(false) {
            return Ok(true);
        }
        if !walk.is_done(|kind| *kind == Kind::MarkWrites) {
            return Ok(false);
        }
        for target in walk.program.applied_targets() {
            let then = walk.record().write_marks.get(target).filter(|mark| !mark.is_empty()).cloned();
            let now = self.write_mark(walk, op, target).await?;
            if then.is_none() || then != now {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The script of this run that was begun on a target and is not in its history.
fn begun_script<'w>(walk: &'w Walk, target: &str, half: &Partial) -> Option<&'w Script> {
    let same = |pending: &&Pending| pending.target == target && pending.history == half.history;
    let mut scripts = walk.program.bundles.values().filter(same).flat_map(|pending| &pending.scripts);
    scripts.find(|script| script.key == half.key)
}

/// Held, with the ways on.
fn held(op: &Op, run: u64, code: &str, message: String) -> Stop {
    let mut ways = Vec::new();
    if code == DATA_LOSS {
        ways.push(format!("accept the loss: override.data-loss: \"{run} until=… why=… by <you>\""));
    }
    ways.push(format!(
        "keep the new schema: make the data fit the old images, then resolve: \"{run} by <you>\""
    ));
    Stop::Failed(Box::new(failure(op, code, message, ways.join("; or "))))
}

/// A script that drops or deletes is not undone by one that makes an empty column again, unless its author says so.
fn can_be_undone(script: &Script) -> bool {
    script.undo.as_ref().is_some_and(|undo| undo.directives.undo_keeps_data || !script.is_irreversible())
}

fn files(scripts: &[&Script]) -> String {
    scripts.iter().map(|script| script.file.as_str()).collect::<Vec<_>>().join(", ")
}
