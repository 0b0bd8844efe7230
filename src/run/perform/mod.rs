//! Every outside effect happens here: one match arm per kind of op, one file per kind of effect.
//!
//! Each op is written as "look, compare with what is wanted, act, look again": an answer that got lost, a restart
//! in the middle and a first try are the same code.

mod apply;
mod backup;
mod call;
pub(super) mod claim;
mod configure;
mod foresee;
mod progress;
mod quiesce;
mod quiet;
mod restore;
mod rollout;
mod server;
mod undo;
mod verify;
mod weigh;

use super::driver::{Driver, Ended};
use super::patience::LOOKS_WITHIN;
use super::seam::{Cluster, ClusterError, Looked, World};
use super::walk::{End, Fact, Walk};
use crate::api::plan::Failure;
use crate::engine::BlockedBy;
use crate::program::{Kind, Op};

/// What can end an op early, so that `?` reads well inside it.
pub(super) enum Stop {
    /// Signals ask for something else.
    Interrupted,
    /// A higher epoch.
    Overtaken,
    /// A failure.
    Failed(Box<Failure>),
    /// A failure, and what was learned all the same.
    FailedKnowing(Box<Failure>, Vec<Fact>),
    /// The op goes on once this is durable.
    Learned(Vec<Fact>),
    /// Nobody can say.
    Unknown(Box<Failure>),
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Interrupted => End::Interrupted,
            Stop::Overtaken => End::Overtaken,
            Stop::Failed(failure) => End::Failed(*failure, Vec::new()),
            Stop::FailedKnowing(failure, facts) => End::Failed(*failure, facts),
            Stop::Learned(facts) => End::Learned(facts),
            Stop::Unknown(failure) => End::Unknown(*failure),
        }
    }
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Overtaken | Ended::Gone => Stop::Overtaken,
            Ended::Stopped | Ended::Finished(_) => Stop::Interrupted,
        }
    }
}

/// A failure of an op, in words a person can act on.
pub(super) fn failure(
    op: &Op,
    code: &str,
    message: impl Into<String>,
    next_action: impl Into<String>,
) -> Failure {
    Failure {
        step: op.step.clone().unwrap_or_default(),
        class: class(op, code).to_owned(),
        code: code.to_owned(),
        message: message.into(),
        position: String::new(),
        next_action: next_action.into(),
        runbook: String::new(),
    }
}

impl<W: World> Driver<W> {
    /// Performs one op whose intent is durable.
    pub(super) async fn perform(&self, walk: &Walk, op: &Op) -> End {
        let facts = match &op.kind {
            Kind::Trial { target } => self.trial(walk, op, target).await,
            Kind::Foresee => self.foresee(walk, op).await,
            Kind::Inherit => Ok(inherit(walk)),
            // The gate was open when `next` chose the op: passing it is its whole effect.
            Kind::Gate(_) => Ok(Vec::new()),
            Kind::Claim => self.claim(walk, op).await,
            Kind::Recheck => return self.recheck(walk, op).await.unwrap_or_else(End::from),
            Kind::Freeze => self.freeze(walk, op).await,
            Kind::Quiesce { workload } => self.quiesce(walk, op, workload).await,
            Kind::ProveQuiet { target } => self.prove_quiet(walk, op, target).await,
            Kind::StopServer { workload } => self.stop_server(walk, op, workload).await,
            Kind::StartServer { workload, targets, ready_within } => {
                self.start_server(walk, op, workload, targets, *ready_within).await
            }
            Kind::Backup { target } => self.backup(walk, op, target).await,
            Kind::VerifyBackup { target, level } => self.verify_backup(walk, op, target, *level).await,
            Kind::Apply { target, history } => self.apply(walk, op, target, history).await,
            Kind::Configure { namespace, name, set } => self.configure(walk, op, namespace, name, set).await,
            Kind::MarkWrites => self.mark_writes(walk, op).await,
            Kind::Rollout(rollout) => self.roll_out(walk, op, rollout).await,
            Kind::Verify(check) => self.verify(walk, op, check).await,
            Kind::GiveBack { workload, ready_within } => {
                self.give_back(walk, op, workload, *ready_within).await
            }
            Kind::VerifyFinal => self.verify_final(walk, op).await,
            Kind::Release => self.release(walk, op).await,
            Kind::EndJobs => self.end_jobs(walk, op).await,
            Kind::Weigh => self.weigh(walk, op).await,
            Kind::Undo { target, history } => self.undo(walk, op, target, history).await,
            Kind::Restore { target } => self.restore(walk, op, target).await,
            Kind::VerifyUndone { target } => self.verify_undone(walk, op, target).await,
            Kind::Deconfigure { namespace, name, old } => {
                self.deconfigure(walk, op, namespace, name, old).await
            }
            Kind::RollBack { workload, dependent, ready_within } => {
                self.roll_back(walk, op, workload, *dependent, *ready_within).await
            }
        };
        facts.map_or_else(End::from, End::Done)
    }

