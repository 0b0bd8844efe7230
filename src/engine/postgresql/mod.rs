//! PostgreSQL 13 to 18.
//!
//! Every script is one message, guarded at both ends ([`guard`]); the lock lives on the very session that runs it; an
//! older session is waited for or seen gone before anything in the database is believed ([`ambiguity`]).

use std::sync::Arc;
use std::time::Duration;

use self::connect::{Lineage, connect};
use super::name::Purpose;
use super::{Engine, EngineError, Fence, Look, Proof, PutBack, Quiet, RestoreTrial, Rows, Stamp};
use crate::script::Script;

mod ambiguity;
mod blockers;
mod cancel;
mod check;
mod connect;
mod end_point;
mod enter;
mod feed;
mod fence;
mod fingerprint;
mod guard;
mod history;
mod incumbents;
mod login;
mod look;
mod mark;
mod outside;
mod position;
mod progress;
mod quiet;
mod restore;
mod schema;
mod session;
mod sessions;
mod settings;
mod steps;
mod undo;
mod verdict;
mod wire;

pub use super::name::tool_name;
pub use super::{ClientCertificate, Credentials, CredentialsError, CredentialsSource, Ignore, Tls, TlsMode};
pub use restore::{Grant, Label, Properties, Setting, Stage, aside, beside, lock, maintenance};
pub use session::PostgresqlSession;
pub use settings::{History, Settings};

/// The database takes no connections.
const CLOSED: &str = "55000";

/// One PostgreSQL database. Cheap to clone; clones share what they know of the server's lineage.
#[derive(Clone)]
pub struct Postgresql {
    settings: Arc<Settings>,
    lineage: Arc<Lineage>,
}

impl Postgresql {
    /// Connects nowhere yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), lineage: Arc::default() }
    }
}

impl Engine for Postgresql {
    type Session = PostgresqlSession;

    async fn look(&self) -> Result<Look, EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Look).await?;
        look::look(&mut connection, &self.settings).await
    }

    async fn enter(&self, fence: &Fence) -> Result<PostgresqlSession, EngineError> {
        enter::enter(&self.settings, &self.lineage, fence).await
    }

    async fn quiet(&self, fence: &Fence) -> Result<Quiet, EngineError> {
        match connect(&self.settings, &self.lineage, Purpose::Watch(fence)).await {
            Ok(mut connection) => quiet::sample(&mut connection, &self.settings).await,
            Err(EngineError::Server { code, .. })
                if code == CLOSED
                    && restore::is_closed_by_us(&self.settings, &self.lineage, fence).await? =>
            {
                Ok(Quiet { foreign: Vec::new(), obstacles: Vec::new(), mark: None })
            }
            Err(error) => Err(error),
        }
    }

    async fn progress(&self, fence: &Fence, _: &Script) -> Result<Option<String>, EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Watch(fence)).await?;
        progress::progress(&mut connection, &self.settings, fence).await
    }

    async fn proof(&self) -> Result<Proof, EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Look).await?;
        fingerprint::proof(&mut connection, &self.settings).await
    }

    async fn query(&self, statement: &str, timeout: Duration) -> Result<Rows, EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Look).await?;
        check::query(&mut connection, &self.settings, statement, timeout).await
    }

    async fn try_restore(&self, fence: &Fence) -> Result<RestoreTrial, EngineError> {
        restore::try_restore(&self.settings, &self.lineage, fence).await
    }

    async fn put_back(&self, fence: &Fence, stamp: &Stamp) -> Result<PutBack, EngineError> {
        restore::put_back(&self.settings, &self.lineage, fence, stamp).await
    }

    async fn drop_aside(&self, fence: &Fence, run: u64) -> Result<Vec<String>, EngineError> {
        restore::drop_aside(&self.settings, &self.lineage, fence, run).await
    }
}
