//! Telling people: the plan's status as a projection of the run, and an event per transition.

use super::by_hand::Scripts;
use super::looking::said_holder;
use super::notifying;
use super::operator::Operator;
use crate::api::plan::{BlockerKind, WorkloadState, WorkloadStatus};
use crate::api::run::MigrationRunStatus;
use crate::api::{MigrationPlan, MigrationRun, Outcome, Phase};
use crate::cluster::events::{Published, Severity, Transition};
use crate::cluster::{FIELD_MANAGER, ReadError, get_if_there, list_all};
use crate::program::Program;
use crate::run::{Report, Waiting};
use crate::serve::PlanKey;
use crate::words::{self, PlanFacts, Related, RunFacts, Told};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Progress alone is written this often at most: a counter would write the status every second.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Tells of one run.
pub(super) struct Teller {
    operator: Operator,
    plan: PlanFacts,
    run: RunFacts,
    told: Mutex<Told>,
    written: Mutex<Option<Instant>>,
    /// The plan with the status that was read or written last.
    known: Mutex<Option<MigrationPlan>>,
    /// The plan as its controller saw it last.
    seen: watch::Receiver<MigrationPlan>,
    program: Mutex<Option<Arc<Program>>>,
    /// What a person runs where it is Held.
    scripts: Scripts,
}

impl Teller {
    /// Tells of a run of a plan.
    pub(super) fn new(
        operator: Operator,
        plan: PlanFacts,
        run: RunFacts,
        scripts: Scripts,
        seen: watch::Receiver<MigrationPlan>,
    ) -> Self {
        Self {
            operator,
            plan,
            run,
            told: Mutex::default(),
            written: Mutex::default(),
            known: Mutex::default(),
            seen,
            program: Mutex::default(),
            scripts,
        }
    }

    /// Tells of the end of a run, of which everything before was told.
    pub(super) fn at_the_end(
        operator: &Operator,
        plan: &MigrationPlan,
        run: &MigrationRun,
        report: &Report,
    ) -> Self {
        let mut before = report.clone();
        before.record.outcome = None;
        let (_, seen) = watch::channel(plan.clone());
        let facts = (PlanFacts::of(plan), RunFacts::of(run));
        let scripts = Scripts::new(operator, run, BTreeMap::new());
        let teller = Self::new(operator.clone(), facts.0, facts.1, scripts, seen);
        *lock(&teller.told) = Told::of(&before);
        teller
    }

    /// The record with all that people read in it.
    pub(super) fn dressed(&self, status: &MigrationRunStatus) -> MigrationRunStatus {
        let program = lock(&self.program).clone();
        let report = Report {
            record: self.scripts.with(status.clone()),
            program,
            doing: Default::default(),
            waiting: None,
            over_budget: false,
        };
        words::run_status(&self.plan, &self.run, &report, Timestamp::now())
    }

