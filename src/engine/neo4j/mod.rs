//! Neo4j 5.
//!
//! Data and their entry in the journal are one transaction that holds the fence to its end; a change of the schema can be
//! in none with data, so it is told to the journal before and after, and the server's own list says whether it happened.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;

use self::connect::connect;
use super::lineage::Lineage;
use super::name::Purpose;
use super::{Engine, EngineError, Fence, Look, Proof, Quiet, Rows};
use crate::script::Script;

mod ambiguity;
mod apply;
mod assert;
mod batches;
mod blockers;
mod cancel;
mod change;
mod check;
mod connect;
mod contents;
mod enter;
mod export;
mod fence;
mod history;
mod incumbents;
mod journal;
mod listed;
mod look;
mod mark;
mod message;
mod own;
mod packstream;
mod peer;
mod progress;
mod proof;
mod quiet;
mod replan;
mod schema;
mod session;
mod settings;
mod stamp;
mod undo;
mod wire;
mod words;

pub use super::{ClientCertificate, Credentials, CredentialsError, CredentialsSource, Ignore, Tls, TlsMode};
pub use export::{Export, ExportError, Exported};
pub use session::Neo4jSession;
pub use settings::{Format, History, Settings};

/// One Neo4j database. Cheap to clone; clones share what they know of its lineage.
#[derive(Clone)]
pub struct Neo4j {
    settings: Arc<Settings>,
    lineage: Arc<Lineage>,
}

impl Neo4j {
    /// Connects nowhere yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), lineage: Arc::default() }
    }

    /// Says whether the database answers and every index is there.
    ///
    /// # Errors
    /// Why not; [`EngineError::Busy`] names an index that is still being filled.
    pub async fn ready(&self) -> Result<(), EngineError> {
        stamp::ready(&self.settings, &self.lineage).await
    }

    /// Makes a restored copy the fence's run's, before anybody else can open it: the token and the claim are the fence's, the
    /// journal is empty, every lock that the backup brought along is gone.
    ///
    /// # Errors
    /// [`EngineError::Overtaken`] and [`EngineError::Claimed`]: a newer epoch, or another run, stands in the backup itself.
    pub async fn stamp_copy(&self, fence: &Fence) -> Result<(), EngineError> {
        stamp::stamp(&self.settings, &self.lineage, fence).await
    }
}

/// Exports, by APOC.
impl Neo4j {
    /// Says whether the server can export for this user.
    ///
    /// # Errors
    /// Why not.
    pub async fn can_export(&self, export: Export) -> Result<(), EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Look).await?;
        export::able(&mut connection, &self.settings, export).await.map(drop)
    }

    /// Writes the whole graph to `to`, unless a newer driver than that of `epoch` owns the target. `progress` hears how many
    /// nodes and relationships are written, and of how many.
    ///
    /// # Errors
    /// What keeps it from being the whole graph; what was written until then is of no use.
    pub async fn export(
        &self,
        export: Export,
        epoch: u64,
        to: &mut (dyn AsyncWrite + Send + Unpin),
        progress: impl FnMut(u64, u64),
    ) -> Result<Exported, ExportError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Look).await?;
        export::export(&mut connection, &self.settings, (export, epoch), to, progress).await
    }
}

impl Engine for Neo4j {
    type Session = Neo4jSession;

    async fn look(&self) -> Result<Look, EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Look).await?;
        look::look(&mut connection, &self.settings).await
    }

    async fn enter(&self, fence: &Fence) -> Result<Neo4jSession, EngineError> {
        enter::enter(&self.settings, &self.lineage, fence).await
    }

    async fn quiet(&self, fence: &Fence) -> Result<Quiet, EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Watch(fence)).await?;
        quiet::sample(&mut connection, &self.settings).await
    }

    async fn progress(&self, fence: &Fence, script: &Script) -> Result<Option<String>, EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Watch(fence)).await?;
        progress::progress(&mut connection, &self.settings, script).await
    }

    async fn proof(&self) -> Result<Proof, EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Look).await?;
        proof::proof(&mut connection, &self.settings).await
    }

    async fn query(&self, statement: &str, timeout: Duration) -> Result<Rows, EngineError> {
        let mut connection = connect(&self.settings, &self.lineage, Purpose::Look).await?;
        check::query(&mut connection, &self.settings, statement, timeout).await
    }
}
