//! Autoscalers: they pause themselves at zero replicas, and must find at least their minimum afterwards.

use super::{Workload, WorkloadKey};
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

/// How many replicas a workload is given back with: what its step says or what it had, but at least the autoscaler's
/// minimum. A workload that was at zero before the run stays there: its autoscaler was switched off that way.
pub fn replicas_to_give_back(step: Option<i32>, original: i32, scaler: Option<&Scaler>) -> i32 {
    let wanted = step.unwrap_or(original);
    match scaler {
        Some(scaler) if wanted > 0 => wanted.max(scaler.min),
        _ => wanted,
    }
}

/// Whether the autoscaler would wake the workload in the middle of a run: with a minimum of 0 it takes zero for an
/// ordinary count, else it pauses itself there.
pub(super) fn would_wake(workload: &Workload, scaler: &Scaler) -> bool {
    scaler.min == 0 && workload.replicas.is_some()
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

    #[test]
    fn at_least_its_minimum_comes_back() {
        let scaler = Scaler { name: "s".into(), min: 4, max: 9 };
        assert_eq!(replicas_to_give_back(None, 3, Some(&scaler)), 4);
        assert_eq!(replicas_to_give_back(None, 6, Some(&scaler)), 6);
        assert_eq!(replicas_to_give_back(Some(2), 6, None), 2);
        assert_eq!(replicas_to_give_back(None, 0, Some(&scaler)), 0, "it was off before the run");
    }
}
