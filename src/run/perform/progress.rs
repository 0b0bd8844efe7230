//! How far a script is that takes its time, while it runs.

use super::super::driver::Driver;
use super::super::patience::PROGRESS_WATCH;
use super::super::seam::{Clock, World};
use super::super::walk::Walk;
use crate::engine::Engine;
use crate::program::Op;
use crate::script::Script;

impl<W: World> Driver<W> {
    /// Says it from time to time, where the script's server does. Never ends.
    pub(super) async fn watch_progress(&self, walk: &Walk, op: &Op, target: &str, script: &Script) {
        loop {
            self.clock().sleep(PROGRESS_WATCH).await;
            let Ok(engine) = self.world.engine(target) else { continue };
            // It is for people alone: what can't be asked now is asked the next time.
            if let Ok(Some(so_far)) = engine.progress(&self.fence(walk, target), script).await {
                self.doing(walk, op, |doing| doing.so_far = Some(so_far)).await;
            }
        }
    }
}
