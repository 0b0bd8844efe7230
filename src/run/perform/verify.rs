//! Checks, and the last look at every history.

use super::super::asked::approved;
use super::super::driver::Driver;
use super::super::seam::{Clock, World};
use super::super::walk::Walk;
use super::call::{Facts, watermarks};
use super::{Stop, failure};
use crate::check::Verdict;
use crate::engine::{BlockedBy, Claim, Engine, EngineError, Session};
use crate::program::{Op, QueryCheck};
use std::time::Duration;

/// How long a check's statement may run. A check that needs longer is a job.
const QUERY_WITHIN: Duration = Duration::from_secs(60);

impl<W: World> Driver<W> {
    /// Asks a target and compares. What can't be evaluated is asked again until the deadline or a person decides.
    pub(super) async fn verify(&self, walk: &Walk, op: &Op, check: &QueryCheck) -> Facts {
        let engine = self.engine(op, &check.target)?;
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            let why = match engine.query(&check.values.fill(&check.statement), QUERY_WITHIN).await {
                Ok(rows) => match check.expect.holds(&rows.rows, rows.truncated) {
                    Verdict::Passed => return Ok(Vec::new()),
                    Verdict::Failed { why } => {
                        let why = check.values.hide(&why);
                        return Err(Stop::Failed(Box::new(failure(op, "StepFailed", why, ""))));
                    }
                    Verdict::Inconclusive { why } => check.values.hide(&why),
                },
                Err(EngineError::Server { code, message, .. }) => {
                    format!("{} ({code})", check.values.hide(&message))
                }
                Err(error) => {
                    self.doing(walk, op, |doing| doing.asks = false).await;
                    self.wait_out_engine(walk, op, error, &mut failures).await?;
                    continue;
                }
            };
            let (signals, step) = (self.signals(), op.step.as_deref().unwrap_or_default());
            let plan_hash = &walk.program.plan_hash;
            if signals.approved.get(step) == Some(plan_hash) {
                return Ok(approved(&signals, step, plan_hash, self.clock().now()).into_iter().collect());
            }
            let what = format!("a person, since the check can't be evaluated: {why}");
            self.doing(walk, op, |doing| {
                doing.blocked = Some(BlockedBy { what, since: None, sql: None, pid: None });
                doing.asks = true;
            })
            .await;
            failures += 1;
            self.until_changed(super::super::patience::pause(failures)).await;
        }
    }

    /// Re-reads every history of the run under its lock, from the primaries: a failover may have lost a commit that
    /// was acknowledged. Succeeded is said only after this.
    pub(super) async fn verify_final(&self, walk: &Walk, op: &Op) -> Facts {
        let mut facts = Vec::new();
        for (step, pending) in &walk.program.bundles {
            let session = self.enter(walk, op, &pending.target).await?;
            let rows = session.histories().get(&pending.history).cloned().unwrap_or_default();
            facts.extend(watermarks(&session, &pending.target));
            self.leave(session, Claim::Keep).await;
            let lost = match walk.program.applied(step, &rows) {
                Ok(done) if done == pending.scripts.len() => continue,
                Ok(done) => format!(
                    "{} scripts were applied to {}, and only {done} of them are in its history now",
                    pending.scripts.len(),
                    pending.target
                ),
                Err(drift) => drift.to_string(),
            };
            let action = "see whether the server failed over or was restored";
            return Err(Stop::Failed(Box::new(failure(op, "HistoryLost", lost, action))));
        }
        Ok(facts)
    }
}
