//! Whether a workload can be silenced, rolled out and given back safely; asked before anything is touched.

use super::{
    Rollout, Scaler, Workload, WorkloadError, hpa::would_wake, rollout::rollout_spec, scale::Volumes,
};

/// What a run will do with a workload.
#[derive(Clone, Debug)]
pub struct Intent {
    /// It is a dependent: it will be scaled to zero or suspended.
    pub silenced: bool,
    /// Images and replicas that its rollout step sets, if it has one.
    pub rollout: Option<Rollout>,
    /// Whether its volumes may go when it is scaled down.
    pub volumes: Volumes,
}

/// Every reason not to do it.
pub fn refusals(workload: &Workload, scaler: Option<&Scaler>, intent: &Intent) -> Vec<WorkloadError> {
    let what = || workload.key.clone();
    let mut refused = Vec::new();
    if let Some(owner) = &workload.controller {
        refused.push(WorkloadError::Controlled { what: what(), owner: owner.clone() });
    }
    if intent.silenced && workload.drops_volumes && intent.volumes == Volumes::MustStay {
        refused.push(WorkloadError::VolumesWouldGo { what: what() });
    }
    if let Some(scaler) = scaler {
        if intent.silenced && would_wake(workload, scaler) {
            refused.push(WorkloadError::WokenByScaler { what: what(), scaler: scaler.name.clone() });
        }
        if intent.rollout.as_ref().is_some_and(|it| it.replicas.is_some()) {
            refused.push(WorkloadError::ScalerDecides { what: what(), scaler: scaler.name.clone() });
        }
    }
    if let Some(rollout) = &intent.rollout
        && let Err(error) = rollout_spec(workload, rollout)
    {
        refused.push(error);
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::fixture;

    fn dependent() -> Intent {
        Intent { silenced: true, rollout: None, volumes: Volumes::MustStay }
    }

    fn texts(workload: &Workload, scaler: Option<&Scaler>, intent: &Intent) -> Vec<String> {
        refusals(workload, scaler, intent).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_ordinary_workload_is_fit() {
        let scaler = Scaler { name: "web-scaler".into(), min: 1, max: 9 };
        assert_eq!(texts(&fixture::deployment(""), Some(&scaler), &dependent()), [""; 0]);
        let db = fixture::stateful_set("persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}");
        let untouched = Intent { silenced: false, ..dependent() };
        assert_eq!(texts(&db, None, &untouched), [""; 0], "its replicas are not touched");
    }

    #[test]
    fn every_refusal_says_how_on() {
        let scaler = Scaler { name: "web-scaler".into(), min: 0, max: 9 };
        let rollout = Rollout { images: fixture::images([("ap", "web:2")]), replicas: Some(2) };
        let intent = Intent { rollout: Some(rollout), ..dependent() };
        assert_eq!(
            texts(&fixture::deployment(""), Some(&scaler), &intent),
            [
                "Deployment aether/web is scaled by HorizontalPodAutoscaler web-scaler, whose minReplicas is 0: it would \
                 start the workload again in the middle of the run; set minReplicas to 1 or more",
                "Deployment aether/web is scaled by HorizontalPodAutoscaler web-scaler: replicas can't be set by a rollout step",
                "Deployment aether/web has no container \"ap\"; it has app, sidecar, wait",
            ]
        );
        assert_eq!(
            texts(&fixture::cron_job(), None, &dependent()),
            [
                "CronJob aether/nightly belongs to Platform aether, which would undo every change; name Platform aether to \
              its own operator instead"
            ]
        );
    }
}
