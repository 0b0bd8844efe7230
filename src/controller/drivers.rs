//! The drivers that run in this process: one task per run, beside the controllers.

use super::operator::Operator;
use super::targets::OpenTarget;
use super::telling::Teller;
use super::world::RealWorld;
use crate::api::{MigrationPlan, MigrationRun};
use crate::program::Signals;
use crate::run::{Driver, Ended, RunRef};
use crate::words::{PlanFacts, RunFacts};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The drivers of this process, by the uid of their run.
#[derive(Clone)]
pub(super) struct Drivers {
    running: Arc<Mutex<BTreeMap<String, watch::Sender<Signals>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Drivers {
    /// No driver yet. `stop` ends all of them between two effects.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { running: Arc::default(), tasks: TaskTracker::new(), stop }
    }

    /// Hands a running driver the newest signals; false when there is none.
    pub(super) fn signal(&self, run_uid: &str, signals: &Signals) -> bool {
        let running = self.lock();
        let Some(sender) = running.get(run_uid) else { return false };
        sender.send_if_modified(|now| {
            let changed = now != signals;
            now.clone_from(signals);
            changed
        });
        true
    }

    /// Starts the driver of a run, unless it runs.
    pub(super) fn start(
        &self,
        operator: &Operator,
        plan: &MigrationPlan,
        run: &MigrationRun,
        targets: BTreeMap<String, OpenTarget>,
        signals: Signals,
    ) {
        if self.signal(&uid(run), &signals) || self.stop.is_cancelled() {
            return;
        }
        let (sender, receiver) = watch::channel(signals);
        self.lock().insert(uid(run), sender);
        let reference = RunRef {
            namespace: run.metadata.namespace.clone().unwrap_or_default(),
            plan: run.spec.plan.name.clone(),
            plan_uid: run.spec.plan.uid.clone(),
            number: run.spec.number.unsigned_abs(),
            uid: uid(run),
            cluster: operator.cluster.clone(),
        };
        let teller = Teller::new(operator.clone(), PlanFacts::of(plan), RunFacts::of(run));
        let world =
            RealWorld::new(operator.clone(), reference.clone(), operator.for_plan(plan), targets, teller);
        let driver = Driver::new(Arc::new(world), reference, receiver, self.stop.clone());
        let ended = Ending { drivers: self.clone(), run: uid(run) };
        self.tasks.spawn(async move {
            let outcome = driver.drive().await;
            tracing::info!(run = ended.run, ?outcome, "driver ended");
            if outcome == Ended::Overtaken {
                tracing::warn!(run = ended.run, "another driver has a higher epoch");
            }
            drop(ended);
        });
    }

    /// Waits until every driver has ended; call it after `stop`.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, watch::Sender<Signals>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a driver off the list, however its task ends: after a panic too the next look at the plan starts another one.
struct Ending {
    drivers: Drivers,
    run: String,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.drivers.lock().remove(&self.run);
    }
}

fn uid(run: &MigrationRun) -> String {
    run.metadata.uid.clone().unwrap_or_default()
}
