//! Ending a running statement from outside: a connection of its own names our transactions by their connection.

use std::sync::Arc;

use futures::FutureExt;
use tokio::time::timeout;

use super::connect::{Connection, open, said, text};
use super::packstream::Value;
use super::settings::Settings;
use super::wire::ALL_ROWS;
use crate::engine::canceller::Cancelled;
use crate::engine::name::Purpose;
use crate::engine::{Canceller, EngineError, Fence};

/// A canceller for `connection`.
pub(super) fn canceller(
    settings: Arc<Settings>,
    connection: &Connection,
    fence: &Fence,
    cancelled: &Cancelled,
) -> Canceller {
    let (id, fence) = (connection.server.connection.clone(), fence.clone());
    cancelled.canceller(move || {
        let (settings, id, fence) = (settings.clone(), id.clone(), fence.clone());
        async move {
            // An unanswered request is as good as a lost one; the session's own answer is what counts.
            let _ = timeout(settings.connect_timeout * 2, ask(&settings, &fence, &id)).await;
        }
        .boxed()
    })
}

async fn ask(settings: &Settings, fence: &Fence, id: &str) -> Result<(), EngineError> {
    let mut connection = open(settings, Purpose::Watch(fence)).await?;
    let query =
        "SHOW TRANSACTIONS YIELD transactionId, connectionId WHERE connectionId = $id RETURN transactionId";
    let found = connection.read(settings, query, Value::map([("id", Value::text(id))])).await?;
    let begin = connection.writing(settings, settings.connect_timeout);
    for row in &found.rows {
        let terminate = format!("TERMINATE TRANSACTIONS '{}'", text(row.first()).replace(['\'', '\\'], ""));
        said(settings, connection.wire.alone("cancel", &terminate, &begin, ALL_ROWS).await)?;
    }
    connection.wire.goodbye().await;
    Ok(())
}
