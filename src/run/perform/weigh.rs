//! May the way back be walked without losing anything, and how? Decided for all targets before the first undo: half a
//! way back is worse than none.

use super::super::asked::took;
use super::super::driver::Driver;
use super::super::seam::{Clock, World};
use super::super::walk::{Fact, Walk};
use super::call::Facts;
use super::quiet::{baseline, cannot_tell, wrote_in_quiet};
use super::{Stop, failure};
use crate::api::run::{MigrationRunStatus, WayBack};
use crate::api::target::VerificationLevel;
use crate::engine::{Claim, Partial, Session};
use crate::program::{DATA_LOSS, Kind, Op, Pending, Stuck, Weighed, way_back};
use crate::script::Script;

impl<W: World> Driver<W> {
    /// Reads what is applied under lock and fence, then weighs.
    pub(super) async fn weigh(&self, walk: &Walk, op: &Op) -> Facts {
        let signals = self.signals();
        let (policy, accepts_loss) = (walk.program.on_failure, signals.accept_data_loss);
        let mut facts = Vec::new();
        let mut needed_loss = false;
        for target in walk.program.applied_targets().filter(|target| walk.applied_to(target)) {
            let mark = self.write_mark(walk, op, target).await?;
            let weighed = self.weighed(walk, op, target, mark.as_deref()).await?;
            let way = way_back(target, policy, &weighed, accepts_loss)
                .map_err(|stuck| held(op, self.run.number, stuck))?;
            needed_loss |= accepts_loss && way_back(target, policy, &weighed, false).is_err();
            facts.extend(way.map(|way| Fact::Way(target.to_owned(), way)));
            // Making the copy takes its time: what is written meanwhile would be lost, and is seen by this.
            if way == Some(WayBack::Restore) && !accepts_loss {
                facts.push(Fact::WriteMark(as_weighed(target), mark.unwrap_or_default()));
            }
        }
        if needed_loss {
            facts.extend(took(&signals, "override.data-loss", self.clock().now()));
        }
        Ok(facts)
    }

    /// What is known of a target: its histories under lock and fence, who wrote to it, what its backup is good for.
    async fn weighed<'w>(
        &self,
        walk: &'w Walk,
        op: &Op,
        target: &str,
        mark: Option<&str>,
    ) -> Result<Weighed<'w>, Stop> {
        let session = self.enter(walk, op, target).await?;
        let (histories, halves) = (session.histories().clone(), session.partial().to_vec());
        self.leave(session, Claim::Keep).await;
        let mut weighed = Weighed {
            no_restore: no_restore(walk.record(), target),
            written: written_since(walk, target, mark),
            ..Weighed::default()
        };
        weighed.applied_of(&walk.program, target, &histories);
        // What another run has left half done was there before this one.
        for half in halves.iter().filter(|half| half.run_uid == self.run.uid) {
            let script = begun_script(walk, target, half);
            match script.filter(|_| self.takes_back(script, half)) {
                Some(script) => weighed.applied.push(script),
                None => {
                    let file = script.map_or(half.key.as_str(), |script| script.file.as_str());
                    weighed.partial.push(format!("{file} (statements known to be done: {})", half.statement));
                }
            }
        }
        Ok(weighed)
    }
}

/// The name under which the mark of a target that is to be restored is kept.
pub(super) fn as_weighed(target: &str) -> String {
    format!("{target}@Weigh")
}

/// Whether anybody wrote since the write mark that was taken right before the first give-back, in one clause. A mark that
/// can't be read, then or now, counts as written.
fn written_since(walk: &Walk, target: &str, now: Option<&str>) -> Option<String> {
    if walk.is_done(|kind| *kind == Kind::MarkWrites) {
        return written(walk.record(), target, now);
    }
    // Nobody was let in: since the silence was proven again on the way back it must have held.
    let since = walk.record().write_marks.get(&baseline(target)).map(String::as_str);
    broken(walk.record()).or_else(|| changed_since(since, now).then(|| wrote_in_quiet(target)))
}

/// As [`written_since`], of a run that has let somebody in.
pub(super) fn written(record: &MigrationRunStatus, target: &str, now: Option<&str>) -> Option<String> {
    let since = record.write_marks.get(target).map(String::as_str);
    let after = || match now {
        Some(_) => "somebody wrote after the first workload was given back".to_owned(),
        None => cannot_tell(target),
    };
    broken(record).or_else(|| changed_since(since, now).then(after))
}

/// Somebody may have written while it should have been quiet: into what a script had just made, too.
fn broken(record: &MigrationRunStatus) -> Option<String> {
    let why = || record.quiet_broken.clone().unwrap_or_else(|| "the quiet was broken".to_owned());
    (record.quiet_unbroken == Some(false)).then(why)
}

/// Whether two marks differ. One that could not be read is different from every other.
fn changed_since(then: Option<&str>, now: Option<&str>) -> bool {
    then.is_none_or(str::is_empty) || then != now
}

/// Why the run's backup of a target can't be put back by itself.
pub(super) fn no_restore(record: &MigrationRunStatus, target: &str) -> Option<String> {
    let backup = record.backups.iter().find(|backup| backup.target == target);
    if backup.is_none_or(|backup| backup.level == VerificationLevel::None) {
        return Some("this run has no proven backup of it".to_owned());
    }
    match record.restore_trials.get(target) {
        None => Some("this run did not try whether it can be".to_owned()),
        Some(why) => Some(why.clone()).filter(|why| !why.is_empty()),
    }
}

/// The script of this run that was begun on a target and is not in its history.
fn begun_script<'w>(walk: &'w Walk, target: &str, half: &Partial) -> Option<&'w Script> {
    let same = |pending: &&Pending| pending.target == target && pending.history == half.history;
    let mut scripts = walk.program.bundles.values().filter(same).flat_map(|pending| &pending.scripts);
    scripts.find(|script| script.key == half.key)
}

/// Held, with the ways on.
fn held(op: &Op, run: u64, stuck: Stuck) -> Stop {
    let mut ways = Vec::new();
    if stuck.code == DATA_LOSS {
        ways.push(format!("accept the loss: override.data-loss: \"{run} until=… why=… by <you>\""));
    }
    ways.push(format!(
        "keep the new schema: make the data fit the old images, then resolve: \"{run} by <you>\""
    ));
    Stop::Failed(Box::new(failure(op, stuck.code, stuck.message, ways.join("; or "))))
}
