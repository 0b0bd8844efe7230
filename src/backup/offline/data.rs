//! The server's data folder as it lies on its volume, and the lock by which a running server is seen.

use super::OfflineError;
use crate::backup::{BackupError, files};
use rustix::fs::{FlockOperation, fcntl_lock};
use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Stores of databases; beside it [`TRANSACTIONS`].
pub(super) const DATABASES: &str = "databases";
/// Their logs.
pub(super) const TRANSACTIONS: &str = "transactions";
/// The file in [`DATABASES`] that a server holds a lock on for as long as it lives.
const LOCK: &str = "store_lock";

/// The folder that holds `databases/` and `transactions/`.
#[derive(Clone, Debug)]
pub(super) struct DataFolder {
    pub(super) path: PathBuf,
}

/// Held: no server can start on the folder.
pub(super) struct Stopped {
    _lock: Option<File>,
}

impl DataFolder {
    /// Looks whether the folder is one of Neo4j's and holds `database`, under its own spelling.
    pub(super) fn open(path: &Path, database: &str) -> Result<Self, BackupError> {
        let databases = path.join(DATABASES);
        let entries = match fs::read_dir(&databases) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(OfflineError::NoDataFolder { path: path.display().to_string() }.into());
            }
            Err(error) => return Err(or_denied(error, &databases, "read")),
        };
        let mut there: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        there.sort();
        if !there.iter().any(|name| name == database) {
            let (database, path) = (database.to_owned(), path.display().to_string());
            return Err(OfflineError::NoDatabase { database, path, there }.into());
        }
        let data = Self { path: path.to_owned() };
        for folder in data.of(database) {
            match fs::read_dir(&folder) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(or_denied(error, &folder, "read")),
            }
        }
        Ok(data)
    }

    /// The two folders of a database.
    pub(super) fn of(&self, database: &str) -> [PathBuf; 2] {
        [DATABASES, TRANSACTIONS].map(|folder| self.path.join(folder).join(database))
    }

    /// Bytes of a database with its logs.
    pub(super) fn bytes(&self, database: &str) -> u64 {
        self.of(database).iter().map(|folder| files::bytes_below(folder)).sum()
    }

    /// Takes the server's own lock: it is refused while one runs, and keeps one from starting while it is held.
    pub(super) fn hold_stopped(&self, database: &str) -> Result<Stopped, BackupError> {
        let path = self.path.join(DATABASES).join(LOCK);
        let lock = match File::options().read(true).write(true).open(&path) {
            Ok(lock) => lock,
            // A server that never ran here has left none.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Stopped { _lock: None }),
            Err(error) => return Err(or_denied(error, &path, "write")),
        };
        // The kind of lock that Java takes. It ends with this process, and with the first time the file is closed in it.
        match fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Stopped { _lock: Some(lock) }),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                Err(OfflineError::Running { database: database.to_owned() }.into())
            }
            Err(errno) => Err(BackupError::file(&path)(io::Error::from(errno))),
        }
    }
}

/// A refusal of the file system, with whose the file is and who we are; a full volume by its own name.
pub(super) fn or_denied(error: io::Error, path: &Path, what: &'static str) -> BackupError {
    if error.kind() != ErrorKind::PermissionDenied {
        return BackupError::file(path)(error);
    }
    // The nearest that can be looked at: below a closed folder nothing can.
    let seen = path.ancestors().find_map(|it| Some((it, fs::metadata(it).ok()?)));
    let Some((at, seen)) = seen else { return BackupError::file(path)(error) };
    let user = rustix::process::geteuid().as_raw();
    let path = at.display().to_string();
    OfflineError::Denied { path, what, owner: seen.uid(), group: seen.gid(), user }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_data_folder_and_what_lacks_the_database_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let said = |database: &str| DataFolder::open(folder.path(), database).unwrap_err().to_string();
        let path = folder.path().display();
        assert_eq!(
            said("neo4j"),
            format!(
                "{path} is no data folder of Neo4j: it has no folder databases. Correct spec.server.dataPath, the path on the volume of the folder that holds databases and transactions"
            )
        );
        fs::create_dir_all(folder.path().join("databases/graph")).unwrap();
        fs::create_dir(folder.path().join("databases/system")).unwrap();
        fs::write(folder.path().join("databases/store_lock"), "").unwrap();
        assert_eq!(
            said("neo4j"),
            format!(
                "there is no database neo4j in {path}: it has graph, system. Correct spec.neo4j.database, or spec.server.volumeClaim"
            )
        );
        assert!(DataFolder::open(folder.path(), "graph").is_ok());
    }
}
