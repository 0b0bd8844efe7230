//! Rollout, configure and approve steps.

use crate::api::{
    Duration,
    bounds::{MESSAGE, NAME},
    reference::{Images, WorkloadKind, WorkloadRef},
    words::words,
};
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sets images or replicas of a workload and waits until it is ready; without either it says "bring it back here".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.kind != 'CronJob'")
    .message("a rollout is of a Deployment or a StatefulSet: a CronJob has no pods to wait for"))]
pub struct Rollout {
    /// Deployment or StatefulSet.
    pub kind: WorkloadKind,
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its namespace; default is the plan's (the service account must be bound there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME))]
    pub namespace: Option<String>,
    /// Images by name of container or init container; default is as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "images")]
    pub images: Images,
    /// Replicas; default is the original count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i32>,
    /// How long until every replica is ready; default 10m.
    #[serde(default = "ten_minutes")]
    pub ready_within: Duration,
    /// Who writes the images; default Plan.
    #[serde(default)]
    pub image_owner: ImageOwner,
}

impl Rollout {
    /// The workload.
    pub fn workload(&self) -> WorkloadRef {
        WorkloadRef { kind: self.kind, name: self.name.clone(), namespace: self.namespace.clone() }
    }
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

pub(crate) fn images(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": crate::api::bounds::IMAGE },
    })
}

words! {
    /// Who writes a rollout's images.
    #[derive(Default)]
    pub enum ImageOwner {
        /// The plan sets them.
        #[default]
        Plan,
        /// Git sets them; the step only waits until they are there.
        GitOps,
    }
}

/// Sets keys of a ConfigMap; on failure the old values come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Configure {
    /// The ConfigMap.
    pub config_map: ConfigMapSettings,
}

/// Keys of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSettings {
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its namespace; default is the plan's (the service account must be bound there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME))]
    pub namespace: Option<String>,
    /// Keys and their new values.
    #[schemars(schema_with = "settings")]
    pub set: BTreeMap<String, String>,
}

pub(crate) fn settings(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": { "type": "string", "maxLength": MESSAGE },
    })
}

/// Waits until a person approves it by `whimbrel.dev/approve.<step>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approve {
    /// The question.
    #[schemars(length(min = 1, max = 1024))]
    pub message: String,
}
