//! The real world, as the driver's seams see it.

use super::answers::{part, read, swap, workload, write};
use super::frozen::thaw;
use super::jobs::outcome;
use super::known::Known;
use super::looking::{self, key, seen};
use super::merge::merge_patch;
use super::operator::Operator;
use super::targets::OpenTarget;
use super::telling::Teller;
use super::waking::Waking;
use crate::api::WorkloadKind;
use crate::api::plan::MigrationPlan;
use crate::api::run::{FrozenPart, FrozenProgram, MigrationRun, MigrationRunStatus, Original};
use crate::cluster::lease::{self, TargetKey};
use crate::cluster::secret::{self, Shelf};
use crate::cluster::{Acting, Holder, WriteError, get, get_if_there, record};
use crate::engine::AnyEngine;
use crate::job::{self, JobState, Removal};
use crate::program::{self, Compiled, Program, WorkloadRef, WorkloadSeen};
use crate::run::seam::{
    Clock, Cluster, ClusterError, Flags, JobRequest, JobSeen, Looked, Saved, Thawed, WorkloadChange, World,
};
use crate::run::{Report, RunRef};
use crate::workload::{self as hands, BackTo, Rollout, Volumes, Which, Workload};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Everything one driver acts on.
pub(super) struct RealWorld {
    cluster: RealCluster,
    clock: RealClock,
}

/// Which run, and what it means.
pub(super) struct Meant {
    /// The run.
    pub(super) run: RunRef,
    /// What was meant when it was made; another one is another run.
    pub(super) intent_hash: String,
    /// Number of the run that it takes back.
    pub(super) rolls_back: Option<u64>,
}

/// The clock on the wall.
pub(super) struct RealClock;

/// The cluster, for one run.
pub(super) struct RealCluster {
    pub(super) operator: Operator,
    pub(super) run: RunRef,
    /// What was meant when the run was made.
    meant: Meant,
    /// Name of the run's record.
    name: String,
    /// As whom everything is done for the plan.
    acting: Acting,
    targets: BTreeMap<String, OpenTarget>,
    /// The status as it was last read or written: what a merge patch is made against.
    last: Mutex<Value>,
    teller: Teller,
    waking: Waking,
    known: Known,
}

impl RealWorld {
    /// The world of a run, with its targets opened.
    pub(super) fn new(
        operator: Operator,
        meant: Meant,
        acting: Acting,
        targets: BTreeMap<String, OpenTarget>,
        teller: Teller,
    ) -> Self {
        let run = meant.run.clone();
        let name = format!("{}-{}", run.plan, run.number);
        let last = Mutex::new(Value::Null);
        let waking = Waking::new(operator.own().client().clone());
        let known = Known::default();
        let cluster =
            RealCluster { operator, run, meant, name, acting, targets, last, teller, waking, known };
        Self { cluster, clock: RealClock }
    }
}

impl World for RealWorld {
    type Cluster = RealCluster;
    type Engine = AnyEngine;
    type Clock = RealClock;

    fn cluster(&self) -> &RealCluster {
        &self.cluster
    }

    fn engine(&self, target: &str) -> Result<&AnyEngine, ClusterError> {
        Ok(&self.cluster.target(target)?.engine)
    }

    fn clock(&self) -> &RealClock {
        &self.clock
    }
}

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

pub(super) type Answer<T> = Result<T, ClusterError>;

impl RealCluster {
    pub(super) fn target(&self, name: &str) -> Answer<&OpenTarget> {
        self.targets.get(name).ok_or_else(|| ClusterError::Gone(format!("DatabaseTarget {name}")))
    }

    fn own(&self) -> &Acting {
        self.operator.own()
    }

    fn lease_key(&self, lease: &str) -> TargetKey {
        TargetKey { name: lease.to_owned(), what: format!("the target of Lease {lease}") }
    }

    async fn record(&self) -> Answer<MigrationRun> {
        get(self.own(), &self.run.namespace, &self.name).await.map_err(read)
    }

