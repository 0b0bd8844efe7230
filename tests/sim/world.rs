//! The simulated world: one state, a clock that costs nothing, and a gate through which every call passes.

use super::cluster::SimCluster;
use super::database::SimEngine;
use super::faults::{Fault, Faults};
use super::stored::{Behaviour, Database};
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;
use whimbrel::api::plan::OnWindowClose;
use whimbrel::api::run::{MigrationRunStatus, OpRecord, OpState, Original};
use whimbrel::api::target::VerificationLevel;
use whimbrel::cluster::Holder;
use whimbrel::program::{Program, WorkloadRef};
use whimbrel::run::seam::{Clock, ClusterError};

/// What the test asks the world to break on purpose, to see that the oracles notice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bugs {
    /// Neither lock nor fence: whoever comes enters, and an older epoch may commit.
    pub naive_fence: bool,
    /// The record is written without compare-and-swap.
    pub blind_record: bool,
    /// Workloads are written without their version.
    pub blind_workloads: bool,
    /// Pods that stop do not count as pods, nor do their sessions.
    pub terminating_is_gone: bool,
    /// Whoever comes back comes back with one replica, as after a field that was dropped.
    pub back_to_one: bool,
    /// A CronJob that is resumed stays suspended.
    pub never_resumes: bool,
    /// A backup that failed counts as taken.
    pub backup_unproven: bool,
    /// Release leaves workloads claimed.
    pub release_forgets: bool,
    /// A script commits without its history row.
    pub row_forgotten: bool,
    /// The frozen parts are removed as soon as they are there.
    pub frozen_lost: bool,
    /// A copy takes the database's place although somebody wrote while it was made.
    pub restores_over_writes: bool,
    /// Giving back brings the images of today.
    pub old_images_lost: bool,
    /// Nobody tells the driver that the window has closed.
    pub window_unheard: bool,
    /// A probe finds nothing of what is there.
    pub blind_probe: bool,
}

/// A window that has closed on the run.
pub struct OutsideWindow {
    /// What the plan says of that.
    pub then: OnWindowClose,
    /// How many steps each driver has begun since.
    pub begun: BTreeMap<u64, u32>,
}

/// A workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    pub version: u64,
    pub replicas: i32,
    pub images: BTreeMap<String, String>,
    pub suspend: bool,
    pub claimed_by: Option<String>,
    pub original: Option<Original>,
    /// When the last of its pods is gone, after it was scaled to zero.
    pub pods_until: Option<Instant>,
    /// When its pods are ready.
    pub ready_from: Option<Instant>,
}

/// Everything outside the driver.
#[derive(Default)]
pub struct State {
    pub record: MigrationRunStatus,
    pub record_version: u64,
    pub frozen: Option<Program>,
    pub compiled: Option<Program>,
    /// Holder and token by Lease.
    pub leases: BTreeMap<String, (Option<Holder>, u64)>,
    pub workloads: BTreeMap<WorkloadRef, Workload>,
    pub databases: BTreeMap<String, Database>,
    /// The workload that serves the database, where it is backed up while that is stopped.
    pub server: Option<WorkloadRef>,
    pub jobs: BTreeMap<String, Instant>,
    pub flags: BTreeMap<String, String>,
    pub flags_version: u64,
    pub bugs: Bugs,
    /// No window is open.
    pub closed: Option<OutsideWindow>,
    /// How many looks under the claim are refused, because the server does not answer.
    pub refused_looks: u32,
    /// Somebody scaled a dependent up in the middle.
    pub contended: bool,
    pub violations: Vec<String>,
    /// Writes of any kind, to see that a finished run makes none.
    pub writes: u64,
}

impl State {
    pub fn database(&mut self, target: &str) -> &mut Database {
        self.databases.entry(target.to_owned()).or_default()
    }

    pub fn violation(&mut self, what: String) {
        if !self.violations.contains(&what) {
            self.violations.push(what);
        }
    }

