//! Quiet: proven once, then held until the first dependent is let in again.

use super::super::driver::Driver;
use super::super::patience::{CONTENTIONS, QUIET_WITHIN};
use super::super::seam::{Clock, Cluster, ClusterError, World};
use super::super::walk::{Fact, Walk};
use super::call::Facts;
use super::quiesce::{down, listed};
use super::{Stop, failure};
use crate::api::run::Fingerprint;
use crate::engine::{BlockedBy, Engine, ForeignSession, Proof, Quiet};
use crate::program::{Op, WorkloadRef};
use std::time::Duration;

impl<W: World> Driver<W> {
    /// No foreign session for as long as the target asks; then what the way back is compared with.
    pub(super) async fn prove_quiet(&self, walk: &Walk, op: &Op, target: &str) -> Facts {
        let engine = self.engine(op, target)?;
        let quiet_for = walk.program.targets.get(target).map_or(0, |target| target.quiet_for_ms);
        let fence = self.fence(walk, target);
        let (mut failures, mut since) = (0, None);
        let quiet = loop {
            self.boundary(walk, op)?;
            match engine.quiet(&fence).await {
                Ok(quiet) if is_quiet(&quiet) => {
                    let now = self.clock().now();
                    let held = now.duration_since(*since.get_or_insert(now));
                    if held.as_millis() >= i128::from(quiet_for) {
                        break quiet;
                    }
                }
                Ok(quiet) => {
                    since = None;
                    self.not_quiet(walk, op, target, &quiet).await?;
                }
                Err(error) => self.wait_out_engine(walk, op, error, &mut failures).await?,
            }
            self.look_again().await;
        };
        let proof = loop {
            self.boundary(walk, op)?;
            match engine.proof().await {
                Ok(proof) => break proof,
                Err(error) => self.wait_out_engine(walk, op, error, &mut failures).await?,
            }
        };
        let mut facts = vec![Fact::Fingerprint(target.to_owned(), fingerprint(&proof))];
        // On the way back, as long as nobody was let in, it must still be what the last op left.
        if !walk.is_forward() && !walk.let_in() {
            facts.extend(written_in_the_gap(walk, target, quiet.mark.as_deref()));
        }
        match quiet.mark {
            Some(mark) => facts.extend([Fact::WriteMark(baseline(target), mark), Fact::QuietUnbroken]),
            None => facts.push(Fact::QuietBroken(cannot_tell(target))),
        }
        Ok(facts)
    }

    async fn not_quiet(&self, walk: &Walk, op: &Op, target: &str, quiet: &Quiet) -> Result<(), Stop> {
        let who = who(quiet);
        if self.seconds_in(walk, op) > QUIET_WITHIN.as_secs() {
            let message = format!("{target} is not quiet: {who}");
            let action = "stop what is connected, make it a dependent, or name it in the target's quiet.ignore; then retry";
            return Err(Stop::Failed(Box::new(failure(op, "NotQuiet", message, action))));
        }
        let what = format!("{target} to be quiet: {who}");
        self.doing(walk, op, |doing| {
            doing.blocked = Some(BlockedBy { what, since: None, sql: None, pid: None });
        })
        .await;
        Ok(())
    }

    /// Right before the first dependent is let in: whatever changes after this, others wrote.
    pub(super) async fn mark_writes(&self, walk: &Walk, op: &Op) -> Facts {
        let mut facts = Vec::new();
        for target in walk.program.applied_targets() {
            facts.extend(self.hold_quiet(walk, op, target).await?);
            // One mark for both: a writer between two would be hidden by the second.
            let mark = self.write_mark(walk, op, target).await?;
            facts.extend(written_in_the_gap(walk, target, mark.as_deref()));
            facts.push(Fact::WriteMark(target.to_owned(), mark.unwrap_or_default()));
        }
        Ok(facts)
    }

    /// The mark that the next op must find: between two ops of ours that write, nobody does.
    pub(super) async fn baseline(&self, walk: &Walk, op: &Op, target: &str) -> Result<Fact, Stop> {
        let mark = self.write_mark(walk, op, target).await?.unwrap_or_default();
        Ok(Fact::WriteMark(baseline(target), mark))
    }

