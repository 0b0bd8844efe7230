//! Undoing what a step applied, newest first, and proving that it is undone.

use super::super::driver::Driver;
use super::super::seam::World;
use super::super::walk::Walk;
use super::apply::{Ran, begun, half_done};
use super::call::{Facts, SessionOf, watermarks};
use super::quiet::fingerprint;
use super::{Stop, failure};
use crate::engine::{Claim, Engine, Partial, Session, structure_alone};
use crate::program::{Op, Pending};
use crate::script::Script;

impl<W: World> Driver<W> {
    /// Undoes the scripts of a step in reverse applied order. The history says which are left to undo.
    pub(super) async fn undo(&self, walk: &Walk, op: &Op, target: &str, history: &str) -> Facts {
        let pending = self.pending(walk, op)?;
        loop {
            let mut session = self.enter(walk, op, target).await?;
            let rows = session.histories().get(history).cloned().unwrap_or_default();
            let done = match pending.applied(&rows) {
                Ok(done) => done,
                Err(drift) => {
                    self.leave(session, Claim::Keep).await;
                    let action = "undo by hand what the sentence names, then resolve the run";
                    return Err(Stop::Failed(Box::new(failure(
                        op,
                        "HistoryDrift",
                        drift.to_string(),
                        action,
                    ))));
                }
            };
            let half = match begun(pending, session.partial()) {
                None => 0,
                Some(half) if self.takes_back(pending.scripts.get(done), half) => 1,
                Some(half) => {
                    let stop = half_done(op, pending, half, self.run.number);
                    self.leave(session, Claim::Keep).await;
                    return Err(stop);
                }
            };
            match self.undo_from(walk, op, pending, done + half, &mut session).await {
                Ok(()) => {
                    let facts = watermarks(&session, target);
                    self.leave(session, Claim::Keep).await;
                    return Ok(facts);
                }
                Err(Ran::Stop(stop)) => {
                    self.leave(session, Claim::Keep).await;
                    return Err(stop);
                }
                Err(Ran::Ask | Ran::Again | Ran::Loud(_)) => drop(session),
            }
        }
    }

    /// Whether the undo of the script behind the last applied one may take back a part of it. An undo that was begun is
    /// never begun again.
    pub(super) fn takes_back(&self, script: Option<&Script>, half: &Partial) -> bool {
        let ours = half.run_uid == self.run.uid && !half.undoing;
        let undo = script.filter(|script| script.key == half.key).and_then(|script| script.undo.as_ref());
        ours && undo.is_some_and(|undo| undo.directives.undo_partial_ok)
    }

    async fn undo_from(
        &self,
        walk: &Walk,
        op: &Op,
        pending: &Pending,
        done: usize,
        session: &mut SessionOf<W>,
    ) -> Result<(), Ran> {
        for (n, script) in pending.scripts.iter().take(done).enumerate().rev() {
            let mut blocked = 0;
            loop {
                self.boundary(walk, op).map_err(Ran::Stop)?;
                self.still_alone(walk, op, &pending.target, script).await.map_err(Ran::Stop)?;
                self.doing(walk, op, |doing| {
                    doing.progress = Some((done - n - 1, done));
                    doing.detail = Some(undo_file(script));
                    doing.so_far = None;
                })
                .await;
                let canceller = session.canceller();
                let running = session.undo(&pending.history, script);
                let watching = self.watch_progress(walk, op, &pending.target, script);
                match self.until_run(walk, op, canceller, running, watching).await {
                    Ok(()) => break,
                    Err(failed) => match self.ran(walk, op, script, failed, &mut blocked).await {
                        Ran::Again => {}
                        other => return Err(other),
                    },
                }
            }
        }
        Ok(())
    }

    /// Weigh found that nobody had written. Who comes in after that, a dependent that somebody scaled up in the middle of
    /// the way back, may write into what this undo drops.
    async fn still_alone(&self, walk: &Walk, op: &Op, target: &str, script: &Script) -> Result<(), Stop> {
        if !script.undo_loses_data() || self.signals().accept_data_loss {
            return Ok(());
        }
        if self.hold_quiet(walk, op, target).await?.is_empty() {
            return Ok(());
        }
        let message = format!(
            "somebody came in while {target} was taken back, and {} would drop what was written",
            undo_file(script)
        );
        let action = "see whether anything was written; take the rest back by hand, then resolve the run";
        Err(Stop::Failed(Box::new(failure(op, "NotQuiet", message, action))))
    }

    /// RolledBack needs proof, not an empty to-do list: history and structure are what ProveQuiet saw.
    pub(super) async fn verify_undone(&self, walk: &Walk, op: &Op, target: &str) -> Facts {
        let engine = self.engine(op, target)?;
        let mut failures = 0;
        let proof = loop {
            self.boundary(walk, op)?;
            match engine.proof().await {
                Ok(proof) => break proof,
                Err(error) => self.wait_out_engine(walk, op, error, &mut failures).await?,
            }
        };
        let Some(before) = walk.record().fingerprints.get(target) else { return Ok(Vec::new()) };
        let now = fingerprint(&proof);
        let different = match (
            now.history == before.history,
            structure_alone(&now.structure) == structure_alone(&before.structure),
        ) {
            (true, true) => return Ok(Vec::new()),
            (false, _) => "its history is not what it was before the run",
            (true, false) => {
                "its structure (tables, columns, constraints, indexes) is not what it was before the run"
            }
        };
        let message = format!("{target} is undone, but {different}");
        let action =
            "compare it with the verified backup of this run, put it right by hand, then resolve the run";
        Err(Stop::Failed(Box::new(failure(op, "NotAsBefore", message, action))))
    }
}

fn undo_file(script: &Script) -> String {
    script.undo.as_ref().map_or_else(|| script.file.clone(), |undo| undo.file.clone())
}
