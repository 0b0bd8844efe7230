//! Back by restore at the simulated server: the database is closed, then swapped, and a driver may die in between.

use super::database::{SimEngine, lost};
use super::stored::Database;
use tokio::time::Instant;
use whimbrel::engine::{EngineError, Fence, PutBack, Stamp};

/// Refuses who comes to a database that a swap has closed.
pub fn open(db: &Database) -> Result<(), EngineError> {
    if db.closed.is_none() {
        return Ok(());
    }
    Err(EngineError::Server {
        at: "sim".into(),
        code: "55000".into(),
        message: "takes no connections".into(),
    })
}

impl SimEngine {
    /// The copy takes the database's place: two effects, each of which may be the last that the driver does.
    pub async fn swap_in(&self, fence: &Fence, stamp: &Stamp) -> Result<PutBack, EngineError> {
        let put = PutBack { identity: "sim/2".into(), replaced: "sim/1".into(), aside: "wb_r1".into() };
        let close = self.world.call(self.driver, "close the database", || self.try_close(fence, stamp));
        close.await.unwrap_or_else(|_| Err(lost()))?;
        let swap = self.world.call(self.driver, "swap the databases", || self.try_swap(fence));
        swap.await.unwrap_or_else(|_| Err(lost())).map(|()| put)
    }

    fn try_close(&self, fence: &Fence, stamp: &Stamp) -> Result<(), EngineError> {
        let mut state = self.world.state();
        let over = state.bugs.restores_over_writes;
        let db = state.database(&self.target);
        if db.token > fence.token {
            return Err(EngineError::Overtaken { at: "sim".into(), token: db.token });
        }
        // Closed or swapped by an earlier attempt, it was looked at then.
        if db.aside.is_some() || db.closed.is_some() {
            return Ok(());
        }
        if stamp.mark.as_ref().is_some_and(|mark| *mark != db.mark()) && !over {
            return Err(EngineError::Unsupported { at: "sim".into(), reason: "written to".into() });
        }
        db.marked = stamp.mark.is_some();
        db.closed = Some(fence.run_uid.clone());
        Ok(())
    }

    /// One transaction: every session ends, and the new one is open.
    fn try_swap(&self, fence: &Fence) -> Result<(), EngineError> {
        let mut state = self.world.state();
        let copied = state.jobs.iter().any(|(op, until)| op.contains("restore") && *until <= Instant::now());
        let db = state.database(&self.target);
        if db.token > fence.token {
            return Err(EngineError::Overtaken { at: "sim".into(), token: db.token });
        }
        if db.aside.is_some() {
            return Ok(());
        }
        let Some(copy) = db.backup.clone().filter(|_| copied) else {
            state.violation("a copy was put back that is not there".into());
            return Ok(());
        };
        let db = state.database(&self.target);
        let lost = db.noticeable_writes - copy.noticeable_writes;
        db.lost_writes += if db.marked { lost } else { 0 };
        db.put_back(copy, fence.token, &fence.run_uid);
        Ok(())
    }
}
