//! How a run has ended, told by the controller: its driver may have died between writing that down and telling it, and no
//! other driver takes up a run that has ended.

use super::frozen::thaw;
use super::operator::{FINALIZER, Operator};
use super::telling::Teller;
use crate::api::{MigrationPlan, MigrationRun, Outcome};
use crate::cluster::ReadError;
use crate::program::Program;
use crate::run::Report;
use crate::run::seam::Thawed;
use crate::words;
use kube::ResourceExt as _;
use std::sync::Arc;

/// Makes sure that a plan tells how its newest run has ended. False: it does already.
///
/// # Errors
/// No answer: what the run was frozen with, or that it can't be had, is not known.
pub(super) async fn tell(
    operator: &Operator,
    plan: &MigrationPlan,
    run: &MigrationRun,
) -> Result<bool, ReadError> {
    let Some(record) = run.status.clone() else { return Ok(false) };
    if record.outcome.is_none_or(|outcome| is_told(plan, run, outcome)) {
        return Ok(false);
    }
    let program = program(operator, plan, run).await?;
    let report = Report { record, program, doing: Default::default(), waiting: None, over_budget: false };
    Teller::at_the_end(operator, plan, run, &report).tell(&report).await;
    Ok(true)
}

fn is_told(plan: &MigrationPlan, run: &MigrationRun, outcome: Outcome) -> bool {
    // That a person has ended a run that was Held changes no phase; it is told before the finalizer goes.
    if outcome == Outcome::Held && !words::is_live(run) && run.finalizers().iter().any(|it| it == FINALIZER) {
        return false;
    }
    plan.status.as_ref().is_some_and(|status| {
        status.run.as_ref().is_some_and(|shown| shown.number == run.spec.number)
            && Some(status.observed_generation) == plan.metadata.generation
            && status.phase == words::phase_of(outcome)
    })
}

/// What the run was frozen with; without it less is told.
async fn program(
    operator: &Operator,
    plan: &MigrationPlan,
    run: &MigrationRun,
) -> Result<Option<Arc<Program>>, ReadError> {
    let Some(frozen) = run.spec.program.clone() else { return Ok(None) };
    let namespace = plan.metadata.namespace.as_deref().unwrap_or_default();
    match thaw(&operator.for_plan(plan), namespace, frozen).await {
        Ok(Thawed::Program(program)) => Ok(Some(Arc::new(*program))),
        Ok(_) | Err(ReadError::Forbidden(_) | ReadError::NotFound { .. }) => Ok(None),
        Err(error @ ReadError::Unavailable(_)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::FakeApiServer;
    use crate::controller::telling::tests::operator;
    use serde_json::{Value, json};

    fn plan(phase: &str) -> MigrationPlan {
        serde_json::from_value(json!({
            "metadata": {"name": "shop", "namespace": "aether", "uid": "p", "generation": 1},
            "spec": {"stages": []},
            "status": {"phase": phase, "observedGeneration": 1, "run": {"number": 1, "name": "shop-1", "generation": 1}}
        }))
        .unwrap()
    }

    fn run(outcome: &str) -> MigrationRun {
        run_with(outcome, json!({}), &[])
    }

    fn run_with(outcome: &str, ops: Value, finalizers: &[&str]) -> MigrationRun {
        let direction = if outcome == "RolledBack" { "Back" } else { "Forward" };
        serde_json::from_value(json!({
            "metadata": {"name": "shop-1", "namespace": "aether", "uid": "r1", "finalizers": finalizers},
            "spec": {"plan": {"name": "shop", "uid": "p", "generation": 1}, "number": 1, "intentHash": "i"},
            "status": {"outcome": outcome, "direction": direction, "ops": ops, "finishedAt": "2026-11-20T02:01:00Z", "epoch": 1}
        }))
        .unwrap()
    }

    /// What is asked when the plan shows `phase` of a run that has ended so.
    async fn asked(phase: &str, outcome: &str) -> (Vec<String>, Vec<Value>) {
        asked_of(phase, &run(outcome)).await
    }

    async fn asked_of(phase: &str, run: &MigrationRun) -> (Vec<String>, Vec<Value>) {
        let fake = FakeApiServer::new();
        fake.answer_always(200, json!(plan(phase)));
        let told = tell(&operator(&fake), &plan(phase), run).await.unwrap();
        assert_eq!(told, !fake.requests().is_empty());
        let lines = fake.requests().iter().map(|line| line.split('?').next().unwrap().to_owned()).collect();
        (lines, fake.bodies())
    }

    #[tokio::test]
    async fn the_end_that_a_driver_could_not_tell_is_told() {
        let back = &["RollbackComplete", "RunFailed"][..];
        for (phase, outcome, events) in [
            ("Verifying", "Succeeded", &["RunSucceeded"][..]),
            ("RollingBack", "RolledBack", back),
            ("Held", "RolledBack", back),
        ] {
            let (lines, bodies) = asked(phase, outcome).await;
            let plan = "/apis/whimbrel.dev/v1alpha1/namespaces/aether/migrationplans/shop";
            assert_eq!(lines[0], format!("GET {plan}"));
            assert_eq!(
                *lines.last().unwrap(),
                format!("PATCH {plan}/status"),
                "no operator looks for more once this is there"
            );
            let status = &bodies.last().unwrap()["status"];
            assert_eq!(status["phase"], outcome);
            let conditions = status["conditions"].as_array().unwrap();
            let finished = conditions.iter().find(|it| it["type"] == "Finished").unwrap();
            assert_eq!(finished["status"], "True");
            let told: Vec<_> =
                bodies[1..bodies.len() - 1].iter().map(|event| event["reason"].as_str().unwrap()).collect();
            assert_eq!(told, events, "those of the end, and of nothing before it");
        }
    }

    #[tokio::test]
    async fn that_a_held_run_was_ended_is_told_before_its_finalizer_goes() {
        let release = |state: &str| json!({"resolve/release": {"state": state, "epoch": 1, "attempt": 1}});
        for (state, finalizers, told) in
            [("Done", &[FINALIZER][..], true), ("Done", &[], false), ("Failed", &[FINALIZER], false)]
        {
            let (lines, _) = asked_of("Held", &run_with("Held", release(state), finalizers)).await;
            assert_eq!(!lines.is_empty(), told, "{state} {finalizers:?}");
        }
    }

    #[tokio::test]
    async fn what_is_told_already_costs_nothing() {
        for outcome in ["Succeeded", "RolledBack", "Held", "Aborted"] {
            assert_eq!(asked(outcome, outcome).await.0, [""; 0], "{outcome}");
        }
    }
}
