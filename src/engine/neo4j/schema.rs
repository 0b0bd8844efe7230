//! What Whimbrel keeps in a graph: one fence node, and one node for each script that was begun. Made under no lock, since
//! every statement of it says the same when it runs twice.

use super::connect::{Connection, said};
use super::packstream::Value;
use super::settings::Settings;
use super::wire::NO_ROWS;
use crate::engine::EngineError;

/// Of these nodes and constraints. Grows with every change that an older program could not read.
pub(super) const FORMAT: u64 = 1;

/// Labels of ours and of neo4j-migrations: no part of a user's data or structure.
pub(super) const KEPT_LABELS: [&str; 4] =
    ["__WhimbrelFence", "__WhimbrelScript", "__Neo4jMigration", "__Neo4jMigrationsLock"];
/// Relationship types of neo4j-migrations.
pub(super) const KEPT_TYPES: [&str; 2] = ["MIGRATED_TO", "REPEATED"];

/// One fence; one journal entry for a versioned script that is not undone, whatever the history's format says.
const OURS: [(&str, &str); 2] = [
    (
        "__whimbrel_fence",
        "CREATE CONSTRAINT `__whimbrel_fence` IF NOT EXISTS FOR (f:__WhimbrelFence) REQUIRE f.id IS UNIQUE",
    ),
    (
        "__whimbrel_script_live",
        "CREATE CONSTRAINT `__whimbrel_script_live` IF NOT EXISTS FOR (s:__WhimbrelScript) REQUIRE s.live IS UNIQUE",
    ),
];

/// As neo4j-migrations makes them before it does anything.
const PEERS: [(&str, &str); 4] = [
    (
        "__Neo4jMigrationsLock__has_unique_id",
        "CREATE CONSTRAINT __Neo4jMigrationsLock__has_unique_id IF NOT EXISTS FOR (n:__Neo4jMigrationsLock) REQUIRE n.id IS UNIQUE",
    ),
    (
        "__Neo4jMigrationsLock__has_unique_name",
        "CREATE CONSTRAINT __Neo4jMigrationsLock__has_unique_name IF NOT EXISTS FOR (n:__Neo4jMigrationsLock) REQUIRE n.name IS UNIQUE",
    ),
    (
        "unique_version___Neo4jMigration",
        "CREATE CONSTRAINT unique_version___Neo4jMigration IF NOT EXISTS FOR (n:__Neo4jMigration) REQUIRE (n.version, n.migrationTarget) IS UNIQUE",
    ),
    (
        "repeated_at__Neo4jMigration",
        "CREATE INDEX repeated_at__Neo4jMigration IF NOT EXISTS FOR ()-[r:REPEATED]-() ON (r.at)",
    ),
];

const NAMES: &str = "SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN name";

/// The fence, and every name that later transactions use: a name that is new to the database is a transaction of its own,
/// which would look like somebody else's write. Done again, it is a write of ours as the fence's others.
const FILL: &str = "MERGE (f:__WhimbrelFence {id: 1}) ON CREATE SET f.format = $format, f.token = 0, f.entry = '', f.beat = '', \
    f.claimed = false, f.runUid = '', f.run = 0, f.plan = '', f.cluster = '', f.own = 0, f.peerLock = ''
    ON MATCH SET f.own = f.own + 1
    CREATE (s:__WhimbrelScript {history: '', rank: 0, key: '', kind: '', version: '', description: '', file: '', \
    checksum: '', body: '', state: '', run: '', statement: 0, outside: 0, before: '', startedAt: 0, at: 0, live: randomUUID()})
    DELETE s";

/// Makes what is absent, in both formats where a declared history is neo4j-migrations' own.
pub(super) async fn make(connection: &mut Connection, settings: &Settings) -> Result<(), EngineError> {
    let names = connection.read(settings, NAMES, Value::map([])).await?;
    let there: Vec<String> = names.rows.iter().map(|row| super::connect::text(row.first())).collect();
    let wanted = OURS.iter().chain(if settings.has_peer() { &PEERS[..] } else { &[] });
    let begin = connection.writing(settings, settings.connect_timeout.max(Settings::CONNECT_TIMEOUT));
    let mut made = false;
    for (name, statement) in wanted.filter(|(name, _)| !there.iter().any(|there| there == name)) {
        let what = format!("make {name}");
        said(settings, connection.wire.alone(&what, statement, &begin, NO_ROWS).await)
            .map_err(|error| may_not_create(settings, error))?;
        made = true;
    }
    let fence = connection.read(settings, "MATCH (f:__WhimbrelFence) RETURN f.id", Value::map([])).await?;
    if made || fence.rows.is_empty() {
        let begin = connection.writing(settings, settings.lock_timeout);
        said(settings, connection.wire.begin(&begin).await)?;
        let parameters = Value::map([("format", Value::number(FORMAT))]);
        let filled = connection.wire.run(FILL, parameters, NO_ROWS).await;
        if !matches!(filled, Ok(Ok(_))) {
            let failed = said(settings, filled).err();
            // What the refusal leaves of the connection is the caller's affair: it is closed.
            return failed.map_or(Ok(()), Err);
        }
        said(settings, connection.wire.commit("make the fence").await)?;
    }
    Ok(())
}

fn may_not_create(settings: &Settings, error: EngineError) -> EngineError {
    match error {
        EngineError::Server { code, message, .. } if code.starts_with("Neo.ClientError.Security") => {
            let reason = format!("the user may make no constraints, which keep the history: {message}");
            EngineError::Unsupported { at: settings.at(), reason }
        }
        error => error,
    }
}

/// Refuses a graph that a newer program wrote in another format.
pub(super) fn check_format(at: &str, format: Option<u64>) -> Result<(), EngineError> {
    match format {
        Some(format) if format <= FORMAT => Ok(()),
        Some(format) => Err(EngineError::Unsupported {
            at: at.to_owned(),
            reason: format!("its __WhimbrelFence has format {format}, and this version knows up to {FORMAT}: use the newer operator"),
        }),
        None => Err(EngineError::Unsupported {
            at: at.to_owned(),
            reason: "its __WhimbrelFence node has no format: somebody else made or changed it. Remove it if no run is live"
                .to_owned(),
        }),
    }
}