    /// Writes the plan's status when it says something new, and publishes what has happened since the last time.
    pub(super) async fn tell(&self, report: &Report) {
        lock(&self.program).clone_from(&report.program);
        if self.is_progress_alone(report) {
            return;
        }
        let plan = match self.plan_now().await {
            Ok(Some(plan)) => plan,
            // Gone: there is nobody to tell; the run goes on.
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the plan can't be read, its status is written later");
                return;
            }
        };
        let mut facts = PlanFacts::of(&plan);
        let held = report.record.outcome == Some(Outcome::Held);
        if report.record.outcome.is_some() && !held {
            // What ended is that generation. A newer one has not been looked at yet, and nobody who waits for it may
            // take this for its end.
            facts.generation = self.run.plan_generation;
        }
        let mut report = report.clone();
        report.record = self.scripts.with(report.record);
        let report = &self.named(&plan, &mut facts, report).await;
        if report.record.outcome.is_some() {
            // Whoever finds a status that says how the run has ended takes all of it for told.
            self.publish(&plan, &facts, report).await;
            self.write(&plan, &facts, report).await;
        } else {
            // The next driver publishes anew what this one could not; an event that is there is known by its name.
            self.write(&plan, &facts, report).await;
            self.publish(&plan, &facts, report).await;
        }
    }

    /// The plan as it is. Its status is written by this teller alone while a run is live, and what people wrote comes with
    /// the controller's watch; so it is read once, and again when a write failed or another plan has the name.
    async fn plan_now(&self) -> Result<Option<MigrationPlan>, ReadError> {
        let seen = self.seen.borrow().clone();
        let known = lock(&self.known).clone().filter(|known| known.metadata.uid == seen.metadata.uid);
        match known {
            Some(known) => Ok(Some(MigrationPlan { status: known.status, ..seen })),
            None => get_if_there(self.operator.own(), &self.plan.namespace, &self.plan.name).await,
        }
    }

    /// For a queued run: the holder as people know it, and its place among the plans that wait for the same.
    async fn named(&self, plan: &MigrationPlan, facts: &mut PlanFacts, report: Report) -> Report {
        let Some(Waiting::Queued(holder)) = &report.waiting else { return report };
        let Ok(runs) = self.operator.all_runs().await else { return report };
        let holder = said_holder(holder, &runs);
        let since = report.record.ops.get("claim").and_then(|op| op.started_at.clone());
        let plans: Vec<MigrationPlan> =
            list_all(self.operator.own(), &facts.namespace, "").await.unwrap_or_default();
        let others = plans.iter().filter(|other| other.metadata.uid != plan.metadata.uid);
        let waits = others.filter_map(|other| queued_behind(other, &holder)).collect::<Vec<_>>();
        let earlier = waits.iter().filter(|at| since.as_ref().is_some_and(|mine| **at < mine.0)).count();
        facts.queue = Some((earlier + 1, waits.len() + 1));
        Report { waiting: Some(Waiting::Queued(holder)), ..report }
    }

    /// Whether a report says nothing but progress so soon after the last write that it would not be written. An Apply
    /// reports every script: a thousand of them must not wait for a thousand reads of the plan.
    fn is_progress_alone(&self, report: &Report) -> bool {
        if report.record.outcome.is_some() || !self.wrote_recently() {
            return false;
        }
        let known = lock(&self.known);
        let Some(plan) = known.as_ref() else { return false };
        let facts = PlanFacts::of(plan);
        let old = plan.status.clone().unwrap_or_default();
        let new = words::plan_status(&old, &facts, &self.run, report, Timestamp::now());
        !words::differs(&old, &new)
            && words::transitions(&lock(&self.told), &facts, &self.run, report).is_empty()
    }

    fn wrote_recently(&self) -> bool {
        lock(&self.written).is_some_and(|at| at.elapsed() < PROGRESS_EVERY)
    }

    async fn write(&self, plan: &MigrationPlan, facts: &PlanFacts, report: &Report) {
        let old = plan.status.clone().unwrap_or_default();
        let new = words::plan_status(&old, facts, &self.run, report, Timestamp::now());
        if old == new || (self.wrote_recently() && !words::differs(&old, &new)) {
            *lock(&self.known) = Some(plan.clone());
            return;
        }
        let written = write_status(&self.operator, plan, &old, &new).await;
        *lock(&self.written) = Some(Instant::now());
        *lock(&self.known) = written.then(|| MigrationPlan { status: Some(new.clone()), ..plan.clone() });
        self.operator.metrics.phase_is(&key(facts), new.phase.as_str());
    }

    async fn publish(&self, plan: &MigrationPlan, facts: &PlanFacts, report: &Report) {
        let happened = {
            let mut told = lock(&self.told);
            let happened = words::transitions(&told, facts, &self.run, report);
            self.count(&told, facts, report);
            *told = Told::of(report);
            happened
        };
        let regarding = reference(plan);
        for transition in happened {
            let related = transition.related.as_ref().map(|related| self.related(related));
            let severity = if transition.warning { Severity::Warning } else { Severity::Normal };
            let published = self
                .operator
                .recorder
                .publish(&Transition {
                    regarding: &regarding,
                    related: related.as_ref(),
                    severity,
                    reason: transition.reason.as_str(),
                    note: &transition.note,
                    once: &transition.once,
                })
                .await;
            self.notify(plan, facts, report, &transition, published).await;
        }
    }

    /// Tells the webhooks of a transition whose event is new.
    async fn notify(
        &self,
        plan: &MigrationPlan,
        facts: &PlanFacts,
        report: &Report,
        transition: &words::Transition,
        published: Published,
    ) {
        let (wanted, now) = (notifying::wanted(plan, transition.reason), Timestamp::now());
        if wanted.is_empty() || words::is_old(transition, report, now) {
            return;
        }
        match published {
            Published::Known => {}
            Published::New => {
                let body = words::notice(transition, facts, &self.run, report, now);
                notifying::send(&self.operator, plan, wanted, transition, &body);
            }
            Published::Unknown => {
                let why = "its event was not written, so that nobody knows whether it was told before";
                for notification in wanted {
                    self.operator.metrics.notified(false);
                    notifying::failed(&self.operator, plan, &notification, transition, why).await;
                }
            }
        }
    }

    /// Counts what has happened since it was told last. What a driver before this one saw, that one has counted.
    fn count(&self, told: &Told, facts: &PlanFacts, report: &Report) {
        let taken_up = *told == Told::default() && report.record.epoch > 1;
        let seen = if taken_up { Told::of(report) } else { told.clone() };
        let measures = words::measures(&seen, facts, &self.run, report);
        let engine = |target: &str| self.scripts.engine(target);
        self.operator.metrics.count_run(&key(facts), &measures, engine, Timestamp::now());
    }

    fn related(&self, related: &Related) -> ObjectReference {
        let (api_version, kind, namespace, name) = match related {
            Related::Workload(of) if of.is_cron() => ("batch/v1", of.kind.as_str(), &of.namespace, &of.name),
            Related::Workload(of) => ("apps/v1", of.kind.as_str(), &of.namespace, &of.name),
            Related::Target(name) => ("whimbrel.dev/v1alpha1", "DatabaseTarget", &self.plan.namespace, name),
        };
        ObjectReference {
            api_version: Some(api_version.into()),
            kind: Some(kind.into()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            ..ObjectReference::default()
        }
    }
}