    /// Looks again under the claim. Another planHash is another program, and nobody approved that one.
    async fn recheck(&self, walk: &Walk, op: &Op) -> Result<End, Stop> {
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            match self.world.cluster().look().await {
                Ok(Looked::Program(program)) if program.plan_hash == walk.program.plan_hash => {
                    return Ok(End::Fresh(program));
                }
                Ok(Looked::Program(program)) => return Ok(End::Changed(Some(program))),
                Ok(Looked::NothingPending) => return Ok(End::Changed(None)),
                Ok(Looked::Refused { reason, message }) => {
                    let passes = matches!(reason.as_str(), "TargetNotReady" | "SourceNotReady");
                    if !passes || self.seconds_in(walk, op) > LOOKS_WITHIN.as_secs() {
                        return Err(Stop::Failed(Box::new(failure(op, &reason, message, ""))));
                    }
                    self.doing(walk, op, |doing| {
                        doing.blocked = Some(BlockedBy { what: message, since: None, sql: None, pid: None });
                    })
                    .await;
                    self.retry_pause(&mut failures).await?;
                }
                Err(error) => self.wait_out(op, error, &mut failures).await?,
            }
        }
    }

    async fn freeze(&self, walk: &Walk, op: &Op) -> super::perform::call::Facts {
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            match self.world.cluster().freeze(&walk.program).await {
                Ok(()) => {
                    self.keep_frozen(&walk.program);
                    return Ok(Vec::new());
                }
                Err(error) => self.wait_out(op, error, &mut failures).await?,
            }
        }
    }

    /// Leaves the op when signals ask for something else.
    fn boundary(&self, walk: &Walk, op: &Op) -> Result<(), Stop> {
        if self.called_away(walk, op) { Err(Stop::Interrupted) } else { Ok(()) }
    }

    /// Waits out what passes by itself; fails what does not.
    async fn wait_out(&self, op: &Op, error: ClusterError, failures: &mut u32) -> Result<(), Stop> {
        match error {
            ClusterError::Lost(_) | ClusterError::Stale => {
                tracing::debug!(op = op.id, %error, "trying again");
                Ok(self.retry_pause(failures).await?)
            }
            ClusterError::Newer(token) => Err(self.overtaken(token)),
            ClusterError::Forbidden(message) => {
                Err(Stop::Failed(Box::new(failure(op, "Forbidden", message, ""))))
            }
            ClusterError::Because { reason, message } => {
                Err(Stop::Failed(Box::new(failure(op, reason, message, ""))))
            }
            ClusterError::Gone(_) | ClusterError::Refused(_) | ClusterError::Held(_) => {
                Err(Stop::Failed(Box::new(failure(op, "Refused", error.to_string(), ""))))
            }
        }
    }
}

/// Everything that the other run did counts as done here.
fn inherit(walk: &Walk) -> Vec<Fact> {
    let Some(of) = &walk.program.rolls_back else { return Vec::new() };
    let originals = walk.program.inherited_originals(of, &walk.record().originals);
    vec![Fact::Inherited(of.record.clone(), originals)]
}

/// The reason of a condition for a failed op: what kind of thing failed, where the code says what exactly.
fn class(op: &Op, code: &str) -> &'static str {
    match (&op.kind, code) {
        (_, "UnknownOutcome") => "UnknownOutcome",
        (_, "NotQuiet" | "ReplicasContended") => "NotQuiet",
        (_, "Forbidden") => "Forbidden",
        (Kind::Trial { .. } | Kind::Backup { .. } | Kind::VerifyBackup { .. }, _) => "BackupGateFailed",
        _ => "StepFailed",
    }
}