    /// A driver that begins steps after the window has closed. One is fine: it may have decided before.
    pub fn heed_window(&mut self, driver: u64, new: &MigrationRunStatus) {
        let Some(closed) = &mut self.closed else { return };
        let forward = new.turned_around.is_none() && closed.then != OnWindowClose::Continue;
        let step =
            |id: &&String| ["apply/", "rollout/", "configure/"].iter().any(|step| id.starts_with(step));
        let new = new.ops.keys().filter(|id| !self.record.ops.contains_key(*id)).find(step).cloned();
        let Some(id) = new.filter(|_| forward) else { return };
        let begun = closed.begun.entry(driver).or_default();
        *begun += 1;
        if *begun > 1 {
            self.violation(format!("{id} began outside the window"));
        }
    }

    /// Whether the database's server is up.
    pub fn answers(&self) -> bool {
        let server = self.server.as_ref().map(|of| &self.workloads[of]);
        server.is_none_or(|w| w.replicas > 0 && w.ready_from.is_none_or(|from| from <= Instant::now()))
    }

    /// A Job reads or writes the files of the server, if there are any to read: then nobody else may.
    pub fn alone_with_the_files(&mut self, what: &str) {
        let Some(w) = self.server.as_ref().map(|of| &self.workloads[of]) else { return };
        if w.replicas > 0 || w.pods_until.is_some_and(|until| until > Instant::now()) {
            self.violation(format!("{what} while the server runs"));
        }
    }

    /// Somebody writes to every database; while a workload is up that is a user.
    pub fn write_as_others(&mut self) {
        if !self.answers() {
            return;
        }
        let users = !self.connected_pods().is_empty();
        // Inside an op that writes itself, and from its last look to its first write, only sessions are sampled.
        let open = |op: &OpRecord| matches!(op.state, OpState::Intent | OpState::Unknown);
        let hidden = self.record.ops.iter().any(|(id, op)| id.starts_with("apply/") && open(op));
        // Nobody gets into one that a swap has closed.
        for db in self.databases.values_mut().filter(|db| db.closed.is_none()) {
            db.foreign_writes += 1;
            db.noticeable_writes += u64::from(!hidden);
            // Only what is written into what a script of the run made is lost when that is dropped.
            let new = db.effects.get("3").copied().unwrap_or(0) > 0;
            db.users_writes += u64::from(users && new);
        }
    }

    /// Pods that hold connections: running ones, and those that still stop.
    pub fn connected_pods(&self) -> Vec<String> {
        let now = Instant::now();
        self.workloads
            .iter()
            // The frontend talks to the backends only.
            .filter(|(of, _)| !of.is_cron() && of.name != "web" && self.server.as_ref() != Some(of))
            .filter(|(_, w)| w.replicas > 0 || w.pods_until.is_some_and(|until| until > now))
            .map(|(of, _)| of.name.clone())
            .collect()
    }

    /// Whether the run's backup of a target is proven, as the record says.
    pub fn proven(&self, target: &str) -> bool {
        self.record
            .backups
            .iter()
            .any(|backup| backup.target == target && backup.level > VerificationLevel::None)
    }
}

/// What makes a seed a scenario.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Per target.
    pub behaviour: BTreeMap<String, Behaviour>,
    /// Images that never become ready.
    pub broken_images: Vec<String>,
    /// Whether checks hold.
    pub check_fails: bool,
    /// Whether the backup Job fails.
    pub backup_fails: bool,
    /// Whether the restore Job fails.
    pub restore_fails: bool,
    /// Whether pods that become ready write a row at once.
    pub new_pods_write: bool,
}

/// The world.
pub struct World {
    state: Mutex<State>,
    rng: Mutex<StdRng>,
    faults: Mutex<Faults>,
    calls: Mutex<u64>,
    /// What the harness must do outside the calls: kill, start, signal.
    pub orders: tokio::sync::mpsc::UnboundedSender<(u64, Fault)>,
    pub scenario: Scenario,
    trace: bool,
}

