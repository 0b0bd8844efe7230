//! The cluster's side of the simulated world: objects with versions, pods that take their time.

use super::scenario::TARGET;
use super::world::{State, Workload, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use whimbrel::api::run::{MigrationRunStatus, Original};
use whimbrel::cluster::Holder;
use whimbrel::program::{Program, WorkloadRef, WorkloadSeen};
use whimbrel::run::Report;
use whimbrel::run::seam::{
    Cluster, ClusterError, Flags, JobRequest, JobSeen, JobWork, Looked, Saved, Thawed, WorkloadChange,
};

type Answer<T> = Result<T, ClusterError>;

/// One driver's cluster.
pub struct SimCluster {
    pub world: Arc<World>,
    pub driver: u64,
}

impl SimCluster {
    async fn call<T>(&self, what: &str, effect: impl FnOnce(&mut State) -> Answer<T>) -> Answer<T> {
        self.world.call(self.driver, what, || effect(&mut self.world.state())).await?
    }
}

impl Cluster for SimCluster {
    async fn load(&self) -> Answer<Saved> {
        self.call("load", |state| {
            Ok(Saved { version: state.record_version.to_string(), status: state.record.clone() })
        })
        .await
    }

    async fn save(&self, status: &MigrationRunStatus, version: &str) -> Answer<String> {
        self.call("save", |state| {
            if version != state.record_version.to_string() && !state.bugs.blind_record {
                return Err(ClusterError::Stale);
            }
            if status.epoch < state.record.epoch {
                state.violation("the epoch of the record ran backwards".into());
            }
            if state.record.turned_around.is_some() && status.turned_around.is_none() {
                state.violation("a run that turned around went forward again".into());
            }
            state.heed_window(self.driver, status);
            state.record = status.clone();
            state.record_version += 1;
            state.writes += 1;
            Ok(state.record_version.to_string())
        })
        .await
    }

    async fn look(&self) -> Answer<Looked> {
        self.call("look", |state| {
            if state.refused_looks > 0 && state.leases.values().any(|(holder, _)| holder.is_some()) {
                state.refused_looks -= 1;
                let message = "ns/db is not reachable: no answer within 5 s".to_owned();
                return Ok(Looked::Refused { reason: "TargetNotReady".to_owned(), message });
            }
            let program = state.compiled.clone().expect("the scenario has a program");
            Ok(Looked::Program(Box::new(program)))
        })
        .await
    }

    async fn freeze(&self, program: &Program) -> Answer<()> {
        self.call("freeze", |state| {
            state.writes += 1;
            state.frozen = Some(program.clone());
            Ok(())
        })
        .await
    }

    async fn thaw(&self) -> Answer<Thawed> {
        self.call("thaw", |state| {
            Ok(match state.frozen.clone() {
                Some(_) if state.bugs.frozen_lost => {
                    Thawed::Broken { why: "Secret ns/plan-1-0, a part of the record, is missing".into() }
                }
                Some(program) => Thawed::Program(Box::new(program)),
                None => Thawed::NotFrozen,
            })
        })
        .await
    }

    fn leases(&self) -> BTreeMap<String, String> {
        let state = self.world.state();
        let program = state.compiled.as_ref().expect("the scenario has a program");
        program.targets.iter().map(|(name, target)| (name.clone(), target.lease.clone())).collect()
    }

    async fn token(&self, lease: &str) -> Answer<u64> {
        self.call("token", |state| Ok(state.leases.get(lease).map_or(0, |(_, token)| *token))).await
    }

    async fn take_lease(&self, lease: &str, holder: &Holder) -> Answer<()> {
        self.call("take_lease", |state| {
            let (held, token) = state.leases.get(lease).cloned().unwrap_or_default();
            let foreign = held.filter(|held| !held.is_same_run(holder));
            if let Some(foreign) = foreign {
                return Err(ClusterError::Held(foreign.to_string()));
            }
            if token > holder.epoch {
                return Err(ClusterError::Newer(token));
            }
            state.writes += 1;
            state.leases.insert(lease.to_owned(), (Some(holder.clone()), holder.epoch));
            Ok(())
        })
        .await
    }

    async fn drop_lease(&self, lease: &str, holder: &Holder) -> Answer<()> {
        self.call("drop_lease", |state| {
            let Some((held, token)) = state.leases.get_mut(lease) else { return Ok(()) };
            match held {
                Some(now) if !now.is_same_run(holder) => Err(ClusterError::Held(now.to_string())),
                Some(now) if now.epoch > holder.epoch => Err(ClusterError::Newer(*token)),
                _ => {
                    *held = None;
                    Ok(())
                }
            }
        })
        .await
    }

    async fn workload(&self, of: &WorkloadRef) -> Answer<WorkloadSeen> {
        let broken = &self.world.scenario.broken_images;
        self.call("workload", |state| {
            let Some(w) = state.workloads.get(of) else { return Err(ClusterError::Gone(of.to_string())) };
            Ok(seen(of, w, broken))
        })
        .await
    }

    async fn claim(&self, of: &WorkloadRef, holder: &Holder) -> Answer<Original> {
        self.call("claim", |state| {
            state.writes += 1;
            let w = state.workloads.get_mut(of).expect("workloads are never deleted here");
            match w.claimed_by.as_ref().map(|held| held.parse::<Holder>()) {
                Some(Ok(held)) if held.is_same_run(holder) && held.epoch > holder.epoch => {
                    return Err(ClusterError::Newer(held.epoch));
                }
                Some(Ok(held)) if held.is_same_run(holder) => {}
                Some(_) => return Err(ClusterError::Held(w.claimed_by.clone().unwrap_or_default())),
                None => {}
            }
            w.version += 1;
            w.claimed_by = Some(holder.to_string());
            if w.original.is_none() {
                w.original = Some(Original {
                    kind: of.kind,
                    namespace: of.namespace.clone(),
                    name: of.name.clone(),
                    uid: of.slug(),
                    replicas: Some(w.replicas),
                    images: w.images.clone(),
                    suspend: Some(w.suspend),
                });
            }
            Ok(w.original.clone().expect("just made"))
        })
        .await
    }

    async fn scaler(&self, _: &WorkloadRef) -> Answer<Option<i32>> {
        self.call("scaler", |_| Ok(None)).await
    }

    async fn change(&self, seen: &WorkloadSeen, holder: &Holder, change: &WorkloadChange) -> Answer<()> {
        let (stop, start) = (self.world.random(10..3000), self.world.random(10..3000));
        let writes = self.world.scenario.new_pods_write;
        let broken = self.world.scenario.broken_images.clone();
        self.call("change", |state| {
            state.writes += 1;
            let bugs = state.bugs;
            let w = state.workloads.get_mut(&seen.of).expect("workloads are never deleted here");
            if w.version.to_string() != seen.version && !bugs.blind_workloads {
                return Err(ClusterError::Stale);
            }
            if w.claimed_by.as_deref() != Some(holder.to_string().as_str()) {
                state.violation(format!("{} was written to without its claim", seen.of));
                return Err(ClusterError::Stale);
            }
            let w = state.workloads.get_mut(&seen.of).expect("it was there");
            w.version += 1;
            let before = w.replicas;
            apply(w, change, bugs);
            let (stops, starts) = (w.replicas == 0, before == 0 && w.replicas > 0);
            if w.replicas == 0 && before > 0 {
                w.pods_until = Some(Instant::now() + stop);
            }
            if w.replicas > 0 && (before == 0 || matches!(change, WorkloadChange::Roll(..))) {
                w.ready_from = Some(Instant::now() + start);
                let good = !w.images.values().any(|image| broken.contains(image));
                if writes && good && w.images.values().any(|image| image.ends_with(":2")) {
                    state.write_as_others();
                }
            }
            if state.server.as_ref() == Some(&seen.of) {
                serve(state, stops, starts);
            }
            Ok(())
        })
        .await
    }

    async fn pods(&self, of: &WorkloadRef) -> Answer<Vec<String>> {
        self.call("pods", |state| {
            let ignores = state.bugs.terminating_is_gone;
            let w = &state.workloads[of];
            let stopping = !ignores && w.pods_until.is_some_and(|until| until > Instant::now());
            Ok(if stopping || w.replicas > 0 { vec![format!("{}-0", of.name)] } else { Vec::new() })
        })
        .await
    }

    async fn remove_stuck_pod(&self, _: &WorkloadRef, _: &Holder) -> Answer<()> {
        self.call("remove_stuck_pod", |_| Ok(())).await
    }

    async fn try_job(&self, _: &JobRequest) -> Answer<()> {
        self.call("try_job", |_| Ok(())).await
    }

    async fn start_job(&self, job: &JobRequest) -> Answer<()> {
        let time = self.world.random(50..5000);
        self.call("start_job", |state| {
            state.writes += 1;
            if job.work == JobWork::Backup {
                state.alone_with_the_files("a backup is taken");
                let db = state.database(&job.target);
                db.backup = Some(db.data());
            }
            state.jobs.entry(format!("{}-{}", job.op, job.attempt)).or_insert(Instant::now() + time);
            Ok(())
        })
        .await
    }

    async fn job(&self, job: &JobRequest) -> Answer<JobSeen> {
        let (fails, no_copy) = (self.world.scenario.backup_fails, self.world.scenario.restore_fails);
        self.call("job", |state| {
            let Some(until) = state.jobs.get(&format!("{}-{}", job.op, job.attempt)) else {
                return Ok(JobSeen::Absent);
            };
            if *until > Instant::now() {
                return Ok(JobSeen::Running(String::new()));
            }
            if fails && !state.bugs.backup_unproven {
                return Ok(JobSeen::Failed("the volume is full".into()));
            }
            if no_copy && matches!(job.work, JobWork::Restore { .. }) {
                return Ok(JobSeen::Failed("the server's disk is full".into()));
            }
            Ok(JobSeen::Succeeded(match job.work {
                JobWork::Restore { .. } if state.server.is_some() => {
                    put_files_back(state, job);
                    serde_json::json!({ "aside": "wb-aside-1" })
                }
                JobWork::Backup => serde_json::json!({
                    "target": job.target, "path": "p", "at": "2027-01-15T08:00:00Z", "level": "None", "bytes": 1, "sha256": ""
                }),
                JobWork::Verify { .. } | JobWork::Restore { .. } => serde_json::Value::Null,
            }))
        })
        .await
    }

    async fn end_job(&self, job: &JobRequest) -> Answer<bool> {
        self.call("end_job", |state| {
            state.jobs.remove(&format!("{}-{}", job.op, job.attempt));
            Ok(true)
        })
        .await
    }

    async fn flags(&self, _: &str, _: &str) -> Answer<Flags> {
        self.call("flags", |state| {
            Ok(Flags { version: state.flags_version.to_string(), data: state.flags.clone() })
        })
        .await
    }

    async fn set_flags(
        &self,
        _: &str,
        _: &str,
        version: &str,
        keys: &BTreeMap<String, Option<String>>,
    ) -> Answer<()> {
        self.call("set_flags", |state| {
            state.writes += 1;
            if version != state.flags_version.to_string() {
                return Err(ClusterError::Stale);
            }
            state.flags_version += 1;
            for (key, value) in keys {
                match value {
                    Some(value) => state.flags.insert(key.clone(), value.clone()),
                    None => state.flags.remove(key),
                };
            }
            Ok(())
        })
        .await
    }

    fn moves(&self) -> u64 {
        0
    }

    /// No hint ever comes here: a driver must get there without.
    async fn moved(&self, _: u64) {
        std::future::pending().await
    }

    async fn report(&self, _: &Report) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The server goes, and its sessions with it; or comes, and finds its files left alone.
fn serve(state: &mut State, stops: bool, starts: bool) {
    if stops {
        let db = state.database(TARGET);
        db.sessions.clear();
        db.lock = None;
    }
    let now = Instant::now();
    let on_files = |op: &str| op.starts_with("backup/") || op.contains("restore/");
    if starts && state.jobs.iter().any(|(op, until)| on_files(op) && *until > now) {
        state.violation("the server was started under a Job that works on its files".into());
    }
}

/// What the Job has done by its end: the files of the backup are in place, stamped, and those that were there are kept.
fn put_files_back(state: &mut State, job: &JobRequest) {
    state.alone_with_the_files("a backup is put back");
    let db = state.database(&job.target);
    if db.aside.is_some() {
        return;
    }
    let copy = db.backup.clone().unwrap_or_default();
    db.lost_writes += db.noticeable_writes - copy.noticeable_writes;
    db.put_back(copy, job.epoch, "r-uid");
}

fn seen(of: &WorkloadRef, w: &Workload, broken: &[String]) -> WorkloadSeen {
    let now = Instant::now();
    let starting = w.ready_from.is_some_and(|from| from > now);
    let bad = w.images.values().find(|image| broken.contains(image));
    let not_ready = match (w.replicas > 0, bad, starting) {
        (true, Some(image), _) => Some(format!("{image} crashes")),
        (true, None, true) => Some("starting".to_owned()),
        _ => None,
    };
    WorkloadSeen {
        of: of.clone(),
        uid: of.slug(),
        version: w.version.to_string(),
        replicas: w.replicas,
        images: w.images.clone(),
        suspend: w.suspend,
        claimed_by: w.claimed_by.clone(),
        hpa_min: None,
        controlled_by: None,
        deletes_volumes: false,
        not_ready,
        scaled_by: Some("kubectl".into()),
    }
}

fn apply(w: &mut Workload, change: &WorkloadChange, bugs: super::world::Bugs) {
    match change {
        WorkloadChange::Scale(replicas) => {
            w.replicas = if bugs.back_to_one { 1.min(*replicas) } else { *replicas }
        }
        WorkloadChange::Suspend(suspend) => w.suspend = *suspend || bugs.never_resumes,
        WorkloadChange::Roll(images, replicas) => {
            if !bugs.old_images_lost || images.values().all(|image| image.ends_with(":2")) {
                w.images.extend(images.clone());
            }
            if let Some(replicas) = replicas {
                w.replicas = *replicas;
            }
        }
        WorkloadChange::Release => {
            if !bugs.release_forgets {
                w.claimed_by = None;
            }
            w.original = None;
        }
    }
}
