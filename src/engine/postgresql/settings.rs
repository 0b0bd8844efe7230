//! How one PostgreSQL database is reached and treated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

/// Everything the engine needs to know about one target.
#[derive(Clone)]
pub struct Settings {
    /// `<namespace>/<name>` of the target; names our sessions and every message.
    pub target: String,
    /// Host name or address of the server itself, never of a pooler.
    pub host: String,
    /// Usually 5432.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// Asked at every connect.
    pub credentials: CredentialsSource,
    /// The declared histories.
    pub histories: Vec<History>,
    /// `<system identifier>` or `<system identifier>/<database oid>`; anything else is refused.
    pub identity_expect: Option<String>,
    /// For address lookup, TLS and login together. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a statement waits for somebody's lock before it gives way. Default 3 s.
    pub lock_timeout: Duration,
    /// How long one statement of a script may run; zero is for ever. Default zero.
    pub statement_timeout: Duration,
    /// Sessions that do not count as foreign.
    pub quiet_ignore: Vec<Ignore>,
    /// Messages carry the server's DETAIL and CONTEXT, which may quote rows.
    pub diagnostics_full: bool,
}

/// Defaults of the timeouts.
impl Settings {
    /// See [`Settings::connect_timeout`].
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// See [`Settings::lock_timeout`].
    pub const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
    /// See [`Settings::statement_timeout`].
    pub const STATEMENT_TIMEOUT: Duration = Duration::ZERO;

    /// The same server, another database of it.
    pub(super) fn inside(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// How messages name this database.
    pub(super) fn at(&self) -> String {
        format!("{} ({}:{}/{})", self.target, self.host, self.port, self.database)
    }
}

/// One declared history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Its name within the target.
    pub name: String,
}

/// Sessions that a quiet database may have; both fields that are given must match exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// The role.
    pub user: Option<String>,
    /// What the session calls itself.
    pub application_name: Option<String>,
}

/// How the connection is encrypted.
#[derive(Clone)]
pub struct Tls {
    /// What is checked.
    pub mode: TlsMode,
    /// PEM certificates that may have signed the server's; `None` is the system's own store.
    pub ca: Option<Vec<u8>>,
    /// Shown to a server that asks for one.
    pub client: Option<ClientCertificate>,
}

/// What is checked of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Its signer and that it is for this host.
    VerifyFull,
    /// Its signer only.
    VerifyCa,
    /// Nothing: the connection is not encrypted.
    Disable,
}

/// A client certificate with its key, both PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate, then its chain.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

/// Where credentials come from: asked at every connect, since passwords rotate in the middle of a run.
pub type CredentialsSource =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Credentials, CredentialsError>> + Send + Sync>;

/// Role and password. Its `Debug` shows the role only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The role that logs in.
    pub user: String,
    /// Its password; not looked at when the server asks for none.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why there are no credentials, as a part of a sentence: `Secret aether/pg-admin has no key password`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CredentialsError(pub String);
