//! Takes a backup of a stopped server: `neo4j-admin database dump`, made durable, the manifest last.

use super::admin::{self, Admin};
use crate::backup::{
    BackupError, Of, Storage, Summary,
    attempt::{Attempt, Place, Whose},
    manifest::{FORMAT, FileManifest},
    take::{or_disk_full, seconds_between, unless},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf, pin::pin};

/// Who wrote the dump, in its manifest: another engine's reader refuses it by this.
const ENGINE: &str = "neo4j";

/// One dump to be taken.
#[derive(Clone, Debug)]
pub struct TakeDump {
    /// For whom.
    pub of: Of,
    /// The server's data folder, which holds `databases` and `transactions`.
    pub data: PathBuf,
    /// Name of the database.
    pub database: String,
    /// The driver's epoch.
    pub epoch: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Where all backups are.
    pub storage: Storage,
    /// Folder below it for this run: `<plan>/<run>`.
    pub run_folder: PathBuf,
    /// Folder for the tools' own files, which is made.
    pub scratch: PathBuf,
}

/// What became of it; goes into the Job's termination message, in the words of other backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dumped {
    /// Folder of the backup, relative to the storage's.
    pub path: String,
    /// When the dump was begun; the server was stopped before.
    pub at: Timestamp,
    /// How long it took, in seconds.
    pub took_seconds: u64,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Number of its files.
    pub files: u64,
    /// Size of the store in bytes; a proof needs room for it.
    pub database_bytes: u64,
    /// SHA-256 of the manifest, which holds that of the file.
    pub sha256: String,
    /// All backups that are kept there now, this one included.
    pub kept: Summary,
}

/// `manifest.json` of a dump.
pub(super) type DumpManifest = FileManifest<DumpSource>;

/// The database that a dump was taken of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DumpSource {
    /// Its name, which is also the dump's.
    pub(super) database: String,
    /// The version of the tools, which are those of the server's own image.
    pub(super) version: String,
    /// Bytes of its store and logs.
    pub(super) bytes: u64,
}

/// Takes the dump, unless `stop` ends first. `progress` hears how many files of the store are done, of how many, and what
/// goes on.
///
/// # Errors
/// Whatever went wrong; the place of this attempt is then removed, and had no manifest at any time. Nothing of the server's
/// is changed either way.
pub async fn take_dump(
    take: &TakeDump,
    stop: impl Future<Output = ()>,
    progress: impl FnMut(u64, u64, &str),
) -> Result<Dumped, BackupError> {
    let (data, database) = admin::open(&take.data, &take.database)?;
    // Asked of the lock itself: the tool looks at one database, and later.
    drop(data.hold_stopped(&database)?);
    let attempt = Attempt::make(take.whose(&file_of(&database))).await?;
    let bytes = data.bytes(&database);
    let mut stop = pin!(stop);
    match unless(stop.as_mut(), write(take, &database, bytes, &attempt, progress)).await {
        Ok((manifest, sha256)) => {
            let kept = take.storage.summary().await;
            Ok(Dumped {
                path: attempt.keep(),
                at: manifest.started_at,
                took_seconds: seconds_between(manifest.started_at, manifest.finished_at),
                bytes: manifest.bytes(),
                files: manifest.files.len() as u64,
                database_bytes: manifest.source.bytes,
                sha256,
                kept,
            })
        }
        Err(error) => {
            let error = or_disk_full(error, &take.storage, &attempt, bytes);
            attempt.discard().await;
            Err(error)
        }
    }
}

async fn write(
    take: &TakeDump,
    database: &str,
    bytes: u64,
    attempt: &Attempt,
    mut progress: impl FnMut(u64, u64, &str),
) -> Result<(DumpManifest, String), BackupError> {
    let admin = Admin::new(&take.scratch, &take.data, database, None)?;
    let version = admin.version().await?;
    let started_at = Timestamp::now();
    let progress = |done, all| progress(done, all, "files dumped");
    let written = match attempt.place() {
        Place::Folder(data) => {
            fs::create_dir(&data).map_err(BackupError::file(&data))?;
            admin.dump(database, &data, progress).await?;
            None
        }
        Place::Bucket(sender) => Some(admin.send(database, bytes, sender, progress).await?),
    };
    let files = attempt.settle(written).await?;
    let name = file_of(database);
    if !matches!(files.as_slice(), [file] if file.path == name) {
        return Err(BackupError::Damaged(vec![format!("neo4j-admin has not written {name} alone")]));
    }
    let manifest = DumpManifest {
        format: FORMAT,
        engine: ENGINE.to_owned(),
        of: take.of.clone(),
        epoch: take.epoch,
        started_at,
        finished_at: Timestamp::now(),
        tool: format!("neo4j-admin {version}"),
        source: DumpSource { database: database.to_owned(), version, bytes },
        files,
    };
    let sha256 = attempt.commit(&manifest.text()).await?;
    Ok((manifest, sha256))
}

impl TakeDump {
    fn whose<'a>(&'a self, file: &'a str) -> Whose<'a> {
        let Self { of, epoch, attempt, storage, run_folder, .. } = self;
        Whose { of, epoch: *epoch, attempt: *attempt, storage, run_folder, file }
    }
}

/// How the tool calls the dump of a database, and looks for it.
fn file_of(database: &str) -> String {
    format!("{database}.dump")
}
