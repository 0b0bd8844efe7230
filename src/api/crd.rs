//! The CRDs as they are installed.

use super::{DatabaseTarget, MigrationPlan, MigrationRun};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The three CRDs.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![DatabaseTarget::crd(), MigrationPlan::crd(), MigrationRun::crd()]
}
