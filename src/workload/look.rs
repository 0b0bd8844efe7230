//! A workload as it is now: one live read, one shape for the three kinds.

use super::WorkloadError;
use crate::{
    api::{WorkloadKind, reference::Images},
    cluster::{Acting, ReadError, get_if_there},
};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::CronJob,
        core::v1::PodSpec,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ManagedFieldsEntry, ObjectMeta},
};
use std::{collections::BTreeMap, fmt};

/// Which workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadKey {
    /// Deployment, StatefulSet or CronJob.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl WorkloadKey {
    /// As `kubectl` wants it: `deployment`, `statefulset`, `cronjob`.
    pub fn resource(&self) -> &'static str {
        match self.kind {
            WorkloadKind::Deployment => "deployment",
            WorkloadKind::StatefulSet => "statefulset",
            WorkloadKind::CronJob => "cronjob",
        }
    }
}

impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A workload as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Which one.
    pub key: WorkloadKey,
    /// Its uid: one that was deleted and created anew is another one.
    pub uid: String,
    /// The version that the next write is bound to.
    pub resource_version: String,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Kind and name of the controller that owns it, if one does.
    pub controller: Option<String>,
    /// Wanted replicas (1 where the spec says nothing); none for a CronJob.
    pub replicas: Option<i32>,
    /// Whether a CronJob is suspended; none for the others.
    pub suspend: Option<bool>,
    /// Image by name of container.
    pub containers: Images,
    /// Image by name of init container.
    pub init_containers: Images,
    /// Which pods are its own; none for a CronJob, whose Jobs have theirs.
    pub selector: Option<LabelSelector>,
    /// How far its controller has come.
    pub counts: Counts,
    /// Why its pods are not replaced when its template changes, if that is so.
    pub stands_still: Option<&'static str>,
    /// Scaling it down deletes its volumes.
    pub drops_volumes: bool,
    /// Who wrote which fields.
    pub managed_fields: Vec<ManagedFieldsEntry>,
}

/// How far a workload's controller has come. All 0 for a CronJob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Generation of the spec.
    pub generation: i64,
    /// The generation that the counts below are of.
    pub observed_generation: i64,
    /// Pods, old and new, that are not on their way out.
    pub total: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Pods that have been ready for long enough.
    pub available: i32,
    /// StatefulSet: the revision that all pods are brought to.
    pub update_revision: Option<String>,
    /// StatefulSet: the revision that all pods had last.
    pub current_revision: Option<String>,
}

impl Workload {
    /// Images of containers and init containers together; their names are unique over both.
    pub fn images(&self) -> Images {
        self.containers
            .iter()
            .chain(&self.init_containers)
            .map(|(name, image)| (name.clone(), image.clone()))
            .collect()
    }

    fn new(key: WorkloadKey, metadata: ObjectMeta, pod: Option<&PodSpec>) -> Self {
        let controller = metadata.owner_references.iter().flatten().find(|it| it.controller == Some(true));
        let image = |name: &str, image: &Option<String>| (name.to_owned(), image.clone().unwrap_or_default());
        Self {
            key,
            controller: controller.map(|it| format!("{} {}", it.kind, it.name)),
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            managed_fields: metadata.managed_fields.unwrap_or_default(),
            containers: pod
                .map(|pod| pod.containers.iter().map(|it| image(&it.name, &it.image)).collect())
                .unwrap_or_default(),
            init_containers: pod
                .map(|pod| {
                    pod.init_containers.iter().flatten().map(|it| image(&it.name, &it.image)).collect()
                })
                .unwrap_or_default(),
            counts: Counts { generation: metadata.generation.unwrap_or(0), ..Counts::default() },
            replicas: None,
            suspend: None,
            selector: None,
            stands_still: None,
            drops_volumes: false,
        }
    }
}

