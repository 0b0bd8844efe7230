//! Whichever engine a target has: one match, so that the driver needs no `dyn`.

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
            Self::Postgresql(engine) => engine.look().await,
            Self::Neo4j(engine) => engine.look().await,
            Self::Search(engine) => engine.look().await,
        }
    }

    async fn enter(&self, fence: &Fence) -> Result<AnySession, EngineError> {
        match self {
            Self::Postgresql(engine) => Ok(AnySession::Postgresql(Box::new(engine.enter(fence).await?))),
            Self::Neo4j(engine) => Ok(AnySession::Neo4j(Box::new(engine.enter(fence).await?))),
            Self::Search(engine) => Ok(AnySession::Search(Box::new(engine.enter(fence).await?))),
        }
    }

    async fn quiet(&self, fence: &Fence) -> Result<Quiet, EngineError> {
        match self {
            Self::Postgresql(engine) => engine.quiet(fence).await,
            Self::Neo4j(engine) => engine.quiet(fence).await,
            Self::Search(engine) => engine.quiet(fence).await,
        }
    }

    async fn progress(&self, fence: &Fence, script: &Script) -> Result<Option<String>, EngineError> {
        match self {
            Self::Postgresql(engine) => engine.progress(fence, script).await,
            Self::Neo4j(engine) => engine.progress(fence, script).await,
            Self::Search(engine) => engine.progress(fence, script).await,
        }
    }

    async fn proof(&self) -> Result<Proof, EngineError> {
        match self {
            Self::Postgresql(engine) => engine.proof().await,
            Self::Neo4j(engine) => engine.proof().await,
            Self::Search(engine) => engine.proof().await,
        }
    }

    async fn query(&self, statement: &str, timeout: Duration) -> Result<Rows, EngineError> {
        match self {
            Self::Postgresql(engine) => engine.query(statement, timeout).await,
            Self::Neo4j(engine) => engine.query(statement, timeout).await,
            Self::Search(engine) => engine.query(statement, timeout).await,
        }
    }

    async fn try_restore(&self, fence: &Fence) -> Result<RestoreTrial, EngineError> {
        match self {
            Self::Postgresql(engine) => engine.try_restore(fence).await,
            Self::Neo4j(engine) => engine.try_restore(fence).await,
            Self::Search(engine) => engine.try_restore(fence).await,
        }
    }

    async fn put_back(&self, fence: &Fence, stamp: &Stamp) -> Result<PutBack, EngineError> {
        match self {
            Self::Postgresql(engine) => engine.put_back(fence, stamp).await,
            Self::Neo4j(engine) => engine.put_back(fence, stamp).await,
            Self::Search(engine) => engine.put_back(fence, stamp).await,
        }
    }

    async fn drop_aside(&self, fence: &Fence, run: u64) -> Result<Vec<String>, EngineError> {
        match self {
            Self::Postgresql(engine) => engine.drop_aside(fence, run).await,
            Self::Neo4j(engine) => engine.drop_aside(fence, run).await,
            Self::Search(engine) => engine.drop_aside(fence, run).await,
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
            Self::Postgresql(session) => session.apply(history, script).await,
            Self::Neo4j(session) => session.apply(history, script).await,
            Self::Search(session) => session.apply(history, script).await,
        }
    }

    async fn undo(&mut self, history: &str, script: &Script) -> Result<(), ScriptFailure> {
        match self {
            Self::Postgresql(session) => session.undo(history, script).await,
            Self::Neo4j(session) => session.undo(history, script).await,
            Self::Search(session) => session.undo(history, script).await,
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
            Self::Postgresql(session) => session.leave(claim).await,
            Self::Neo4j(session) => session.leave(claim).await,
            Self::Search(session) => session.leave(claim).await,
        }
    }
}
