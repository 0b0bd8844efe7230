//! A namespace that is terminating takes a run's Secrets at once and refuses whatever is created: there is no way on and
//! none back. What is left to do is to let go, so that neither the namespace nor the next run waits for us for ever.

use super::looking::known_key;
use super::operator::{FINALIZER, Operator};
use super::sweep::SweepError;
use super::targets::OpenTarget;
use crate::api::plan::Failure;
use crate::api::run::MigrationRunStatus;
use crate::api::{DatabaseTarget, MigrationPlan, MigrationRun, Outcome, Time};
use crate::cluster::{Holder, lease, list_all, record};
use crate::engine::{Claim, Engine, Fence, Session};
use crate::words::is_live;
use crate::workload::{self as hands, WorkloadKey};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::core::Status;
use serde_json::json;
use std::time::Duration;

/// How long one target may take to forget us. Its credentials went with the namespace, so most can't be asked at all.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// Whether a namespace is terminating: asked by an event that is not made, which the operator may create anyway; to read
/// namespaces would be a right more. Whatever else is answered counts as no: then the ordinary way is walked.
pub(super) async fn is_terminating(operator: &Operator, namespace: &str) -> bool {
    let here = ObjectReference {
        kind: Some("Namespace".into()),
        name: Some(namespace.into()),
        namespace: Some(namespace.into()),
        ..ObjectReference::default()
    };
    let event = Event {
        metadata: ObjectMeta {
            name: Some("whimbrel-asks".into()),
            namespace: Some(namespace.into()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(Timestamp::now())),
        action: Some("Asks".into()),
        reason: Some("Asks".into()),
        type_: Some("Normal".into()),
        regarding: Some(here),
        reporting_controller: Some("whimbrel.dev/operator".into()),
        reporting_instance: Some("whimbrel".into()),
        ..Event::default()
    };
    let trial = PostParams { dry_run: true, ..PostParams::default() };
    match operator.own().api::<Event>(namespace).create(&trial, &event).await {
        Err(kube::Error::Api(status)) => says_terminating(&status),
        _ => false,
    }
}

/// The API server's own word for it, beside the sentence for people.
fn says_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Lets go of everything that the runs of a plan hold. Nothing is created.
pub(super) async fn let_go(
    operator: &Operator,
    plan: &MigrationPlan,
    runs: &[MigrationRun],
) -> Result<(), SweepError> {
    let namespace = plan.metadata.namespace.as_deref().unwrap_or_default();
    let targets: Vec<DatabaseTarget> = list_all(operator.own(), namespace, "").await?;
    for run in runs.iter().filter(|run| is_live(run)) {
        for target in &targets {
            give_up_target(operator, target, run).await;
        }
        give_up_workloads(operator, plan, run).await;
        write_outcome(operator, run).await;
    }
    let name = |metadata: &ObjectMeta| metadata.name.clone().unwrap_or_default();
    for target in &targets {
        let name = name(&target.metadata);
        record::remove_finalizer::<DatabaseTarget>(operator.own(), namespace, &name, FINALIZER).await?;
    }
    for run in runs {
        let name = name(&run.metadata);
        record::remove_finalizer::<MigrationRun>(operator.own(), namespace, &name, FINALIZER).await?;
    }
    let name = name(&plan.metadata);
    record::remove_finalizer::<MigrationPlan>(operator.own(), namespace, &name, FINALIZER).await?;
    Ok(())
}

/// The claim in the fence row, where the database still can be asked, and the Lease.
async fn give_up_target(operator: &Operator, target: &DatabaseTarget, run: &MigrationRun) {
    let Ok(open) = OpenTarget::of(operator, target.clone()).await else { return };
    let Some(key) = known_key(&open) else { return };
    let Ok(found) = lease::look(operator.own(), &operator.namespace, &key).await else { return };
    let holder = found.holder.and_then(|text| text.parse::<Holder>().ok());
    let Some(holder) = holder.filter(|holder| is_of(holder, run)) else { return };
    let asked = tokio::time::timeout(ASK_WITHIN, give_up_fence(operator, &open, run, &holder)).await;
    if !matches!(asked, Ok(Ok(()))) {
        tracing::warn!(lease = key.name, "the target can't be asked any more: its fence row keeps the claim");
    }
    if let Err(error) = lease::release(operator.own(), &operator.namespace, &key, &holder).await {
        tracing::warn!(lease = key.name, %error, "the Lease was not released");
    }
}

async fn give_up_fence(
    operator: &Operator,
    open: &OpenTarget,
    run: &MigrationRun,
    holder: &Holder,
) -> Result<(), crate::engine::EngineError> {
    let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
    let fence = Fence {
        target: format!("{namespace}/{}", open.object.metadata.name.as_deref().unwrap_or_default()),
        run_uid: run.metadata.uid.clone().unwrap_or_default(),
        run: holder.run,
        plan: format!("{namespace}/{}", run.spec.plan.name),
        cluster: operator.cluster.clone(),
        token: holder.epoch,
    };
    open.engine.enter(&fence).await?.leave(Claim::GiveUp).await
}

fn is_of(holder: &Holder, run: &MigrationRun) -> bool {
    holder.plan_uid == run.spec.plan.uid && holder.run == run.spec.number.unsigned_abs()
}

/// Workloads of other namespaces live on: they lose our marks, and keep the note of how they were if they are not so.
async fn give_up_workloads(operator: &Operator, plan: &MigrationPlan, run: &MigrationRun) {
    let status = run.status.clone().unwrap_or_default();
    let holder = Holder {
        plan_uid: run.spec.plan.uid.clone(),
        run: run.spec.number.unsigned_abs(),
        epoch: status.epoch.unsigned_abs(),
    };
    let acting = operator.for_plan(plan);
    let elsewhere =
        status.originals.iter().filter(|it| Some(&it.namespace) != run.metadata.namespace.as_ref());
    for original in elsewhere {
        let key = WorkloadKey {
            kind: original.kind,
            namespace: original.namespace.clone(),
            name: original.name.clone(),
        };
        match hands::forget(&acting, &key, &holder).await {
            Ok(()) => {
                tracing::error!(workload = %key, "left as it is: the namespace of its run is terminating")
            }
            Err(error) => {
                tracing::error!(workload = %key, %error, "left claimed: the namespace of its run is terminating")
            }
        }
    }
}

/// The record's last word, for whoever still reads it.
async fn write_outcome(operator: &Operator, run: &MigrationRun) {
    let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
    let name = run.metadata.name.as_deref().unwrap_or_default();
    let version = run.metadata.resource_version.clone().unwrap_or_default();
    let said = last_word(run.status.as_ref(), Timestamp::now());
    let written =
        record::write_status::<MigrationRun>(operator.own(), namespace, name, &version, &said).await;
    if let Err(error) = written {
        tracing::warn!(run = name, %error, "the outcome was not written");
    }
}

fn last_word(status: Option<&MigrationRunStatus>, now: Timestamp) -> serde_json::Value {
    let failure = Failure {
        class: "Held".into(),
        code: "NamespaceTerminating".into(),
        message:
            "the namespace was deleted under the run: its Secrets are gone, it can go neither on nor back"
                .into(),
        next_action: "look at the targets and at the workloads of other namespaces by hand".into(),
        ..Failure::default()
    };
    let failure = status.and_then(|status| status.failure.clone()).unwrap_or(failure);
    json!({ "outcome": Outcome::Held, "finishedAt": Time(now), "failure": failure })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::{FakeApiServer, status};
    use crate::controller::telling::tests::operator;
    use serde_json::Value;

    #[tokio::test]
    async fn a_terminating_namespace_says_so_to_what_is_not_made() {
        let fake = FakeApiServer::new();
        let mut no = status(403, "Forbidden", "because it is being terminated");
        no["details"] =
            json!({"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]});
        fake.answer_next(403, no);
        fake.answer_next(403, status(403, "Forbidden", "no right"));
        fake.answer_next(201, json!({"metadata": {"name": "whimbrel-asks"}}));
        let operator = operator(&fake);
        assert!(is_terminating(&operator, "aether").await);
        assert!(!is_terminating(&operator, "aether").await, "a missing right is no answer");
        assert!(!is_terminating(&operator, "aether").await);
        assert!(fake.requests().iter().all(|line| line.contains("dryRun=All")), "{:?}", fake.requests());
    }

    #[tokio::test]
    async fn every_finalizer_of_ours_goes() {
        let meta = |name: &str| json!({"name": name, "namespace": "aether", "uid": "u", "resourceVersion": "5", "finalizers": [FINALIZER]});
        let target =
            json!({"metadata": meta("tas"), "spec": {"postgresql": {"host": "db", "database": "tas"}}});
        let run = json!({"metadata": meta("shop-1"), "status": {"outcome": "Aborted"},
            "spec": {"plan": {"name": "shop", "uid": "p", "generation": 1}, "number": 1, "intentHash": "i"}});
        let step = json!({"name": "s", "approve": {"message": "go?"}});
        let plan = json!({"metadata": meta("shop"), "spec": {"stages": [{"name": "Data", "steps": [step]}]}});
        let fake = FakeApiServer::new();
        fake.answer_next(200, json!({"metadata": {}, "items": [target]}));
        for object in [&target, &run, &plan] {
            fake.answer_next(200, object.clone());
            fake.answer_next(200, object.clone());
        }
        let operator = operator(&fake);
        let runs = [serde_json::from_value(run.clone()).unwrap()];
        let_go(&operator, &serde_json::from_value(plan.clone()).unwrap(), &runs).await.unwrap();
        let sent: Vec<Value> = fake.bodies().into_iter().filter(|it| !it.is_null()).collect();
        assert_eq!(sent, vec![json!({"metadata": {"resourceVersion": "5", "finalizers": []}}); 3]);
        let made = fake.requests().into_iter().filter(|line| line.starts_with("POST")).count();
        assert_eq!(made, 0, "nothing is created");
    }

    #[test]
    fn the_last_word_says_what_happened_and_keeps_an_earlier_failure() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(last_word(None, now)["failure"]["code"], "NamespaceTerminating");
        let failed = Failure { code: "42P07".into(), ..Failure::default() };
        let status = MigrationRunStatus { failure: Some(failed), ..MigrationRunStatus::default() };
        let said = last_word(Some(&status), now);
        assert_eq!((&said["failure"]["code"], &said["outcome"]), (&json!("42P07"), &json!("Held")));
    }

    #[test]
    fn only_what_this_run_holds_is_given_up() {
        let run: MigrationRun = serde_json::from_value(json!({
            "metadata": {"name": "shop-3"},
            "spec": {"plan": {"name": "shop", "uid": "p", "generation": 1}, "number": 3, "intentHash": "i"}
        }))
        .unwrap();
        let of = |holder: &str| is_of(&holder.parse().unwrap(), &run);
        assert!(of("p/3/9"));
        assert!(!of("p/4/9") && !of("q/3/9"));
    }
}
