//! Elasticsearch 7 to 9 and OpenSearch 1 to 3.
//!
//! A search server has no transactions. Every request of a script has an intent in the journal before it and a cursor after
//! it ([`walk`]); what becomes of one whose answer is lost is decided by what it is ([`lost`]). The fence is a document
//! with a lease ([`fence`]): weak, so requests have timeouts shorter than it and a takeover waits for both.

use std::sync::Arc;
use std::time::Duration;

use self::client::Client;
use self::fence::Watched;
use super::{Engine, EngineError, Fence, Look, Proof, Quiet, Rows};

mod aliases;
mod answer;
mod client;
mod enter;
mod fence;
mod lease;
mod look;
mod lost;
mod mark;
mod peer;
mod proof;
mod query;
mod record;
mod server;
mod session;
mod settings;
mod snapshot;
mod store;
mod task;
mod verdict;
mod walk;

pub use session::SearchSession;
pub use settings::{CredentialsSource, History, Kept, Login, Settings};
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

    async fn proof(&self) -> Result<Proof, EngineError> {
        self.client().await?.proof().await
    }

    async fn query(&self, statement: &str, timeout: Duration) -> Result<Rows, EngineError> {
        self.client().await?.query(statement, timeout).await
    }
}
