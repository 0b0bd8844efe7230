//! How one Neo4j database is reached and treated.

use std::time::Duration;

pub use crate::engine::postgresql::{
    ClientCertificate, Credentials, CredentialsError, CredentialsSource, Ignore, Tls, TlsMode,
};

/// Everything the engine needs to know about one target.
#[derive(Clone)]
pub struct Settings {
    /// `<namespace>/<name>` of the target; names our sessions and every message.
    pub target: String,
    /// Host name or address of the server that takes writes.
    pub host: String,
    /// Usually 7687.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// Asked at every connect.
    pub credentials: CredentialsSource,
    /// The declared histories.
    pub histories: Vec<History>,
    /// The database's id, as `SHOW DATABASE` has it; anything else is refused.
    pub identity_expect: Option<String>,
    /// For address lookup, TLS and login together. Default 5 s.
    pub connect_timeout: Duration,
    /// How long the fence may be held by somebody else before we give way. Default 3 s.
    pub lock_timeout: Duration,
    /// How long one statement of a script, or the population of an index, may take; zero is for ever. Default zero.
    pub statement_timeout: Duration,
    /// Sessions that do not count as foreign.
    pub quiet_ignore: Vec<Ignore>,
    /// Messages carry values of properties where the server's words do.
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

    /// How messages name this database.
    pub(super) fn at(&self) -> String {
        format!("{} ({}:{}/{})", self.target, self.host, self.port, self.database)
    }

    /// Whether a declared history is kept as neo4j-migrations keeps it.
    pub(super) fn has_peer(&self) -> bool {
        self.histories.iter().any(|history| history.format == Format::Neo4jMigrations)
    }

    /// The format of a declared history.
    pub(super) fn format(&self, history: &str) -> Option<Format> {
        self.histories.iter().find(|declared| declared.name == history).map(|declared| declared.format)
    }
}

/// One declared history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Its name within the target.
    pub name: String,
    /// Who else reads its rows.
    pub format: Format,
}

/// How a history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// In nodes of Whimbrel's own.
    Whimbrel,
    /// As the chain of neo4j-migrations, which goes on with it.
    Neo4jMigrations,
}
