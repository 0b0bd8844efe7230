//! A copy is stamped before it is opened: the backup brought back the token, the claim and the journal of its moment,
//! and an older epoch that wakes up would find its own token again.

use tokio::time::timeout;

use crate::engine::name::Purpose;
use crate::engine::postgresql::connect::{Connection, open, server_said};
use crate::engine::postgresql::schema::{self, SEEN, Schema};
use crate::engine::postgresql::settings::Settings;
use crate::engine::postgresql::wire::ALL_ROWS;
use crate::engine::postgresql::{ambiguity, fence, fingerprint};
use crate::engine::{EngineError, Fence, Stamp};

/// Stamps the copy `name`, and proves that it is what the run began with. The caller holds the lock that keeps others
/// out of it.
pub(super) async fn stamp(
    settings: &Settings,
    fence: &Fence,
    name: &str,
    stamp: &Stamp,
) -> Result<(), EngineError> {
    let inside = settings.inside(name);
    let mut copy = open(&inside, Purpose::Write(fence)).await?;
    let proof = match write(&mut copy, &inside, fence).await {
        Ok(()) => fingerprint::proof(&mut copy, &inside).await,
        Err(error) => Err(error),
    };
    let _ = timeout(inside.connect_timeout, copy.wire.terminate()).await;
    let differences = stamp.differences(&proof?);
    if differences.is_empty() {
        return Ok(());
    }
    Err(EngineError::NotRestorable {
        at: settings.at(),
        reason: format!("the copy {name} is not what the run began with: {}", differences.join("; ")),
    })
}

async fn write(copy: &mut Connection, settings: &Settings, fence: &Fence) -> Result<(), EngineError> {
    ambiguity::look_and_settle(copy, settings, fence).await?;
    let sets = copy.read(settings, &format!("SELECT {SEEN}")).await?;
    let yes = |column: usize| {
        let row = sets.first().and_then(|set| set.rows.first());
        row.and_then(|row| row.get(column)).is_some_and(|value| value.as_deref() == Some("t"))
    };
    if schema::judge(&settings.at(), yes(0), yes(1))? == Schema::Absent {
        schema::make(copy, settings).await?;
    }
    fence::raise(copy, settings, fence).await?;
    let clear = "BEGIN; DELETE FROM whimbrel.journal; COMMIT";
    let reply = copy.wire.effect("clear the copy's journal", clear, ALL_ROWS).await;
    match reply.map_err(|lost| lost.at(settings.at()))?.error {
        None => Ok(()),
        Some(error) => Err(server_said(settings, error)),
    }
}
