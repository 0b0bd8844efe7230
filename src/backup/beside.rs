//! The database that a copy is restored into: found, made, labelled, dropped, from the server's maintenance database.
//!
//! `CREATE DATABASE` and the comment that says whose it is can't be one transaction, and a Job may die between any two
//! statements. So what is there is judged by name, comment and contents, and only what is surely ours is dropped.

use super::{
    BackupError, Connection, Manifest,
    connection::Opened,
    roles::{identifier, literal},
    session::Session,
    tool::Environment,
};
use crate::engine::postgresql::{Label, Properties, Stage, aside, beside, lock, maintenance};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A pod's node may be gone without a word; its session, and the lock with it, ends within half a minute.
const NOTICE_OUR_END: &str = "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 30000";

/// What stands in a role's own settings must not keep a restore out.
const OPTIONS: &str = "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 \
                       -c idle_in_transaction_session_timeout=0";

/// A session in the maintenance database that holds the lock on the restore of one database.
pub(super) struct Server<'a> {
    connection: &'a Connection,
    opened: &'a Opened,
    session: Session,
    label: Label,
}

/// What an earlier attempt left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The copy is complete, or is the database by now.
    Done { oid: u32 },
    /// Nothing, or something of ours that is to be made anew.
    ToDo { leftover: bool },
}

#[derive(Deserialize)]
struct Seen {
    oid: u32,
    comment: Option<String>,
}