    /// The write mark of a target; none when it can't be read.
    pub(super) async fn write_mark(
        &self,
        walk: &Walk,
        op: &Op,
        target: &str,
    ) -> Result<Option<String>, Stop> {
        let engine = self.engine(op, target)?;
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            match engine.quiet(&self.fence(walk, target)).await {
                Ok(quiet) => return Ok(quiet.mark),
                Err(error) => self.wait_out_engine(walk, op, error, &mut failures).await?,
            }
        }
    }

    /// Quiet is held: before each op between ProveQuiet and the first give-back, dependents are looked at again
    /// and foreign sessions are counted. What somebody scaled up is taken down again, three times at most.
    pub(super) async fn hold_quiet(&self, walk: &Walk, op: &Op, target: &str) -> Facts {
        let (mut fights, mut facts) = (0, Vec::new());
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            let risen = self.risen(walk, op, &mut failures).await?;
            let quiet = self.engine(op, target)?.quiet(&self.fence(walk, target)).await;
            match quiet {
                Ok(quiet) if risen.is_none() && is_quiet(&quiet) => return Ok(facts),
                Ok(quiet) => {
                    fights += u32::from(risen.as_ref().is_some_and(|risen| risen.again));
                    let why = risen.map_or_else(|| who(&quiet), |risen| risen.why);
                    facts.push(Fact::QuietBroken(format!("{target} was not quiet: {why}")));
                    if fights > CONTENTIONS {
                        let message = format!("quiet is broken again and again: {why}");
                        let action =
                            "stop what scales the dependents up (Argo CD self-heal, an autoscaler, a person)";
                        return Err(Stop::Failed(Box::new(failure(
                            op,
                            "ReplicasContended",
                            message,
                            action,
                        ))));
                    }
                    self.not_quiet_again(walk, op, target, &why).await?;
                }
                Err(error) => self.wait_out_engine(walk, op, error, &mut failures).await?,
            }
        }
    }

    async fn not_quiet_again(&self, walk: &Walk, op: &Op, target: &str, why: &str) -> Result<(), Stop> {
        if self.seconds_in(walk, op) > QUIET_WITHIN.as_secs() {
            let message = format!("{target} did not become quiet again: {why}");
            return Err(Stop::Failed(Box::new(failure(op, "NotQuiet", message, "stop what is connected"))));
        }
        let what = format!("{target} to be quiet again: {why}");
        self.doing(walk, op, |doing| {
            doing.blocked = Some(BlockedBy { what, since: None, sql: None, pid: None });
        })
        .await;
        self.look_again().await;
        Ok(())
    }

    /// Takes dependents down that somebody brought up, and waits for their pods; who did it, in one sentence.
    async fn risen(&self, walk: &Walk, op: &Op, failures: &mut u32) -> Result<Option<Risen>, Stop> {
        let mut found: Option<Risen> = None;
        for of in self.down_now(walk) {
            let Some(seen) = self.look_claimed(walk, op, of, failures).await? else { continue };
            if let Some(change) = down(&seen) {
                let by = seen.scaled_by.as_deref().unwrap_or("somebody");
                found = Some(Risen { again: true, why: format!("{of} was brought up again by {by}") });
                self.write(walk, op, &seen, &change, failures).await?;
            }
            match self.world.cluster().pods(of).await {
                Ok(pods) if pods.is_empty() => {}
                Ok(pods) => {
                    let why = format!("pods of {of} are there: {}", listed(&pods));
                    found = found.or(Some(Risen { again: false, why }));
                }
                Err(ClusterError::Gone(_)) => {}
                Err(error) => self.wait_out(op, error, failures).await?,
            }
        }
        Ok(found)
    }

    /// The dependents that must be down at this point of the run: all, until the first one is let in.
    fn down_now<'w>(&self, walk: &'w Walk) -> &'w [WorkloadRef] {
        if walk.is_forward() && walk.let_in() { &[] } else { &walk.program.dependents }
    }

    /// Samples foreign sessions while a statement runs; ends with a sentence when quiet is broken.
    pub(super) async fn watch_quiet(&self, walk: &Walk, target: &str, every: Duration) -> String {
        loop {
            self.clock().sleep(every).await;
            let Ok(engine) = self.world.engine(target) else { continue };
            // What can't be looked at now is looked at before the next script.
            if let Ok(quiet) = engine.quiet(&self.fence(walk, target)).await
                && !quiet.foreign.is_empty()
            {
                return who(&quiet);
            }
        }
    }
}

/// Whether somebody wrote since the last op of ours that did, `now` being the mark: a writer that comes and goes between
/// two samples of the sessions is seen by what it moved.
pub(super) fn written_in_the_gap(walk: &Walk, target: &str, now: Option<&str>) -> Option<Fact> {
    let then = walk.record().write_marks.get(&baseline(target));
    let written = !walk.writes_to(target) && then.is_some_and(|then| Some(then.as_str()) != now);
    written.then(|| {
        tracing::warn!(target, then, now, "somebody wrote while it should have been quiet");
        Fact::QuietBroken(wrote_in_quiet(target))
    })
}

pub(super) fn wrote_in_quiet(target: &str) -> String {
    format!("somebody wrote to {target} while it should have been quiet")
}

pub(super) fn cannot_tell(target: &str) -> String {
    format!("the write mark of {target} can't be read, so that somebody may have written")
}

/// The name under which the mark is kept that the next op must find, beside the one taken before the first give-back.
pub(super) fn baseline(target: &str) -> String {
    format!("{target}@quiet")
}

/// What the record keeps of a proof.
pub(super) fn fingerprint(proof: &Proof) -> Fingerprint {
    let histories = proof.histories.iter().map(|(name, digest)| format!("{name}={digest}"));
    Fingerprint { history: histories.collect::<Vec<_>>().join(" "), structure: proof.structure.clone() }
}

/// A dependent that is not down.
struct Risen {
    /// Somebody brought it up; else its pods still stop.
    again: bool,
    /// Which, and by whom.
    why: String,
}

fn is_quiet(quiet: &Quiet) -> bool {
    quiet.foreign.is_empty() && quiet.obstacles.is_empty()
}

/// Who is there, in one sentence part: who they are, not what they do (a statement may hold row data).
fn who(quiet: &Quiet) -> String {
    let sessions = quiet.foreign.iter().map(named);
    listed(&sessions.chain(quiet.obstacles.iter().cloned()).collect::<Vec<_>>())
}

fn named(session: &ForeignSession) -> String {
    let user = session.user.as_deref().unwrap_or("?");
    let address = session.address.as_deref().unwrap_or("local");
    format!("pid {} (user={user} app={} from {address})", session.pid, session.application)
}
