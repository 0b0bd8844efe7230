//! Silence and give back: replicas to zero and to their count, schedules off and on.

use super::{Which, Workload, WorkloadError, change::change_held};
use crate::cluster::{Acting, Holder};
use serde_json::{Value, json};

/// What a workload is given back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackTo {
    /// A Deployment or StatefulSet with so many replicas. Always a number: unsetting the field would mean 1.
    Replicas(i32),
    /// A CronJob, suspended or not.
    Suspend(bool),
}

/// Whether volumes may go when a StatefulSet is scaled down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// A StatefulSet that would delete them is refused.
    MustStay,
    /// A person overrode that.
    MayGo,
}

/// Scales a workload to zero, or suspends a CronJob. Its pods may still run afterwards: ask
/// [`remaining`](super::remaining). Idempotent.
///
/// # Errors
/// [`WorkloadError::VolumesWouldGo`], looked at again in the very read that the write is bound to; the claim is not
/// ours; a refusal; no answer.
pub async fn silence(
    acting: &Acting,
    which: impl Into<Which>,
    holder: &Holder,
    volumes: Volumes,
) -> Result<Workload, WorkloadError> {
    change_held(acting, which, holder, |found| silence_spec(found, volumes)).await
}

/// Gives a workload its replicas or its schedule back. Idempotent.
///
/// # Errors
/// The claim is not ours; a refusal; no answer.
pub async fn give_back(
    acting: &Acting,
    which: impl Into<Which>,
    holder: &Holder,
    to: BackTo,
) -> Result<Workload, WorkloadError> {
    change_held(acting, which, holder, |found| Ok(back_spec(found, to))).await
}

fn silence_spec(found: &Workload, volumes: Volumes) -> Result<Option<Value>, WorkloadError> {
    if found.drops_volumes && volumes == Volumes::MustStay && found.replicas.is_some_and(|it| it > 0) {
        return Err(WorkloadError::VolumesWouldGo { what: found.key.clone() });
    }
    let to = if found.suspend.is_some() { BackTo::Suspend(true) } else { BackTo::Replicas(0) };
    Ok(back_spec(found, to))
}

fn back_spec(found: &Workload, to: BackTo) -> Option<Value> {
    match to {
        BackTo::Replicas(count) => (found.replicas != Some(count)).then(|| json!({"replicas": count})),
        BackTo::Suspend(suspend) => (found.suspend != Some(suspend)).then(|| json!({"suspend": suspend})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::fixture;

    #[test]
    fn replicas_and_schedules_go_off_and_on() {
        let off = |workload: &Workload| silence_spec(workload, Volumes::MustStay).unwrap();
        assert_eq!(off(&fixture::deployment("")), Some(json!({"replicas": 0})));
        assert_eq!(off(&fixture::cron_job()), Some(json!({"suspend": true})));
        assert_eq!(back_spec(&fixture::deployment(""), BackTo::Replicas(3)), None, "as it is");
        assert_eq!(back_spec(&fixture::deployment(""), BackTo::Replicas(0)), Some(json!({"replicas": 0})));
        assert_eq!(back_spec(&fixture::cron_job(), BackTo::Suspend(false)), None);
    }

    #[test]
    fn volumes_stay_unless_a_person_said_so() {
        let mut db = fixture::stateful_set("persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}");
        assert_eq!(
            silence_spec(&db, Volumes::MustStay).unwrap_err().to_string(),
            "StatefulSet aether/db deletes its volumes when it is scaled down \
             (persistentVolumeClaimRetentionPolicy.whenScaled: Delete); set it to Retain, or accept it with the \
             override pvc-retention"
        );
        assert_eq!(silence_spec(&db, Volumes::MayGo).unwrap(), Some(json!({"replicas": 0})));
        db.replicas = Some(0);
        assert_eq!(silence_spec(&db, Volumes::MustStay).unwrap(), None, "nothing goes where nothing runs");
    }
}
