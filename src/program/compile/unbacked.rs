//! Targets of which no backup can be taken: what may be applied to them all the same.
//!
//! Without a backup the undo files are the only way back. So each script needs one that keeps data, and nobody may ask for a
//! backup that proves something.

use super::super::{Intent, Seen};
use super::Refusal;
use super::forward::{level, needs_a_backup};
use super::pending::Work;
use crate::api::target::VerificationLevel;

/// Refuses what could not be taken back.
pub(super) fn check(intent: &Intent, seen: &Seen, work: &Work) -> Result<(), Vec<Refusal>> {
    let mut refusals = Vec::new();
    for (step, pending) in &work.bundles {
        let name = &pending.target;
        let Some(target) = seen.targets.get(name).filter(|target| !target.backed_up) else { continue };
        let risky: Vec<&str> =
            pending.scripts.iter().filter(|it| needs_a_backup(it)).map(|it| it.file.as_str()).collect();
        if !risky.is_empty() {
            refusals.push(Refusal {
                reason: "GuardBlocked",
                message: format!(
                    "step {step}: {} can't be taken back without a loss, and no backup of target {name} is taken: name its server and volume (spec.server), or give each an undo file that keeps data and says so (// whimbrel: undo keeps-data), and delete nothing in it; or run it by hand, with a dump",
                    risky.join(", ")
                ),
            });
            continue;
        }
        let asked = level(intent, target.verification, work, name);
        if asked > VerificationLevel::None {
            refusals.push(Refusal {
                reason: "GuardBlocked",
                message: format!(
                    "step {step}: a backup of target {name} shall reach {asked}, and none of it is taken: name its server and volume (spec.server), or say backup.verification: None, in the target and the plan"
                ),
            });
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}
