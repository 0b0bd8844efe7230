//! Everything that can go wrong with a backup, as the sentences a person reads, and what the Job makes of it.

use super::offline::OfflineError;
use crate::engine::EngineError;
use std::{io, path::Path};

/// Why a backup was not taken, or does not prove what it must.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The server can't be reached, or does not let us in.
    #[error("no connection to {at} as {user}: {said}")]
    Connect {
        /// `<host>:<port>/<database>`.
        at: String,
        /// The role.
        user: String,
        /// What libpq said.
        said: String,
    },
    /// A mounted credential is missing or can't be used.
    #[error("credentials: {0}")]
    Credentials(String),
    /// Another driver of a higher epoch owns the target: this Job is late and must do nothing.
    #[error("the target's token is {token}, this Job has epoch {epoch}: a newer driver owns the target")]
    Overtaken {
        /// The token in the target.
        token: u64,
        /// The Job's own epoch.
        epoch: u64,
    },
    /// A tool is not in the image.
    #[error("{tool} is not in this image: spec.backup.image must hold {}'s own tools", maker(.tool))]
    NoTool {
        /// Name of the program.
        tool: &'static str,
    },
    /// A tool ended with an error.
    #[error("{tool} failed ({status}): {said}")]
    Tool {
        /// Name of the program.
        tool: &'static str,
        /// `exit status: 1`.
        status: String,
        /// The last lines it wrote about errors.
        said: String,
    },
    /// The server refused a query of ours.
    #[error("the server refused a query: {said}")]
    Query {
        /// What the server said.
        said: String,
    },
    /// No room left where the backup is written.
    #[error(
        "the backup volume is full: {free} bytes free after {written} bytes of a backup of a database of {database} bytes. Enlarge the claim, or remove backups that are not needed from {path}"
    )]
    DiskFull {
        /// Bytes free for us now, the incomplete backup still there.
        free: u64,
        /// Bytes of the incomplete backup.
        written: u64,
        /// Size of the database.
        database: u64,
        /// Where backups are.
        path: String,
    },
    /// Not even room for the note of an attempt.
    #[error(
        "the backup volume is full: {free} bytes free, and no backup was begun. Enlarge the claim, or remove backups that are not needed from {path}"
    )]
    NoRoom {
        /// Bytes free for us.
        free: u64,
        /// Where backups are.
        path: String,
    },
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The bucket's service did not do what it was asked.
    #[error("bucket {bucket}: {what}: {said}")]
    Bucket {
        /// Name of the bucket, and at which service.
        bucket: String,
        /// What was tried.
        what: String,
        /// What the service said, or why it was not reached, and what helps.
        said: String,
        /// Whether the same again may succeed.
        again: bool,
    },
    /// There is no manifest: the backup was never finished.
    #[error("{path} has no manifest.json: this backup was not finished and counts for nothing")]
    Unfinished {
        /// Folder of the backup.
        path: String,
    },
    /// The manifest can't be understood.
    #[error("{path}: not a manifest of this format: {reason}")]
    Manifest {
        /// The file.
        path: String,
        /// What does not fit.
        reason: String,
    },
    /// The backup is another target's or another run's.
    #[error("{path} is the backup of {found}, not of {expected}")]
    NotThis {
        /// Folder of the backup.
        path: String,
        /// Whose it should be.
        expected: String,
        /// Whose it is.
        found: String,
    },
    /// The manifest is not the one that was verified.
    #[error(
        "the manifest of {path} has SHA-256 {found}, the one that was verified had {expected}: it was changed since"
    )]
    Changed {
        /// Folder of the backup.
        path: String,
        /// What was verified.
        expected: String,
        /// What is there now.
        found: String,
    },
    /// The backup was taken of another server.
    #[error("the backup was taken of server {expected}, this one is {found}: its roles and files are others")]
    AnotherServer {
        /// System identifier in the manifest.
        expected: String,
        /// System identifier of the server.
        found: String,
    },
    /// A database of the name that the copy must have is not ours to drop.
    #[error("database {name} is in the way: {reason}. Rename it: ALTER DATABASE \"{name}\" RENAME TO …;")]
    InTheWay {
        /// Its name.
        name: String,
        /// Why it is not dropped.
        reason: String,
    },
    /// Another pod restores the same database, or a driver swaps it.
    #[error("another restore of {database} is at work: {holder}")]
    Busy {
        /// The database.
        database: String,
        /// Who.
        holder: String,
    },
    /// Files are not what the manifest says.
    #[error("the backup is damaged: {}", .0.join("; "))]
    Damaged(Vec<String>),
    /// What was written is not all that was there.
    #[error("{0}")]
    NotWhole(String),
    /// What came back from the backup is not what was in the database.
    #[error("the backup does not give back what was in the database: {}", .0.join("; "))]
    Different(Vec<String>),
    /// The scratch server of a restore test can't be made as the source was.
    #[error("the restore test can't be made: {0}")]
    Scratch(String),
    /// What an engine says that is asked and not read.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What went wrong with the files of a stopped server.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The Job was told to stop.
    #[error("stopped by a signal before it was done")]
    Stopped,
}

/// Exit code: the same again would fail the same way; the Job fails at once.
pub const EXIT_NEVER_AGAIN: u8 = 42;
/// Exit code: a newer driver owns the target; the Job fails at once.
pub const EXIT_OVERTAKEN: u8 = 43;
/// Exit code: another try may succeed.
pub const EXIT_FAILED: u8 = 1;

/// Whose tool it is.
fn maker(tool: &str) -> &'static str {
    if tool.starts_with("neo4j") { "Neo4j" } else { "PostgreSQL" }
}

impl BackupError {
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, source }
    }

    /// A word for the kind of failure, for `failure.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "Connect",
            Self::Credentials(_) => "Credentials",
            Self::Overtaken { .. } => "Overtaken",
            Self::NoTool { .. } => "NoTool",
            Self::Tool { .. } => "Tool",
            Self::Query { .. } => "Query",
            Self::DiskFull { .. } | Self::NoRoom { .. } => "DiskFull",
            Self::File { .. } => "File",
            Self::Bucket { .. } => "Bucket",
            Self::Unfinished { .. } => "Unfinished",
            Self::Manifest { .. } => "Manifest",
            Self::NotThis { .. } => "NotThis",
            Self::Changed { .. } => "Changed",
            Self::AnotherServer { .. } => "AnotherServer",
            Self::InTheWay { .. } => "InTheWay",
            Self::Busy { .. } => "Busy",
            Self::Damaged(_) => "Damaged",
            Self::NotWhole(_) => "NotWhole",
            Self::Different(_) => "Different",
            Self::Scratch(_) => "Scratch",
            Self::Engine(EngineError::Overtaken { .. }) => "Overtaken",
            Self::Engine(_) => "Engine",
            Self::Offline(error) => error.code(),
            Self::Stopped => "Stopped",
        }
    }

    /// What the Job's container exits with: only what a new pod might cure is tried again.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Overtaken { .. } | Self::Engine(EngineError::Overtaken { .. }) => EXIT_OVERTAKEN,
            Self::Offline(error) => error.exit_code(),
            Self::Engine(
                EngineError::Unreachable { .. } | EngineError::Lost { .. } | EngineError::Busy { .. },
            )
            | Self::Connect { .. }
            | Self::Tool { .. }
            | Self::File { .. }
            | Self::Busy { .. }
            | Self::NotWhole(_)
            | Self::Bucket { again: true, .. }
            | Self::Stopped => EXIT_FAILED,
            _ => EXIT_NEVER_AGAIN,
        }
    }
}