impl World {
    pub fn new(
        seed: u64,
        faults: Faults,
        state: State,
        scenario: Scenario,
        orders: tokio::sync::mpsc::UnboundedSender<(u64, Fault)>,
        trace: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            rng: Mutex::new(StdRng::seed_from_u64(seed ^ 0x5eed)),
            faults: Mutex::new(faults),
            calls: Mutex::new(0),
            orders,
            scenario,
            trace,
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic inside the world is a bug of the test")
    }

    pub fn behaviour(&self, target: &str) -> Behaviour {
        self.scenario.behaviour.get(target).cloned().unwrap_or_default()
    }

    pub fn check_holds(&self) -> bool {
        !self.scenario.check_fails
    }

    pub fn random(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.lock().expect("no panic").random_range(range))
    }

    /// How long a statement runs: mostly short, sometimes longer than everything else.
    pub fn statement_time(&self) -> Duration {
        let time = self.random(1..400);
        if time.as_millis().is_multiple_of(17) { time * 60 } else { time }
    }

    /// These faults are met at the calls that follow, counted from here.
    pub fn faults_from_here(&self, faults: Faults) {
        let calls = self.calls();
        *self.faults.lock().expect("no panic") =
            faults.into_iter().map(|(call, fault)| (calls + call, fault)).collect();
    }

    /// What is left of the faults is not met any more.
    pub fn no_more_faults(&self) {
        self.faults.lock().expect("no panic").clear();
    }

    pub fn calls(&self) -> u64 {
        *self.calls.lock().expect("no panic")
    }

    /// Every call of a seam: takes time, has a number, meets its fault. `Err` = no answer.
    pub async fn call<T>(
        &self,
        driver: u64,
        what: &str,
        effect: impl FnOnce() -> T,
    ) -> Result<T, ClusterError> {
        tokio::time::sleep(self.random(1..5)).await;
        let number = {
            let mut calls = self.calls.lock().expect("no panic");
            *calls += 1;
            *calls
        };
        let fault = self.faults.lock().expect("no panic").get(&number).copied();
        if self.trace {
            println!(
                "{number:>5} driver {driver} {what} {}",
                fault.map_or(String::new(), |f| format!("<< {f:?}"))
            );
        }
        match fault {
            None => Ok(effect()),
            Some(Fault::NeverSent) => Err(ClusterError::Lost("never sent".into())),
            Some(Fault::LostResponse) => {
                drop(effect());
                Err(ClusterError::Lost("lost".into()))
            }
            Some(Fault::AbortBefore) => {
                self.order(driver, Fault::AbortBefore);
                std::future::pending().await
            }
            Some(Fault::AbortAfter) => {
                drop(effect());
                self.order(driver, Fault::AbortAfter);
                std::future::pending().await
            }
            Some(Fault::Delay) => {
                tokio::time::sleep(Duration::from_secs(40)).await;
                Ok(effect())
            }
            Some(other) => {
                self.order(driver, other);
                Ok(effect())
            }
        }
    }

    fn order(&self, driver: u64, fault: Fault) {
        // The harness may be gone once the run has ended; then nobody needs the order.
        let _gone = self.orders.send((driver, fault)).is_err();
    }
}

/// A driver's view of the world.
pub struct SimWorld {
    pub cluster: SimCluster,
    pub engines: BTreeMap<String, SimEngine>,
    pub clock: SimClock,
}

impl whimbrel::run::seam::World for SimWorld {
    type Cluster = SimCluster;
    type Engine = SimEngine;
    type Clock = SimClock;

    fn cluster(&self) -> &SimCluster {
        &self.cluster
    }

    fn engine(&self, target: &str) -> Result<&SimEngine, ClusterError> {
        self.engines.get(target).ok_or_else(|| ClusterError::Gone(format!("target {target}")))
    }

    fn clock(&self) -> &SimClock {
        &self.clock
    }
}

/// Virtual time.
pub struct SimClock(pub Instant);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let since = i64::try_from(self.0.elapsed().as_millis()).expect("a run is shorter than that");
        Timestamp::from_millisecond(1_800_000_000_000 + since).expect("in range")
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
