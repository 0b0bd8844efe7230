//! Runs one seed: starts drivers, kills them, gives them rivals, plays the people, and ends when the run has ended.

use super::cluster::SimCluster;
use super::database::SimEngine;
use super::faults::{Fault, Faults};
use super::oracle;
use super::scenario::{self, TARGET, Third};
use super::world::{Bugs, OutsideWindow, SimClock, SimWorld, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use whimbrel::api::Outcome;
use whimbrel::api::plan::OnWindowClose;
use whimbrel::program::{Closed, Said, Signals};
use whimbrel::run::{Driver, Ended, RunRef};

/// A seed that is still running after this much virtual time hangs.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// What a seed came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Result {
    pub outcome: Option<Outcome>,
    pub violations: Vec<String>,
    pub calls: u64,
}

/// Runs a seed with these faults in its own virtual time.
pub fn run(seed: u64, faults: Faults, bugs: Bugs, trace: bool) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(play(seed, faults, bugs, trace))
}

/// The drivers of one run, and what they hear.
pub struct Stage {
    world: Arc<World>,
    clock: Instant,
    pub signals: watch::Sender<Signals>,
    drivers: BTreeMap<u64, JoinSet<Ended>>,
    next: u64,
    run: u64,
}

impl Stage {
    pub fn new(world: Arc<World>, signals: Signals) -> Self {
        let (signals, _) = watch::channel(signals);
        Self { world, clock: Instant::now(), signals, drivers: BTreeMap::new(), next: 0, run: 1 }
    }

    /// From here on drivers are of the next run.
    pub fn next_run(&mut self) {
        self.run += 1;
    }

    /// Every driver dies as by `kill -9`.
    pub fn kill(&mut self) {
        self.drivers.clear();
    }

    pub fn start(&mut self) {
        self.next += 1;
        let driver = self.next;
        let world = Arc::new(SimWorld {
            cluster: SimCluster { world: self.world.clone(), driver },
            engines: BTreeMap::from([(
                TARGET.to_owned(),
                SimEngine { world: self.world.clone(), target: TARGET.into(), driver },
            )]),
            clock: SimClock(self.clock),
        });
        let run = RunRef {
            namespace: "ns".into(),
            plan: "plan".into(),
            plan_uid: "p-uid".into(),
            number: self.run,
            uid: if self.run == 1 { "r-uid".into() } else { format!("r-uid-{}", self.run) },
            cluster: "c".into(),
        };
        let signals = self.signals.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { Driver::new(world, run, signals, CancellationToken::new()).drive().await });
        self.drivers.insert(driver, tasks);
    }

    /// The first driver that ended by itself.
    pub async fn ended(&mut self) -> (u64, Ended) {
        let waits = self.drivers.iter_mut().map(|(driver, tasks)| {
            let driver = *driver;
            Box::pin(async move { (driver, tasks.join_next().await) })
        });
        let ((driver, ended), ..) = futures::future::select_all(waits).await;
        self.drivers.remove(&driver);
        match ended {
            Some(Ok(ended)) => (driver, ended),
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            _ => (driver, Ended::Stopped),
        }
    }
}

async fn play(seed: u64, faults: Faults, bugs: Bugs, trace: bool) -> Result {
    let (orders, mut inbox) = mpsc::unbounded_channel();
    let scenario = scenario::of_seed(seed);
    let (undo, third) = (scenario::Undo::of_seed(seed), Third::of_seed(seed));
    let state = scenario::platform(undo, third, scenario::Taken::of_seed(seed), bugs);
    let world = World::new(seed, faults, state, scenario, orders, trace);
    let mut stage = Stage::new(world.clone(), Signals::default());
    let outcome = drive(&mut stage, &mut inbox, trace).await;
    finish(&mut stage, &mut inbox, outcome).await;
    if trace {
        println!("{:#?}", world.state().record);
    }
    let violations = oracle::judge(&world, outcome);
    Result { outcome, violations, calls: world.calls() }
}

