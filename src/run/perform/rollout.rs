//! Rolling images out, and back.

use super::super::driver::Driver;
use super::super::seam::{Cluster, WorkloadChange, World};
use super::super::walk::{Walk, original};
use super::call::Facts;
use super::quiesce::replicas_wanted;
use super::{Stop, failure};
use crate::engine::BlockedBy;
use crate::program::{Op, RolloutOp, WorkloadRef, WorkloadSeen};
use std::collections::BTreeMap;

/// What a workload shall become.
struct Wanted {
    images: BTreeMap<String, String>,
    replicas: Option<i32>,
}

impl<W: World> Driver<W> {
    /// New images; a dependent comes up from zero, any other workload is rolled in place.
    pub(super) async fn roll_out(&self, walk: &Walk, op: &Op, rollout: &RolloutOp) -> Facts {
        let recorded = original(walk.record(), &rollout.workload).and_then(|original| original.replicas);
        let replicas = match (rollout.replicas, rollout.dependent) {
            (Some(asked), _) => Some(asked),
            (None, true) => recorded,
            (None, false) => None,
        };
        let wanted = Wanted { images: rollout.images.clone(), replicas };
        self.roll(walk, op, &rollout.workload, &wanted, rollout.ready_within, false).await
    }

    /// The images and replicas that Claim recorded.
    pub(super) async fn roll_back(
        &self,
        walk: &Walk,
        op: &Op,
        of: &WorkloadRef,
        dependent: bool,
        ready_within: u64,
    ) -> Facts {
        let Some(original) = original(walk.record(), of) else { return Ok(Vec::new()) };
        let images =
            if walk.program.on_failure.revert_images { original.images.clone() } else { BTreeMap::new() };
        let replicas = match (walk.program.on_failure.give_back, dependent) {
            (true, _) => original.replicas,
            (false, true) => Some(0),
            (false, false) => None,
        };
        self.roll(walk, op, of, &Wanted { images, replicas }, ready_within, true).await
    }

    async fn roll(
        &self,
        walk: &Walk,
        op: &Op,
        of: &WorkloadRef,
        wanted: &Wanted,
        ready_within: u64,
        back: bool,
    ) -> Facts {
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            let moves = self.moves();
            let Some(mut seen) = self.look_claimed(walk, op, of, &mut failures).await? else { continue };
            let decides = wanted.replicas.is_some_and(|replicas| replicas != seen.replicas);
            let Some(least) = self.least(op, of, decides, &mut failures).await? else { continue };
            seen.hpa_min = least;
            if let Some(change) = change(&seen, wanted).map_err(|message| unknown_container(op, message))? {
                self.write(walk, op, &seen, &change, &mut failures).await?;
                continue;
            }
            let Some(why) = seen.not_ready else { return Ok(Vec::new()) };
            if back {
                // A pod of the bad revision never becomes ready, and an ordered StatefulSet waits for it for ever.
                if let Err(error) = self.world.cluster().remove_stuck_pod(of, &self.holder(walk)).await {
                    self.wait_out(op, error, &mut failures).await?;
                }
            }
            self.wait_ready(walk, op, of, &why, ready_within, moves).await?;
        }
    }

    /// One look later; a failure once the time is up, which counts from the op's intent, not from this process.
    pub(super) async fn wait_ready(
        &self,
        walk: &Walk,
        op: &Op,
        of: &WorkloadRef,
        why: &str,
        within: u64,
        moves: u64,
    ) -> Result<(), Stop> {
        if self.seconds_in(walk, op) > within {
            let message = format!("{of} did not become ready in {within} s: {why}");
            let action = "mend what keeps its pods from becoming ready, then apply again";
            return Err(Stop::Failed(Box::new(failure(op, "StepFailed", message, action))));
        }
        let what = format!("{of} to become ready: {why}");
        self.doing(walk, op, |doing| {
            doing.blocked = Some(BlockedBy { what, since: None, sql: None, pid: None });
        })
        .await;
        self.until_moved(moves).await;
        Ok(())
    }
}

/// The one write that makes a workload what is wanted; none when it is. Replicas under an autoscaler are set only
/// to come up from zero: after that they are its own.
fn change(seen: &WorkloadSeen, wanted: &Wanted) -> Result<Option<WorkloadChange>, String> {
    for container in wanted.images.keys() {
        if !seen.images.contains_key(container) {
            let there = seen.images.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(format!("{} has no container {container}; it has {there}", seen.of));
        }
    }
    let images: BTreeMap<String, String> = wanted
        .images
        .iter()
        .filter(|(container, image)| seen.images.get(*container) != Some(image))
        .map(|(container, image)| (container.clone(), image.clone()))
        .collect();
    let replicas = wanted
        .replicas
        .map(|replicas| replicas_wanted(replicas, seen.hpa_min))
        .filter(|replicas| *replicas != seen.replicas && (seen.hpa_min.is_none() || seen.replicas == 0));
    Ok((!images.is_empty() || replicas.is_some()).then_some(WorkloadChange::Roll(images, replicas)))
}

fn unknown_container(op: &Op, message: String) -> Stop {
    Stop::Failed(Box::new(failure(op, "InvalidSpec", message, "name one of its containers")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WorkloadKind;

    fn seen(replicas: i32, hpa_min: Option<i32>) -> WorkloadSeen {
        WorkloadSeen {
            of: WorkloadRef { kind: WorkloadKind::Deployment, namespace: "be".into(), name: "web".into() },
            uid: "u".into(),
            version: "1".into(),
            replicas,
            images: BTreeMap::from([("web".into(), "web:1".into()), ("proxy".into(), "proxy:1".into())]),
            suspend: false,
            claimed_by: None,
            hpa_min,
            controlled_by: None,
            deletes_volumes: false,
            not_ready: None,
            scaled_by: None,
        }
    }

    fn wanted(replicas: Option<i32>) -> Wanted {
        Wanted { images: BTreeMap::from([("web".into(), "web:2".into())]), replicas }
    }

    #[test]
    fn one_write_carries_image_and_replicas() {
        let image = BTreeMap::from([("web".into(), "web:2".into())]);
        assert_eq!(change(&seen(0, None), &wanted(Some(3))), Ok(Some(WorkloadChange::Roll(image, Some(3)))));
    }

    #[test]
    fn an_autoscaler_owns_replicas_once_they_are_not_zero() {
        let image = BTreeMap::from([("web".into(), "web:2".into())]);
        assert_eq!(
            change(&seen(7, Some(2)), &wanted(Some(3))),
            Ok(Some(WorkloadChange::Roll(image.clone(), None)))
        );
        assert_eq!(
            change(&seen(0, Some(5)), &wanted(Some(3))),
            Ok(Some(WorkloadChange::Roll(image, Some(5))))
        );
    }

    #[test]
    fn an_unknown_container_is_named_beside_those_there_are() {
        let wanted = Wanted { images: BTreeMap::from([("api".into(), "x".into())]), replicas: None };
        let text = "Deployment be/web has no container api; it has proxy, web".to_owned();
        assert_eq!(change(&seen(1, None), &wanted), Err(text));
    }
}
