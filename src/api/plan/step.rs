//! Stages and steps: what a user writes, and the variables that a step's texts may use.

use super::{Approve, Check, Configure, Job, Migrate, Rollout};
use crate::api::{
    bounds::{MESSAGE, NAME, STEP_NAME},
    error::{ApiError, exactly_one},
    reference::KeyRef,
    words::words,
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

words! {
    /// A stage; ordered as they are walked.
    pub enum Stage {
        /// Databases, brokers and what else all services share.
        SharedInfra,
        /// Schemas and data.
        Data,
        /// Buckets and other stores of objects.
        Storage,
        /// Backends.
        Services,
        /// What people see.
        Frontend,
    }
}

/// The steps of one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageSpec {
    /// SharedInfra, Data, Storage, Services or Frontend.
    pub name: Stage,
    /// The steps, in order.
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub steps: Vec<Step>,
}

/// One step: exactly one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.migrate), has(self.job), has(self.rollout), has(self.verify), has(self.configure), has(self.approve)].filter(x, x).size() == 1")
    .message("a step is exactly one of migrate, job, rollout, verify, configure, approve"))]
pub struct Step {
    /// Name, unique over the plan: a DNS label of at most 40 characters.
    #[schemars(length(min = 1, max = STEP_NAME), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Neighbours with the same group run in parallel; default is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME))]
    pub group: Option<String>,
    /// Values that the step's texts use as `${name}`; default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub variables: Vec<Variable>,
    /// Applies scripts to a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Migrate>,
    /// Runs the team's own image against a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// Sets images or replicas of a workload and waits until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Checks that something holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Check>,
    /// Sets keys of a ConfigMap; the old values come back on failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configure: Option<Configure>,
    /// Waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approve>,
}

/// A value that the texts of a step use as `${name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.value), has(self.secretKeyRef), has(self.configMapKeyRef)].filter(x, x).size() == 1")
    .message("a variable is exactly one of value, secretKeyRef, configMapKeyRef"))]
pub struct Variable {
    /// Name.
    #[schemars(length(min = 1, max = NAME), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// The value itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MESSAGE))]
    pub value: Option<String>,
    /// Key of a Secret in the plan's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// Key of a ConfigMap in the plan's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// Where a variable's value comes from, as a real union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VariableSource {
    /// Written in the plan.
    Value(String),
    /// Key of a Secret.
    Secret(KeyRef),
    /// Key of a ConfigMap.
    ConfigMap(KeyRef),
}

impl TryFrom<&Variable> for VariableSource {
    type Error = ApiError;

    fn try_from(variable: &Variable) -> Result<Self, ApiError> {
        exactly_one(
            &format!("variable {}", variable.name),
            "source",
            [
                variable.value.clone().map(Self::Value),
                variable.secret_key_ref.clone().map(Self::Secret),
                variable.config_map_key_ref.clone().map(Self::ConfigMap),
            ],
        )
    }
}
