//! The fence node: one token that only grows, and the claim of one run.
//!
//! A transaction that writes to the node holds it until its end, so every effect first writes to it and then compares;
//! raising the token waits for whoever is inside. `entry` is new at every raise: a message of an earlier session that was
//! still on its way finds another one.

use super::connect::{Connection, said, server_said, text};
use super::own::exactly_one;
use super::packstream::Value;
use super::schema::check_format;
use super::settings::Settings;
use super::wire::{ALL_ROWS, ServerError, Set};
use crate::engine::fence::admit;
use crate::engine::{BlockedBy, Claim, ClaimSeen, EngineError, Fence};

/// The fence as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) claimed: bool,
    pub(super) seen: ClaimSeen,
    pub(super) entry: String,
    /// The id of the lock node of neo4j-migrations that a session of ours made.
    pub(super) peer_lock: String,
}

/// What a session shows at the fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) token: u64,
    pub(super) entry: String,
}

impl Pass {
    /// What [`HOLD_OURS`] and [`CHECK`] are filled with.
    pub(super) fn parameters(&self) -> Value {
        Value::map([("token", Value::number(self.token)), ("entry", Value::text(self.entry.as_str()))])
    }
}

const COLUMNS: &str = "f.format, f.token, f.claimed, f.runUid, f.run, f.plan, f.cluster, f.entry, f.peerLock";

/// Takes the node for this transaction and reads what stands there. Written before it is read: what is read
/// before the lock may be old by the time the lock is there.
pub(super) const HOLD: &str = "MATCH (f:__WhimbrelFence {id: 1}) SET f.beat = randomUUID() WITH f \
    RETURN f.format, f.token, f.claimed, f.runUid, f.run, f.plan, f.cluster, f.entry, f.peerLock";

/// As [`HOLD`]; refused where what stands there is not what a session has raised it to.
pub(super) const HOLD_OURS: &str = concat!(
    "MATCH (f:__WhimbrelFence {id: 1}) SET f.beat = randomUUID() ",
    exactly_one!("CASE WHEN f.token = $token AND f.entry = $entry THEN 1 END")
);

/// Refused where the fence is not as a session has raised it. Alone in a transaction that may write nothing, since it changes
/// the schema: whoever raises the token ends such transactions before it believes anything.
pub(super) const CHECK: &str = concat!(
    "MATCH (f:__WhimbrelFence {id: 1}) ",
    exactly_one!("CASE WHEN f.token = $token AND f.entry = $entry THEN 1 END")
);

/// Reads the node without holding anything; `None` where there is none.
pub(super) async fn peek(
    connection: &mut Connection,
    settings: &Settings,
) -> Result<Option<Row>, EngineError> {
    let query = format!("MATCH (f:__WhimbrelFence {{id: 1}}) RETURN {COLUMNS}");
    let set = connection.read(settings, &query, Value::map([])).await?;
    if set.rows.is_empty() { Ok(None) } else { row(settings, &set).map(Some) }
}

/// Takes the node and makes it ours, and with it the lock of neo4j-migrations where a history is that tool's too. What is
/// read from the histories after this is evidence.
pub(super) async fn raise(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
    entry: &str,
) -> Result<(), EngineError> {
    let begin = connection.writing(settings, settings.lock_timeout);
    said(settings, connection.wire.begin(&begin).await)?;
    let raised = raise_inside(connection, settings, fence, entry).await;
    if raised.is_err() {
        // Nothing of it stays; the connection is closed by the caller, who learns nothing from this answer.
        let _ = connection.wire.reset().await;
    }
    raised
}

async fn raise_inside(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
    entry: &str,
) -> Result<(), EngineError> {
    let held = inside(connection, settings, HOLD, Value::map([])).await?;
    let row = row(settings, &held)?;
    admit(&settings.at(), row.claimed, &row.seen, fence)?;
    let mine = Value::map([("mine", Value::text(row.peer_lock.as_str()))]);
    let foreign = inside(connection, settings, FOREIGN_LOCK, mine.clone()).await?;
    if let Some(lock) = foreign.rows.first() {
        return Err(EngineError::Busy { at: settings.at(), by: foreign_lock(lock) });
    }
    inside(connection, settings, "MATCH (l:__Neo4jMigrationsLock {id: $mine}) DELETE l", mine).await?;
    let lock = if settings.has_peer() { entry } else { "" };
    if !lock.is_empty() {
        let parameters =
            Value::map([("id", Value::text(lock)), ("name", Value::text(lock_name(&settings.database)))]);
        inside(connection, settings, "CREATE (:__Neo4jMigrationsLock {id: $id, name: $name})", parameters)
            .await?;
    }
    let raise = "MATCH (f:__WhimbrelFence {id: 1}) SET f.own = f.own + 1, f.token = $token, \
        f.entry = $entry, f.claimed = true, \
        f.runUid = $uid, f.run = $run, f.plan = $plan, f.cluster = $cluster, f.peerLock = $lock";
    let parameters = Value::map([
        ("token", Value::number(fence.token)),
        ("entry", Value::text(entry)),
        ("uid", Value::text(fence.run_uid.as_str())),
        ("run", Value::number(fence.run)),
        ("plan", Value::text(fence.plan.as_str())),
        ("cluster", Value::text(fence.cluster.as_str())),
        ("lock", Value::text(lock)),
    ]);
    inside(connection, settings, raise, parameters).await?;
    said(settings, connection.wire.commit("raise the fence").await)?;
    Ok(())
}

