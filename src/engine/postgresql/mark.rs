//! The write mark: one digest over everything a write moves.
//!
//! Row counters alone are blind to TRUNCATE, DDL, nextval and large objects; each of those moves something else.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::connect::Connection;
use super::settings::Settings;
use super::wire::Set;
use crate::engine::EngineError;

/// Not ours and not the server's.
pub(super) const USERS_SCHEMAS: &str =
    "n.nspname <> 'whimbrel' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

/// Before version 15 counters travel to a collector that writes them out every half second; a writer that has left
/// would otherwise be seen only by the next sample.
const COLLECTED_WITHIN: Duration = Duration::from_millis(1100);
const SHARED_COUNTERS: u32 = 150_000;

/// Catalogues whose rows change with the structure. Compared by the transaction that wrote each row, which neither
/// ANALYZE nor VACUUM changes.
const CATALOGUES: [&str; 9] = [
    "pg_namespace",
    "pg_proc",
    "pg_type",
    "pg_constraint",
    "pg_attrdef",
    "pg_trigger",
    "pg_rewrite",
    "pg_policy",
    "pg_extension",
];

/// Reads the mark. The inner error is why it can't be read, a sentence.
pub(super) async fn read(
    connection: &mut Connection,
    settings: &Settings,
) -> Result<Result<String, String>, EngineError> {
    if connection.server.number < SHARED_COUNTERS {
        sleep(COLLECTED_WITHIN).await;
    }
    let mut digest = Sha256::new();
    let sets = connection.read(settings, &query()).await?;
    let (names, counters) = sets.split_last().map_or((None, &[][..]), |(names, rest)| (Some(names), rest));
    take(&mut digest, counters);
    let names: Vec<&str> =
        names.iter().flat_map(|set| &set.rows).flatten().filter_map(Option::as_deref).collect();
    if !names.is_empty() {
        let values =
            names.iter().map(|name| format!("SELECT '{0}', last_value, is_called FROM {1}", hex(name), name));
        let values = values.collect::<Vec<_>>().join(" UNION ALL ");
        match connection.read(settings, &values).await {
            Ok(sets) => take(&mut digest, &sets),
            Err(EngineError::Server { code, message, .. }) if code == "42501" => {
                return Ok(Err(format!(
                    "the write mark can't be read: {message}. Grant SELECT on all sequences."
                )));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(format!("sha256:{}", hex::encode(digest.finalize()))))
}

/// A name as hex, so that no quote in it can end the text around it.
fn hex(name: &str) -> String {
    hex::encode(name)
}

fn query() -> String {
    let catalogues = CATALOGUES.map(|catalogue| {
        format!(
            "SELECT '{catalogue}', count(*), sum(hashtextextended(c.oid::text || ' ' || c.xmin::text, 0)::numeric) FROM {catalogue} c"
        )
    });
    format!(
        "SELECT stats_reset FROM pg_stat_database WHERE datname = current_database(); \
         SELECT relid, n_tup_ins, n_tup_upd, n_tup_del FROM (SELECT *, schemaname AS nspname FROM pg_stat_all_tables) n \
         WHERE ({USERS_SCHEMAS}) \
         OR relid IN ('pg_largeobject'::regclass, 'pg_largeobject_metadata'::regclass) ORDER BY relid; \
         SELECT c.oid, c.relfilenode, c.xmin FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {USERS_SCHEMAS} ORDER BY c.oid; \
         SELECT a.attrelid, a.attnum, a.xmin FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USERS_SCHEMAS} ORDER BY 1, 2; \
         SELECT i.indexrelid, i.xmin FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USERS_SCHEMAS} ORDER BY 1; \
         {}; \
         SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S' AND {USERS_SCHEMAS} ORDER BY c.oid",
        catalogues.join("; ")
    )
}

/// Takes every value in, with marks between them that no value can imitate.
fn take(digest: &mut Sha256, sets: &[Set]) {
    for row in sets.iter().flat_map(|set| &set.rows) {
        for value in row {
            match value {
                Some(value) => {
                    digest.update(u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes());
                    digest.update(value);
                }
                None => digest.update(u64::MAX.to_be_bytes()),
            }
        }
        digest.update([0]);
    }
}