/// Since when a plan waits for this holder, by its status.
fn queued_behind(plan: &MigrationPlan, holder: &str) -> Option<Timestamp> {
    let status = plan.status.as_ref().filter(|status| status.phase == Phase::Queued)?;
    let by = status.blocked_by.iter().find(|by| by.kind == BlockerKind::Run)?;
    // The same run, on whatever of the things that it holds.
    let run = |text: &str| text.split(" on ").next().unwrap_or_default().to_owned();
    (run(&by.name) == run(holder)).then(|| status.run.as_ref()?.queued_since.as_ref().map(|at| at.0))?
}

/// The plan, as events regard it.
pub(super) fn reference(plan: &MigrationPlan) -> ObjectReference {
    ObjectReference {
        api_version: Some("whimbrel.dev/v1alpha1".into()),
        kind: Some("MigrationPlan".into()),
        namespace: plan.metadata.namespace.clone(),
        name: plan.metadata.name.clone(),
        uid: plan.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Writes a plan's status: a projection, so what is lost now is written the next time. False when it was not written.
pub(super) async fn write_status(
    operator: &Operator,
    plan: &MigrationPlan,
    old: &crate::api::MigrationPlanStatus,
    new: &crate::api::MigrationPlanStatus,
) -> bool {
    let namespace = plan.metadata.namespace.as_deref().unwrap_or_default();
    let name = plan.metadata.name.as_deref().unwrap_or_default();
    let patch = super::merge::merge_patch(&json!(old), &json!(new));
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let api = operator.own().api::<MigrationPlan>(namespace);
    let patch = json!({ "status": patch });
    let written = api.patch_status(name, &parameters, &Patch::Merge(&patch)).await;
    if let Err(error) = &written {
        tracing::warn!(plan = name, %error, "the plan's status was not written");
    }
    written.is_ok()
}

/// The numbers that an alert rings for, from what the plan itself says: they must be there after a restart too, when
/// no driver tells of a run that has ended.
pub(super) fn count(operator: &Operator, plan: &MigrationPlan) {
    let Some(status) = &plan.status else { return };
    let key = key(&PlanFacts::of(plan));
    operator.metrics.phase_is(&key, status.phase.as_str());
    if matches!(status.phase, Phase::Succeeded | Phase::RolledBack | Phase::Aborted | Phase::Held) {
        let down =
            |of: &&WorkloadStatus| matches!(of.state, WorkloadState::Quiesced | WorkloadState::KeptDown);
        operator.metrics.not_given_back(&key, status.workloads.iter().filter(down).count());
    }
}

/// The plan, as numbers name it.
fn key(plan: &PlanFacts) -> PlanKey {
    PlanKey { namespace: plan.namespace.clone(), plan: plan.name.clone() }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cluster::events::Recorder;
    use crate::cluster::fake::FakeApiServer;
    use crate::run::Doing;
    use crate::serve::Metrics;

    pub(in crate::controller) fn operator(fake: &FakeApiServer) -> Operator {
        let server = fake.api_server();
        Operator {
            namespace: "whimbrel".into(),
            default_account: None,
            namespaces: Vec::new(),
            image: "whimbrel:1".into(),
            hmac_key_file: "/key".into(),
            names_are_proven: true,
            cluster: "c1".into(),
            recorder: Recorder::new(server.own().clone(), "test"),
            metrics: Arc::new(Metrics::new()),
            told_verbs: Arc::default(),
            notifier: Arc::default(),
            server,
        }
    }

    fn teller(fake: &FakeApiServer) -> Teller {
        let plan = PlanFacts {
            namespace: "aether".into(),
            name: "shop".into(),
            generation: 1,
            ..PlanFacts::default()
        };
        let run = RunFacts { number: 1, plan_generation: 1, ..RunFacts::default() };
        let (_, seen) = watch::channel(serde_json::from_value(plan_object()).unwrap());
        let operator = operator(fake);
        let object = json!({"metadata": {"name": "shop-1", "namespace": "aether"}, "spec": {
            "plan": {"name": "shop", "uid": "u", "generation": 1}, "number": 1, "intentHash": "i"}});
        let tas = json!({"tas": {"postgresql": {"host": "db", "database": "tas"}}});
        let targets = serde_json::from_value(tas).unwrap();
        let scripts = Scripts::new(&operator, &serde_json::from_value(object).unwrap(), targets);
        Teller::new(operator, plan, run, scripts, seen)
    }

    fn plan_object() -> serde_json::Value {
        json!({"metadata": {"name": "shop", "namespace": "aether", "generation": 1}, "spec": {"stages": []}})
    }

    #[test]
    fn plans_queue_behind_a_run_whatever_it_holds() {
        let plan = |phase: &str, name: &str| -> MigrationPlan {
            serde_json::from_value(json!({
                "metadata": {"name": "other"},
                "spec": {"stages": [{"name": "Data", "steps": [{"name": "s", "approve": {"message": "go?"}}]}]},
                "status": {
                    "phase": phase,
                    "run": {"number": 1, "name": "other-1", "generation": 1, "queuedSince": "2026-11-20T02:00:00Z"},
                    "blockedBy": [{"kind": "Run", "name": name}]
                }
            }))
            .unwrap()
        };
        let behind = |plan: MigrationPlan| queued_behind(&plan, "run shop-3 of aether/shop").is_some();
        assert!(behind(plan("Queued", "run shop-3 of aether/shop on Deployment aether/web")));
        assert!(!behind(plan("Queued", "run shop-4 of aether/shop")));
        assert!(!behind(plan("Migrating", "run shop-3 of aether/shop")));
    }

    fn at_script(file: &str) -> Report {
        let mut doing = Doing::since(Timestamp::UNIX_EPOCH);
        doing.detail = Some(file.to_owned());
        let doing = BTreeMap::from([("apply/entities".to_owned(), doing)]);
        Report {
            record: MigrationRunStatus::default(),
            program: None,
            doing,
            waiting: None,
            over_budget: false,
        }
    }

    /// Only whose event is new is sent: after a crash the event is there, and the webhook was told or never will be.
    #[tokio::test]
    async fn a_webhook_is_told_of_what_is_new_and_a_failure_is_an_event() {
        let fake = FakeApiServer::new();
        let teller = teller(&fake);
        let plan: MigrationPlan = serde_json::from_value(json!({
            "metadata": {"name": "shop", "namespace": "aether", "generation": 1},
            "spec": {"stages": [], "notifications": [
                {"name": "chat", "url": {"secretKeyRef": {"name": "s", "key": "url"}}, "on": ["RunStarted"]}
            ]}
        }))
        .unwrap();
        let facts = PlanFacts::of(&plan);
        let report = at_script("V1__a.sql");
        let told = words::transitions(&Told::default(), &facts, &teller.run, &report);
        let counted = |text: &str| teller.operator.metrics.text(Timestamp::now()).contains(text);
        teller.notify(&plan, &facts, &report, &told[0], Published::Known).await;
        tokio::task::yield_now().await;
        assert_eq!(fake.requests(), [""; 0], "it was told before");
        teller.notify(&plan, &facts, &report, &told[0], Published::New).await;
        while !counted("notifications_total{outcome=\"Failed\"} 1") || fake.requests().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(fake.requests()[0], "GET /api/v1/namespaces/aether/secrets/s");
        let note = fake.bodies()[1]["note"].as_str().unwrap().to_owned();
        assert!(
            note.starts_with("notification chat of RunStarted was not delivered: its URL can't be read"),
            "{note}"
        );
        teller.notify(&plan, &facts, &report, &told[0], Published::Unknown).await;
        assert!(counted("notifications_total{outcome=\"Failed\"} 2"));
    }

    #[tokio::test]
    async fn what_a_run_tells_is_counted_once() {
        let fake = FakeApiServer::new();
        let teller = teller(&fake);
        fake.answer_always(200, plan_object());
        let at = |text: &str| Some(crate::api::Time(text.parse().unwrap()));
        let ended = MigrationRunStatus {
            outcome: Some(Outcome::Succeeded),
            started_at: at("2026-11-20T02:00:00Z"),
            down_from: at("2026-11-20T02:00:10Z"),
            down_to: at("2026-11-20T02:00:40Z"),
            finished_at: at("2026-11-20T02:01:00Z"),
            ..MigrationRunStatus::default()
        };
        let ended = Report {
            record: ended,
            program: None,
            doing: BTreeMap::new(),
            waiting: None,
            over_budget: false,
        };
        teller.tell(&ended).await;
        teller.tell(&ended).await;
        let text = teller.operator.metrics.text(Timestamp::UNIX_EPOCH);
        for line in [
            r#"whimbrel_run_duration_seconds_sum{outcome="Succeeded"} 60.0"#,
            r#"whimbrel_run_info{namespace="aether",plan="shop",phase="Succeeded"} 1"#,
            r#"whimbrel_quiesced_seconds{namespace="aether",plan="shop"} 30.0"#,
            r#"whimbrel_workloads_not_given_back{namespace="aether",plan="shop"} 0"#,
        ] {
            assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
        }
    }

    #[tokio::test]
    async fn a_thousand_scripts_are_not_a_thousand_reads_of_the_plan() {
        let fake = FakeApiServer::new();
        let teller = teller(&fake);
        fake.answer_always(200, plan_object());
        teller.tell(&at_script("V1__a.sql")).await;
        let first = fake.requests().len();
        assert!(first >= 2, "one read and one write at least: {:?}", fake.requests());
        for n in 2..1000 {
            teller.tell(&at_script(&format!("V{n}__a.sql"))).await;
        }
        assert_eq!(fake.requests().len(), first, "progress alone");
        teller.tell(&Report { waiting: Some(Waiting::Paused), ..at_script("V1000__a.sql") }).await;
        let told = fake.requests().split_off(first);
        assert!(!told.is_empty(), "what people wait for is told at once");
        assert!(told.iter().all(|request| !request.starts_with("GET")), "the plan is known: {told:?}");
    }
}