impl<'a> Server<'a> {
    /// Connects to the first maintenance database that lets us in, and takes the lock.
    pub(super) async fn connect(
        connection: &'a Connection,
        opened: &'a Opened,
        label: Label,
    ) -> Result<Self, BackupError> {
        let mut refusal = None;
        for name in maintenance(&connection.database) {
            match Session::connect(&inside(opened, name), &connection.at_database(name), &opened.user).await {
                Ok(session) => {
                    let mut server = Self { connection, opened, session, label };
                    server.take_lock().await?;
                    return Ok(server);
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.expect("there is at least one to be tried"))
    }

    async fn take_lock(&mut self) -> Result<(), BackupError> {
        self.session.run(NOTICE_OUR_END).await?;
        let key = lock(&self.connection.database);
        if self.session.value::<bool>(&format!("SELECT to_jsonb(pg_try_advisory_lock({key}))")).await? {
            return Ok(());
        }
        let holder = format!(
            "SELECT to_jsonb(coalesce((SELECT format('pid %s (%s)', a.pid, a.application_name)
               FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
              WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                AND ((l.classid::bigint << 32) | l.objid::bigint) = {key} LIMIT 1), 'it has just ended'))"
        );
        let holder = self.session.value(&holder).await?;
        Err(BackupError::Busy { database: self.connection.database.clone(), holder })
    }

    /// Name of the copy.
    pub(super) fn name(&self) -> String {
        beside(&self.connection.database, self.label.run)
    }

    /// Looks what is there.
    ///
    /// # Errors
    /// A database of one of our names that is not surely ours.
    pub(super) async fn look(&mut self) -> Result<Found, BackupError> {
        let (beside, aside) = (self.name(), aside(&self.connection.database, self.label.run));
        let query = format!(
            "SELECT coalesce(jsonb_object_agg(d.datname, jsonb_build_object('oid', d.oid::bigint,
               'comment', shobj_description(d.oid, 'pg_database'))), '{{}}')
               FROM pg_database d WHERE d.datname IN ({}, {})",
            literal(&beside),
            literal(&aside)
        );
        let all: BTreeMap<String, Seen> = self.session.value(&query).await?;
        let ours = |seen: &Seen| {
            let label = Label::read(seen.comment.as_deref()?)?;
            label.is_of(&self.label.database, &self.label.run_uid).then_some(label)
        };
        if let Some(seen) = all.get(&aside) {
            return match ours(seen) {
                Some(Label { whimbrel: Stage::Aside, replaced_by: Some(oid), .. }) => Ok(Found::Done { oid }),
                _ => Err(in_the_way(
                    &aside,
                    "it has the name under which the original is put aside, and is not of this run",
                )),
            };
        }
        let Some(seen) = all.get(&beside) else { return Ok(Found::ToDo { leftover: false }) };
        match (ours(seen), &seen.comment) {
            (Some(Label { whimbrel: Stage::Restored | Stage::Swapping, backup, .. }), _)
                if backup == self.label.backup =>
            {
                Ok(Found::Done { oid: seen.oid })
            }
            (Some(_), _) => Ok(Found::ToDo { leftover: true }),
            // An attempt that died between the two statements left a database without a comment, and nothing in it.
            (None, None) if self.is_empty(&beside).await? => Ok(Found::ToDo { leftover: true }),
            (None, _) => Err(in_the_way(&beside, "its comment does not say that this run made it")),
        }
    }

    async fn is_empty(&mut self, name: &str) -> Result<bool, BackupError> {
        let query =
            "SELECT to_jsonb(NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))";
        self.inside(name).await?.value(query).await
    }

    /// Makes the empty copy with the original's owner, locale and grants, and says whose it is. Until it is swapped in
    /// nobody needs its settings, and some would keep the restore out.
    pub(super) async fn make(&mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let (name, properties) = (self.name(), &manifest.properties);
        self.session.run(&properties.create_beside(&name)).await?;
        self.say(Stage::Restoring, manifest).await?;
        let now = self.properties().await?;
        for statement in properties.grant(&name, &now) {
            self.session.run(&statement).await?;
        }
        Ok(())
    }

    /// Gives the copy its settings, and compares what it is with what the original was.
    pub(super) async fn complete(&mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let name = self.name();
        for statement in manifest.properties.set(&name) {
            self.session.run(&statement).await?;
        }
        let differences = manifest.properties.differences(&self.properties().await?);
        if !differences.is_empty() {
            return Err(BackupError::Different(differences));
        }
        self.say(Stage::Restored, manifest).await
    }

    async fn properties(&mut self) -> Result<Properties, BackupError> {
        let query = Properties::query(&self.name());
        self.session.value(&query).await
    }

    async fn say(&mut self, stage: Stage, manifest: &Manifest) -> Result<(), BackupError> {
        let comment = manifest.properties.comment.clone();
        let label = Label { whimbrel: stage, comment, ..self.label.clone() };
        let name = identifier(&self.name());
        self.session.run(&format!("COMMENT ON DATABASE {name} IS {}", literal(&label.text()))).await
    }

    /// Drops the copy, sessions in it included.
    pub(super) async fn drop_copy(&mut self) -> Result<(), BackupError> {
        let name = identifier(&self.name());
        self.session.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    /// Oid and size of the copy, whatever its name is by now.
    pub(super) async fn size(&mut self, oid: u32) -> Result<(String, u64), BackupError> {
        let query = format!(
            "SELECT jsonb_build_array(datname, pg_database_size(oid)) FROM pg_database WHERE oid = {oid}"
        );
        self.session.value(&query).await
    }

    pub(super) async fn oid(&mut self) -> Result<u32, BackupError> {
        let query = format!(
            "SELECT to_jsonb(oid::bigint) FROM pg_database WHERE datname = {}",
            literal(&self.name())
        );
        self.session.value(&query).await
    }

    /// System identifier of the server.
    pub(super) async fn system(&mut self) -> Result<String, BackupError> {
        self.session.value("SELECT to_jsonb(system_identifier::text) FROM pg_control_system()").await
    }

    /// A session in another database of the server.
    pub(super) async fn inside(&self, name: &str) -> Result<Session, BackupError> {
        let at = self.connection.at_database(name);
        Session::connect(&self.environment(name), &at, &self.opened.user).await
    }

    /// libpq's environment for a tool that works in `name`.
    pub(super) fn environment(&self, name: &str) -> Environment {
        let mut environment = inside(self.opened, name);
        environment.push(("PGOPTIONS", OPTIONS.into()));
        environment
    }
}

fn in_the_way(name: &str, reason: &str) -> BackupError {
    BackupError::InTheWay { name: name.to_owned(), reason: reason.to_owned() }
}

fn inside(opened: &Opened, name: &str) -> Environment {
    let mut environment = opened.environment.clone();
    environment.retain(|(key, _)| *key != "PGDATABASE");
    environment.push(("PGDATABASE", name.into()));
    environment
}
