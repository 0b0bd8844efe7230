//! Labels under which other tools keep their history.

use super::connect::{Connection, text};
use super::packstream::Value;
use super::settings::Settings;
use crate::engine::EngineError;

/// Label and the tool that makes it.
const LABELS: [(&str, &str); 6] = [
    ("__Neo4jMigration", "neo4j-migrations"),
    ("SchemaMigration", "golang-migrate"),
    ("__LiquigraphChangeset", "Liquigraph"),
    ("LiquibaseChangeSet", "Liquibase"),
    ("flyway_schema_history", "Flyway"),
    ("Neo4jMigrateStorage", "neo4j-migrate"),
];

/// The labels that are in use, as `label (tool)`; a declared history of neo4j-migrations is not foreign.
pub(super) async fn named(
    connection: &mut Connection,
    settings: &Settings,
) -> Result<Vec<String>, EngineError> {
    let mut named = Vec::new();
    for (label, tool) in LABELS {
        if label == "__Neo4jMigration" && settings.has_peer() {
            continue;
        }
        let query = format!("MATCH (n:`{label}`) RETURN count(n) > 0");
        let set = connection.read(settings, &query, Value::map([])).await?;
        if set.rows.first().and_then(|row| row.first()) == Some(&Value::Bool(true)) {
            named.push(format!("{label} ({tool})"));
        }
    }
    Ok(named)
}

/// Another tool's history with no script of ours beside it: whoever takes this for an empty history applies every script a
/// second time. Once a script of ours is in, the other tool is an application's own business.
pub(super) async fn refuse(
    connection: &mut Connection,
    settings: &Settings,
    present: bool,
) -> Result<(), EngineError> {
    if present {
        let query = "MATCH (s:__WhimbrelScript) RETURN 'yes' LIMIT 1";
        let set = connection.read(settings, query, Value::map([])).await?;
        if set.rows.first().is_some_and(|row| !text(row.first()).is_empty()) {
            return Ok(());
        }
    }
    let tables = named(connection, settings).await?;
    if tables.is_empty() { Ok(()) } else { Err(EngineError::Foreign { at: settings.at(), tables }) }
}