/// One statement of the transaction that is open; one that waited too long for the node says that somebody is in it.
async fn inside(
    connection: &mut Connection,
    settings: &Settings,
    query: &str,
    parameters: Value,
) -> Result<Set, EngineError> {
    let answer = connection.wire.run(query, parameters, ALL_ROWS).await;
    let answer = answer.map_err(|lost| lost.at(settings.at()))?;
    answer.map_err(
        |error| if timed_out(&error) { held_by_somebody(settings) } else { server_said(settings, error) },
    )
}

/// The server ended a transaction that took longer than it was given.
pub(super) fn timed_out(error: &ServerError) -> bool {
    // Ended while it waited for a lock, it is told so by another code.
    ["TransactionTimedOut", "LockAcquisitionTimeout", "LockClientStopped"]
        .iter()
        .any(|it| error.code.contains(it))
}

fn held_by_somebody(settings: &Settings) -> EngineError {
    let by = BlockedBy::unnamed("a transaction still holds the fence node");
    EngineError::Busy { at: settings.at(), by }
}

/// The name that neo4j-migrations locks a database by; "John Doe" is its word for the default one.
fn lock_name(database: &str) -> String {
    match database.to_lowercase().as_str() {
        "neo4j" => "John Doe".to_owned(),
        other => other.to_owned(),
    }
}

const FOREIGN_LOCK: &str =
    "MATCH (l:__Neo4jMigrationsLock) WHERE l.id IS NULL OR l.id <> $mine RETURN l.id, l.name ORDER BY l.id";

/// A lock of that tool has no owner and no time: nobody but a person can tell whether it is alive.
fn foreign_lock(row: &[Value]) -> BlockedBy {
    let (id, name) = (text(row.first()), text(row.get(1)));
    BlockedBy {
        what: format!(
            "neo4j-migrations holds its lock (id {id}, name {name}): it runs, or it died and left the lock behind"
        ),
        since: None,
        sql: Some(format!(
            "MATCH (l:__Neo4jMigrationsLock {{id: '{}'}}) DELETE l; once it is sure that no such tool runs",
            id.replace('\'', "\\'")
        )),
        pid: None,
    }
}

/// What a session says last: its lock of neo4j-migrations is gone, and with [`Claim::GiveUp`] its claim. Where the fence is
/// another's by now, nothing is said.
pub(super) async fn farewell(
    connection: &mut Connection,
    settings: &Settings,
    pass: &Pass,
    claim: Claim,
) -> Result<(), EngineError> {
    let begin = connection.writing(settings, settings.lock_timeout);
    said(settings, connection.wire.begin(&begin).await)?;
    let held = row(settings, &inside(connection, settings, HOLD, Value::map([])).await?)?;
    if held.seen.token != pass.token || held.entry != pass.entry {
        return connection.wire.reset().await.map_err(|lost| lost.at(settings.at()));
    }
    let lock = Value::map([("id", Value::text(held.peer_lock))]);
    inside(connection, settings, "MATCH (l:__Neo4jMigrationsLock {id: $id}) DELETE l", lock).await?;
    let give_up = match claim {
        Claim::Keep => "MATCH (f:__WhimbrelFence {id: 1}) SET f.own = f.own + 1, f.peerLock = ''",
        Claim::GiveUp => {
            "MATCH (f:__WhimbrelFence {id: 1}) SET f.own = f.own + 1, f.peerLock = '', f.claimed = false"
        }
    };
    inside(connection, settings, give_up, Value::map([])).await?;
    said(settings, connection.wire.commit("leave").await)?;
    Ok(())
}

/// Reads the one row of [`HOLD`] and its like.
pub(super) fn row(settings: &Settings, set: &Set) -> Result<Row, EngineError> {
    let row = set.rows.first();
    let column = |index: usize| row.and_then(|row| row.get(index));
    let number = |index: usize| column(index).and_then(Value::as_u64).unwrap_or(0);
    check_format(&settings.at(), column(0).and_then(Value::as_u64))?;
    Ok(Row {
        claimed: column(2) == Some(&Value::Bool(true)),
        seen: ClaimSeen {
            token: number(1),
            run_uid: text(column(3)),
            run: number(4),
            plan: text(column(5)),
            cluster: text(column(6)),
        },
        entry: text(column(7)),
        peer_lock: text(column(8)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_of_a_dead_tool_is_named_with_the_way_out() {
        let by = foreign_lock(&[Value::text("4c1d"), Value::text("John Doe")]);
        assert_eq!(
            by.to_string(),
            "neo4j-migrations holds its lock (id 4c1d, name John Doe): it runs, or it died and left the lock behind. \
             To end it: MATCH (l:__Neo4jMigrationsLock {id: '4c1d'}) DELETE l; once it is sure that no such tool runs"
        );
        assert_eq!([lock_name("Neo4j"), lock_name("Graph")], ["John Doe", "graph"]);
    }
}