    pub(super) fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: "whimbrel.dev/v1alpha1".into(),
            kind: "MigrationRun".into(),
            name: self.name.clone(),
            uid: self.run.uid.clone(),
            ..OwnerReference::default()
        }
    }

    async fn thawed(&self, frozen: FrozenProgram) -> Answer<Thawed> {
        thaw(&self.acting, &self.run.namespace, frozen).await.map_err(read)
    }

    /// The program that takes another run back: from what that one was frozen with and what it has recorded.
    async fn look_back(&self, number: u64) -> Answer<Looked> {
        let refused = |message: String| Looked::Refused { reason: "GuardBlocked".into(), message };
        let name = format!("{}-{number}", self.run.plan);
        let run: Option<MigrationRun> =
            get_if_there(self.own(), &self.run.namespace, &name).await.map_err(read)?;
        let Some((frozen, record)) = run.and_then(|run| run.spec.program.zip(run.status)) else {
            return Ok(refused(format!(
                "run {name} is gone, or was never frozen: it can't be taken back any more"
            )));
        };
        Ok(match self.thawed(frozen).await? {
            Thawed::Program(program) => {
                Looked::Program(Box::new(program::rollback(&program, &record, number, &self.leases())))
            }
            Thawed::NotFrozen => refused(format!("run {name} was never frozen")),
            Thawed::Broken { why } => refused(format!("run {name} can't be taken back any more: {why}")),
            Thawed::OfAnotherVersion(why) => {
                Looked::Refused { reason: "OperatorVersionSkew".into(), message: why }
            }
        })
    }

    /// Why a workload is not ready: its counts say that it is not, its pods what is wrong. They are asked from time to time
    /// only: it is a sentence for people, and most workloads become ready before anybody has read it.
    async fn why_not_ready(&self, found: &Workload) -> Answer<Option<String>> {
        if found.suspend.is_some() {
            return Ok(None);
        }
        let counted = match hands::readiness(found, &[]) {
            hands::Readiness::Ready => {
                self.known.is_ready(&found.key);
                return Ok(None);
            }
            hands::Readiness::Waiting(why) | hands::Readiness::Failing(why) => why,
        };
        if !self.known.may_ask_pods(&found.key) {
            return Ok(Some(self.known.pods_said(&found.key).unwrap_or(counted)));
        }
        let pods = hands::pods(&self.acting, found).await.map_err(workload)?;
        let said = match hands::readiness(found, &pods) {
            hands::Readiness::Failing(why) => Some(why),
            hands::Readiness::Ready | hands::Readiness::Waiting(_) => None,
        };
        self.known.keep_said(&found.key, said.clone());
        Ok(Some(said.unwrap_or(counted)))
    }

    /// Wakes the driver when the workload or a pod of it moves.
    fn follow(&self, of: &WorkloadRef) {
        let (namespace, name) = (of.namespace.as_str(), of.name.as_str());
        match of.kind {
            WorkloadKind::Deployment => self.waking.follow::<Deployment>(namespace, name),
            WorkloadKind::StatefulSet => self.waking.follow::<StatefulSet>(namespace, name),
            // What it waits for is its Jobs.
            WorkloadKind::CronJob => self.waking.follow::<Job>(namespace, name),
        }
        self.waking.follow_ends::<Pod>(namespace, name);
    }

    /// A driver writes what changed since it last read or wrote; nulls remove what is gone.
    fn last(&self) -> std::sync::MutexGuard<'_, Value> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster for RealCluster {
    async fn load(&self) -> Answer<Saved> {
        let run = self.record().await?;
        let status = run.status.unwrap_or_default();
        *self.last() = json!(status);
        Ok(Saved { version: run.metadata.resource_version.unwrap_or_default(), status })
    }

    async fn save(&self, status: &MigrationRunStatus, version: &str) -> Answer<String> {
        let status = self.teller.dressed(status);
        let new = json!(status);
        let patch = merge_patch(&self.last(), &new);
        let version = self.known.version_of_record(version);
        let saved: MigrationRun =
            record::write_status(self.own(), &self.run.namespace, &self.name, &version, &patch)
                .await
                .map_err(swap)?;
        *self.last() = new;
        Ok(saved.metadata.resource_version.unwrap_or_default())
    }

    async fn look(&self) -> Answer<Looked> {
        let plan: Option<MigrationPlan> =
            get_if_there(self.own(), &self.run.namespace, &self.run.plan).await.map_err(read)?;
        let Some(plan) = plan else { return Ok(Looked::NothingPending) };
        if let Some(number) = self.meant.rolls_back {
            return self.look_back(number).await;
        }
        let ours = Some((self.run.plan_uid.as_str(), self.run.number));
        match looking::look(&self.operator, &plan, ours, |_| false).await {
            // A source was edited: what is meant now is another run's to do, under its own number and approval.
            Ok(looked) if looked.intent_hash != self.meant.intent_hash => Ok(Looked::NothingPending),
            Ok(looked) => Ok(match looked.compiled {
                Compiled::Program(program) => Looked::Program(program),
                Compiled::NothingPending => Looked::NothingPending,
            }),
            Err(refused) => {
                Ok(Looked::Refused { reason: refused.reason.to_owned(), message: refused.message })
            }
        }
    }

    async fn freeze(&self, program: &Program) -> Answer<()> {
        let run = self.record().await?;
        let bytes = serde_json::to_vec(program).map_err(|error| ClusterError::Refused(error.to_string()))?;
        let shelf = Shelf {
            namespace: self.run.namespace.clone(),
            prefix: self.name.clone(),
            owner: self.owner(),
            labels: BTreeMap::from([(job::RUN_UID.to_owned(), self.run.uid.clone())]),
        };
        let parts = secret::write_parts(&self.acting, &shelf, &bytes).await.map_err(part)?;
        if run.spec.program.is_some() {
            return Ok(());
        }
        let frozen = FrozenProgram {
            plan_hash: program.plan_hash.clone(),
            format: i32::try_from(program.format).unwrap_or(i32::MAX),
            parts: parts
                .into_iter()
                .map(|part| FrozenPart { secret: part.secret, sha256: part.sha256 })
                .collect(),
        };
        let version = run.metadata.resource_version.unwrap_or_default();
        let spec = json!({ "program": frozen });
        let (namespace, name) = (&self.run.namespace, &self.name);
        let written = record::write_spec::<MigrationRun>(self.own(), namespace, name, &version, &spec).await;
        let became = written.map_err(swap)?.metadata.resource_version.unwrap_or_default();
        self.known.froze(&version, &became);
        Ok(())
    }

    async fn thaw(&self) -> Answer<Thawed> {
        match self.record().await?.spec.program {
            Some(frozen) => self.thawed(frozen).await,
            None => Ok(Thawed::NotFrozen),
        }
    }

    fn leases(&self) -> BTreeMap<String, String> {
        let key =
            |(name, target): (&String, &OpenTarget)| Some((name.clone(), looking::known_key(target)?.name));
        self.targets.iter().filter_map(key).collect()
    }

    async fn token(&self, lease: &str) -> Answer<u64> {
        let claim = lease::look(self.own(), &self.operator.namespace, &self.lease_key(lease)).await;
        claim.map(|claim| claim.token).map_err(read)
    }

    async fn take_lease(&self, lease: &str, holder: &Holder) -> Answer<()> {
        let key = self.lease_key(lease);
        lease::take(self.own(), &self.operator.namespace, &key, holder).await.map_err(swap)
    }

    async fn drop_lease(&self, lease: &str, holder: &Holder) -> Answer<()> {
        let key = self.lease_key(lease);
        lease::release(self.own(), &self.operator.namespace, &key, holder).await.map_err(swap)
    }

    async fn workload(&self, of: &WorkloadRef) -> Answer<WorkloadSeen> {
        self.follow(of);
        let found = match self.known.answered(of) {
            Some(answered) => answered,
            None => {
                let found = hands::look_if_there(&self.acting, &key(of)).await;
                found
                    .map_err(|error| workload(error.into()))?
                    .ok_or_else(|| ClusterError::Gone(of.to_string()))?
            }
        };
        let why = self.why_not_ready(&found).await?;
        self.known.saw(of, &found);
        Ok(seen(of, &found, why))
    }

    async fn scaler(&self, of: &WorkloadRef) -> Answer<Option<i32>> {
        let scaler = hands::look_for_scaler(&self.acting, &key(of)).await.map_err(read)?;
        Ok(scaler.map(|scaler| scaler.min))
    }

    async fn claim(&self, of: &WorkloadRef, holder: &Holder) -> Answer<Original> {
        hands::claim(&self.acting, &key(of), holder).await.map_err(workload)
    }

    async fn change(&self, seen: &WorkloadSeen, holder: &Holder, change: &WorkloadChange) -> Answer<()> {
        let acting = &self.acting;
        // The live read that the driver decided by; the write is bound to its version.
        let which = match self.known.version(&seen.of, &seen.version) {
            Some(found) => Which::from(found),
            None => Which::from(&key(&seen.of)),
        };
        let done = match change {
            WorkloadChange::Scale(0) | WorkloadChange::Suspend(true) => {
                hands::silence(acting, which, holder, Volumes::MustStay).await
            }
            WorkloadChange::Scale(replicas) => {
                hands::give_back(acting, which, holder, BackTo::Replicas(*replicas)).await
            }
            WorkloadChange::Suspend(suspend) => {
                hands::give_back(acting, which, holder, BackTo::Suspend(*suspend)).await
            }
            WorkloadChange::Roll(images, replicas) => {
                let rollout = Rollout { images: images.clone(), replicas: *replicas };
                hands::roll_out(acting, which, holder, &rollout).await
            }
            WorkloadChange::Release => {
                return hands::release(acting, which, holder).await.map_err(workload);
            }
        };
        self.known.wrote(&seen.of, done.map_err(workload)?);
        Ok(())
    }

    async fn pods(&self, of: &WorkloadRef) -> Answer<Vec<String>> {
        // Which pods are its own does not change; who is there is asked now.
        let found = match self.known.last(of) {
            Some(found) => found,
            None => hands::look(&self.acting, &key(of)).await.map_err(workload)?,
        };
        let remaining = hands::remaining(&self.acting, &found).await.map_err(workload)?;
        Ok(remaining.iter().map(ToString::to_string).collect())
    }

    async fn remove_stuck_pod(&self, of: &WorkloadRef, holder: &Holder) -> Answer<()> {
        let found = hands::look(&self.acting, &key(of)).await.map_err(workload)?;
        hands::unstick(&self.acting, &found, holder).await.map(drop).map_err(workload)
    }

    async fn try_job(&self, request: &JobRequest) -> Answer<()> {
        let (acting, job) = self.job_of(request)?;
        job::dry_run(&acting, &job).await.map_err(write)
    }

    async fn start_job(&self, request: &JobRequest) -> Answer<()> {
        let (acting, job) = self.job_of(request)?;
        job::create(&acting, &job).await.map(drop).map_err(swap)
    }

    async fn job(&self, request: &JobRequest) -> Answer<JobSeen> {
        let acting = &self.target(&request.target)?.acting;
        let name = self.job_key(request).name();
        self.waking.follow::<Job>(&self.run.namespace, &name);
        self.waking.follow::<Pod>(&self.run.namespace, &name);
        let asks = self.known.may_ask_job(&name);
        Ok(match job::look(acting, &self.run.namespace, &name, asks).await.map_err(read)? {
            JobState::Absent => JobSeen::Absent,
            JobState::Pending { why } => JobSeen::Pending(why),
            JobState::Running { progress } => JobSeen::Running(self.known.progress(&name, progress)),
            JobState::Succeeded { result } => JobSeen::Succeeded(outcome(&request.target, result)?),
            JobState::Failed { why, .. } => JobSeen::Failed(why),
        })
    }

    async fn end_job(&self, request: &JobRequest) -> Answer<bool> {
        let acting = &self.target(&request.target)?.acting;
        let name = self.job_key(request).name();
        let removal = job::remove(acting, &self.run.namespace, &name).await.map_err(swap)?;
        Ok(matches!(removal, Removal::Gone))
    }

    async fn flags(&self, namespace: &str, name: &str) -> Answer<Flags> {
        let found: ConfigMap = get(&self.acting, namespace, name).await.map_err(read)?;
        Ok(Flags {
            version: found.metadata.resource_version.unwrap_or_default(),
            data: found.data.unwrap_or_default(),
        })
    }

    async fn set_flags(
        &self,
        namespace: &str,
        name: &str,
        version: &str,
        keys: &BTreeMap<String, Option<String>>,
    ) -> Answer<()> {
        let patch = json!({ "metadata": { "resourceVersion": version }, "data": keys });
        let parameters = PatchParams {
            field_manager: Some(crate::cluster::FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let api = self.acting.api::<ConfigMap>(namespace);
        match api.patch(name, &parameters, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(write(WriteError::of(error, self.acting.account()))),
        }
    }

    fn moves(&self) -> u64 {
        self.waking.moves()
    }

    async fn moved(&self, since: u64) {
        self.waking.moved(since).await;
    }

    async fn report(&self, report: &Report) {
        self.teller.tell(report).await;
    }
}
