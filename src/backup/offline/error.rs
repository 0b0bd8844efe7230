//! What can go wrong with the files of a stopped server, as the sentences a person reads.

use crate::backup::error::{EXIT_FAILED, EXIT_NEVER_AGAIN};

/// Why a stopped Neo4j was not dumped, proven or put back.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// Somebody has the store open.
    #[error(
        "the server has database {database} open: its files may be copied and moved only while it is stopped. See that no pod of it is left"
    )]
    Running {
        /// The database.
        database: String,
    },
    /// The last transactions are in the log only.
    #[error(
        "the store of database {database} was not closed cleanly: the server was killed. Start it, stop it cleanly once, then retry"
    )]
    NotClean {
        /// The database.
        database: String,
    },
    /// The folder is none of Neo4j.
    #[error(
        "{path} is no data folder of Neo4j: it has no folder databases. Correct spec.server.dataPath, the path on the volume of the folder that holds databases and transactions"
    )]
    NoDataFolder {
        /// The folder as the pod sees it.
        path: String,
    },
    /// The database is not in it.
    #[error("there is no database {database} in {path}: it has {}. Correct spec.neo4j.database, or spec.server.volumeClaim", listed(.there))]
    NoDatabase {
        /// The database.
        database: String,
        /// The data folder as the pod sees it.
        path: String,
        /// The databases that are there.
        there: Vec<String>,
    },
    /// The files are another user's.
    #[error(
        "{path} belongs to user {owner} and group {group}, and this Job, user {user}, may not {what} it. Set spec.backup.pod.securityContext: runAsUser: {owner}, runAsGroup: {group}"
    )]
    Denied {
        /// Which file or folder.
        path: String,
        /// `read` or `write`.
        what: &'static str,
        /// Uid of its owner.
        owner: u32,
        /// Gid of its group.
        group: u32,
        /// Our uid.
        user: u32,
    },
    /// The server's own volume has no room for a second store.
    #[error(
        "the server's volume is full: {free} bytes free at {path}, and the restored store needs a place beside the one that is there. Enlarge the claim {claim_hint}"
    )]
    VolumeFull {
        /// Bytes free for us now.
        free: u64,
        /// The data folder as the pod sees it.
        path: String,
        /// What else helps.
        claim_hint: &'static str,
    },
    /// A private server did not come up, or not down.
    #[error("the private server {what}: {said}")]
    PrivateServer {
        /// What it did not do.
        what: &'static str,
        /// The last lines it wrote.
        said: String,
    },
    /// A level needs what no flag said.
    #[error(
        "there is nothing to compare a restored store with: the structure that was read before the backup is not known"
    )]
    NothingExpected,
    /// What lies on the volume is not what a swap of ours leaves.
    #[error("{path}: {reason}")]
    InTheWay {
        /// Which file or folder.
        path: String,
        /// Why it is in the way, and what helps.
        reason: String,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl OfflineError {
    /// The code in the Job's result.
    pub(in crate::backup) fn code(&self) -> &'static str {
        match self {
            Self::Running { .. } => "ServerRuns",
            Self::NotClean { .. } => "NotClosedCleanly",
            Self::NoDataFolder { .. } => "NoDataFolder",
            Self::NoDatabase { .. } => "NoDatabase",
            Self::Denied { .. } => "Denied",
            Self::VolumeFull { .. } => "VolumeFull",
            Self::PrivateServer { .. } => "PrivateServer",
            Self::NothingExpected => "NothingExpected",
            Self::InTheWay { .. } => "InTheWay",
        }
    }

    /// What the Job's container exits with.
    pub(in crate::backup) fn exit_code(&self) -> u8 {
        match self {
            Self::Running { .. } | Self::PrivateServer { .. } => EXIT_FAILED,
            _ => EXIT_NEVER_AGAIN,
        }
    }
}
