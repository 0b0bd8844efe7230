//! Applying the pending scripts of a step. The history in the target says which are in; this op only adds the rest.

use super::super::driver::Driver;
use super::super::patience::{QUIET_WATCH, pause};
use super::super::seam::World;
use super::super::walk::{Fact, Walk};
use super::call::{Facts, SessionOf, watermarks};
use super::quiet::written_in_the_gap;
use super::{Stop, failure};
use crate::api::plan::Failure;
use crate::engine::{BlockedBy, Canceller, Claim, Partial, ScriptError, ScriptFailure, Session};
use crate::program::{Op, Pending};
use crate::script::{HistoryRow, Script};
use std::sync::OnceLock;

/// How a try to run one script ended, when not well.
pub(super) enum Ran {
    /// Leave the session and enter again: only a history read under lock and fence says what happened.
    Ask,
    /// Try the same script again in this session.
    Again,
    /// Quiet was broken while a script ran: prove it again before the next one.
    Loud(String),
    /// The op ends.
    Stop(Stop),
}

impl<W: World> Driver<W> {
    /// Applies what is pending of a step.
    pub(super) async fn apply(&self, walk: &Walk, op: &Op, target: &str, history: &str) -> Facts {
        let pending = self.pending(walk, op)?;
        let mut facts = self.hold_quiet(walk, op, target).await?;
        if walk.record().ops.get(&op.id).is_none_or(|op| op.untouched.is_none()) {
            // Durable before the first script: after it nobody can tell the script's writes from others'.
            let mark = self.write_mark(walk, op, target).await?;
            let written = written_in_the_gap(walk, target, mark.as_deref());
            facts.push(Fact::Untouched(op.id.clone(), written.is_none()));
            facts.extend(written);
            return Err(Stop::Learned(facts));
        }
        loop {
            let mut session = self.enter(walk, op, target).await?;
            let rows = session.histories().get(history).cloned().unwrap_or_default();
            let done = match pending.applied(&rows) {
                Ok(done) => done,
                Err(drift) => {
                    self.leave(session, Claim::Keep).await;
                    return Err(Stop::Failed(Box::new(failure(
                        op,
                        "HistoryDrift",
                        drift.to_string(),
                        DRIFT_ACTION,
                    ))));
                }
            };
            let next = pending.scripts.get(done).filter(|script| script.directives.no_transaction);
            if let Some(half) = begun(pending, session.partial())
                && !next.is_some_and(|script| self.goes_on(script, half))
            {
                let stop = half_done(op, pending, half, self.run.number);
                self.leave(session, Claim::Keep).await;
                return Err(stop);
            }
            match self.apply_rest(walk, op, pending, done, &mut session).await {
                Ok(()) => {
                    facts.extend(watermarks(&session, target));
                    self.leave(session, Claim::Keep).await;
                    facts.push(self.baseline(walk, op, target).await?);
                    return Ok(facts);
                }
                Err(Ran::Loud(who)) => {
                    self.leave(session, Claim::Keep).await;
                    facts.push(Fact::QuietBroken(format!("{target} was not quiet: {who}")));
                    facts.extend(self.hold_quiet(walk, op, target).await?);
                }
                Err(Ran::Stop(Stop::Failed(failure))) => {
                    self.leave(session, Claim::Keep).await;
                    facts.push(self.baseline(walk, op, target).await?);
                    return Err(Stop::FailedKnowing(failure, facts));
                }
                Err(Ran::Stop(stop)) => {
                    self.leave(session, Claim::Keep).await;
                    return Err(stop);
                }
                // The connection is dropped, not closed: its backend keeps the lock until it has ended.
                Err(Ran::Ask | Ran::Again) => drop(session),
            }
        }
    }

