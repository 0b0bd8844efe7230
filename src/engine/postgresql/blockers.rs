//! Who a running statement waits for, seen from a second session while it waits: afterwards nobody can tell.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use super::connect::{Connection, Lineage, connect};
use super::history::timestamp;
use super::settings::Settings;
use crate::engine::name::Purpose;
use crate::engine::{BlockedBy, EngineError, Fence};

/// With no lock timeout there is nothing to be in time for.
const UNHURRIED: Duration = Duration::from_secs(1);
/// A look costs a round trip; below this the looks would be most of the work.
const SHORTEST: Duration = Duration::from_millis(20);

/// Looks three times within the lock timeout who session `pid` waits for and keeps the last answer in `seen`. Never
/// ends; a script that is done sooner than the first look costs nothing.
pub(super) async fn watch(
    settings: &Settings,
    fence: &Fence,
    pid: i32,
    seen: &mut Option<BlockedBy>,
) -> Infallible {
    let tick = match settings.lock_timeout {
        Duration::ZERO => UNHURRIED,
        timeout => (timeout / 3).max(SHORTEST),
    };
    let mut connection = None;
    loop {
        sleep(tick).await;
        // Without an answer the message only lacks a name; the script must not suffer from it.
        if let Ok(Some(by)) = look(&mut connection, settings, fence, pid).await {
            *seen = Some(by);
        }
    }
}

async fn look(
    connection: &mut Option<Connection>,
    settings: &Settings,
    fence: &Fence,
    pid: i32,
) -> Result<Option<BlockedBy>, EngineError> {
    let mut open = match connection.take() {
        Some(open) => open,
        // A lineage of its own: a change must be told to the driver, not to us.
        None => connect(settings, &Lineage::default(), Purpose::Watch(fence)).await?,
    };
    let sets = open.read(settings, &query(pid)).await?;
    *connection = Some(open);
    let Some(row) = sets.iter().flat_map(|set| &set.rows).next() else { return Ok(None) };
    let column = |index: usize| row[index].as_deref().unwrap_or("");
    let on = row[4].as_deref().map_or_else(String::new, |relation| format!(" on {relation}"));
    Ok(Some(BlockedBy {
        what: format!("lock held by pid {} (app={}, role {}){on}", column(0), column(1), column(2)),
        since: timestamp(row[3].as_deref()),
        sql: Some(format!("SELECT pg_terminate_backend({});", column(0))),
        pid: column(0).parse().ok(),
    }))
}

fn query(pid: i32) -> String {
    format!(
        "SELECT a.pid, a.application_name, a.usename, \
         (extract(epoch FROM coalesce(a.xact_start, a.backend_start)) * 1000000)::bigint, \
         (SELECT n.nspname || '.' || c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
          JOIN pg_namespace n ON n.oid = c.relnamespace WHERE l.pid = {pid} AND NOT l.granted LIMIT 1) \
         FROM unnest(pg_blocking_pids({pid})) b(pid) JOIN pg_stat_activity a ON a.pid = b.pid ORDER BY a.pid LIMIT 1"
    )
}
