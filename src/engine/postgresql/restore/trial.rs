//! The trial: what would keep a restore from working, or lose something, said before any downtime.
//!
//! What the catalogues tell is read ([`super::lossy`]). What they do not, such as pg_hba.conf, is tried with a database
//! that is made as the copy would be, connected to, closed, emptied, renamed and dropped.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio::time::timeout;

use super::door::Door;
use super::label::{Label, Stage, aside, beside, maintenance, probe};
use super::lossy;
use super::properties::Properties;
use crate::engine::name::Purpose;
use crate::engine::postgresql::connect::{Lineage, connect, open};
use crate::engine::postgresql::settings::Settings;
use crate::engine::{BlockedBy, EngineError, Fence, RestoreTrial};

/// Somebody is connected to the template, or to the database that is to be renamed.
const IN_USE: &str = "55006";

/// Tries everything but the restore itself.
pub(in crate::engine::postgresql) async fn try_restore(
    settings: &Settings,
    lineage: &Lineage,
    fence: &Fence,
) -> Result<RestoreTrial, EngineError> {
    let mut inside = connect(settings, lineage, Purpose::Watch(fence)).await?;
    let mut trial = lossy::read(&mut inside, settings).await?;
    if settings.identity_expect.as_ref().is_some_and(|expected| expected.contains('/')) {
        trial.obstacles.push(
            "spec.identity.expect names the database's oid, which a restore changes. Give the system identifier alone"
                .to_owned(),
        );
    }
    let properties = properties(&mut inside, settings).await?;
    let _ = timeout(settings.connect_timeout, inside.wire.terminate()).await;
    let mut door = match Door::of_passer_by(settings, lineage, fence).await {
        Ok(door) => door,
        Err(busy @ (EngineError::Busy { .. } | EngineError::Lost { .. })) => return Err(busy),
        Err(error) => {
            let names = maintenance(&settings.database).collect::<Vec<_>>().join(" nor ");
            trial.obstacles.push(format!(
                "neither {names} lets us in to work from, and a database can't be renamed from inside: {error}"
            ));
            return Ok(trial);
        }
    };
    let tried = door.try_probe(&properties).await;
    door.leave().await;
    trial.obstacles.extend(tried?);
    Ok(trial)
}

async fn properties(
    inside: &mut crate::engine::postgresql::connect::Connection,
    settings: &Settings,
) -> Result<Properties, EngineError> {
    let sets = inside.read(settings, &Properties::query(&settings.database)).await?;
    let text = sets.iter().flat_map(|set| &set.rows).flatten().find_map(Option::as_deref).unwrap_or("null");
    serde_json::from_str(text).map_err(|error| EngineError::Unsupported {
        at: settings.at(),
        reason: format!("what its catalogue says of it can't be read: {error}"),
    })
}

