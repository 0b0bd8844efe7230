//! How far a statement of ours is, where the server says it.

use super::connect::Connection;
use super::settings::Settings;
use crate::engine::name::{Purpose, session_name};
use crate::engine::{EngineError, Fence};

const INDEX: &str = "SELECT format('index on %s: %s%s', p.relid::regclass, p.phase, \
     CASE WHEN p.phase LIKE 'waiting for%' AND p.lockers_total > 0 THEN format(', %s of %s', p.lockers_done, p.lockers_total) \
     WHEN p.blocks_total > 0 THEN format(', %s %%', 100 * p.blocks_done / p.blocks_total) \
     WHEN p.tuples_total > 0 THEN format(', %s %%', 100 * p.tuples_done / p.tuples_total) ELSE '' END) \
     FROM pg_stat_progress_create_index p JOIN pg_stat_activity a USING (pid)";
const VACUUM: &str = "SELECT format('VACUUM of %s: %s, %s %%', p.relid::regclass, p.phase, \
     100 * p.heap_blks_scanned / greatest(p.heap_blks_total, 1)) \
     FROM pg_stat_progress_vacuum p JOIN pg_stat_activity a USING (pid)";
/// VACUUM FULL is one too.
const CLUSTER: &str = "SELECT format('%s of %s: %s, %s %%', p.command, p.relid::regclass, p.phase, \
     100 * p.heap_blks_scanned / greatest(p.heap_blks_total, 1)) \
     FROM pg_stat_progress_cluster p JOIN pg_stat_activity a USING (pid)";
/// How many there will be nobody knows: they come from a script.
const COPY: &str = "SELECT format('COPY into %s: %s rows', p.relid::regclass, p.tuples_processed) \
     FROM pg_stat_progress_copy p JOIN pg_stat_activity a USING (pid)";
/// The first server with [`COPY`].
const WITH_COPY: u32 = 140_000;

/// What the session of `fence` does now.
pub(super) async fn progress(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
) -> Result<Option<String>, EngineError> {
    let name = session_name(&settings.target, Purpose::Write(fence));
    let ours = postgres_protocol::escape::escape_literal(&name);
    let mut queries = vec![INDEX, VACUUM, CLUSTER];
    queries.extend((connection.server.number >= WITH_COPY).then_some(COPY));
    let all: Vec<String> =
        queries.iter().map(|query| format!("{query} WHERE a.application_name = {ours}")).collect();
    let sets = connection.read(settings, &all.join(" UNION ALL ")).await?;
    let said = sets.first().and_then(|set| set.rows.first()?.first()?.clone());
    Ok(said)
}
