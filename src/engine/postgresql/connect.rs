//! A connection that is known to be the right server: TLS, login, no pooler, primary, identity, lineage.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::end_point::end_point;
use super::login::{LoginError, Protection, Startup, login};
use super::settings::Settings;
use super::wire::{ALL_ROWS, ServerError, Set, Wire};
use crate::engine::lineage::{self, expect_identity};
use crate::engine::lost::Lost;
use crate::engine::name::{Purpose, session_name};
use crate::engine::stream::{
    Duplex, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, USER_TIMEOUT, dial, encrypt, in_time,
};
use crate::engine::tls::TlsFault;
use crate::engine::{EngineError, TlsMode, credentials};

/// A checked connection and what the server said about itself.
pub(super) struct Connection {
    pub(super) wire: Wire<Box<dyn Duplex>>,
    /// Where it really goes; a cancel request must reach this very server, not another one of the same name.
    pub(super) peer: SocketAddr,
    pub(super) server: Server,
}

/// What the server said about itself when we came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) version: String,
    /// `150020` for 15.20.
    pub(super) number: u32,
    pub(super) user: String,
    pub(super) identity: String,
    pub(super) lineage: String,
}

/// What this process knows of the server's past, for all connections to one target.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    past: lineage::Lineage,
    restores: Mutex<Restores>,
}

#[derive(Debug, Default)]
struct Restores {
    /// The identity that a restore of ours gave the database; it counts instead of the one in the settings.
    done: Option<String>,
    /// The identity that a restore of ours is about to give it; until it has, both are right.
    coming: Option<String>,
}

impl Lineage {
    /// A restore of ours is about to give the database this identity.
    pub(super) fn about_to_be(&self, identity: &str) {
        self.restores().coming = Some(identity.to_owned());
    }

    /// A restore of ours gave the database this identity.
    pub(super) fn restored(&self, identity: &str) {
        *self.restores() = Restores { done: Some(identity.to_owned()), coming: None };
    }

    /// Refuses another database than the settings mean, or one with another past than before. Said once per change.
    fn check(&self, settings: &Settings, server: &Server) -> Result<(), EngineError> {
        let restores = self.restores();
        let found = server.identity.as_str();
        let is_ours = restores.done.as_deref() == Some(found) || restores.coming.as_deref() == Some(found);
        let expected = restores.done.as_deref().or(settings.identity_expect.as_deref());
        expect_identity(settings.at(), expected, found, |it| {
            it == found || it == server.system() || is_ours
        })?;
        // Our own restore changes the database and nothing else of the server's past.
        self.past.check(settings.at(), &server.lineage, |before| {
            is_ours && timeline(before) == timeline(&server.lineage)
        })
    }

    /// Refuses another server than the one of the database, for a connection to another database of it.
    pub(super) fn check_server(&self, settings: &Settings, server: &Server) -> Result<(), EngineError> {
        let known = self.past.seen().or_else(|| settings.identity_expect.clone());
        let expected = known.as_deref().and_then(|it| it.split('/').next());
        expect_identity(settings.at(), expected, server.system(), |it| it == server.system())
    }

