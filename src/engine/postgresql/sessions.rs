//! Who else is connected to the database.

use super::history::timestamp;
use super::settings::Settings;
use super::wire::Set;
use crate::engine::ForeignSession;
use crate::engine::ignore::not_ignored;
use crate::engine::name::prefix;

/// Every session of this database but ours. Only what can't write on its own is left out by type, so a type that we
/// may not see counts as foreign: an ordinary role once proved silence while two others were connected.
pub(super) fn query(settings: &Settings) -> String {
    let ours = postgres_protocol::escape::escape_literal(&prefix(&settings.target));
    format!(
        "SELECT a.pid, a.usename, a.application_name, host(a.client_addr), a.state, a.backend_type, \
         (extract(epoch FROM a.backend_start) * 1000000)::bigint \
         FROM pg_stat_activity a JOIN pg_database d ON d.oid = a.datid \
         WHERE d.datname = current_database() AND a.pid <> pg_backend_pid() \
         AND a.backend_type IS DISTINCT FROM 'autovacuum worker' \
         AND NOT starts_with(a.application_name, {ours}) ORDER BY a.pid"
    )
}

/// The sessions in the rows of [`query`] that no rule ignores.
pub(super) fn foreign(settings: &Settings, set: Option<&Set>) -> Vec<ForeignSession> {
    let rows = set.map_or(&[][..], |set| &set.rows);
    let sessions = rows.iter().map(|row| ForeignSession {
        pid: row[0].as_deref().and_then(|pid| pid.parse().ok()).unwrap_or(0),
        user: row[1].clone(),
        application: row[2].clone().unwrap_or_default(),
        address: row[3].clone(),
        state: row[4].clone(),
        backend_type: row[5].clone(),
        since: timestamp(row[6].as_deref()),
    });
    not_ignored(&settings.quiet_ignore, sessions)
}

/// Whether our role sees everybody.
pub(super) const SEES_ALL: &str = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')";

/// Why silence can't be proven, and what would help.
pub(super) fn blind(user: &str) -> String {
    let role = super::connect::ident(user);
    format!(
        "role {user} can't see the sessions of other roles, so silence can't be proven. \
         A database administrator must run: GRANT pg_read_all_stats TO {role};"
    )
}
