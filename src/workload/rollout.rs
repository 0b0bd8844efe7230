//! New images, and whether they have come up.

use super::{Which, Workload, WorkloadError, change::change_held, pods::failing};
use crate::{
    api::{WorkloadKind, reference::Images},
    cluster::{Acting, Holder},
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// What a rollout sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Image by name of container or init container; the others stay as they are.
    pub images: Images,
    /// Replicas, where they shall change.
    pub replicas: Option<i32>,
}

/// Whether a rollout has come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// All replicas are new and available, and no old one is left.
    Ready,
    /// Not yet; what is missing.
    Waiting(String),
    /// Not yet, and something is wrong that rarely mends by itself; the first failing pod in one sentence. Still only
    /// the deadline decides: an image may be pushed a minute late.
    Failing(String),
}

/// Sets images and replicas in one patch. Idempotent: what is so already is not written.
///
/// # Errors
/// [`WorkloadError::NoContainer`] naming those there are; [`WorkloadError::VolumesWouldGo`]; the claim is not ours; a
/// refusal; no answer.
pub async fn roll_out(
    acting: &Acting,
    which: impl Into<Which>,
    holder: &Holder,
    rollout: &Rollout,
) -> Result<Workload, WorkloadError> {
    change_held(acting, which, holder, |found| rollout_spec(found, rollout)).await
}

/// The part of the spec that has to change, if any has.
pub(super) fn rollout_spec(found: &Workload, rollout: &Rollout) -> Result<Option<Value>, WorkloadError> {
    let mut containers = Vec::new();
    let mut init_containers = Vec::new();
    for (name, image) in &rollout.images {
        let change = json!({"name": name, "image": image});
        match (found.containers.get(name), found.init_containers.get(name)) {
            (Some(now), _) if now == image => {}
            (Some(_), _) => containers.push(change),
            (None, Some(now)) if now == image => {}
            (None, Some(_)) => init_containers.push(change),
            (None, None) => {
                let there: Vec<_> =
                    found.containers.keys().chain(found.init_containers.keys()).map(String::as_str).collect();
                return Err(WorkloadError::NoContainer {
                    what: found.key.clone(),
                    container: name.clone(),
                    there: there.join(", "),
                });
            }
        }
    }
    let replicas = rollout.replicas.filter(|wanted| found.replicas != Some(*wanted));
    if found.drops_volumes && replicas.is_some_and(|wanted| Some(wanted) < found.replicas) {
        return Err(WorkloadError::VolumesWouldGo { what: found.key.clone() });
    }
    let mut pod = json!({});
    if !containers.is_empty() {
        pod["containers"] = json!(containers);
    }
    if !init_containers.is_empty() {
        pod["initContainers"] = json!(init_containers);
    }
    let mut spec = json!({});
    if pod != json!({}) {
        let template = json!({"template": {"spec": pod}});
        spec = match found.key.kind {
            WorkloadKind::CronJob => json!({"jobTemplate": {"spec": template}}),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => template,
        };
    }
    if let Some(replicas) = replicas {
        spec["replicas"] = json!(replicas);
    }
    Ok((spec != json!({})).then_some(spec))
}

/// Whether the workload's controller has done what its spec says; with its pods, why not.
pub fn readiness(workload: &Workload, pods: &[Pod]) -> Readiness {
    let Some(missing) = missing(workload) else { return Readiness::Ready };
    if let Some(why) = workload.stands_still {
        return Readiness::Failing(format!("{missing}, and {why}: its pods are not replaced"));
    }
    match failing(pods) {
        Some(pod) => Readiness::Failing(pod),
        None => Readiness::Waiting(missing),
    }
}

