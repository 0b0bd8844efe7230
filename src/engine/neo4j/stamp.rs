//! A copy is stamped before it is opened: the backup brought back the token, the claim, the locks and the journal of its
//! moment, and an older epoch that wakes up would find its own token again.

use super::connect::{Connection, connect, said, text};
use super::fence::{self, HOLD};
use super::packstream::Value;
use super::schema;
use super::settings::Settings;
use super::wire::ALL_ROWS;
use crate::engine::fence::admit;
use crate::engine::lineage::Lineage;
use crate::engine::name::Purpose;
use crate::engine::{BlockedBy, EngineError, Fence};
use tokio::time::timeout;

/// A lock that came back with a backup is nobody's: its server was stopped when the backup was taken.
const UNLOCK: &str = "MATCH (l:__Neo4jMigrationsLock) DELETE l";
/// Scripts that were begun and are in no history. What the backup holds of them is its moment's affair.
const CLEAR: &str = "MATCH (s:__WhimbrelScript) WHERE s.state IN ['Started', 'Undoing'] DELETE s";
const OURS: &str = "MATCH (f:__WhimbrelFence {id: 1}) SET f.own = f.own + 1, f.token = $token, f.entry = randomUUID(), \
    f.claimed = true, f.runUid = $uid, f.run = $run, f.plan = $plan, f.cluster = $cluster, f.peerLock = ''";
const POPULATING: &str = "SHOW INDEXES YIELD name, state WHERE state = 'POPULATING' RETURN name";

/// Stamps the copy that this server has. Nobody else is in it.
pub(super) async fn stamp(settings: &Settings, lineage: &Lineage, fence: &Fence) -> Result<(), EngineError> {
    let mut copy = connect(settings, lineage, Purpose::Write(fence)).await?;
    let written = write(&mut copy, settings, fence).await;
    let _ = timeout(settings.connect_timeout, copy.wire.goodbye()).await;
    written
}

async fn write(copy: &mut Connection, settings: &Settings, fence: &Fence) -> Result<(), EngineError> {
    schema::make(copy, settings).await?;
    let begin = copy.writing(settings, settings.lock_timeout);
    said(settings, copy.wire.begin(&begin).await)?;
    let held = said(settings, copy.wire.run(HOLD, Value::map([]), ALL_ROWS).await)?;
    let row = fence::row(settings, &held)?;
    admit(&settings.at(), row.claimed, &row.seen, fence)?;
    let ours = Value::map([
        ("token", Value::number(fence.token)),
        ("uid", Value::text(fence.run_uid.as_str())),
        ("run", Value::number(fence.run)),
        ("plan", Value::text(fence.plan.as_str())),
        ("cluster", Value::text(fence.cluster.as_str())),
    ]);
    for (query, parameters) in [(UNLOCK, Value::map([])), (CLEAR, Value::map([])), (OURS, ours)] {
        said(settings, copy.wire.run(query, parameters, ALL_ROWS).await)?;
    }
    said(settings, copy.wire.commit("stamp the copy").await)?;
    Ok(())
}

/// Says whether the database answers and all of its indexes are there.
pub(super) async fn ready(settings: &Settings, lineage: &Lineage) -> Result<(), EngineError> {
    let mut connection = connect(settings, lineage, Purpose::Look).await?;
    let populating = connection.read(settings, POPULATING, Value::map([])).await?;
    let _ = timeout(settings.connect_timeout, connection.wire.goodbye()).await;
    match populating.rows.first() {
        None => Ok(()),
        Some(row) => {
            let what = format!("index {} is being filled", text(row.first()));
            let by = BlockedBy { what, since: None, sql: None, pid: None };
            Err(EngineError::Busy { at: settings.at(), by })
        }
    }
}
