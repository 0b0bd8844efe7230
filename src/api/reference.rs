//! References to things in the cluster: keys of Secrets and ConfigMaps, workloads.

use super::{bounds::NAME, words::words};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A Secret or ConfigMap by name, in the namespace of the object that refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Name of the object.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// One key of a Secret or ConfigMap, in the namespace of the object that refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the object.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Key in its data.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// Something that is read from one key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FromSecret {
    /// The Secret's key.
    pub secret_key_ref: KeyRef,
}

/// A Secret whose keys have fixed names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WholeSecret {
    /// The Secret.
    pub secret_ref: NameRef,
}

/// Something public that is read from one key of a Secret or of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.secretKeyRef), has(self.configMapKeyRef)].filter(x, x).size() == 1")
    .message("exactly one of secretKeyRef, configMapKeyRef"))]
pub struct FromKey {
    /// Key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// Key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

words! {
    /// A kind of workload that Whimbrel can silence and give back.
    pub enum WorkloadKind {
        /// `apps/v1`.
        Deployment,
        /// `apps/v1`.
        StatefulSet,
        /// `batch/v1`; suspended, never scaled.
        CronJob,
    }
}

/// A workload by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// Deployment, StatefulSet or CronJob.
    pub kind: WorkloadKind,
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its namespace; default is the plan's (the service account must be bound there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME))]
    pub namespace: Option<String>,
}

/// A container's image and others of its kind are looked up by this: container name to image.
pub type Images = std::collections::BTreeMap<String, String>;