    /// The pending scripts of an op's step.
    pub(super) fn pending<'w>(&self, walk: &'w Walk, op: &Op) -> Result<&'w Pending, Stop> {
        let step = op.step.as_deref().unwrap_or_default();
        walk.program.bundles.get(step).ok_or_else(|| {
            let message = format!("the frozen program has no scripts for step {step}");
            Stop::Failed(Box::new(failure(op, "RecordBroken", message, "")))
        })
    }

    async fn apply_rest(
        &self,
        walk: &Walk,
        op: &Op,
        pending: &Pending,
        done: usize,
        session: &mut SessionOf<W>,
    ) -> Result<(), Ran> {
        let all = pending.scripts.len();
        let loud = OnceLock::new();
        for (n, script) in pending.scripts.iter().enumerate().skip(done) {
            let mut blocked = 0;
            loop {
                self.boundary(walk, op).map_err(Ran::Stop)?;
                if let Some(who) = loud.get() {
                    return Err(Ran::Loud(String::clone(who)));
                }
                self.doing(walk, op, |doing| {
                    doing.progress = Some((n, all));
                    doing.detail = Some(script.file.clone());
                    doing.so_far = None;
                })
                .await;
                match self.run_script(walk, op, pending, script, session, &loud).await {
                    Ok(_) => break,
                    Err(failed) => match self.ran(walk, op, script, failed, &mut blocked).await {
                        Ran::Again => {}
                        other => return Err(other),
                    },
                }
            }
        }
        Ok(())
    }

    /// Runs one script, watching quiet and signals while it runs. Abort and deadline cancel the statement on the
    /// server; nothing is ever dropped.
    async fn run_script(
        &self,
        walk: &Walk,
        op: &Op,
        pending: &Pending,
        script: &Script,
        session: &mut SessionOf<W>,
        loud: &OnceLock<String>,
    ) -> Result<HistoryRow, ScriptFailure> {
        let canceller = session.canceller();
        let running = session.apply(&pending.history, script);
        let quiet = async {
            let who = self.watch_quiet(walk, &pending.target, QUIET_WATCH).await;
            tracing::warn!(target = pending.target, who, "quiet is broken while a script runs");
            let _ = loud.set(who);
        };
        let watching = async {
            futures::join!(quiet, self.watch_progress(walk, op, &pending.target, script));
        };
        self.until_run(walk, op, canceller, running, watching).await
    }

    /// Waits for a statement. A signal that calls the op away cancels it on the server, and its answer is awaited.
    pub(super) async fn until_run<T>(
        &self,
        walk: &Walk,
        op: &Op,
        canceller: Canceller,
        running: impl Future<Output = T>,
        watching: impl Future<Output = ()>,
    ) -> T {
        tokio::pin!(running, watching);
        loop {
            tokio::select! {
                biased;
                ended = &mut running => return ended,
                () = &mut watching => {}
                () = self.look_again() => {
                    if self.called_away(walk, op) && self.must_cancel() {
                        canceller.cancel().await;
                        return running.await;
                    }
                }
            }
        }
    }

    /// Pause waits for the statement; everything else that calls away can't wait for hours.
    fn must_cancel(&self) -> bool {
        let signals = self.signals();
        self.stopping() || signals.abort || signals.deleted || signals.deadline
    }

    /// What the failure of a script means for the op.
    pub(super) async fn ran(
        &self,
        walk: &Walk,
        op: &Op,
        script: &Script,
        failed: ScriptFailure,
        blocked: &mut u32,
    ) -> Ran {
        match as_written(script, failed) {
            ScriptFailure::Failed(error) => {
                Ran::Stop(Stop::Failed(Box::new(script_failure(op, script, &error))))
            }
            ScriptFailure::Blocked(by) => {
                *blocked += 1;
                self.wait_blocked(walk, op, by, *blocked).await;
                Ran::Again
            }
            ScriptFailure::Overtaken { token } => Ran::Stop(self.overtaken(token)),
            // A cancelled session runs no further script; entering again looks at the signals first.
            ScriptFailure::Cancelled | ScriptFailure::LockLost | ScriptFailure::Lost { .. } => Ran::Ask,
            ScriptFailure::Unknown { evidence } => {
                let message = format!("nobody can say whether {} was applied: {evidence}", script.file);
                let action = unknown_action(self.run.number);
                Ran::Stop(Stop::Unknown(Box::new(failure(op, "UnknownOutcome", message, action))))
            }
        }
    }

    /// Whether this run goes on with a script that it has begun: it runs statement by statement, and its text is still
    /// the one that was begun. Another run never does.
    fn goes_on(&self, script: &Script, half: &Partial) -> bool {
        let ours = half.run_uid == self.run.uid && !half.undoing;
        ours && script.key == half.key && script.checksum == half.checksum
    }

    async fn wait_blocked(&self, walk: &Walk, op: &Op, by: BlockedBy, times: u32) {
        self.doing(walk, op, |doing| doing.blocked = Some(by)).await;
        self.until_changed(pause(times)).await;
    }
}