/// Drives a run until it has ended, or for as long as anybody would wait.
pub async fn drive(
    stage: &mut Stage,
    inbox: &mut mpsc::UnboundedReceiver<(u64, Fault)>,
    trace: bool,
) -> Option<Outcome> {
    stage.start();
    let until = Instant::now() + PATIENCE;
    let mut outcome = None;
    while outcome.is_none() && Instant::now() < until {
        tokio::select! {
            biased;
            Some((driver, fault)) = inbox.recv() => obey(stage, driver, fault).await,
            (driver, ended) = stage.ended(), if !stage.drivers.is_empty() => match ended {
                Ended::Finished(ended) => outcome = Some(ended),
                _ => {
                    if trace {
                        println!("      driver {driver} ended: {ended:?}");
                    }
                    if stage.drivers.is_empty() {
                        stage.start();
                    }
                }
            },
            () = tokio::time::sleep_until(until) => {}
        }
    }
    outcome
}

async fn obey(stage: &mut Stage, driver: u64, fault: Fault) {
    match fault {
        Fault::AbortBefore | Fault::AbortAfter => {
            if let Some(mut tasks) = stage.drivers.remove(&driver) {
                tasks.abort_all();
            }
            if stage.drivers.is_empty() {
                stage.start();
            }
        }
        Fault::SecondLeader => stage.start(),
        Fault::Human => {
            let mut state = stage.world.state();
            if let Some(w) = state.workloads.get_mut(&scenario::workload("Deployment", "mailer"))
                && w.replicas == 0
            {
                w.replicas = 1;
                w.version += 1;
                state.contended = true;
            }
        }
        Fault::Writer => stage.world.state().write_as_others(),
        Fault::Abort => stage.signals.send_modify(|signals| {
            signals.abort = true;
            signals.said = vec![Said {
                verb: "abort".into(),
                value: "1 by ann".into(),
                by: "ann".into(),
                verified: false,
            }];
        }),
        Fault::Pause => {
            stage.signals.send_modify(|signals| signals.paused = true);
            let signals = stage.signals.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(90)).await;
                signals.send_modify(|signals| signals.paused = false);
            });
        }
        Fault::WindowCloses => {
            let policies = OnWindowClose::ALL;
            let then = policies[usize::try_from(stage.next).expect("few") % policies.len()];
            let closed = Closed { opens: None, then };
            stage.world.state().closed = Some(OutsideWindow { then, begun: BTreeMap::new() });
            if !stage.world.state().bugs.window_unheard {
                stage.signals.send_modify(|signals| signals.closed = Some(closed));
            }
            let (signals, world) = (stage.signals.clone(), stage.world.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1200)).await;
                world.state().closed = None;
                signals.send_modify(|signals| signals.closed = None);
            });
        }
        Fault::LostResponse | Fault::NeverSent | Fault::Delay => {}
    }
}

/// Rivals that are still about find out that the run has ended; then a driver of the finished run writes nothing.
pub async fn finish(
    stage: &mut Stage,
    inbox: &mut mpsc::UnboundedReceiver<(u64, Fault)>,
    outcome: Option<Outcome>,
) {
    if outcome.is_none() {
        return;
    }
    while !stage.drivers.is_empty() {
        tokio::select! {
            biased;
            Some((driver, fault)) = inbox.recv() => {
                if matches!(fault, Fault::AbortBefore | Fault::AbortAfter) {
                    stage.drivers.remove(&driver);
                }
            }
            _ = stage.ended() => {}
        }
    }
    stage.world.no_more_faults();
    let before = stage.world.state().writes;
    stage.start();
    let (_, ended) = stage.ended().await;
    let mut state = stage.world.state();
    if state.writes != before {
        let writes = state.writes - before;
        state.violation(format!("a finished run was driven again and made {writes} writes"));
    }
    if Some(ended.clone()) != outcome.map(Ended::Finished) {
        state.violation(format!("a finished run was driven again and ended {ended:?}"));
    }
}
