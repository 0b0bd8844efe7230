//! The session in the maintenance database: it holds the lock, closes and opens databases, and ends who is in them.

use std::collections::BTreeMap;
use std::time::Duration;

use postgres_protocol::escape::escape_literal;
use tokio::time::{Instant, sleep, timeout};

use super::label::{Label, lock, maintenance};
use crate::engine::name::Purpose;
use crate::engine::postgresql::ambiguity;
use crate::engine::postgresql::connect::{Connection, Lineage, open, server_said};
use crate::engine::postgresql::settings::Settings;
use crate::engine::postgresql::wire::{ALL_ROWS, Status};
use crate::engine::{BlockedBy, EngineError, Fence};

/// How long ended sessions may take to be gone before we say that one is in the way.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const GONE_POLL: Duration = Duration::from_millis(25);
/// Making and dropping a database waits for a checkpoint on older servers.
const SLOW: &str = "SET statement_timeout = '15min'";

/// A session in the maintenance database under the lock on one database's restore.
pub(super) struct Door<'a> {
    pub(super) settings: &'a Settings,
    pub(super) fence: &'a Fence,
    pub(super) connection: Connection,
}

/// A database as the server's catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) oid: u32,
    /// Takes connections.
    pub(super) open: bool,
    pub(super) comment: Option<String>,
    pub(super) label: Option<Label>,
}

impl<'a> Door<'a> {
    /// As the driver that swaps: sessions of its older epochs have ended before this one does anything.
    pub(super) async fn of_driver(
        settings: &'a Settings,
        lineage: &Lineage,
        fence: &'a Fence,
    ) -> Result<Self, EngineError> {
        let mut door = Self::connect(settings, lineage, fence, Purpose::Write(fence)).await?;
        match door.settle().await {
            Ok(()) => Ok(door),
            Err(refusal) => {
                door.leave().await;
                Err(refusal)
            }
        }
    }

    /// As somebody who only needs the lock: whoever has it is not ended.
    pub(super) async fn of_passer_by(
        settings: &'a Settings,
        lineage: &Lineage,
        fence: &'a Fence,
    ) -> Result<Self, EngineError> {
        let mut door = Self::connect(settings, lineage, fence, Purpose::Watch(fence)).await?;
        match door.take_lock().await {
            Ok(()) => Ok(door),
            Err(refusal) => {
                door.leave().await;
                Err(refusal)
            }
        }
    }

    /// As somebody who only looks, and waits for nobody's lock.
    pub(super) async fn of_reader(
        settings: &'a Settings,
        lineage: &Lineage,
        fence: &'a Fence,
    ) -> Result<Self, EngineError> {
        Self::connect(settings, lineage, fence, Purpose::Watch(fence)).await
    }

