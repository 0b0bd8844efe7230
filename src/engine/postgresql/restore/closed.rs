//! A database that a swap of this run has closed and not yet put aside. Whoever swapped may have died there, and the next one
//! asks for silence before it goes on: nobody gets in, and who was left in it is ended by the swap.

use super::door::Door;
use super::label::{Stage, beside};
use crate::engine::postgresql::connect::Lineage;
use crate::engine::postgresql::settings::Settings;
use crate::engine::{EngineError, Fence};

/// Whether the database is closed, by a swap of the fence's run.
pub(in crate::engine::postgresql) async fn is_closed_by_us(
    settings: &Settings,
    lineage: &Lineage,
    fence: &Fence,
) -> Result<bool, EngineError> {
    let (database, beside) = (settings.database.as_str(), beside(&settings.database, fence.run));
    let mut door = Door::of_reader(settings, lineage, fence).await?;
    let seen = door.look(&[database, &beside]).await;
    door.leave().await;
    let seen = seen?;
    let copy = seen.get(&beside).and_then(|copy| copy.label.as_ref());
    let ours = copy.is_some_and(|it| it.whimbrel == Stage::Swapping && it.is_of(database, &fence.run_uid));
    Ok(ours && seen.get(database).is_some_and(|original| !original.open))
}
