//! Statements planned again while the session waits for something else.
//!
//! Every change of the schema makes the server forget how to run all statements, and to find that out again takes it ten times
//! as long as to run one of ours. Meanwhile the session waits for its index; so a second connection has the server explain what
//! the session will say next, and what is explained is planned. Nothing depends on it: whatever fails is planned when it is said.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::AbortOnDropHandle;

use super::connect::{Connection, open};
use super::own::Own;
use super::packstream::Value;
use super::settings::Settings;
use crate::engine::name::Purpose;
use crate::engine::{EngineError, Fence};

/// A query and what it is filled with: another type of a parameter would be another plan.
type Ask = (String, Value);

/// A second connection of a session, which is opened at the first request and gone with the session.
pub(super) struct Replan {
    asks: UnboundedSender<Ask>,
    _asking: AbortOnDropHandle<()>,
}

impl Replan {
    pub(super) fn new(settings: Arc<Settings>, fence: Fence) -> Self {
        let (asks, asked) = unbounded_channel();
        let asking = async move {
            // The session is none the worse for it, and says its statements as they are.
            if let Err(error) = explain_all(&settings, &fence, asked).await {
                tracing::debug!(%error, target = settings.target, "statements are not planned ahead any more");
            }
        };
        Self { asks, _asking: AbortOnDropHandle::new(tokio::spawn(asking)) }
    }

    /// Has them planned, one after the other.
    pub(super) fn plan<'a>(&self, own: impl IntoIterator<Item = Own<'a>>) {
        for own in own {
            // Nobody listens where the server did not answer.
            let _ = self.asks.send((format!("EXPLAIN {}", own.query), own.parameters));
        }
    }
}

async fn explain_all(
    settings: &Settings,
    fence: &Fence,
    mut asked: UnboundedReceiver<Ask>,
) -> Result<(), EngineError> {
    let mut connection: Option<Connection> = None;
    while let Some((query, parameters)) = asked.recv().await {
        let connection = match &mut connection {
            Some(connection) => connection,
            none => none.insert(open(settings, Purpose::Watch(fence)).await?),
        };
        connection.read(settings, &query, parameters).await?;
    }
    Ok(())
}