    /// To the first maintenance database that lets us in.
    async fn connect(
        settings: &'a Settings,
        lineage: &Lineage,
        fence: &'a Fence,
        purpose: Purpose<'_>,
    ) -> Result<Self, EngineError> {
        let mut refusal = None;
        for name in maintenance(&settings.database) {
            match open(&settings.inside(name), purpose).await {
                Ok(mut connection) => {
                    lineage.check_server(settings, &connection.server)?;
                    connection.wire.query(SLOW, ALL_ROWS).await.map_err(|lost| lost.at(settings.at()))?;
                    return Ok(Self { settings, fence, connection });
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.expect("there is at least one to be tried"))
    }

    async fn settle(&mut self) -> Result<(), EngineError> {
        ambiguity::look_and_settle(&mut self.connection, self.settings, self.fence).await?;
        self.take_lock().await
    }

    async fn take_lock(&mut self) -> Result<(), EngineError> {
        let key = lock(&self.settings.database);
        let sets = self.connection.read(self.settings, &ambiguity::try_lock(key)).await?;
        if sets.iter().flat_map(|set| &set.rows).flatten().any(|value| value.as_deref() == Some("t")) {
            return Ok(());
        }
        let by = ambiguity::holder(&mut self.connection, self.settings, key).await?;
        Err(self.busy(by))
    }

    /// Says goodbye; the lock is free when the server has closed. One that is slow to hang up changes nothing.
    pub(super) async fn leave(self) {
        let _ = timeout(self.settings.connect_timeout, self.connection.wire.terminate()).await;
    }

    /// The databases of these names that there are.
    pub(super) async fn look(&mut self, names: &[&str]) -> Result<BTreeMap<String, Seen>, EngineError> {
        let names = names.iter().map(|name| escape_literal(name)).collect::<Vec<_>>().join(", ");
        let query = format!(
            "SELECT datname, oid, datallowconn, shobj_description(oid, 'pg_database') FROM pg_database \
             WHERE datname IN ({names})"
        );
        let sets = self.connection.read(self.settings, &query).await?;
        let rows = sets.into_iter().flat_map(|set| set.rows);
        let seen = rows.filter_map(|row| {
            let [name, oid, open, comment] = <[Option<String>; 4]>::try_from(row).ok()?;
            let label = comment.as_deref().and_then(Label::read);
            Some((name?, Seen { oid: oid?.parse().ok()?, open: open? == "t", comment, label }))
        });
        Ok(seen.collect())
    }

    /// One transaction that changes databases.
    pub(super) async fn change(&mut self, what: &str, statements: &str) -> Result<(), EngineError> {
        let message = format!("BEGIN; SET LOCAL search_path = pg_catalog, pg_temp; {statements}; COMMIT");
        self.effect(what, &message).await
    }

    /// One message that changes databases, under its own name for whoever strikes at it.
    pub(super) async fn effect(&mut self, what: &str, message: &str) -> Result<(), EngineError> {
        let settings = self.settings;
        let wire = &mut self.connection.wire;
        let reply = wire.effect(what, message, ALL_ROWS).await.map_err(|lost| lost.at(settings.at()))?;
        let Some(error) = reply.error else { return Ok(()) };
        if wire.status() != Status::Idle {
            wire.query("ROLLBACK", ALL_ROWS).await.map_err(|lost| lost.at(settings.at()))?;
        }
        Err(server_said(settings, error))
    }

    /// Ends every session in `database` but `but`, whoever's it is, and sees them gone. The caller has closed it: who
    /// comes back does not get in.
    pub(super) async fn empty(&mut self, database: &str, but: Option<i32>) -> Result<(), EngineError> {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let sessions = self.sessions(database, but).await?;
            let Some(first) = sessions.first() else { return Ok(()) };
            let mut refused = None;
            for session in &sessions {
                if !self.end(session.pid).await? {
                    refused = refused.or(Some(session));
                }
            }
            let late = (Instant::now() > deadline).then_some(first);
            let in_the_way = [(refused, "can't be ended by our role"), (late, "does not end")];
            if let Some((session, how)) = in_the_way.into_iter().find_map(|(it, how)| Some((it?, how))) {
                let by = session.blocks(database, how);
                return Err(self.busy(by));
            }
            sleep(GONE_POLL).await;
        }
    }

    /// Workers of autovacuum leave by themselves when the database is renamed, and only a superuser may end them. An
    /// ordinary role does not see their type, but that they have no role.
    async fn sessions(&mut self, database: &str, but: Option<i32>) -> Result<Vec<InIt>, EngineError> {
        let query = format!(
            "SELECT pid, usename, application_name FROM pg_stat_activity WHERE datname = {} AND pid <> {} \
             AND backend_type IS DISTINCT FROM 'autovacuum worker' AND (backend_type IS NOT NULL OR usesysid IS NOT NULL) \
             ORDER BY pid",
            escape_literal(database),
            but.unwrap_or(0),
        );
        let sets = self.connection.read(self.settings, &query).await?;
        let rows = sets.into_iter().flat_map(|set| set.rows);
        let sessions = rows.filter_map(|row| {
            let [pid, user, application] = <[Option<String>; 3]>::try_from(row).ok()?;
            let pid = pid?.parse().ok()?;
            Some(InIt { pid, user: user.unwrap_or_default(), application: application.unwrap_or_default() })
        });
        Ok(sessions.collect())
    }

    /// Whether we may.
    async fn end(&mut self, pid: i32) -> Result<bool, EngineError> {
        match self.connection.read(self.settings, &format!("SELECT pg_terminate_backend({pid})")).await {
            Ok(_) => Ok(true),
            Err(EngineError::Server { code, .. }) if code == "42501" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Refuses while a prepared transaction is open in `database`: it would be lost with it, and keeps it from being
    /// renamed.
    pub(super) async fn refuse_prepared(&mut self, database: &str) -> Result<(), EngineError> {
        let query = format!(
            "SELECT gid FROM pg_prepared_xacts WHERE database = {} ORDER BY gid",
            escape_literal(database)
        );
        let sets = self.connection.read(self.settings, &query).await?;
        let gids: Vec<&str> =
            sets.iter().flat_map(|set| &set.rows).flatten().filter_map(Option::as_deref).collect();
        if gids.is_empty() {
            return Ok(());
        }
        let commands = gids.iter().map(|gid| format!("ROLLBACK PREPARED {};", escape_literal(gid)));
        let by = BlockedBy {
            what: format!(
                "prepared transaction {} is open in it, and would be lost with it; whoever prepared it must commit it or \
                 roll it back",
                gids.join(", ")
            ),
            since: None,
            sql: Some(commands.collect::<Vec<_>>().join(" ")),
            pid: None,
        };
        Err(self.busy(by))
    }

    pub(super) fn busy(&self, by: BlockedBy) -> EngineError {
        EngineError::Busy { at: self.settings.at(), by }
    }

    pub(super) fn not_restorable(&self, reason: String) -> EngineError {
        EngineError::NotRestorable { at: self.settings.at(), reason }
    }
}

/// A session in a database that must be empty.
struct InIt {
    pid: i32,
    user: String,
    application: String,
}

impl InIt {
    fn blocks(&self, database: &str, how: &str) -> BlockedBy {
        let Self { pid, user, application } = self;
        BlockedBy {
            what: format!("pid {pid} (app={application}, role {user}) is connected to {database} and {how}"),
            since: None,
            sql: Some(format!("SELECT pg_terminate_backend({pid});")),
            pid: Some(*pid),
        }
    }
}