fn missing(workload: &Workload) -> Option<String> {
    let wanted = workload.replicas?;
    let counts = &workload.counts;
    if counts.observed_generation < counts.generation {
        return Some("its controller has not seen the change yet".to_owned());
    }
    if counts.updated < wanted {
        return Some(format!("{} of {wanted} pods are new", counts.updated));
    }
    if counts.total > counts.updated {
        // A rolling update takes an old pod away only for a new one that is ready.
        let old = counts.total - counts.updated;
        return Some(format!(
            "its new pods are not all ready, and {old} of the old ones are kept until they are"
        ));
    }
    if counts.total > wanted {
        return Some(format!("{} pods are too many", counts.total - wanted));
    }
    if counts.available < wanted {
        return Some(format!("{} of {wanted} pods are available", counts.available));
    }
    // With all replicas new, a StatefulSet's controller may still have the old revision on its mind: a pod that died
    // now would come back old.
    let settled = wanted == 0 || counts.current_revision == counts.update_revision;
    (!settled).then(|| "its controller has not settled on the new revision".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::fixture::{self, images};

    fn spec(workload: &Workload, new: Images, replicas: Option<i32>) -> Option<Value> {
        rollout_spec(workload, &Rollout { images: new, replicas }).unwrap()
    }

    #[test]
    fn containers_and_init_containers_are_found_by_name() {
        let web = fixture::deployment("");
        let new = images([("app", "web:2"), ("wait", "busybox:2"), ("sidecar", "proxy:7")]);
        assert_eq!(
            spec(&web, new, Some(4)).unwrap(),
            json!({"replicas": 4, "template": {"spec": {
                "containers": [{"name": "app", "image": "web:2"}],
                "initContainers": [{"name": "wait", "image": "busybox:2"}]
            }}})
        );
        assert_eq!(spec(&web, web.images(), Some(3)), None, "nothing to do");
        assert_eq!(spec(&web, Images::new(), Some(0)), Some(json!({"replicas": 0})));
        assert_eq!(
            spec(&fixture::cron_job(), images([("sync", "sync:2")]), None).unwrap(),
            json!({"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "sync", "image": "sync:2"}]}}}}})
        );
    }

    #[test]
    fn fewer_replicas_are_refused_where_volumes_would_go() {
        let db = fixture::stateful_set("persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}");
        let fewer = Rollout { replicas: Some(0), ..Rollout::default() };
        assert!(matches!(rollout_spec(&db, &fewer), Err(WorkloadError::VolumesWouldGo { .. })));
        assert_eq!(spec(&db, Images::new(), Some(2)), Some(json!({"replicas": 2})));
    }

    fn counted(change: impl Fn(&mut Workload)) -> Readiness {
        let mut web = fixture::deployment("");
        change(&mut web);
        readiness(&web, &[])
    }

    #[test]
    fn ready_is_new_available_and_alone() {
        let waiting = |text: &str| Readiness::Waiting(text.to_owned());
        assert_eq!(counted(|_| {}), Readiness::Ready);
        assert_eq!(
            counted(|it| it.counts.generation = 3),
            waiting("its controller has not seen the change yet")
        );
        assert_eq!(counted(|it| it.counts.updated = 1), waiting("1 of 3 pods are new"));
        assert_eq!(
            counted(|it| it.counts.total = 4),
            waiting("its new pods are not all ready, and 1 of the old ones are kept until they are")
        );
        assert_eq!(counted(|it| it.counts.available = 2), waiting("2 of 3 pods are available"));
        assert_eq!(counted(|it| it.replicas = Some(2)), waiting("1 pods are too many"));
        let paused = |it: &mut Workload| {
            it.counts.updated = 0;
            it.stands_still = Some("it is paused");
        };
        let why = "0 of 3 pods are new, and it is paused: its pods are not replaced";
        assert_eq!(counted(paused), Readiness::Failing(why.to_owned()));
        assert_eq!(readiness(&fixture::cron_job(), &[]), Readiness::Ready, "nothing to wait for");
    }

    #[test]
    fn a_stateful_set_has_to_settle() {
        let mut db = fixture::stateful_set("");
        assert_eq!(readiness(&db, &[]), Readiness::Ready);
        db.counts.current_revision = Some("db-1".into());
        let why = "its controller has not settled on the new revision";
        assert_eq!(readiness(&db, &[]), Readiness::Waiting(why.to_owned()));
    }
}
