//! The numbers. Names and labels are part of the API; every label has few values: namespaces, plans and targets that
//! exist now, and words from closed lists. What is gone is forgotten, or a year of plans would be a year of series.

use super::labels::{
    BackupLabels, Delivery, DeliveryLabels, OutcomeLabels, PlanKey, Request, RequestLabels, RunLabels, Seen,
    SeenLabels, StepLabels, TargetKey, Wait, WaitLabels,
};
use jiff::Timestamp;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

type Seconds = Gauge<f64, AtomicU64>;
type Timings<L> = Family<L, Histogram, fn() -> Histogram>;

/// What is known between two scrapes and counted at a scrape: ages and downtimes grow by themselves.
#[derive(Debug, Default)]
struct Known {
    phases: BTreeMap<PlanKey, &'static str>,
    backups: BTreeMap<TargetKey, (Timestamp, &'static str)>,
    tested: BTreeSet<TargetKey>,
    down: BTreeMap<PlanKey, (Timestamp, Option<Timestamp>)>,
    waits: BTreeMap<PlanKey, (Wait, Timestamp)>,
    waited: BTreeMap<PlanKey, Duration>,
}

/// The numbers of one operator. Every method is cheap and can't fail.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    known: Mutex<Known>,
    run_info: Family<RunLabels, Gauge>,
    step_duration: Timings<StepLabels>,
    run_duration: Timings<OutcomeLabels>,
    manual_wait: Timings<WaitLabels>,
    quiesced: Family<PlanKey, Seconds>,
    backup_age: Family<BackupLabels, Seconds>,
    restore_test: Family<TargetKey, Gauge>,
    contention: Family<PlanKey, Counter>,
    not_given_back: Family<PlanKey, Gauge>,
    fence_rejections: Counter,
    notifications: Family<DeliveryLabels, Counter>,
    leader: Gauge,
    reconciles: Family<SeenLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
}

/// 0.1 s to 100 min in steps of three: a script and a restore are on one scale.
fn timing() -> Histogram {
    Histogram::new(exponential_buckets(0.1, 3.0, 11))
}

