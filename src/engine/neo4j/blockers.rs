//! Who a running statement waits for, seen from a second connection while it waits. The server lets it wait for ever, so
//! after the lock timeout it is ended: its transaction is taken back, and the script gives way.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::connect::{Connection, open, said, text};
use super::packstream::Value;
use super::settings::Settings;
use super::wire::ALL_ROWS;
use crate::engine::name::Purpose;
use crate::engine::{BlockedBy, EngineError, Fence};

/// A look costs a round trip; below this the looks would be most of the work.
const SHORTEST: Duration = Duration::from_millis(50);

const MINE: &str = "SHOW TRANSACTIONS YIELD transactionId, connectionId, status WHERE connectionId = $id \
    RETURN transactionId, status";
const THEIRS: &str = "SHOW TRANSACTIONS YIELD transactionId, username, connectionId, startTime WHERE transactionId = $id \
    RETURN username, connectionId, startTime";

/// Looks three times within the lock timeout whether the transaction of connection `id` waits for another one; when it has
/// done so for all of it, the transaction is ended and who held it up is left in `seen`. Never ends; a statement that is
/// done sooner than the first look costs nothing. Without a lock timeout nobody gives way.
pub(super) async fn watch(
    settings: &Settings,
    fence: &Fence,
    id: &str,
    seen: &mut Option<BlockedBy>,
) -> Infallible {
    if settings.lock_timeout.is_zero() {
        return std::future::pending().await;
    }
    let (mut connection, mut since) = (None, None);
    loop {
        sleep((settings.lock_timeout / 3).max(SHORTEST)).await;
        // Without an answer the statement waits on; it must not suffer from it.
        let waits = look(&mut connection, settings, fence, id).await.ok().flatten();
        let Some((own, by)) = waits else {
            since = None;
            continue;
        };
        let began = *since.get_or_insert_with(Instant::now);
        if began.elapsed() >= settings.lock_timeout {
            // First of all: the statement's answer may be there before that of the request.
            *seen = Some(by);
            let _ = end(&mut connection, settings, &own).await;
        }
    }
}

/// Our transaction and who it waits for, if it waits.
async fn look(
    connection: &mut Option<Connection>,
    settings: &Settings,
    fence: &Fence,
    id: &str,
) -> Result<Option<(String, BlockedBy)>, EngineError> {
    let mut asked = match connection.take() {
        Some(open) => open,
        None => open(settings, Purpose::Watch(fence)).await?,
    };
    let mine = asked.read(settings, MINE, Value::map([("id", Value::text(id))])).await?;
    let waiting = mine.rows.iter().find_map(|row| {
        let by = blocker(&text(row.get(1)))?.to_owned();
        Some((text(row.first()), by))
    });
    let Some((own, by)) = waiting else {
        *connection = Some(asked);
        return Ok(None);
    };
    let theirs = asked.read(settings, THEIRS, Value::map([("id", Value::text(by.as_str()))])).await?;
    *connection = Some(asked);
    let who = theirs
        .rows
        .first()
        .map_or_else(String::new, |row| format!(" (user {}, {})", text(row.first()), text(row.get(1))));
    let since = theirs.rows.first().and_then(|row| text(row.get(2)).parse().ok());
    let sql = Some(format!("TERMINATE TRANSACTIONS '{by}'"));
    Ok(Some((own, BlockedBy { what: format!("lock held by {by}{who}"), since, sql, pid: None })))
}

async fn end(connection: &mut Option<Connection>, settings: &Settings, own: &str) -> Result<(), EngineError> {
    let Some(connection) = connection else { return Ok(()) };
    let begin = connection.writing(settings, settings.connect_timeout);
    let terminate = format!("TERMINATE TRANSACTIONS '{}'", own.replace(['\'', '\\'], ""));
    said(settings, connection.wire.alone("give way", &terminate, &begin, ALL_ROWS).await)?;
    Ok(())
}

/// The first transaction in `Blocked by: [neo4j-transaction-12, …]`.
fn blocker(status: &str) -> Option<&str> {
    let all = status.strip_prefix("Blocked by:")?.trim().trim_start_matches('[').trim_end_matches(']');
    all.split(',').map(str::trim).find(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::blocker;

    #[test]
    fn the_status_says_who_is_waited_for() {
        assert_eq!(
            blocker("Blocked by: [neo4j-transaction-12, neo4j-transaction-3]"),
            Some("neo4j-transaction-12")
        );
        assert_eq!(blocker("Blocked by: []"), None);
        assert_eq!(blocker("Running"), None);
    }
}
