//! A look from outside: reads only, nothing held.

use super::connect::{Connection, text};
use super::packstream::Value;
use super::settings::Settings;
use super::{enter, fence, incumbents, proof, quiet};
use crate::engine::{EngineError, Look};

const BROKEN: &str = "SHOW INDEXES YIELD name, state, populationPercent WHERE state <> 'ONLINE' RETURN name, state ORDER BY name";
const LOCKS: &str = "MATCH (l:__Neo4jMigrationsLock) RETURN l.id ORDER BY l.id";
/// Bytes are not to be had on Community; this is what a backup's size is estimated from.
const SIZE: &str =
    "MATCH (n) RETURN count(n) AS entities UNION ALL MATCH ()-[r]->() RETURN count(r) AS entities";
/// What a node or a relationship with a few properties takes on disk, roughly.
const BYTES_EACH: u64 = 150;

/// Looks at the database.
pub(super) async fn look(connection: &mut Connection, settings: &Settings) -> Result<Look, EngineError> {
    let claim = fence::peek(connection, settings).await?.filter(|row| row.claimed).map(|row| row.seen);
    let record = enter::read(connection, settings).await?;
    let mut warnings = Vec::new();
    for row in &connection.read(settings, BROKEN, Value::map([])).await?.rows {
        let (name, state) = (text(row.first()), text(row.get(1)));
        warnings.push(format!("index {name} is {state}: queries do not use it"));
    }
    if claim.is_none() {
        for row in &connection.read(settings, LOCKS, Value::map([])).await?.rows {
            let id = text(row.first());
            warnings.push(format!(
                "neo4j-migrations holds its lock (id {id}): a run waits until it is gone; if no such tool runs, it died and left the lock behind"
            ));
        }
    }
    let size = connection.read(settings, SIZE, Value::map([])).await?;
    let entities: u64 = size.rows.iter().map(|row| super::history::number(row.first())).sum();
    Ok(Look {
        version: connection.server.version.clone(),
        identity: connection.server.identity.clone(),
        lineage: connection.server.lineage.clone(),
        histories: record.known.histories,
        foreign_tables: incumbents::named(connection, settings).await?,
        empty: proof::is_empty(connection, settings).await?,
        sessions: quiet::foreign(connection, settings).await?,
        quiet_provable: quiet::provable(connection, settings).await?,
        warnings,
        claim,
        bytes: entities.saturating_mul(BYTES_EACH),
    })
}