fn timings<L: Clone + std::hash::Hash + Eq>() -> Timings<L> {
    Family::new_with_constructor(timing)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All numbers at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("whimbrel"),
            known: Mutex::default(),
            run_info: Family::default(),
            step_duration: timings(),
            run_duration: timings(),
            manual_wait: timings(),
            quiesced: Family::default(),
            backup_age: Family::default(),
            restore_test: Family::default(),
            contention: Family::default(),
            not_given_back: Family::default(),
            fence_rejections: Counter::default(),
            notifications: Family::default(),
            leader: Gauge::default(),
            reconciles: Family::default(),
            requests: Family::default(),
        };
        metrics.register();
        metrics
    }

    /// The names. prometheus-client adds the full stop to each help text, and `_total` to counters.
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("run_info", "The phase of every plan; always 1", self.run_info.clone());
        r.register("step_duration_seconds", "How long steps took", self.step_duration.clone());
        r.register(
            "run_duration_seconds",
            "How long runs took, waits for people left out",
            self.run_duration.clone(),
        );
        r.register(
            "manual_wait_seconds",
            "How long runs waited for people and for windows",
            self.manual_wait.clone(),
        );
        r.register(
            "quiesced_seconds",
            "Downtime of the current or last run of a plan",
            self.quiesced.clone(),
        );
        r.register("backup_age_seconds", "Age of the newest backup of a target", self.backup_age.clone());
        r.register(
            "restore_test_success",
            "Whether the last restore test of a target passed",
            self.restore_test.clone(),
        );
        r.register(
            "replica_contention",
            "Times somebody else scaled a quiesced workload",
            self.contention.clone(),
        );
        r.register(
            "workloads_not_given_back",
            "Workloads that a run left down: a person must act",
            self.not_given_back.clone(),
        );
        r.register(
            "fence_rejections",
            "Drivers that had to stop because a newer epoch holds what they act on",
            self.fence_rejections.clone(),
        );
        r.register(
            "notifications",
            "Notifications by whether their webhook took them",
            self.notifications.clone(),
        );
        r.register("leader", "Whether this process drives runs", self.leader.clone());
        r.register("reconciles", "Looks at objects by what they came to", self.reconciles.clone());
        r.register(
            "api_requests",
            "Requests to the API server by what became of them",
            self.requests.clone(),
        );
    }

    /// The text that is scraped, ages counted at `now`.
    pub fn text(&self, now: Timestamp) -> String {
        self.count(now);
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing to a String can't fail");
        out
    }

    fn count(&self, now: Timestamp) {
        let known = self.known();
        for (target, (at, level)) in &known.backups {
            let TargetKey { namespace, target } = target.clone();
            let labels = BackupLabels { namespace, target, level };
            self.backup_age.get_or_create(&labels).set(seconds(*at, now));
        }
        for (plan, (from, to)) in &known.down {
            self.quiesced.get_or_create(plan).set(seconds(*from, to.unwrap_or(now)));
        }
    }

    /// The phase a plan is in now.
    pub fn phase_is(&self, plan: &PlanKey, phase: &'static str) {
        if let Some(old) = self.known().phases.insert(plan.clone(), phase) {
            self.run_info.remove(&run_labels(plan, old));
        }
        self.run_info.get_or_create(&run_labels(plan, phase)).set(1);
    }

    /// Plans are gone: so are their series.
    pub fn forget_plans(&self, gone: impl Fn(&PlanKey) -> bool) {
        let plans: Vec<PlanKey> = self.known().phases.keys().filter(|plan| gone(plan)).cloned().collect();
        plans.iter().for_each(|plan| self.forget_plan(plan));
    }

    fn forget_plan(&self, plan: &PlanKey) {
        let mut known = self.known();
        if let Some(old) = known.phases.remove(plan) {
            self.run_info.remove(&run_labels(plan, old));
        }
        known.down.remove(plan);
        known.waits.remove(plan);
        known.waited.remove(plan);
        self.quiesced.remove(plan);
        self.contention.remove(plan);
        self.not_given_back.remove(plan);
    }

    /// Targets are gone: so are their series.
    pub fn forget_targets(&self, gone: impl Fn(&TargetKey) -> bool) {
        let known = self.known();
        let all = known.backups.keys().chain(&known.tested);
        let targets: BTreeSet<TargetKey> = all.filter(|target| gone(target)).cloned().collect();
        drop(known);
        targets.iter().for_each(|target| self.forget_target(target));
    }

    fn forget_target(&self, target: &TargetKey) {
        self.known().tested.remove(target);
        if let Some((_, level)) = self.known().backups.remove(target) {
            self.backup_age.remove(&backup_labels(target, level));
        }
        self.restore_test.remove(target);
    }

    /// A notification was delivered, or was not.
    pub fn notified(&self, delivered: bool) {
        let outcome = if delivered { Delivery::Delivered } else { Delivery::Failed };
        self.notifications.get_or_create(&DeliveryLabels { outcome }).inc();
    }

    /// A run ended after `worked`, waits for people left out.
    pub fn run_ended(&self, outcome: &'static str, worked: Duration) {
        self.run_duration.get_or_create(&OutcomeLabels { outcome }).observe(worked.as_secs_f64());
    }

    /// A step ended after `took`.
    pub fn step_took(&self, labels: &StepLabels, took: Duration) {
        self.step_duration.get_or_create(labels).observe(took.as_secs_f64());
    }

    /// Whom the run of a plan waits for from `now` on; a wait is counted when it ends. What a process that has ended
    /// since has seen of it is not counted.
    pub fn waits_for(&self, plan: &PlanKey, whom: Option<Wait>, now: Timestamp) {
        let mut known = self.known();
        let before = known.waits.get(plan).copied();
        if before.map(|(wait, _)| wait) == whom {
            return;
        }
        if let Some((wait, since)) = before {
            let took: Duration = now.duration_since(since).try_into().unwrap_or_default();
            self.manual_wait.get_or_create(&WaitLabels { r#for: wait }).observe(took.as_secs_f64());
            *known.waited.entry(plan.clone()).or_default() += took;
        }
        match whom {
            Some(wait) => known.waits.insert(plan.clone(), (wait, now)),
            None => known.waits.remove(plan),
        };
    }

    /// How long the run of a plan has waited for people in all, and from here on it has not: the run has ended.
    pub(super) fn waited_in_all(&self, plan: &PlanKey) -> Duration {
        self.known().waited.remove(plan).unwrap_or_default()
    }

    /// The dependents of a plan are down since `from`, and were back at `to`.
    pub fn down(&self, plan: &PlanKey, from: Timestamp, to: Option<Timestamp>) {
        self.known().down.insert(plan.clone(), (from, to));
    }

    /// The newest backup of a target, and the level it was proven to.
    pub fn backup(&self, target: &TargetKey, at: Timestamp, level: &'static str) {
        if let Some((_, old)) = self.known().backups.insert(target.clone(), (at, level)) {
            self.backup_age.remove(&backup_labels(target, old));
        }
    }

    /// A restore test of a target ended.
    pub fn restore_tested(&self, target: &TargetKey, passed: bool) {
        self.known().tested.insert(target.clone());
        self.restore_test.get_or_create(target).set(i64::from(passed));
    }

    /// Somebody else scaled a workload of this plan that should be quiet.
    pub fn replicas_contended(&self, plan: &PlanKey) {
        self.contention.get_or_create(plan).inc();
    }

    /// How many workloads a run of this plan left down. Pages when it is not 0.
    pub fn not_given_back(&self, plan: &PlanKey, workloads: usize) {
        let workloads = i64::try_from(workloads).unwrap_or(i64::MAX);
        self.not_given_back.get_or_create(plan).set(workloads);
    }

    /// A driver had to stop: a newer epoch refused an effect of it.
    pub fn fence_rejected(&self) {
        self.fence_rejections.inc();
    }

    /// Whether this process drives runs.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A look at an object of `kind` came to an end.
    pub fn reconciled(&self, kind: &'static str, outcome: Seen) {
        self.reconciles.get_or_create(&SeenLabels { kind, outcome }).inc();
    }

    /// A request to the API server came to an end.
    pub fn requested(&self, verb: &'static str, outcome: Request) {
        self.requests.get_or_create(&RequestLabels { verb, outcome }).inc();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder of this lock can panic")
    }
}

fn run_labels(plan: &PlanKey, phase: &'static str) -> RunLabels {
    RunLabels { namespace: plan.namespace.clone(), plan: plan.plan.clone(), phase }
}

fn backup_labels(target: &TargetKey, level: &'static str) -> BackupLabels {
    BackupLabels { namespace: target.namespace.clone(), target: target.target.clone(), level }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::StepEnd;

    fn plan() -> PlanKey {
        PlanKey { namespace: "aether".into(), plan: "platform".into() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Lines of the text that are samples of this metric.
    fn samples(metrics: &Metrics, now: &str, name: &str) -> Vec<String> {
        let name = format!("whimbrel_{name}");
        metrics.text(at(now)).lines().filter(|line| line.starts_with(&name)).map(str::to_owned).collect()
    }

    #[test]
    fn the_names_are_the_contract() {
        let metrics = Metrics::new();
        let target = TargetKey { namespace: "aether".into(), target: "tas".into() };
        let from = at("2026-11-20T02:00:00Z");
        metrics.phase_is(&plan(), "Migrating");
        let labels = StepLabels { engine: "postgresql", stage: "Data", outcome: StepEnd::Failed };
        metrics.step_took(&labels, Duration::ZERO);
        metrics.run_ended("Succeeded", Duration::ZERO);
        metrics.waits_for(&plan(), Some(Wait::Approval), from);
        metrics.waits_for(&plan(), None, from);
        metrics.down(&plan(), from, None);
        metrics.backup(&target, from, "Restored");
        metrics.restore_tested(&target, true);
        metrics.replicas_contended(&plan());
        metrics.not_given_back(&plan(), 0);
        metrics.fence_rejected();
        metrics.notified(true);
        metrics.leads(true);
        metrics.reconciled("MigrationPlan", Seen::Done);
        metrics.requested("get", Request::Done);
        let text = metrics.text(from);
        let mut names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split(['{', ' ']).next())
            .filter(|n| n.starts_with("whim"))
            .collect();
        names.dedup();
        names.retain(|name| !name.ends_with("_sum") && !name.ends_with("_count"));
        assert_eq!(
            names,
            [
                "whimbrel_run_info",
                "whimbrel_step_duration_seconds_bucket",
                "whimbrel_run_duration_seconds_bucket",
                "whimbrel_manual_wait_seconds_bucket",
                "whimbrel_quiesced_seconds",
                "whimbrel_backup_age_seconds",
                "whimbrel_restore_test_success",
                "whimbrel_replica_contention_total",
                "whimbrel_workloads_not_given_back",
                "whimbrel_fence_rejections_total",
                "whimbrel_notifications_total",
                "whimbrel_leader",
                "whimbrel_reconciles_total",
                "whimbrel_api_requests_total",
            ]
        );
    }

    #[test]
    fn a_plan_has_one_phase_at_a_time_and_none_when_it_is_gone() {
        let metrics = Metrics::new();
        metrics.phase_is(&plan(), "Migrating");
        metrics.phase_is(&plan(), "Held");
        metrics.down(&plan(), at("2026-11-20T02:00:00Z"), None);
        metrics.not_given_back(&plan(), 3);
        let now = "2026-11-20T02:01:00Z";
        let held = r#"whimbrel_run_info{namespace="aether",plan="platform",phase="Held"} 1"#;
        assert_eq!(samples(&metrics, now, "run_info"), [held]);
        metrics.forget_plans(|gone| gone.plan == "another");
        assert_eq!(samples(&metrics, now, "run_info"), [held]);
        metrics.forget_plans(|gone| *gone == plan());
        let mut left = samples(&metrics, now, "run_info");
        left.extend(samples(&metrics, now, "quiesced_seconds"));
        left.extend(samples(&metrics, now, "workloads_not_given_back"));
        assert_eq!(left, Vec::<String>::new());
    }

    #[test]
    fn downtime_grows_until_the_workloads_are_back() {
        let metrics = Metrics::new();
        metrics.down(&plan(), at("2026-11-20T02:00:00Z"), None);
        let line = |seconds| {
            vec![format!(r#"whimbrel_quiesced_seconds{{namespace="aether",plan="platform"}} {seconds}"#)]
        };
        assert_eq!(samples(&metrics, "2026-11-20T02:00:30Z", "quiesced_seconds"), line("30.0"));
        metrics.down(&plan(), at("2026-11-20T02:00:00Z"), Some(at("2026-11-20T02:01:30Z")));
        assert_eq!(samples(&metrics, "2026-11-20T09:00:00Z", "quiesced_seconds"), line("90.0"));
    }

    #[test]
    fn a_newer_backup_replaces_the_older_one_whatever_its_level() {
        let metrics = Metrics::new();
        let target = TargetKey { namespace: "aether".into(), target: "tas".into() };
        metrics.backup(&target, at("2026-11-19T02:00:00Z"), "Artifact");
        metrics.text(at("2026-11-20T02:00:00Z"));
        metrics.backup(&target, at("2026-11-20T02:00:00Z"), "Restored");
        let line = r#"whimbrel_backup_age_seconds{namespace="aether",target="tas",level="Restored"} 60.0"#;
        assert_eq!(samples(&metrics, "2026-11-20T02:01:00Z", "backup_age_seconds"), [line]);
        metrics.restore_tested(&target, false);
        metrics.forget_targets(|gone| *gone == target);
        assert_eq!(samples(&metrics, "2026-11-20T02:01:00Z", "backup_age_seconds"), Vec::<String>::new());
    }

    #[test]
    fn waiting_is_not_counted_as_failing() {
        let metrics = Metrics::new();
        metrics.reconciled("MigrationPlan", Seen::Waiting);
        metrics.requested("patch", Request::Conflict);
        let now = "2026-11-20T02:00:00Z";
        let line = r#"whimbrel_reconciles_total{kind="MigrationPlan",outcome="Waiting"} 1"#;
        assert_eq!(samples(&metrics, now, "reconciles"), [line]);
        let line = r#"whimbrel_api_requests_total{verb="patch",outcome="Conflict"} 1"#;
        assert_eq!(samples(&metrics, now, "api_requests"), [line]);
    }

    #[test]
    fn a_step_is_counted_under_its_engine_stage_and_outcome() {
        let metrics = Metrics::new();
        let labels = StepLabels { engine: "postgresql", stage: "Data", outcome: StepEnd::Done };
        metrics.step_took(&labels, Duration::from_millis(1500));
        let sum =
            r#"whimbrel_step_duration_seconds_sum{engine="postgresql",stage="Data",outcome="Done"} 1.5"#;
        let now = "2026-11-20T02:00:00Z";
        assert!(samples(&metrics, now, "step_duration_seconds").contains(&sum.to_owned()));
    }
}
