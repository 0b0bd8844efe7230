//! Targets of which no backup can be taken, or only one that no run puts back: what may be applied to them all the same.
//!
//! There the undo files are the only way back. So each script needs one that keeps data, and nobody may ask for a backup that
//! proves more than it can.

use super::super::seen::TargetSeen;
use super::super::{Intent, Pending, Seen};
use super::Refusal;
use super::forward::{level, needs_a_backup};
use super::pending::Work;
use crate::api::target::VerificationLevel;

/// Refuses what could not be taken back, and backups that could not be what they shall be.
pub(super) fn check(intent: &Intent, seen: &Seen, work: &Work) -> Result<(), Vec<Refusal>> {
    let mut refusals = Vec::new();
    for (step, pending) in &work.bundles {
        let name = &pending.target;
        let Some(target) = seen.targets.get(name).filter(|it| it.proves < VerificationLevel::Restored) else {
            continue;
        };
        let asked = level(intent, target.verification, work, name);
        let Some(why) = refused(name, target, pending, asked, intent.online) else { continue };
        refusals.push(Refusal { reason: "GuardBlocked", message: format!("step {step}: {why}") });
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

fn refused(
    name: &str,
    target: &TargetSeen,
    pending: &Pending,
    asked: VerificationLevel,
    online: bool,
) -> Option<String> {
    let exported = target.proves > VerificationLevel::None;
    let risky: Vec<&str> =
        pending.scripts.iter().filter(|it| needs_a_backup(it)).map(|it| it.file.as_str()).collect();
    if !risky.is_empty() {
        let (why, instead) = if exported {
            (
                format!("an export of target {name} is put back by hand alone"),
                "say backup.method: Offline in its engine's block",
            )
        } else {
            (format!("no backup of target {name} is taken"), "name its server and volume (spec.server)")
        };
        return Some(format!(
            "{} can't be taken back without a loss, and {why}: {instead}, or give each an undo file that keeps data and says so (// whimbrel: undo keeps-data), and delete nothing in it; or run it by hand, with a dump",
            risky.join(", ")
        ));
    }
    if asked > target.proves {
        return Some(if exported {
            format!(
                "a backup of target {name} shall reach {asked}, and an export proves no more than {}: say backup.verification: {}, in the target and the plan, or backup.method: Offline in its engine's block",
                target.proves, target.proves
            )
        } else {
            format!(
                "a backup of target {name} shall reach {asked}, and none of it is taken: name its server and volume (spec.server), or say backup.verification: None, in the target and the plan"
            )
        });
    }
    (exported && online).then(|| {
        format!(
            "backup.when: an export of target {name} is no snapshot, and is not whole where somebody writes meanwhile: leave it at Quiesced"
        )
    })
}
