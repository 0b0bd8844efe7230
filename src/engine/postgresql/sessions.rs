//! Who else is connected to the database.

use super::history::timestamp;
use super::name::prefix;
use super::settings::{Ignore, Settings};
use super::wire::Set;
use crate::engine::ForeignSession;

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
    sessions.filter(|session| !settings.quiet_ignore.iter().any(|rule| rule.matches(session))).collect()
}

impl Ignore {
    /// A rule without a field matches nobody.
    fn matches(&self, session: &ForeignSession) -> bool {
        let user = self.user.as_ref().map(|user| session.user.as_ref() == Some(user));
        let name = self.application_name.as_ref().map(|name| session.application == *name);
        (user.is_some() || name.is_some()) && user.unwrap_or(true) && name.unwrap_or(true)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_matches_only_if_all_its_fields_do() {
        let session = ForeignSession {
            pid: 1,
            user: Some("exporter".to_owned()),
            application: "metrics".to_owned(),
            address: None,
            state: None,
            backend_type: None,
            since: None,
        };
        let rule = |user: Option<&str>, name: Option<&str>| Ignore {
            user: user.map(str::to_owned),
            application_name: name.map(str::to_owned),
        };
        assert!(rule(Some("exporter"), None).matches(&session));
        assert!(rule(Some("exporter"), Some("metrics")).matches(&session));
        assert!(!rule(Some("exporter"), Some("other")).matches(&session));
        assert!(!rule(None, None).matches(&session));
    }
}
