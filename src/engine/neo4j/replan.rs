//! Statements planned before they are said, on a second connection.
//!
//! Every change of the schema makes the server forget how to run all statements, and to find that out again takes it ten times
//! as long as to run one of ours. So while the session says what comes first behind its change, another connection has the server
//! explain what will come then, and what is explained is planned. Nothing depends on it: whatever fails is planned when it is said.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::connect::{Connection, open, said};
use super::own::Own;
use super::packstream::Value;
use super::settings::Settings;
use super::wire::NO_ROWS;
use crate::engine::name::Purpose;
use crate::engine::{EngineError, Fence};

/// A query and what it is filled with: another type of a parameter would be another plan.
type Ask = (String, Value);

/// What comes next.
#[derive(Clone, Default)]
struct Asks {
    /// Inside a transaction that has written something: the server keeps plans for such a one apart.
    inside: Vec<Ask>,
    /// As the first statement of a transaction.
    first: Vec<Ask>,
}

/// The second connection of a session; it is opened at the first request, and gone with the session.
pub(super) struct Replan {
    /// Only the newest: what is planned late is planned in vain.
    asks: watch::Sender<Asks>,
    _asking: AbortOnDropHandle<()>,
}

impl Replan {
    pub(super) fn new(settings: Arc<Settings>, fence: Fence) -> Self {
        let (asks, asked) = watch::channel(Asks::default());
        let asking = async move {
            if let Err(error) = explain_all(&settings, &fence, asked).await {
                tracing::debug!(%error, target = settings.target, "statements are not planned ahead any more");
            }
        };
        Self { asks, _asking: AbortOnDropHandle::new(tokio::spawn(asking)) }
    }

    /// Has them planned one after the other: first what will be said `inside` a transaction that has written, then what will be
    /// the `first` of one.
    pub(super) fn plan(&self, inside: Vec<Own<'_>>, first: Vec<Own<'_>>) {
        let ask = |own: Own<'_>| (format!("EXPLAIN {}", own.query), own.parameters);
        let all = |own: Vec<Own<'_>>| own.into_iter().map(ask).collect();
        self.asks.send_replace(Asks { inside: all(inside), first: all(first) });
    }
}

/// A node that no other transaction ever sees.
const WRITE: &str = "CREATE (:__WhimbrelScript)";

async fn explain_all(
    settings: &Settings,
    fence: &Fence,
    mut asked: watch::Receiver<Asks>,
) -> Result<(), EngineError> {
    let mut connection: Option<Connection> = None;
    while asked.changed().await.is_ok() {
        let Asks { inside, first } = asked.borrow_and_update().clone();
        let connection = match &mut connection {
            Some(connection) => connection,
            none => none.insert(open(settings, Purpose::Watch(fence)).await?),
        };
        let begin = connection.writing(settings, settings.connect_timeout);
        let wire = &mut connection.wire;
        said(settings, wire.begin(&begin).await)?;
        said(settings, wire.run(WRITE, Value::map([]), NO_ROWS).await)?;
        for (query, parameters) in inside {
            said(settings, wire.run(&query, parameters, NO_ROWS).await)?;
        }
        // Never anything else: this connection is not fenced, and what it has written is only there to be taken back.
        said(settings, wire.rollback().await)?;
        for (query, parameters) in first {
            connection.read(settings, &query, parameters).await?;
        }
    }
    Ok(())
}
