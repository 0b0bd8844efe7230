//! Elasticsearch 7 to 9 and OpenSearch 1 to 3.
//!
//! A search server has no transactions. Every request of a script has an intent in the journal before it and a cursor after
//! it ([`walk`]); what becomes of one whose answer is lost is decided by what it is ([`lost`]). The fence is a document
//! with a lease ([`fence`]): weak, so requests have timeouts shorter than it and a takeover waits for both.

use std::sync::Arc;
use std::time::Duration;

use self::client::Client;
use self::fence::Watched;
use super::{Engine, EngineError, Fence, Look, Proof, PutBack, Quiet, RestoreTrial, Rows, Stamp};
use crate::script::Script;

mod aliases;
mod answer;
mod client;
mod copies;
mod defined;
mod enter;
mod fence;
mod lease;
mod look;
mod lost;
mod mark;
mod peer;
mod progress;
mod proof;
mod prune;
mod query;
mod record;
mod restore;
mod server;
mod session;
mod settings;
mod snapshot;
mod store;
mod task;
mod verdict;
mod walk;

pub use prune::SnapshotGone;
pub use restore::Beside;
pub use session::SearchSession;
pub use settings::{CredentialsSource, History, Kept, Login, Names, Settings};
pub use snapshot::{SnapshotOf, SnapshotTaken};

/// One search cluster. Cheap to clone; clones share what they have seen of leases.
#[derive(Clone)]
pub struct Search {
    settings: Arc<Settings>,
    watched: Arc<Watched>,
}

impl Search {
    /// Connects nowhere yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), watched: Arc::default() }
    }

    async fn client(&self) -> Result<Client, EngineError> {
        let client = Client::new(&self.settings).await?;
        client.server().await?;
        Ok(client)
    }
}

impl Engine for Search {
    type Session = SearchSession;

    async fn look(&self) -> Result<Look, EngineError> {
        Client::new(&self.settings).await?.look().await
    }

    async fn enter(&self, fence: &Fence) -> Result<SearchSession, EngineError> {
        enter::enter(&self.settings, &self.watched, fence).await
    }

    async fn quiet(&self, _: &Fence) -> Result<Quiet, EngineError> {
        self.client().await?.quiet().await
    }

    async fn progress(&self, fence: &Fence, _: &Script) -> Result<Option<String>, EngineError> {
        self.client().await?.progress(fence).await
    }

    async fn proof(&self) -> Result<Proof, EngineError> {
        self.client().await?.proof().await
    }

    async fn query(&self, statement: &str, timeout: Duration) -> Result<Rows, EngineError> {
        self.client().await?.query(statement, timeout).await
    }

    async fn try_restore(&self, fence: &Fence) -> Result<RestoreTrial, EngineError> {
        restore::try_restore(&self.client().await?, fence).await
    }

    async fn put_back(&self, fence: &Fence, stamp: &Stamp) -> Result<PutBack, EngineError> {
        restore::put_back(&self.settings, &self.watched, fence, stamp).await
    }

    async fn drop_aside(&self, fence: &Fence, run: u64) -> Result<Vec<String>, EngineError> {
        restore::drop_aside(&self.client().await?, fence, run).await
    }
}