fn key(kind: WorkloadKind, metadata: &ObjectMeta) -> WorkloadKey {
    WorkloadKey {
        kind,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

impl From<Deployment> for Workload {
    fn from(live: Deployment) -> Self {
        let status = live.status.unwrap_or_default();
        let mut workload = Self::new(
            key(WorkloadKind::Deployment, &live.metadata),
            live.metadata,
            live.spec.template.spec.as_ref(),
        );
        workload.replicas = Some(live.spec.replicas.unwrap_or(1));
        workload.selector = Some(live.spec.selector);
        workload.stands_still = (live.spec.paused == Some(true)).then_some("it is paused");
        workload.counts = Counts {
            observed_generation: status.observed_generation.unwrap_or(0),
            total: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            ..workload.counts
        };
        workload
    }
}

impl From<StatefulSet> for Workload {
    fn from(live: StatefulSet) -> Self {
        let status = live.status.unwrap_or_default();
        let spec = live.spec;
        let mut workload = Self::new(
            key(WorkloadKind::StatefulSet, &live.metadata),
            live.metadata,
            spec.template.spec.as_ref(),
        );
        let strategy = spec.update_strategy.unwrap_or_default();
        let partition = strategy.rolling_update.and_then(|it| it.partition).unwrap_or(0);
        workload.replicas = Some(spec.replicas.unwrap_or(1));
        workload.selector = Some(spec.selector);
        workload.stands_still = if strategy.type_.as_deref() == Some("OnDelete") {
            Some("its updateStrategy is OnDelete")
        } else {
            (partition > 0).then_some("its updateStrategy has a partition")
        };
        let retention = spec.persistent_volume_claim_retention_policy;
        workload.drops_volumes = retention.and_then(|it| it.when_scaled).as_deref() == Some("Delete");
        workload.counts = Counts {
            observed_generation: status.observed_generation.unwrap_or(0),
            total: status.replicas,
            updated: status.updated_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            update_revision: status.update_revision,
            current_revision: status.current_revision,
            ..workload.counts
        };
        workload
    }
}

impl From<CronJob> for Workload {
    fn from(live: CronJob) -> Self {
        let pod = live.spec.job_template.spec.as_ref().and_then(|job| job.template.spec.as_ref());
        let mut workload = Self::new(key(WorkloadKind::CronJob, &live.metadata), live.metadata, pod);
        workload.suspend = Some(live.spec.suspend.unwrap_or(false));
        workload
    }
}

/// Reads a workload live; none if it does not exist.
///
/// # Errors
/// A missing right, or no answer.
pub async fn look_if_there(acting: &Acting, key: &WorkloadKey) -> Result<Option<Workload>, ReadError> {
    let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
    Ok(match key.kind {
        WorkloadKind::Deployment => {
            get_if_there::<Deployment>(acting, namespace, name).await?.map(Workload::from)
        }
        WorkloadKind::StatefulSet => {
            get_if_there::<StatefulSet>(acting, namespace, name).await?.map(Workload::from)
        }
        WorkloadKind::CronJob => get_if_there::<CronJob>(acting, namespace, name).await?.map(Workload::from),
    })
}

/// Reads a workload live.
///
/// # Errors
/// [`ReadError::NotFound`] naming it, a missing right, or no answer.
pub async fn look(acting: &Acting, key: &WorkloadKey) -> Result<Workload, WorkloadError> {
    let there = look_if_there(acting, key).await?;
    Ok(there.ok_or_else(|| ReadError::NotFound {
        kind: key.kind.to_string(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    })?)
}

#[cfg(test)]
mod tests {
    use crate::workload::fixture::{self, images};

    #[test]
    fn a_deployment() {
        let web = fixture::deployment("");
        assert_eq!(web.key.to_string(), "Deployment aether/web");
        assert_eq!((web.uid.as_str(), web.resource_version.as_str()), ("uid-web", "5"));
        assert_eq!(web.replicas, Some(3));
        assert_eq!(web.containers, images([("app", "web:1"), ("sidecar", "proxy:7")]));
        assert_eq!(web.init_containers, images([("wait", "busybox:1")]));
        assert_eq!(web.images().len(), 3);
        assert_eq!((web.controller, web.stands_still, web.drops_volumes), (None, None, false));
        assert_eq!(web.counts.observed_generation, 2);
    }

    #[test]
    fn a_stateful_set_that_would_drop_its_volumes_and_stands_still() {
        let data = fixture::stateful_set(
            "persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}\nupdateStrategy: {type: OnDelete}",
        );
        assert!(data.drops_volumes);
        assert_eq!(data.stands_still, Some("its updateStrategy is OnDelete"));
        assert_eq!(data.counts.update_revision.as_deref(), Some("db-2"));
        let partition = fixture::stateful_set("updateStrategy: {rollingUpdate: {partition: 2}}");
        assert_eq!(partition.stands_still, Some("its updateStrategy has a partition"));
        assert!(!partition.drops_volumes);
    }

    #[test]
    fn a_cron_job_has_images_and_no_replicas() {
        let nightly = fixture::cron_job();
        assert_eq!((nightly.replicas, nightly.suspend), (None, Some(false)));
        assert_eq!(nightly.containers, images([("sync", "sync:1")]));
        assert_eq!(nightly.controller.as_deref(), Some("Platform aether"));
    }
}
