//! The hands on databases: one room per engine behind one trait.
//!
//! An engine knows how to reach one database and nothing of Kubernetes. What only reads and holds nothing
//! ([`Engine::look`], [`Engine::quiet`], [`Engine::proof`], [`Engine::query`]) may stop or wait, never prove that a
//! script is in or not. Only what a [`Session`] reads under its lock and its fence is evidence.
//!
//! What holds for every engine is here, one idea a file, and no engine imports from another:
//!
//! | file | what |
//! |---|---|
//! | `fence` | the run that wants in, the claim it may meet, and whether it may go in past it |
//! | `name` | what sessions call themselves, so that a newer epoch finds those of an older one |
//! | `ambiguity` | what becomes of an older session: left, waited for, ended |
//! | `lineage` | whether it is the database that is meant, with the past that it had |
//! | `record` | histories and journal as a session knows them: what may begin, what goes on, the digest |
//! | `settings`, `credentials`, `tls`, `stream` | a database behind a host and a port: how it is reached |
//! | `lost` | a connection that went in the middle; only this leads to the ambiguity rule |
//! | `error`, `facts`, `ignore`, `canceller` | what is said, what is seen, who does not count, how a statement is ended |

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use crate::script::{HistoryRow, Script};

mod ambiguity;
mod any;
mod canceller;
mod credentials;
mod error;
mod facts;
mod fence;
mod ignore;
mod lineage;
mod lost;
mod name;
pub mod neo4j;
pub mod postgresql;
mod record;
pub mod search;
mod settings;
mod stream;
mod tls;

pub use any::{AnyEngine, AnySession};
pub use canceller::Canceller;
pub use credentials::{Credentials, CredentialsError, CredentialsSource, fixed_credentials};
pub use error::{BlockedBy, EngineError, ScriptError, ScriptFailure};
pub use facts::{
    ForeignSession, Look, Partial, Proof, PutBack, Quiet, RestoreTrial, Rows, Stamp, structure_alone,
};
pub use fence::{Claim, ClaimSeen, Fence};
pub use ignore::Ignore;
pub use settings::DatabaseSettings;
pub use tls::{ClientCertificate, Tls, TlsMode};

/// One database as the driver sees it.
///
/// The value knows how to reach its server (address, TLS, a source of credentials that is asked at every connect,
/// because passwords rotate in the middle of a run) and nothing of Kubernetes.
pub trait Engine: Send + Sync + 'static {
    /// The one kind of connection that may change the database.
    type Session: Session;

    /// Reads only, nothing held: version, identity, lineage, histories, privileges, who is connected.
    ///
    /// May stop or wait, never proves.
    fn look(&self) -> impl Future<Output = Result<Look, EngineError>> + Send;

    /// A fresh session that holds the lock and the fence, with the histories read under both.
    ///
    /// Connects, checks identity, lineage and that the server takes writes, tries the lock once on this very session,
    /// ends or waits for older sessions of ours, makes Whimbrel's own tables if they are absent, locks the fence row,
    /// raises its token and writes the claim. [`EngineError::Busy`] means: try again later, nothing is wrong.
    fn enter(&self, fence: &Fence) -> impl Future<Output = Result<Self::Session, EngineError>> + Send;

    /// Who else is in the database, and the write mark. One that [`Engine::put_back`] of the fence's run has closed, and not
    /// yet replaced, is quiet and has no mark: the driver that closed it may have died, and the next one asks before it goes on.
    fn quiet(&self, fence: &Fence) -> impl Future<Output = Result<Quiet, EngineError>> + Send;

    /// How far the statement is that the session of `fence` runs for `script`, for people; nothing where the server does not
    /// say. Asked from outside while it runs, by a connection of its own.
    fn progress(
        &self,
        _: &Fence,
        _: &Script,
    ) -> impl Future<Output = Result<Option<String>, EngineError>> + Send {
        async { Ok(None) }
    }

    /// What must be equal before and after for a run to say RolledBack.
    fn proof(&self) -> impl Future<Output = Result<Proof, EngineError>> + Send;

    /// One statement of a check, in a read-only transaction that ends after `timeout`; at most 1000 rows.
    fn query(
        &self,
        statement: &str,
        timeout: Duration,
    ) -> impl Future<Output = Result<Rows, EngineError>> + Send;

    /// What a restore would meet, really tried where reading can't tell: [`Engine::put_back`] may be automatic only if
    /// there is no obstacle. Changes nothing of the database.
    fn try_restore(&self, _: &Fence) -> impl Future<Output = Result<RestoreTrial, EngineError>> + Send {
        let obstacle = "this engine has no restore that runs by itself".to_owned();
        async { Ok(RestoreTrial { obstacles: vec![obstacle], warnings: Vec::new() }) }
    }

    /// Stamps the copy that the restore's Job has made, and swaps it in: the fence in it is ours, its journal is empty,
    /// its histories are those that `stamp` names. The database that was there is kept.
    ///
    /// One continuation from every point at which an earlier call may have ended: called again it goes on, and says the
    /// same once it is done. [`EngineError::Busy`] means: the database is open again, try again later.
    fn put_back(
        &self,
        fence: &Fence,
        _: &Stamp,
    ) -> impl Future<Output = Result<PutBack, EngineError>> + Send {
        let (at, reason) = (fence.target.clone(), "its engine has no restore".to_owned());
        async { Err(EngineError::NotRestorable { at, reason }) }
    }

    /// Drops what the fence's run, which has number `run` and is over, put aside or restored beside and never swapped in, if
    /// it says by itself that it is that run's; gives the names of what was dropped.
    fn drop_aside(&self, _: &Fence, _: u64) -> impl Future<Output = Result<Vec<String>, EngineError>> + Send {
        async { Ok(Vec::new()) }
    }
}

/// A connection that holds the lock and the fence of one target. Dropped without [`Session::leave`] the server ends it
/// by itself, later: the next [`Engine::enter`] sees to it.
pub trait Session: Send + 'static {
    /// Rows per history, oldest first, undone ones left out: as read under lock and fence, kept up to date by
    /// [`Session::apply`] and [`Session::undo`].
    fn histories(&self) -> &BTreeMap<String, Vec<HistoryRow>>;

    /// Which line of data this is, as the server said when the session was made: see [`Look::lineage`].
    fn lineage(&self) -> &str;

    /// Scripts that were begun and are not in their history: they count as applied for the way back.
    fn partial(&self) -> &[Partial];

    /// Applies one script: effect, journal and history row together. Never tried twice in here.
    fn apply(
        &mut self,
        history: &str,
        script: &Script,
    ) -> impl Future<Output = Result<HistoryRow, ScriptFailure>> + Send;

    /// Runs the undo of a script that must be the newest of its history, and takes it out of the history.
    fn undo(
        &mut self,
        history: &str,
        script: &Script,
    ) -> impl Future<Output = Result<(), ScriptFailure>> + Send;

    /// Ends the server's work on the running statement from outside; safe to call from another task. A session that
    /// was cancelled runs no further script.
    fn canceller(&self) -> Canceller;

    /// Gives up the lock, with [`Claim::GiveUp`] also the claim in the fence row (its token stays), makes our own
    /// writes visible in the server's statistics and closes.
    fn leave(self, claim: Claim) -> impl Future<Output = Result<(), EngineError>> + Send;
}
