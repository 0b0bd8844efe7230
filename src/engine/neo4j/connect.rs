//! A connection that is known to be the right database: TLS, login, Neo4j 5, writable, identity, lineage.

use std::time::Duration;

use super::message::{Begin, Message};
use super::packstream::Value;
use super::settings::Settings;
use super::wire::{Answer, Greeting, ServerError, Set, Wire};
use crate::engine::lineage::{Lineage, expect_identity};
use crate::engine::lost::Lost;
use crate::engine::name::{Purpose, session_name};
use crate::engine::stream::{self, Duplex, NotEncrypted, encrypt, in_time};
use crate::engine::tls::TlsFault;
use crate::engine::{EngineError, TlsMode, credentials};

/// A checked connection and what the server said about itself.
pub(super) struct Connection {
    pub(super) wire: Wire<Box<dyn Duplex>>,
    pub(super) server: Server,
    /// Our name in the metadata of every transaction.
    name: String,
}

/// What the server said about itself when we came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) version: String,
    pub(super) enterprise: bool,
    pub(super) user: String,
    pub(super) identity: String,
    pub(super) lineage: String,
    /// `bolt-12`: ours in the list of connections.
    pub(super) connection: String,
}

/// A query of ours that only reads never needs longer, in milliseconds.
const READ_WITHIN: u64 = 60_000;

/// One row per server that has the database.
const DATABASE: &str = "SHOW DATABASES YIELD name, aliases, access, databaseID, creationTime, address, role, writer, \
    currentStatus, statusMessage WHERE name = $name OR $name IN aliases \
    RETURN name, access, databaseID, toString(creationTime), address, role, writer, currentStatus, statusMessage";
const SERVER: &str = "CALL dbms.components() YIELD name, versions, edition RETURN name, versions, edition";

/// Connects for `purpose` and makes sure that the other side is the database that the settings mean.
pub(super) async fn connect(
    settings: &Settings,
    lineage: &Lineage,
    purpose: Purpose<'_>,
) -> Result<Connection, EngineError> {
    let connection = open(settings, purpose).await?;
    let Server { identity, lineage: found, .. } = &connection.server;
    let expected = settings.identity_expect.as_deref();
    expect_identity(settings.at(), expected, identity, |it| it.eq_ignore_ascii_case(identity))?;
    // Nothing of ours changes it.
    lineage.check(settings.at(), found, |_| false)?;
    Ok(connection)
}

/// As [`connect`], whatever the lineage.
pub(super) async fn open(settings: &Settings, purpose: Purpose<'_>) -> Result<Connection, EngineError> {
    let at = settings.at();
    let credentials = credentials::ask(&settings.credentials, &at).await?;
    let opening = async {
        let name = session_name(&settings.target, purpose);
        let mut wire = Wire::new(dial(settings).await?);
        greet(settings, &mut wire).await?;
        let hello = said(settings, wire.hello(&name).await)?;
        let connection = text(hello.entry("connection_id"));
        let logon = wire
            .logon(&credentials.user, &credentials.password)
            .await
            .map_err(|lost| lost.unreachable(&at))?;
        logon.map_err(|error| login_refused(settings, error))?;
        let server =
            Server { user: credentials.user, connection, ..look_at(settings, &mut wire, &name).await? };
        Ok(Connection { wire, server, name })
    };
    in_time(settings, opening).await
}

async fn dial(settings: &Settings) -> Result<Box<dyn Duplex>, EngineError> {
    let at = settings.at();
    let stream = stream::dial(settings).await.map_err(|error| Lost::from(error).unreachable(&at))?;
    if settings.tls.mode == TlsMode::Disable {
        return Ok(Box::new(stream));
    }
    let stream = encrypt(settings, stream).await.map_err(|why| match why {
        // A server without TLS hangs up in the middle of the handshake and says nothing.
        NotEncrypted::HungUp(_) => TlsFault::new(
            "the server does not offer it",
            "Set server.bolt.tls_level at the server, or say tls.mode: Disable to send everything unencrypted.",
        ),
        NotEncrypted::Fault(fault) => fault,
    });
    Ok(Box::new(stream.map_err(|fault| fault.at(at))?))
}

async fn greet(settings: &Settings, wire: &mut Wire<Box<dyn Duplex>>) -> Result<(), EngineError> {
    let at = settings.at();
    let greeting = wire.greet().await.map_err(|lost| match settings.tls.mode {
        TlsMode::Disable => EngineError::Unreachable {
            at: at.clone(),
            reason: format!("{}; does the server demand TLS, or is the port not Bolt's?", lost.reason),
        },
        _ => lost.unreachable(&at),
    })?;
    match greeting {
        Greeting::Bolt => Ok(()),
        Greeting::OtherVersion => {
            let reason = "the server speaks no Bolt 5; Neo4j 5 and newer work".to_owned();
            Err(EngineError::Unsupported { at, reason })
        }
        Greeting::Stranger => {
            let reason = "what answers does not speak Bolt (7687 is usual; 7474 is HTTP)".to_owned();
            Err(EngineError::Unreachable { at, reason })
        }
    }
}

