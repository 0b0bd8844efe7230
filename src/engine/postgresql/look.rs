//! A look from outside: reads only, nothing held.

use super::connect::Connection;
use super::history::{READ, record};
use super::schema::{SEEN, Schema, judge, may_not_create};
use super::settings::Settings;
use super::wire::Set;
use super::{fence, incumbents, mark, sessions};
use crate::engine::record::Record;
use crate::engine::{EngineError, Look};

/// What the catalogues say, in one round trip.
fn query(settings: &Settings) -> String {
    let users = mark::USERS_SCHEMAS;
    format!(
        "SELECT {SEEN}, has_database_privilege(current_database(), 'CREATE'), pg_database_size(current_database()); \
         {}; {}; {}; \
         SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
           WHERE {users} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') LIMIT 1; \
         SELECT indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
           JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {users} AND NOT indisvalid AND c.relkind = 'i' \
           ORDER BY 1",
        sessions::SEES_ALL,
        sessions::query(settings),
        incumbents::query(),
    )
}

/// Looks at the database.
pub(super) async fn look(connection: &mut Connection, settings: &Settings) -> Result<Look, EngineError> {
    let at = settings.at();
    let sets = connection.read(settings, &query(settings)).await?;
    let first = |index: usize, column: usize| value(sets.get(index), column);
    let schema = judge(&at, first(0, 0) == "t", first(0, 1) == "t")?;
    let (Record { histories, .. }, claim) = match schema {
        Schema::Present => {
            let row = fence::peek(connection, settings).await?;
            let sets = connection.read(settings, READ).await?;
            (record(&settings.histories, &sets), row.claimed.then_some(row.seen))
        }
        Schema::Absent if first(0, 2) != "t" => {
            return Err(may_not_create(settings, &connection.server.user));
        }
        Schema::Absent => (record(&settings.histories, &[]), None),
    };
    let invalid = sets.get(5).map_or(&[][..], |set| &set.rows);
    let warnings = invalid.iter().flatten().flatten().map(|index| {
        format!("index {index} is INVALID: an earlier CREATE INDEX CONCURRENTLY failed or still runs")
    });
    let server = &connection.server;
    Ok(Look {
        version: server.version.clone(),
        identity: server.identity.clone(),
        lineage: server.lineage.clone(),
        histories,
        foreign_tables: incumbents::named(sets.get(3)),
        empty: sets.get(4).is_none_or(|set| set.rows.is_empty()),
        sessions: sessions::foreign(settings, sets.get(2)),
        quiet_provable: if first(1, 0) == "t" { Ok(()) } else { Err(sessions::blind(&server.user)) },
        warnings: warnings.collect(),
        claim,
        bytes: first(0, 3).parse().unwrap_or(0),
    })
}

fn value(set: Option<&Set>, column: usize) -> &str {
    set.and_then(|set| set.rows.first())
        .and_then(|row| row.get(column))
        .and_then(Option::as_deref)
        .unwrap_or("")
}
