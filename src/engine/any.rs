//! Whichever engine a target has: one match, so that the driver needs no `dyn`.
//!
//! What an engine does is a future on the heap. The driver's own would hold the largest of all three wherever it waits for one,
//! and a build that is not optimised moves such futures over the stack until there is none left.

use std::collections::BTreeMap;
use std::time::Duration;

use super::neo4j::{Neo4j, Neo4jSession};
use super::postgresql::{Postgresql, PostgresqlSession};
use super::search::{Search, SearchSession};
use super::{
    Canceller, Claim, Engine, EngineError, Fence, Look, Partial, Proof, PutBack, Quiet, RestoreTrial, Rows,
    ScriptFailure, Session, Stamp,
};
use crate::script::{Dialect, HistoryRow, Script};

/// Any engine that is built.
#[derive(Clone)]
pub enum AnyEngine {
    /// PostgreSQL.
    Postgresql(Postgresql),
    /// Neo4j.
    Neo4j(Neo4j),
    /// Elasticsearch and OpenSearch.
    Search(Search),
}

impl AnyEngine {
    /// The language of its scripts.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgresql(_) => Dialect::Postgresql,
            Self::Neo4j(_) => Dialect::Cypher,
            Self::Search(_) => Dialect::Http,
        }
    }
}

/// A session of any engine that is built.
pub enum AnySession {
    /// PostgreSQL.
    Postgresql(Box<PostgresqlSession>),
    /// Neo4j.
    Neo4j(Box<Neo4jSession>),
    /// Elasticsearch and OpenSearch.
    Search(Box<SearchSession>),
}

impl Engine for AnyEngine {
    type Session = AnySession;

    async fn look(&self) -> Result<Look, EngineError> {
        match self {
            Self::Postgresql(engine) => Box::pin(engine.look()).await,
            Self::Neo4j(engine) => Box::pin(engine.look()).await,
            Self::Search(engine) => Box::pin(engine.look()).await,
        }
    }

    async fn enter(&self, fence: &Fence) -> Result<AnySession, EngineError> {
        match self {
            Self::Postgresql(engine) => {
                Ok(AnySession::Postgresql(Box::new(Box::pin(engine.enter(fence)).await?)))
            }
            Self::Neo4j(engine) => Ok(AnySession::Neo4j(Box::new(Box::pin(engine.enter(fence)).await?))),
            Self::Search(engine) => Ok(AnySession::Search(Box::new(Box::pin(engine.enter(fence)).await?))),
        }
    }

    async fn quiet(&self, fence: &Fence) -> Result<Quiet, EngineError> {
        match self {
            Self::Postgresql(engine) => Box::pin(engine.quiet(fence)).await,
            Self::Neo4j(engine) => Box::pin(engine.quiet(fence)).await,
            Self::Search(engine) => Box::pin(engine.quiet(fence)).await,
        }
    }

    async fn progress(&self, fence: &Fence, script: &Script) -> Result<Option<String>, EngineError> {
        match self {
            Self::Postgresql(engine) => Box::pin(engine.progress(fence, script)).await,
            Self::Neo4j(engine) => Box::pin(engine.progress(fence, script)).await,
            Self::Search(engine) => Box::pin(engine.progress(fence, script)).await,
        }
    }

    async fn proof(&self) -> Result<Proof, EngineError> {
        match self {
            Self::Postgresql(engine) => Box::pin(engine.proof()).await,
            Self::Neo4j(engine) => Box::pin(engine.proof()).await,
            Self::Search(engine) => Box::pin(engine.proof()).await,
        }
    }

    async fn query(&self, statement: &str, timeout: Duration) -> Result<Rows, EngineError> {
        match self {
            Self::Postgresql(engine) => Box::pin(engine.query(statement, timeout)).await,
            Self::Neo4j(engine) => Box::pin(engine.query(statement, timeout)).await,
            Self::Search(engine) => Box::pin(engine.query(statement, timeout)).await,
        }
    }

    async fn try_restore(&self, fence: &Fence) -> Result<RestoreTrial, EngineError> {
        match self {
            Self::Postgresql(engine) => Box::pin(engine.try_restore(fence)).await,
            Self::Neo4j(engine) => Box::pin(engine.try_restore(fence)).await,
            Self::Search(engine) => Box::pin(engine.try_restore(fence)).await,
        }
    }

    async fn put_back(&self, fence: &Fence, stamp: &Stamp) -> Result<PutBack, EngineError> {
        match self {
            Self::Postgresql(engine) => Box::pin(engine.put_back(fence, stamp)).await,
            Self::Neo4j(engine) => Box::pin(engine.put_back(fence, stamp)).await,
            Self::Search(engine) => Box::pin(engine.put_back(fence, stamp)).await,
        }
    }

    async fn drop_aside(&self, fence: &Fence, run: u64) -> Result<Vec<String>, EngineError> {
        match self {
            Self::Postgresql(engine) => Box::pin(engine.drop_aside(fence, run)).await,
            Self::Neo4j(engine) => Box::pin(engine.drop_aside(fence, run)).await,
            Self::Search(engine) => Box::pin(engine.drop_aside(fence, run)).await,
        }
    }
}

impl Session for AnySession {
    fn histories(&self) -> &BTreeMap<String, Vec<HistoryRow>> {
        match self {
            Self::Postgresql(session) => session.histories(),
            Self::Neo4j(session) => session.histories(),
            Self::Search(session) => session.histories(),
        }
    }

    fn lineage(&self) -> &str {
        match self {
            Self::Postgresql(session) => session.lineage(),
            Self::Neo4j(session) => session.lineage(),
            Self::Search(session) => session.lineage(),
        }
    }

    fn partial(&self) -> &[Partial] {
        match self {
            Self::Postgresql(session) => session.partial(),
            Self::Neo4j(session) => session.partial(),
            Self::Search(session) => session.partial(),
        }
    }

    async fn apply(&mut self, history: &str, script: &Script) -> Result<HistoryRow, ScriptFailure> {
        match self {
            Self::Postgresql(session) => Box::pin(session.apply(history, script)).await,
            Self::Neo4j(session) => Box::pin(session.apply(history, script)).await,
            Self::Search(session) => Box::pin(session.apply(history, script)).await,
        }
    }

    async fn undo(&mut self, history: &str, script: &Script) -> Result<(), ScriptFailure> {
        match self {
            Self::Postgresql(session) => Box::pin(session.undo(history, script)).await,
            Self::Neo4j(session) => Box::pin(session.undo(history, script)).await,
            Self::Search(session) => Box::pin(session.undo(history, script)).await,
        }
    }

    fn canceller(&self) -> Canceller {
        match self {
            Self::Postgresql(session) => session.canceller(),
            Self::Neo4j(session) => session.canceller(),
            Self::Search(session) => session.canceller(),
        }
    }

    async fn leave(self, claim: Claim) -> Result<(), EngineError> {
        match self {
            Self::Postgresql(session) => Box::pin(session.leave(claim)).await,
            Self::Neo4j(session) => Box::pin(session.leave(claim)).await,
            Self::Search(session) => Box::pin(session.leave(claim)).await,
        }
    }
}