/// What the server is, and whether the database is there and takes writes. Asked in the system database, which is always
/// there.
async fn look_at(
    settings: &Settings,
    wire: &mut Wire<Box<dyn Duplex>>,
    name: &str,
) -> Result<Server, EngineError> {
    let begin = Begin { name: name.to_owned(), ..reading("system") };
    let system = said(settings, read(wire, &begin, SERVER, Value::map([])).await)?;
    let kernel = |row: &&Vec<Value>| text(row.first()) == "Neo4j Kernel";
    let row = system.rows.iter().find(kernel).cloned().unwrap_or_default();
    let version =
        row.get(1).map(Value::texts).and_then(|versions| versions.first().cloned()).unwrap_or_default();
    let edition = text(row.get(2));
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
    if major < 5 {
        let reason = format!("version {version} is too old; Neo4j 5 and newer work");
        return Err(EngineError::Unsupported { at: settings.at(), reason });
    }
    let parameters = Value::map([("name", Value::text(settings.database.to_lowercase()))]);
    let found = said(settings, read(wire, &begin, DATABASE, parameters).await)?;
    let (identity, lineage) = accept(settings, &found.rows)?;
    let enterprise = edition == "enterprise";
    Ok(Server { version, enterprise, user: String::new(), identity, lineage, connection: String::new() })
}

/// Judges the rows of [`DATABASE`].
fn accept(settings: &Settings, rows: &[Vec<Value>]) -> Result<(String, String), EngineError> {
    let at = settings.at();
    let Some(first) = rows.first() else {
        let reason = format!(
            "there is no database {} on this server, or its name is not for this user. Correct spec.neo4j.database; SHOW DATABASES lists what is there",
            settings.database
        );
        return Err(EngineError::Unsupported { at, reason });
    };
    let address = format!("{}:{}", settings.host, settings.port);
    let is_writer = |row: &&Vec<Value>| row.get(6) == Some(&Value::Bool(true));
    // In a cluster there is one row for each server. Which one we speak to is known by its address only, and a service's
    // address is nobody's: then the first write finds out.
    let here = rows.iter().find(|row| text(row.get(4)).eq_ignore_ascii_case(&address));
    let row =
        if rows.len() > 1 { here.or_else(|| rows.iter().find(is_writer)).unwrap_or(first) } else { first };
    if text(row.get(7)) != "online" {
        let reason = format!("the database is {} {}", text(row.get(7)), text(row.get(8)));
        return Err(EngineError::Unreachable { at, reason: reason.trim_end().to_owned() });
    }
    if text(row.get(1)) != "read-write" {
        let reason =
            "the database is read-only (server.databases.read_only, or access in SHOW DATABASES)".to_owned();
        return Err(EngineError::NotPrimary { at, reason });
    }
    if !is_writer(&row) {
        let leader = rows.iter().find(is_writer).map(|row| text(row.get(4)));
        let where_to = leader.map_or_else(String::new, |leader| format!("; {leader} takes writes"));
        let reason = format!("this server is a {} that follows{where_to}", text(row.get(5)));
        return Err(EngineError::NotPrimary { at, reason });
    }
    let identity = text(row.get(2));
    Ok((identity.clone(), format!("{identity}/{}", text(row.get(3)))))
}

impl Connection {
    /// What a transaction that writes begins with.
    pub(super) fn writing(&self, settings: &Settings, timeout: Duration) -> Begin {
        Begin {
            database: settings.database.clone(),
            name: self.name.clone(),
            timeout: u64::try_from(timeout.as_millis()).unwrap_or(0),
            read_only: false,
        }
    }

    /// Runs one query that reads, in a transaction of its own.
    pub(super) async fn read(
        &mut self,
        settings: &Settings,
        query: &str,
        parameters: Value,
    ) -> Result<Set, EngineError> {
        let begin = Begin { name: self.name.clone(), ..reading(&settings.database) };
        said(settings, read(&mut self.wire, &begin, query, parameters).await)
    }

    /// Runs two queries that read, each in a transaction of its own, and waits once. Both are filled with `parameters`.
    pub(super) async fn read_both(
        &mut self,
        settings: &Settings,
        queries: [&str; 2],
        parameters: Value,
    ) -> Result<[Set; 2], EngineError> {
        let begin = Begin { name: self.name.clone(), ..reading(&settings.database) };
        let both = queries.map(|query| Message::Alone(query, parameters.clone(), &begin)).into();
        let answer = self.wire.together(None, both).await.map_err(|lost| lost.at(settings.at()))?;
        match answer.map(<[Set; 2]>::try_from) {
            Ok(Ok(both)) => Ok(both),
            Ok(Err(_)) => Err(Lost::new("the server answered another number of times").at(settings.at())),
            Err((_, error)) => {
                self.wire.reset().await.map_err(|lost| lost.at(settings.at()))?;
                Err(server_said(settings, error))
            }
        }
    }
}

