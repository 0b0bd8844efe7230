//! A check's query: one statement that can't write.

use std::time::Duration;

use super::connect::{Connection, server_said};
use super::settings::Settings;
use super::wire::ALL_ROWS;
use crate::engine::facts::MOST_ROWS;
use crate::engine::lost::Lost;
use crate::engine::{EngineError, Rows};

/// Runs `statement` in a read-only transaction of its own. It goes by the extended protocol, in which the server takes
/// exactly one statement: none can follow a COMMIT that ends our read-only transaction.
pub(super) async fn query(
    connection: &mut Connection,
    settings: &Settings,
    statement: &str,
    timeout: Duration,
) -> Result<Rows, EngineError> {
    let lost = |lost: Lost| lost.at(settings.at());
    let milliseconds = timeout.as_millis().clamp(1, 86_400_000);
    let begin = format!(
        "SET default_transaction_read_only = on; BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds}"
    );
    let reply = connection.wire.query(&begin, ALL_ROWS).await.map_err(lost)?;
    let reply = match reply.error {
        Some(_) => reply,
        None => connection.wire.one(statement, MOST_ROWS).await.map_err(lost)?,
    };
    if let Some(error) = reply.error {
        return Err(server_said(settings, error));
    }
    let set = reply.sets.into_iter().next().unwrap_or_default();
    Ok(Rows { columns: set.columns, rows: set.rows, truncated: reply.truncated })
}