/// The script of the step that was begun and is in no history.
pub(super) fn begun<'a>(pending: &Pending, partial: &'a [Partial]) -> Option<&'a Partial> {
    partial.iter().find(|half| {
        half.history == pending.history && pending.scripts.iter().any(|script| script.key == half.key)
    })
}

/// A script that was begun and that nobody goes on with: neither it nor its undo is tried again.
pub(super) fn half_done(op: &Op, pending: &Pending, half: &Partial, run: u64) -> Stop {
    let script = pending.scripts.iter().find(|script| script.key == half.key);
    let file = script.map_or_else(|| format!("script {}", half.key), |script| script.file.clone());
    let what = if half.undoing { format!("the undo of {file}") } else { file };
    let known = match half.statement {
        0 => String::new(),
        n => format!(" (its statements up to {n} are there)"),
    };
    let message = format!(
        "{what} was begun on {} and never finished: nobody can say how much of it is there{known}",
        pending.target
    );
    Stop::Unknown(Box::new(failure(op, "UnknownOutcome", message, unknown_action(run))))
}

/// What a person does about an outcome that nobody knows.
fn unknown_action(run: u64) -> String {
    format!(
        "look at the target whether what it names is there; finish it or take it back by hand, then resolve: \"{run} by <you>\""
    )
}

/// A failure as it may be shown: without what came from Secrets, and at its place in the user's own file.
fn as_written(script: &Script, failed: ScriptFailure) -> ScriptFailure {
    let values = &script.values;
    let hide = |text: &mut String| *text = values.hide(text);
    match failed {
        _ if values.is_empty() => failed,
        ScriptFailure::Failed(mut error) => {
            hide(&mut error.message);
            error.hint.iter_mut().for_each(hide);
            let undo = script.undo.as_ref().filter(|undo| undo.file == error.file);
            let text = undo.map_or(&script.body, |undo| &undo.body);
            if let Some(line) = error.line {
                let (line, column) = values.as_written(text, line, error.column);
                (error.line, error.column) = (Some(line), column);
            }
            ScriptFailure::Failed(error)
        }
        ScriptFailure::Blocked(mut by) => {
            hide(&mut by.what);
            by.sql.iter_mut().for_each(hide);
            ScriptFailure::Blocked(by)
        }
        ScriptFailure::Unknown { evidence } => ScriptFailure::Unknown { evidence: values.hide(&evidence) },
        other => other,
    }
}

const DRIFT_ACTION: &str = "see who wrote the history; put it right, then retry";

/// The failure of a script in the words of the run.
fn script_failure(op: &Op, script: &Script, error: &ScriptError) -> Failure {
    let action = "mend the script, or its data, then apply the plan again";
    let mut failed = failure(op, &error.code, error.to_string(), action);
    if let Some(line) = error.line {
        let column = error.column.map(|column| format!(":{column}")).unwrap_or_default();
        failed.position = format!("{}:{line}{column}", script.file);
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Dialect, Value, Values, read_bundle};

    #[test]
    fn a_failure_names_the_users_line_and_no_secret() {
        let text = "-- ${lines}\nselect ${password:literal}::int;\n";
        let files = [("V1__a.sql".to_owned(), text.as_bytes().to_vec())].into();
        let mut script = read_bundle(files, None, Dialect::Postgresql).unwrap().scripts.remove(0);
        let value = |text: &str, secret| Value { text: text.into(), secret };
        let values = [("lines", value("one\ntwo", false)), ("password", value("it's", true))];
        script.values = Values::new(values.map(|(name, value)| (name.to_owned(), value)).into());
        let error = ScriptError {
            code: "22P02".into(),
            message: "invalid input syntax for type integer: \"it's\"".into(),
            file: script.file.clone(),
            statement: Some(1),
            line: Some(3),
            column: Some(10),
            hint: None,
        };
        let ScriptFailure::Failed(error) = as_written(&script, error.into()) else { panic!("it failed") };
        assert_eq!(
            error.to_string(),
            "V1__a.sql:2:8 (statement 1): invalid input syntax for type integer: \"${password}\" (22P02)"
        );
        let unknown = ScriptFailure::Unknown { evidence: "it did 'it''s'".into() };
        assert!(as_written(&script, unknown).to_string().ends_with("it did '${password}'"));
    }
}
