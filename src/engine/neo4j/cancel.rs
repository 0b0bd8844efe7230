//! Ending a running statement from outside: a connection of its own names our transactions by their connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use tokio::time::timeout;

use super::connect::{Connection, open, said, text};
use super::name::Purpose;
use super::packstream::Value;
use super::settings::Settings;
use super::wire::ALL_ROWS;
use crate::engine::{Canceller, EngineError, Fence};

/// Set once somebody has asked a session to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A canceller for `connection`. It marks the session first, so that a statement which is only about to be sent is not.
pub(super) fn canceller(
    settings: Arc<Settings>,
    connection: &Connection,
    fence: &Fence,
    cancelled: Cancelled,
) -> Canceller {
    let (id, fence) = (connection.server.connection.clone(), fence.clone());
    Canceller::new(move || {
        cancelled.0.store(true, Ordering::SeqCst);
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
