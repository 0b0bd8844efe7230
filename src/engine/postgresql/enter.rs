//! Into the target: lock, older sessions, own schema, fence, and only then the histories.

use std::sync::Arc;

use tokio::time::timeout;

use super::connect::{Connection, Lineage, connect};
use super::history::{READ, record};
use super::schema::{LOCK, SEEN, Schema, judge};
use super::session::PostgresqlSession;
use super::settings::Settings;
use super::{ambiguity, fence, incumbents, schema};
use crate::engine::fence::admit;
use crate::engine::name::Purpose;
use crate::engine::record::Record;
use crate::engine::{EngineError, Fence};

/// Enters, or leaves nothing behind: a session that was refused gives its lock up before the refusal is returned.
pub(super) async fn enter(
    settings: &Arc<Settings>,
    lineage: &Lineage,
    fence: &Fence,
) -> Result<PostgresqlSession, EngineError> {
    let mut connection = connect(settings, lineage, Purpose::Write(fence)).await?;
    match inside(&mut connection, settings, fence).await {
        Ok(record) => Ok(PostgresqlSession::new(settings.clone(), connection, fence.clone(), record)),
        Err(refusal) => {
            // The refusal stands however long the server takes to hang up.
            let _ = timeout(settings.connect_timeout, connection.wire.terminate()).await;
            Err(refusal)
        }
    }
}

async fn inside(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
) -> Result<Record, EngineError> {
    let look = format!(
        "{}; {}; SELECT {SEEN}; {}",
        ambiguity::try_lock(LOCK),
        ambiguity::older_query(settings),
        incumbents::query()
    );
    let sets = connection.read(settings, &look).await?;
    let yes = |index: usize, column: usize| {
        let row = sets.get(index).and_then(|set| set.rows.first());
        row.and_then(|row| row.get(column)).is_some_and(|value| value.as_deref() == Some("t"))
    };
    let present = judge(&settings.at(), yes(2, 0), yes(2, 1))? == Schema::Present;
    let mut format = schema::FORMAT;
    if present {
        // Nobody is ended in a database that another run holds.
        let row = fence::peek(connection, settings).await?;
        admit(&settings.at(), row.claimed, &row.seen, fence)?;
        format = row.format;
    }
    ambiguity::settle(connection, settings, fence, &ambiguity::older(settings, sets.get(1))).await?;
    if !yes(0, 0) {
        lock_again(connection, settings).await?;
    }
    refuse_foreign(connection, settings, present, incumbents::named(sets.get(3))).await?;
    if !present {
        schema::make(connection, settings).await?;
    } else if format < schema::FORMAT {
        schema::renew(connection, settings).await?;
    }
    fence::raise(connection, settings, fence).await?;
    let sets = connection.read(settings, READ).await?;
    Ok(record(&settings.histories, &sets))
}

/// The one try that follows the end of older sessions.
async fn lock_again(connection: &mut Connection, settings: &Settings) -> Result<(), EngineError> {
    let sets = connection.read(settings, &ambiguity::try_lock(LOCK)).await?;
    if sets.iter().flat_map(|set| &set.rows).flatten().any(|value| value.as_deref() == Some("t")) {
        return Ok(());
    }
    let by = ambiguity::holder(connection, settings, LOCK).await?;
    Err(EngineError::Busy { at: settings.at(), by })
}

/// Another tool's history with no row of ours beside it: whoever takes this for an empty history applies every script a
/// second time. Once a script of ours is in, the other tool is an application's own business.
async fn refuse_foreign(
    connection: &mut Connection,
    settings: &Settings,
    present: bool,
    tables: Vec<String>,
) -> Result<(), EngineError> {
    if tables.is_empty() {
        return Ok(());
    }
    if present {
        let sets = connection.read(settings, "SELECT 1 FROM whimbrel.history LIMIT 1").await?;
        if sets.iter().any(|set| !set.rows.is_empty()) {
            return Ok(());
        }
    }
    Err(EngineError::Foreign { at: settings.at(), tables })
}
