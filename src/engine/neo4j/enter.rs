//! Into the target: older sessions, own nodes, fence, and only then the histories.

use std::sync::Arc;

use rand::RngCore;
use tokio::time::timeout;

use super::connect::{Connection, connect};
use super::fence::{self, Pass};
use super::history::{READ, Record, record};
use super::packstream::Value;
use super::session::Neo4jSession;
use super::settings::Settings;
use super::{ambiguity, incumbents, peer, schema};
use crate::engine::fence::admit;
use crate::engine::lineage::Lineage;
use crate::engine::name::Purpose;
use crate::engine::{EngineError, Fence};

/// Enters, or leaves nothing behind.
pub(super) async fn enter(
    settings: &Arc<Settings>,
    lineage: &Lineage,
    fence: &Fence,
) -> Result<Neo4jSession, EngineError> {
    let mut connection = connect(settings, lineage, Purpose::Write(fence)).await?;
    match inside(&mut connection, settings, fence).await {
        Ok((pass, record)) => {
            Ok(Neo4jSession::new(settings.clone(), connection, fence.clone(), pass, record))
        }
        Err(refusal) => {
            // The refusal stands however long the server takes to hang up.
            let _ = timeout(settings.connect_timeout, connection.wire.goodbye()).await;
            Err(refusal)
        }
    }
}

async fn inside(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
) -> Result<(Pass, Record), EngineError> {
    let present = fence::peek(connection, settings).await?;
    if let Some(row) = &present {
        // Nobody is ended in a database that another run holds.
        admit(&settings.at(), row.claimed, &row.seen, fence)?;
    }
    // One that idles in a transaction would hold the fence against us.
    ambiguity::settle(connection, settings, fence).await?;
    incumbents::refuse(connection, settings, present.is_some()).await?;
    schema::make(connection, settings).await?;
    let pass = Pass { token: fence.token, entry: entry() };
    fence::raise(connection, settings, fence, &pass.entry).await?;
    // A change of the schema reads the fence and can't hold it: what began before the token was raised ends here, what
    // begins later sees the new one.
    ambiguity::settle(connection, settings, fence).await?;
    let record = read(connection, settings).await?;
    Ok((pass, record))
}

/// Histories and journal, as they are now.
pub(super) async fn read(connection: &mut Connection, settings: &Settings) -> Result<Record, EngineError> {
    let chain = match settings.has_peer() {
        true => peer::chain(&connection.read(settings, peer::READ, Value::map([])).await?.rows),
        false => peer::Chain::default(),
    };
    let journal = connection.read(settings, READ, Value::map([])).await?;
    Ok(record(settings, &journal.rows, chain))
}

/// An id that no other session has, in the form that neo4j-migrations gives its locks.
fn entry() -> String {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
