//! Rollback after success: would the way back lose anything? Weighed without lock and before anything is taken down, so
//! that nobody waits at zero for a person's word; Weigh asks again under lock, in the silence.

use super::super::asked::took;
use super::super::driver::Driver;
use super::super::seam::{Clock, World};
use super::super::walk::Walk;
use super::call::Facts;
use super::weigh::{no_restore, written};
use super::{Stop, failure};
use crate::engine::{Engine, Look};
use crate::program::{DATA_LOSS, Op, RolledBackRun, Stuck, Weighed, way_back};

impl<W: World> Driver<W> {
    /// Weighs every target that the other run applied scripts to.
    pub(super) async fn foresee(&self, walk: &Walk, op: &Op) -> Facts {
        let Some(of) = &walk.program.rolls_back else { return Ok(Vec::new()) };
        let signals = self.signals();
        let mut facts = Vec::new();
        for target in walk.program.applied_targets() {
            let look = self.look_at(walk, op, target).await?;
            let mark = self.write_mark(walk, op, target).await?;
            let weighed = weighed(walk, of, target, &look, mark.as_deref());
            match way_back(target, walk.program.on_failure, &weighed, false) {
                Ok(_) => {}
                Err(stuck) if stuck.code == DATA_LOSS && signals.accept_data_loss => {
                    facts = took(&signals, "override.data-loss", self.clock().now()).into_iter().collect();
                }
                Err(stuck) => return Err(refused(op, of.run, stuck)),
            }
        }
        Ok(facts)
    }

    async fn look_at(&self, walk: &Walk, op: &Op, target: &str) -> Result<Look, Stop> {
        let engine = self.engine(op, target)?;
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            match engine.look().await {
                Ok(look) => return Ok(look),
                Err(error) => self.wait_out_engine(walk, op, error, &mut failures).await?,
            }
        }
    }
}

fn weighed<'w>(
    walk: &'w Walk,
    of: &RolledBackRun,
    target: &str,
    look: &Look,
    mark: Option<&str>,
) -> Weighed<'w> {
    let record = &of.record;
    let mut weighed = Weighed {
        written: written(record, target, mark),
        no_restore: no_restore(record, target),
        ..Weighed::default()
    };
    weighed.applied_of(&walk.program, target, &look.histories);
    weighed
}

fn refused(op: &Op, run: u64, stuck: Stuck) -> Stop {
    let action = match stuck.code {
        // The sentence goes on with the retry of this attempt.
        DATA_LOSS => {
            format!("accept the loss by override.data-loss: \"{run} until=… why=… by <you>\", or go forward")
        }
        _ => "write a plan that goes forward instead".to_owned(),
    };
    Stop::Failed(Box::new(failure(op, stuck.code, stuck.message, action)))
}