/// A transaction that reads.
pub(super) fn reading(database: &str) -> Begin {
    Begin { database: database.to_owned(), name: String::new(), timeout: READ_WITHIN, read_only: true }
}

/// One statement in a transaction of its own; a refusal is taken back.
async fn read(
    wire: &mut Wire<Box<dyn Duplex>>,
    begin: &Begin,
    query: &str,
    parameters: Value,
) -> Answer<Set> {
    let set = wire.read(query, parameters, begin).await?;
    if set.is_err() {
        wire.reset().await?;
    }
    Ok(set)
}

/// An answer of the server as an error of the engine.
pub(super) fn said<T>(settings: &Settings, answer: Answer<T>) -> Result<T, EngineError> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(server_said(settings, error)),
        Err(lost) => Err(lost.at(settings.at())),
    }
}

pub(super) fn server_said(settings: &Settings, error: ServerError) -> EngineError {
    let at = settings.at();
    if ["NotALeader", "ForbiddenOnReadOnlyDatabase"].iter().any(|it| error.code.ends_with(it)) {
        let reason = error.words(false).trim_end_matches('.').to_owned();
        return EngineError::NotPrimary { at, reason };
    }
    if error.code == "Neo.ClientError.Security.Forbidden" {
        return EngineError::Unsupported {
            at,
            reason: format!(
                "the user lacks a right: {}. Grant it, or use an administrator",
                error.words(false)
            ),
        };
    }
    let message = error.words(settings.diagnostics_full);
    EngineError::Server { at, code: error.code, message }
}

fn login_refused(settings: &Settings, error: ServerError) -> EngineError {
    let at = settings.at();
    if error.code.starts_with("Neo.ClientError.Security.") {
        let reason = format!("{} ({})", error.words(false), error.code);
        return EngineError::Authentication { at, reason };
    }
    server_said(settings, error)
}

/// A text, or nothing.
pub(super) fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_text).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::*;
    use crate::engine::{CredentialsError, Tls};

    fn settings() -> Settings {
        Settings {
            target: "aether/graph".to_owned(),
            host: "graph-1".to_owned(),
            port: 7687,
            database: "neo4j".to_owned(),
            tls: Tls { mode: TlsMode::Disable, ca: None, client: None },
            credentials: Arc::new(|| async { Err(CredentialsError("none".to_owned())) }.boxed()),
            histories: Vec::new(),
            identity_expect: None,
            connect_timeout: Settings::CONNECT_TIMEOUT,
            lock_timeout: Settings::LOCK_TIMEOUT,
            statement_timeout: Settings::STATEMENT_TIMEOUT,
            quiet_ignore: Vec::new(),
            diagnostics_full: false,
        }
    }

    /// A row of [`DATABASE`].
    fn row(address: &str, role: &str, writer: bool, status: &str) -> Vec<Value> {
        let text = |text: &str| Value::text(text);
        vec![
            text("neo4j"),
            text("read-write"),
            text("D8"),
            text("2026-01-01T00:00:00Z"),
            text(address),
            text(role),
            Value::Bool(writer),
            text(status),
            text(""),
        ]
    }

    fn said(rows: &[Vec<Value>]) -> Result<String, String> {
        accept(&settings(), rows).map(|(identity, _)| identity).map_err(|error| error.to_string())
    }

    #[test]
    fn a_follower_names_who_takes_writes() {
        let leader = row("graph-0:7687", "primary", true, "online");
        let follower = row("graph-1:7687", "primary", false, "online");
        assert_eq!(
            said(&[leader.clone(), follower]),
            Err("aether/graph (graph-1:7687/neo4j) is not the primary: this server is a primary that follows; graph-0:7687 takes writes. Give the address of the server that takes writes.".to_owned())
        );
        let elsewhere = row("graph-2:7687", "secondary", false, "online");
        assert_eq!(said(&[elsewhere, leader]), Ok("D8".to_owned()), "by a service's address nobody can tell");
    }

    #[test]
    fn a_database_that_is_not_online_says_how_it_is() {
        assert_eq!(
            said(&[row("x:1", "primary", true, "starting")]),
            Err("aether/graph (graph-1:7687/neo4j) is not reachable: the database is starting. Check host, port and network policies, and that the server runs.".to_owned())
        );
    }

    #[test]
    fn a_write_that_reached_a_follower_is_no_error_of_the_script() {
        let error = ServerError {
            code: "Neo.ClientError.Cluster.NotALeader".to_owned(),
            message: "No write operations are allowed directly on this database.".to_owned(),
        };
        let said = server_said(&settings(), error).to_string();
        assert_eq!(
            said,
            "aether/graph (graph-1:7687/neo4j) is not the primary: No write operations are allowed directly on this database. Give the address of the server that takes writes."
        );
    }
}
