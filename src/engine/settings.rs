//! How one database behind a host and a port is reached and treated.

use std::time::Duration;

use super::{CredentialsSource, Ignore, Tls};

/// Everything an engine needs to know about one target that is a database of a server. `H` is what a declared history is
/// to the engine.
#[derive(Clone)]
pub struct DatabaseSettings<H> {
    /// `<namespace>/<name>` of the target; names our sessions and every message.
    pub target: String,
    /// Host name or address of the server itself that takes writes, never of a pooler.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// Asked at every connect.
    pub credentials: CredentialsSource,
    /// The declared histories.
    pub histories: Vec<H>,
    /// What the engine's [`Look::identity`](super::Look::identity) must be; anything else is refused.
    pub identity_expect: Option<String>,
    /// For address lookup, TLS and login together. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a statement waits for somebody's lock, ours for the fence too, before it gives way. Default 3 s.
    pub lock_timeout: Duration,
    /// How long one statement of a script, or what the server does for it afterwards, may take; zero is for ever.
    /// Default zero.
    pub statement_timeout: Duration,
    /// Sessions that do not count as foreign.
    pub quiet_ignore: Vec<Ignore>,
    /// Messages carry what of the server's words may quote data.
    pub diagnostics_full: bool,
}

/// Defaults of the timeouts.
impl<H> DatabaseSettings<H> {
    /// See [`DatabaseSettings::connect_timeout`].
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// See [`DatabaseSettings::lock_timeout`].
    pub const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
    /// See [`DatabaseSettings::statement_timeout`].
    pub const STATEMENT_TIMEOUT: Duration = Duration::ZERO;

    /// How messages name this database.
    pub(super) fn at(&self) -> String {
        format!("{} ({}:{}/{})", self.target, self.host, self.port, self.database)
    }
}