impl Door<'_> {
    /// A database under a name that the restore will need: another plan's run of the same number may have left it.
    async fn taken_name(&mut self) -> Result<Option<String>, EngineError> {
        let database = &self.settings.database;
        let names = [beside(database, self.fence.run), aside(database, self.fence.run)];
        let seen = self.look(&[&names[0], &names[1]]).await?;
        let ours = |label: &Label| label.is_of(&self.settings.database, &self.fence.run_uid);
        let taken = seen.iter().find(|(_, seen)| !seen.label.as_ref().is_some_and(ours));
        Ok(taken.map(|(name, _)| {
            format!(
                "a restore needs the name {name}, which a database of somebody else has. Rename it: \
                 ALTER DATABASE \"{name}\" RENAME TO …;"
            )
        }))
    }

    /// The obstacle that was met, if any.
    async fn try_probe(&mut self, properties: &Properties) -> Result<Option<String>, EngineError> {
        if let Some(obstacle) = self.taken_name().await? {
            return Ok(Some(obstacle));
        }
        let names = probe(&self.settings.database, self.fence.run);
        for name in &names {
            if let Some(obstacle) = self.drop_leftover(name).await? {
                return Ok(Some(obstacle));
            }
        }
        let met = self.walk_probe(properties, &names).await;
        // Whatever was met, nothing stays.
        for name in &names {
            if self.look(&[name]).await?.contains_key(name) {
                self.drop_probe(name).await?;
            }
        }
        met
    }

    async fn walk_probe(
        &mut self,
        properties: &Properties,
        names: &[String; 2],
    ) -> Result<Option<String>, EngineError> {
        let [name, renamed] = names;
        let (quoted, new_name) = (escape_identifier(name), escape_identifier(renamed));
        let made = self.effect("make the probe database", &properties.create_beside(name)).await;
        if let Some(obstacle) = self.obstacle("a database beside it can't be made", made)? {
            return Ok(Some(obstacle));
        }
        let label = Label {
            whimbrel: Stage::Probe,
            database: self.settings.database.clone(),
            run_uid: self.fence.run_uid.clone(),
            run: self.fence.run,
            backup: None,
            comment: None,
            token: None,
            replaced_by: None,
        };
        let comment = format!("COMMENT ON DATABASE {quoted} IS {}", escape_literal(&label.text()));
        let said = self.effect("name the probe database", &comment).await;
        if let Some(obstacle) = self.obstacle("a database beside it can't be given a comment", said)? {
            return Ok(Some(obstacle));
        }
        let now = self.properties_of(name).await?;
        for statement in properties.grant(name, &now).into_iter().chain(properties.set(name)) {
            let set = self.effect("furnish the probe database", &statement).await;
            let what = format!("a copy can't be given what the database has ({statement})");
            if let Some(obstacle) = self.obstacle(&what, set)? {
                return Ok(Some(obstacle));
            }
        }
        let inside = match open(&self.settings.inside(name), Purpose::Watch(self.fence)).await {
            Ok(inside) => inside,
            Err(error) => return Ok(Some(format!("a database beside it can't be connected to: {error}"))),
        };
        let close = format!("ALTER DATABASE {quoted} ALLOW_CONNECTIONS false");
        let closed = self.change("close the probe database", &close).await;
        if let Some(obstacle) = self.obstacle("a database can't be closed to connections", closed)? {
            return Ok(Some(obstacle));
        }
        // Our own session is in it, so that ending one is tried as well.
        self.empty(name, None).await?;
        drop(inside);
        let rename = format!("ALTER DATABASE {quoted} RENAME TO {new_name}");
        let renamed = self.change("rename the probe database", &rename).await;
        self.obstacle("a database can't be renamed", renamed)
    }

    /// A refusal by the server is an obstacle; what passes by itself is not.
    fn obstacle(&self, what: &str, done: Result<(), EngineError>) -> Result<Option<String>, EngineError> {
        match done {
            Ok(()) => Ok(None),
            Err(EngineError::Server { code, message, .. }) if code == IN_USE => Err(self.busy(BlockedBy {
                what: format!("{what}: {message}"),
                since: None,
                sql: None,
                pid: None,
            })),
            Err(EngineError::Server { code, message, .. }) => {
                let user = &self.connection.server.user;
                let help = match code.as_str() {
                    "42501" if message.contains("create database") || message.contains("rename database") => {
                        format!(
                            ". A database administrator must run: ALTER ROLE {} CREATEDB;",
                            escape_identifier(user)
                        )
                    }
                    _ => String::new(),
                };
                Ok(Some(format!("{what} by role {user}: {message} ({code}){help}")))
            }
            Err(error) => Err(error),
        }
    }

    /// What an earlier trial has left. Made under the lock that we hold, it is nobody's any more.
    async fn drop_leftover(&mut self, name: &str) -> Result<Option<String>, EngineError> {
        let Some(seen) = self.look(&[name]).await?.remove(name) else { return Ok(None) };
        let ours = match seen.label {
            Some(label) => label.whimbrel == Stage::Probe && label.database == self.settings.database,
            // It may have ended before the comment, and then nothing is in it.
            None => seen.comment.is_none() && self.is_empty(name).await?,
        };
        if !ours {
            return Ok(Some(format!(
                "there is a database {name} that no trial of ours has left. Rename it: ALTER DATABASE {} RENAME TO …;",
                escape_identifier(name)
            )));
        }
        self.drop_probe(name).await?;
        Ok(None)
    }

    async fn drop_probe(&mut self, name: &str) -> Result<(), EngineError> {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", escape_identifier(name));
        self.effect("drop the probe database", &drop).await
    }

    async fn is_empty(&mut self, name: &str) -> Result<bool, EngineError> {
        let inside = self.settings.inside(name);
        let Ok(mut connection) = open(&inside, Purpose::Watch(self.fence)).await else { return Ok(false) };
        let query = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LIMIT 1";
        let sets = connection.read(&inside, query).await?;
        Ok(sets.iter().all(|set| set.rows.is_empty()))
    }

    async fn properties_of(&mut self, name: &str) -> Result<Properties, EngineError> {
        properties(&mut self.connection, &self.settings.inside(name)).await
    }
}
