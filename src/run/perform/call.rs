//! Entering a target, and what an engine's answers mean for an op.

use super::super::driver::Driver;
use super::super::patience::LOOK;
use super::super::seam::{Clock, World};
use super::super::walk::{Fact, Walk};
use super::{Stop, failure};
use crate::api::run::{OpState, Watermark};
use crate::engine::{BlockedBy, Claim, Engine, EngineError, Fence, Session};
use crate::program::{Kind, Op, Pending, history_digest};
use crate::script::HistoryRow;

/// What an op that got to its end has learned.
pub(super) type Facts = Result<Vec<Fact>, Stop>;

/// The session of a world's engine.
pub(super) type SessionOf<W> = <<W as World>::Engine as Engine>::Session;

impl<W: World> Driver<W> {
    /// The fence of this driver in a target.
    pub(super) fn fence(&self, walk: &Walk, target: &str) -> Fence {
        Fence {
            target: format!("{}/{target}", self.run.namespace),
            run_uid: self.run.uid.clone(),
            run: self.run.number,
            plan: format!("{}/{}", self.run.namespace, self.run.plan),
            cluster: self.run.cluster.clone(),
            token: walk.epoch(),
        }
    }

    /// The engine of a target.
    pub(super) fn engine(&self, op: &Op, target: &str) -> Result<&W::Engine, Stop> {
        self.world
            .engine(target)
            .map_err(|error| Stop::Failed(Box::new(failure(op, "TargetNotReady", error.to_string(), ""))))
    }

    /// Enters a target: the lock, the fence row with our token, and what the history says under both. Waits for
    /// whoever is inside and for servers that are away; both are shown while it waits.
    pub(super) async fn enter(&self, walk: &Walk, op: &Op, target: &str) -> Result<SessionOf<W>, Stop> {
        let engine = self.engine(op, target)?;
        let fence = self.fence(walk, target);
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            match engine.enter(&fence).await {
                Ok(session) => {
                    self.doing(walk, op, |doing| doing.blocked = None).await;
                    return Ok(session);
                }
                Err(error) => self.wait_out_engine(walk, op, error, &mut failures).await?,
            }
        }
    }

    /// Waits out what passes by itself (a held lock, a lost connection, a server that is away); fails the rest.
    pub(super) async fn wait_out_engine(
        &self,
        walk: &Walk,
        op: &Op,
        error: EngineError,
        failures: &mut u32,
    ) -> Result<(), Stop> {
        let another_past = matches!(error, EngineError::Lineage { .. });
        let blocked = self.passes(op, error, failures)?;
        self.doing(walk, op, |doing| doing.blocked = Some(blocked)).await;
        let pause = if *failures == 0 { LOOK } else { super::super::patience::pause(*failures) };
        self.until_changed(pause).await;
        if another_past && walk.is_forward() && op.kind != Kind::Release {
            self.read_again(walk, op).await?;
        }
        Ok(())
    }

    /// What an error that passes by itself says while it is waited out; any other fails the op.
    fn passes(&self, op: &Op, error: EngineError, failures: &mut u32) -> Result<BlockedBy, Stop> {
        match error {
            EngineError::Overtaken { token, .. } => Err(self.overtaken(token)),
            EngineError::Busy { by, .. } => Ok(by),
            EngineError::Unreachable { .. }
            | EngineError::Lost { .. }
            | EngineError::Lineage { .. }
            | EngineError::NotPrimary { .. } => {
                *failures += 1;
                Ok(BlockedBy { what: error.to_string(), since: None, sql: None, pid: None })
            }
            other => Err(Stop::Failed(Box::new(failure(op, code(&other), other.to_string(), "")))),
        }
    }

    /// After a failover or a restore, what was acknowledged may be gone: every history that this run has extended is
    /// read again under lock and fence, before anything is built on it.
    async fn read_again(&self, walk: &Walk, op: &Op) -> Result<(), Stop> {
        let applied = walk.program.forward.iter().flatten().filter(|op| {
            let state = walk.record().ops.get(&op.id).map(|op| op.state);
            matches!(op.kind, Kind::Apply { .. }) && state == Some(OpState::Done)
        });
        for done in applied {
            let pending = self.pending(walk, done)?;
            let rows = self.rows(walk, op, pending).await?;
            let found = match pending.applied(&rows) {
                Ok(found) if found == pending.scripts.len() => continue,
                Ok(found) => {
                    format!("{found} of the {} scripts that this run applied", pending.scripts.len())
                }
                Err(drift) => drift.to_string(),
            };
            let message = format!("{} has another past than before, and in it: {found}", pending.target);
            let action = "see whether the server failed over or was restored, and what was lost";
            return Err(Stop::Failed(Box::new(failure(op, "HistoryLost", message, action))));
        }
        Ok(())
    }

    async fn rows(&self, walk: &Walk, op: &Op, pending: &Pending) -> Result<Vec<HistoryRow>, Stop> {
        let engine = self.engine(op, &pending.target)?;
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            match engine.enter(&self.fence(walk, &pending.target)).await {
                Ok(session) => {
                    let rows = session.histories().get(&pending.history).cloned().unwrap_or_default();
                    self.leave(session, Claim::Keep).await;
                    return Ok(rows);
                }
                Err(error) => {
                    let blocked = self.passes(op, error, &mut failures)?;
                    self.doing(walk, op, |doing| doing.blocked = Some(blocked)).await;
                    self.until_changed(super::super::patience::pause(failures)).await;
                }
            }
        }
    }

    /// Gives the lock up and keeps the claim. A session that can't be closed well is gone all the same: its backend
    /// ends with the connection, and whoever enters next waits for that.
    pub(super) async fn leave(&self, session: SessionOf<W>, claim: Claim) {
        if let Err(error) = session.leave(claim).await {
            tracing::debug!(%error, "the session did not close well");
        }
    }

    /// A target has a higher token than ours. Taking up again must get above it, whoever wrote it.
    pub(super) fn overtaken(&self, token: u64) -> Stop {
        self.saw_token(token);
        Stop::Overtaken
    }

    /// Seconds since an op began, by the record.
    pub(super) fn seconds_in(&self, walk: &Walk, op: &Op) -> u64 {
        let began = walk.record().ops.get(&op.id).and_then(|op| op.started_at.as_ref()).map(|time| time.0);
        began.map_or(0, |began| self.clock().now().duration_since(began).as_secs().max(0).unsigned_abs())
    }
}

/// How far the histories of a target are: only what a session reads under lock and fence moves the watermark.
pub(super) fn watermarks(session: &impl Session, target: &str) -> Vec<Fact> {
    let mark = |(history, rows): (&String, &Vec<HistoryRow>)| {
        Fact::Watermark(Watermark {
            target: target.to_owned(),
            history: history.clone(),
            count: i64::try_from(rows.len()).unwrap_or(i64::MAX),
            last: rows.last().map(|row| row.key.clone()).unwrap_or_default(),
            digest: history_digest(rows),
            lineage: session.lineage().to_owned(),
        })
    };
    session.histories().iter().map(mark).collect()
}

/// The reason of a condition for an engine's error.
fn code(error: &EngineError) -> &'static str {
    match error {
        EngineError::Identity { .. } => "TargetIdentityMismatch",
        EngineError::Foreign { .. } => "HistoryDrift",
        EngineError::Privilege { .. } => "Forbidden",
        EngineError::Claimed { .. } => "ClaimLost",
        _ => "TargetNotReady",
    }
}