    fn restores(&self) -> MutexGuard<'_, Restores> {
        self.restores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timeline(lineage: &str) -> Option<&str> {
    lineage.rsplit('/').next()
}

impl Server {
    /// The system identifier, which all databases of a server share.
    pub(super) fn system(&self) -> &str {
        self.identity.split('/').next().unwrap_or_default()
    }
}

/// Everything a connection is checked by, in one round trip. Qualified by name: the role's own search_path applies.
const WHO: &str = "\
SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(),
  pg_catalog.current_setting('transaction_read_only'), pg_catalog.current_setting('standard_conforming_strings'),
  pg_catalog.current_setting('server_version'), pg_catalog.current_setting('server_version_num'), session_user,
  (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()),
  (SELECT c.system_identifier FROM pg_catalog.pg_control_system() c),
  CASE WHEN NOT pg_catalog.pg_is_in_recovery()
    THEN pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END";

/// Connects for `purpose` and makes sure that the other side is the server the settings mean.
pub(super) async fn connect(
    settings: &Settings,
    lineage: &Lineage,
    purpose: Purpose<'_>,
) -> Result<Connection, EngineError> {
    let connection = open(settings, purpose).await?;
    lineage.check(settings, &connection.server)?;
    Ok(connection)
}

/// As [`connect`], whichever database it is.
pub(super) async fn open(settings: &Settings, purpose: Purpose<'_>) -> Result<Connection, EngineError> {
    let at = settings.at();
    let credentials = credentials::ask(&settings.credentials, &at).await?;
    let startup = Startup {
        database: &settings.database,
        application_name: &session_name(&settings.target, purpose),
        options: &options(settings, purpose),
    };
    let opening = async {
        let failed = |error| Lost::from(error).unreachable(&at);
        let stream = dial(settings).await.map_err(failed)?;
        let peer = stream.peer_addr().map_err(failed)?;
        let (stream, protection) = secure(settings, stream).await?;
        let mut wire = login(stream, &startup, &credentials, protection)
            .await
            .map_err(|error| login_refused(settings, &credentials.user, error))?;
        let reply = wire.query(WHO, ALL_ROWS).await.map_err(|lost| lost.unreachable(&at))?;
        if let Some(error) = reply.error {
            return Err(server_said(settings, error));
        }
        let row = reply.sets.into_iter().flat_map(|set| set.rows).next().unwrap_or_default();
        let server = accept(settings, wire.pid(), wire.parameter("client_encoding"), &row)?;
        Ok(Connection { wire, peer, server })
    };
    in_time(settings, opening).await
}

/// Given in the startup packet, so that `RESET ALL` in the guard goes back to these and not to the server's defaults.
fn options(settings: &Settings, purpose: Purpose<'_>) -> String {
    let common = format!(
        "-c tcp_keepalives_idle={} -c tcp_keepalives_interval={} -c tcp_keepalives_count={KEEPALIVE_PROBES} \
         -c tcp_user_timeout={} -c client_min_messages=warning -c lock_timeout={}",
        KEEPALIVE_IDLE.as_secs(),
        KEEPALIVE_INTERVAL.as_secs(),
        USER_TIMEOUT.as_millis(),
        settings.lock_timeout.as_millis(),
    );
    match purpose {
        // Acknowledged must mean durable, and a statement that waits for us must not be ended from the role's settings.
        Purpose::Write(_) => format!(
            "{common} -c synchronous_commit=on -c idle_in_transaction_session_timeout=0 -c statement_timeout={}",
            settings.statement_timeout.as_millis()
        ),
        // A reader never needs longer, and must not sit in the way of anybody.
        Purpose::Watch(_) | Purpose::Look => format!("{common} -c statement_timeout=60000"),
    }
}

/// The stream as the settings want it protected.
pub(super) async fn secure(
    settings: &Settings,
    mut stream: TcpStream,
) -> Result<(Box<dyn Duplex>, Protection), EngineError> {
    let at = settings.at();
    if settings.tls.mode == TlsMode::Disable {
        return Ok((Box::new(stream), Protection::Plain));
    }
    ask_for_tls(&mut stream).await.map_err(|refusal| refusal.at(&at))?;
    let stream = encrypt(settings, stream).await.map_err(|why| TlsFault::from(why).at(at))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let end_point = certificate.and_then(|certificate| end_point(certificate));
    Ok((Box::new(stream), Protection::Encrypted { end_point }))
}

/// Why there is no TLS before its handshake.
enum TlsRefusal {
    Io(std::io::Error),
    NotOffered,
    NotPostgresql,
}

impl TlsRefusal {
    fn at(self, at: &str) -> EngineError {
        let (reason, fix) = match self {
            Self::Io(error) => return Lost::from(error).unreachable(at),
            Self::NotOffered => (
                "the server does not offer it",
                "Turn on ssl at the server, or say tls.mode: Disable to send everything unencrypted.",
            ),
            Self::NotPostgresql => ("what answers is no PostgreSQL server", "Check host and port."),
        };
        EngineError::Tls { at: at.to_owned(), reason: reason.to_owned(), fix: fix.to_owned() }
    }
}

/// Reads exactly one byte: whatever else somebody put into the stream before the handshake goes to rustls, which
/// refuses it, and never into a buffer that is read later as if it had come encrypted (CVE-2021-23222).
async fn ask_for_tls(stream: &mut TcpStream) -> Result<(), TlsRefusal> {
    let mut request = bytes::BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(TlsRefusal::Io)?;
    match stream.read_u8().await.map_err(TlsRefusal::Io)? {
        b'S' => Ok(()),
        b'N' => Err(TlsRefusal::NotOffered),
        _ => Err(TlsRefusal::NotPostgresql),
    }
}

/// Judges the one row of [`WHO`].
fn accept(
    settings: &Settings,
    handshake_pid: i32,
    client_encoding: &str,
    row: &[Option<String>],
) -> Result<Server, EngineError> {
    let at = settings.at();
    let column = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or_default();
    if column(0) != handshake_pid.to_string() {
        let reason = "the process that greeted us is not the one that answers".to_owned();
        return Err(EngineError::Pooler { at, reason });
    }
    if column(1) == "t" {
        return Err(EngineError::NotPrimary { at, reason: "it is a standby in recovery".to_owned() });
    }
    if column(2) == "on" {
        let reason = "its transactions are read-only (default_transaction_read_only is on)".to_owned();
        return Err(EngineError::NotPrimary { at, reason });
    }
    if column(3) != "on" {
        let reason = "standard_conforming_strings is off for this role or database, so text would be read \
                      differently than it was checked. Set it to on.";
        return Err(EngineError::Unsupported { at, reason: reason.to_owned() });
    }
    if client_encoding != "UTF8" {
        let reason = format!("client_encoding is {client_encoding}, and must be UTF8");
        return Err(EngineError::Unsupported { at, reason });
    }
    let number = column(5).parse().unwrap_or(0);
    if number < 130_000 {
        let reason = format!("version {} is too old; 13 and newer work", column(4));
        return Err(EngineError::Unsupported { at, reason });
    }
    let identity = format!("{}/{}", column(8), column(7));
    // Debian's servers append their package's name: 15.20 (Debian 15.20-0+deb12u1).
    let version = column(4).split(' ').next().unwrap_or_default().to_owned();
    let lineage = format!("{identity}/{}", column(9));
    Ok(Server { version, number, user: column(6).to_owned(), identity, lineage })
}

fn login_refused(settings: &Settings, user: &str, error: LoginError) -> EngineError {
    let at = settings.at();
    match error {
        LoginError::Lost(lost) => lost.unreachable(&at),
        LoginError::Refused(reason) => EngineError::Authentication { at, reason },
        LoginError::Server(error) => {
            let reason = format!("{} ({})", error.message, error.code);
            match error.code.as_str() {
                "28P01" | "28000" => EngineError::Authentication { at, reason },
                "42501" => {
                    let (database, role) = (&settings.database, user);
                    let grant = format!("GRANT CONNECT ON DATABASE {} TO {};", ident(database), ident(role));
                    EngineError::Privilege { at, what: reason, grant }
                }
                // PostgreSQL calls an unknown setting "unrecognized"; only poolers know "startup parameters".
                "08P01" if error.message.contains("unsupported startup parameter") => {
                    EngineError::Pooler { at, reason: error.message }
                }
                // Too many connections, starting up, shutting down.
                "53300" | "57P03" | "57P01" => EngineError::Unreachable { at, reason },
                _ => server_said(settings, error),
            }
        }
    }
}

/// An error of the server as ours, without what might quote rows unless the settings ask for it.
pub(super) fn server_said(settings: &Settings, error: ServerError) -> EngineError {
    let message = error.text(settings.diagnostics_full);
    EngineError::Server { at: settings.at(), code: error.code, message }
}

/// A name as it must stand in SQL that a person is to run.
pub(super) fn ident(name: &str) -> String {
    postgres_protocol::escape::escape_identifier(name)
}

impl Connection {
    /// Runs catalogue queries in one transaction with nothing but `pg_catalog` on the path, whatever the role's own
    /// settings or a script before us say; one set per query that returns rows.
    pub(super) async fn read(&mut self, settings: &Settings, sql: &str) -> Result<Vec<Set>, EngineError> {
        let message = format!("BEGIN; SET LOCAL search_path = pg_catalog, pg_temp; {sql}; COMMIT");
        let lost = |lost: Lost| lost.at(settings.at());
        let reply = self.wire.query(&message, ALL_ROWS).await.map_err(lost)?;
        match reply.error {
            None => Ok(reply.sets),
            Some(error) => {
                self.wire.query("ROLLBACK", ALL_ROWS).await.map_err(lost)?;
                Err(server_said(settings, error))
            }
        }
    }
}
