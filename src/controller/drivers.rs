//! The drivers that run in this process: one task per run, beside the controllers.

use super::by_hand::Scripts;
use super::operator::Operator;
use super::targets::OpenTarget;
use super::telling::Teller;
use super::world::{Meant, RealWorld};
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
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A driver that runs.
struct Running {
    signals: watch::Sender<Signals>,
    stop: CancellationToken,
    /// The plan as it was seen last: its driver tells people of it without asking for it each time.
    plan: watch::Sender<MigrationPlan>,
}

impl Drivers {
    /// No driver yet. `stop` ends all of them between two effects.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { running: Arc::default(), tasks: TaskTracker::new(), stop }
    }

    /// Whether a driver of the run is at work here.
    pub(super) fn drives(&self, run_uid: &str) -> bool {
        self.lock().contains_key(run_uid)
    }

    /// Hands a running driver the plan and the newest signals; false when there is none.
    pub(super) fn signal(&self, run_uid: &str, plan: &MigrationPlan, signals: &Signals) -> bool {
        let running = self.lock();
        let Some(driver) = running.get(run_uid) else { return false };
        driver.plan.send_replace(plan.clone());
        driver.signals.send_if_modified(|now| {
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
        if self.signal(&uid(run), plan, &signals) || self.stop.is_cancelled() {
            return;
        }
        let (sender, receiver) = watch::channel(signals);
        let (plan_sender, plan_seen) = watch::channel(plan.clone());
        let stop = self.stop.child_token();
        let running = Running { signals: sender, stop: stop.clone(), plan: plan_sender };
        self.lock().insert(uid(run), running);
        let reference = RunRef {
            namespace: run.metadata.namespace.clone().unwrap_or_default(),
            plan: run.spec.plan.name.clone(),
            plan_uid: run.spec.plan.uid.clone(),
            number: run.spec.number.unsigned_abs(),
            uid: uid(run),
            cluster: operator.cluster.clone(),
        };
        let specs = targets.iter().map(|(name, target)| (name.clone(), target.object.spec.clone())).collect();
        let scripts = Scripts::new(operator, run, specs);
        let teller =
            Teller::new(operator.clone(), PlanFacts::of(plan), RunFacts::of(run), scripts, plan_seen);
        let meant = Meant {
            run: reference.clone(),
            intent_hash: run.spec.intent_hash.clone(),
            rolls_back: run.spec.rolls_back.map(i64::unsigned_abs),
        };
        let world = RealWorld::new(operator.clone(), meant, operator.for_plan(plan), targets, teller);
        let driver = Driver::new(Arc::new(world), reference, receiver, stop);
        let ended = Ending { drivers: self.clone(), run: uid(run) };
        let metrics = operator.metrics.clone();
        self.tasks.spawn(async move {
            let outcome = driver.drive().await;
            tracing::info!(run = ended.run, ?outcome, "driver ended");
            if outcome == Ended::Overtaken {
                metrics.fence_rejected();
                tracing::warn!(run = ended.run, "another driver has a higher epoch");
            }
            drop(ended);
        });
    }

    /// Tells the driver of a run to end between two effects; false when there is none any more.
    pub(super) fn end(&self, run_uid: &str) -> bool {
        let running = self.lock();
        let found = running.get(run_uid);
        found.inspect(|driver| driver.stop.cancel()).is_some()
    }

    /// Waits until every driver has ended; call it after `stop`.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Running>> {
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
