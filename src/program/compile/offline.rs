//! Targets that are backed up while their server is stopped: what their server must be for that.

use super::super::{Intent, Seen, WorkloadRef};
use super::Refusal;
use super::pending::Work;
use super::rules::{controlled, deletes_volumes};
use std::collections::BTreeSet;

/// Refuses servers that can't be stopped, or not without a loss.
pub(super) fn check(intent: &Intent, seen: &Seen, work: &Work) -> Result<(), Vec<Refusal>> {
    let names: BTreeSet<&String> = work.bundles.values().map(|pending| &pending.target).collect();
    let mut refusals = Vec::new();
    for name in names {
        let Some(server) = seen.targets.get(name).and_then(|target| target.offline.as_ref()) else {
            continue;
        };
        if intent.online {
            refusals.push(Refusal {
                reason: "InvalidSpec",
                message: format!(
                    "backup.when: target {name} is backed up with its server stopped, which Online is not: leave it at Quiesced"
                ),
            });
        }
        refusals.extend(stoppable(name, server, seen));
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

fn stoppable(name: &str, server: &WorkloadRef, seen: &Seen) -> Vec<Refusal> {
    let place = format!("server of target {name}");
    let Some(live) = seen.workloads.get(server) else {
        let message = format!("{place}: {server} is not there: see spec.server of the target");
        return vec![Refusal { reason: "InvalidSpec", message }];
    };
    let mut refusals: Vec<Refusal> =
        [controlled(&place, live), deletes_volumes(&place, live)].into_iter().flatten().collect();
    if live.replicas > 1 {
        refusals.push(Refusal {
            reason: "NotBuilt",
            message: format!(
                "{place}: {server} has {} replicas; offline backups are built for a server of one; say backup.verification: None, and take backups by the cluster's own means",
                live.replicas
            ),
        });
    }
    refusals
}
