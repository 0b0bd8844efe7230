//! Autoscalers: they pause themselves at zero replicas, and must find at least their minimum afterwards.

use super::WorkloadKey;
use crate::cluster::{Acting, ReadError, list_all};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

/// A HorizontalPodAutoscaler that scales a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaler {
    /// Its name.
    pub name: String,
    /// The least it scales to; 1 where it says nothing.
    pub min: i32,
    /// The most it scales to.
    pub max: i32,
}

/// Finds the autoscaler of a workload, live.
///
/// # Errors
/// A missing right, or no answer.
pub async fn look_for_scaler(acting: &Acting, key: &WorkloadKey) -> Result<Option<Scaler>, ReadError> {
    Ok(scaler_of(key, &scalers(acting, &key.namespace).await?))
}

/// All autoscalers of a namespace, live.
///
/// # Errors
/// A missing right, or no answer.
pub async fn scalers(acting: &Acting, namespace: &str) -> Result<Vec<HorizontalPodAutoscaler>, ReadError> {
    list_all(acting, namespace, "").await
}

/// The autoscaler of a workload, among those of its namespace.
pub fn scaler_of(key: &WorkloadKey, all: &[HorizontalPodAutoscaler]) -> Option<Scaler> {
    let kind = key.kind.to_string();
    let targets = |it: &&HorizontalPodAutoscaler| {
        let target = &it.spec.scale_target_ref;
        target.kind == kind && target.name == key.name
    };
    all.iter().find(targets).map(|it| Scaler {
        name: it.metadata.name.clone().unwrap_or_default(),
        min: it.spec.min_replicas.unwrap_or(1),
        max: it.spec.max_replicas,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::fixture;

    #[test]
    fn the_autoscaler_of_this_workload_and_no_other() {
        let all = |yaml: &str| -> Vec<HorizontalPodAutoscaler> { serde_saphyr::from_str(yaml).unwrap() };
        let found = all("
- metadata: {name: other}
  spec: {maxReplicas: 5, scaleTargetRef: {kind: StatefulSet, name: web}}
- metadata: {name: web-scaler}
  spec: {maxReplicas: 9, minReplicas: 2, scaleTargetRef: {kind: Deployment, name: web}}
");
        let key = fixture::deployment("").key;
        assert_eq!(scaler_of(&key, &found), Some(Scaler { name: "web-scaler".into(), min: 2, max: 9 }));
        assert_eq!(scaler_of(&key, &found[..1]), None);
    }
}
