//! Puts a verified dump back on the server's own volume: loaded beside, compared, stamped, and swapped in by rename.
//!
//! The server is stopped while this runs. Called again, from whatever point an earlier attempt ended at, it goes on and says
//! the same; a Job of an older epoch leaves everything alone.

use super::{
    OfflineError, admin,
    data::DataFolder,
    journal::{Journal, Run, Step, in_the_way, sync_volume},
    prove::{Store, compare},
    swap::{self, swap},
    take::DumpManifest,
};
use crate::backup::{
    BackupError, Of, Storage, files,
    take::{seconds_between, unless},
};
use crate::engine::{Fence, Stamp, neo4j::History};
use crate::fault::Point;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    pin::{Pin, pin},
};

/// Held for as long as an attempt works on a data folder.
const LOCK: &str = "wb-restore.lock";

/// One dump to be put back.
#[derive(Clone, Debug)]
pub struct RestoreDump {
    /// Whose backup it must be.
    pub of: Of,
    /// The server's data folder.
    pub data: PathBuf,
    /// Name of the database.
    pub database: String,
    /// Where all backups are.
    pub storage: Storage,
    /// Folder of the backup below it.
    pub path: PathBuf,
    /// SHA-256 that its manifest must have: what was verified, and nothing else, is put back.
    pub sha256: String,
    /// The run that restores, in whose name the copy is stamped.
    pub fence: Fence,
    /// The declared histories.
    pub histories: Vec<History>,
    /// What the copy must be.
    pub stamp: Stamp,
}

/// What was put back; goes into the Job's termination message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DumpRestored {
    /// Folder of the backup, relative to the storage's.
    pub path: String,
    /// When the backup was taken.
    pub at: Timestamp,
    /// SHA-256 of its manifest.
    pub sha256: String,
    /// Name of the folder on the server's volume that holds what was there before; kept.
    pub aside: String,
    /// Size of the store that is there now, in bytes.
    pub bytes: u64,
    /// How long it took, in seconds; next to nothing if an earlier attempt had done it.
    pub took_seconds: u64,
}

/// Puts the dump back, unless `stop` ends first. `progress` hears how many files are loaded, of how many, and what goes on.
///
/// # Errors
/// Whatever went wrong. Before the swap nothing of the server's was touched; in it, the next attempt goes on.
pub async fn restore_dump(
    restore: &RestoreDump,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(u64, u64, &str),
) -> Result<DumpRestored, BackupError> {
    let begun = Timestamp::now();
    let mut stop = pin!(stop);
    let database = admin::folder_of(&restore.database)?;
    let data = restore.data.as_path();
    let mut journal = Journal::read(data)?;
    // In the middle of a swap the database may have no folder under its own name.
    if !journal.as_ref().is_some_and(|it| it.step == Step::Swapping) {
        DataFolder::open(data, &database)?;
    }
    let _alone = alone(data, &database)?;
    // Read again: whoever held the lock before us may have gone on.
    journal = Journal::read(data)?;
    let run = Run { uid: restore.fence.run_uid.clone(), number: restore.fence.run };
    let mut journal = taken_up(restore, journal, run, &database)?;
    let found: (DumpManifest, _) = restore.storage.manifest(&restore.path, &restore.of).await?;
    let (manifest, sha256) = found;
    if sha256 != restore.sha256 {
        let path = restore.path.display().to_string();
        return Err(BackupError::Changed { path, expected: restore.sha256.clone(), found: sha256 });
    }
    if journal.step != Step::Done {
        let server = DataFolder { path: data.to_owned() };
        let stopped = server.hold_stopped(&database)?;
        journal.write(data)?;
        if journal.step == Step::Loading {
            copy(restore, &manifest, &journal, stop.as_mut(), &mut progress).await?;
            journal.step = Step::Stamped;
            Point::of_message("journal of the restore: Stamped")
                .around(async { journal.write(data) }, |_| BackupError::Stopped)
                .await?;
        }
        progress(1, 1, "swapping it in");
        swap(data, &mut journal).await?;
        drop(stopped);
    }
    // Only what our own server wrote is left in it.
    let beside = data.join(journal.run.beside());
    if journal.run.owns(&beside)? {
        swap::remove(&beside)?;
    }
    let bytes = [super::data::DATABASES, super::data::TRANSACTIONS]
        .iter()
        .map(|kind| files::bytes_below(&data.join(kind).join(&database)))
        .sum();
    Ok(DumpRestored {
        path: restore.path.display().to_string(),
        at: manifest.started_at,
        sha256,
        aside: journal.run.aside(),
        bytes,
        took_seconds: seconds_between(begun, Timestamp::now()),
    })
}

/// One attempt at a time, whatever became of the pod of an earlier one.
fn alone(data: &Path, database: &str) -> Result<File, BackupError> {
    let path = data.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| super::data::or_denied(error, data, "write"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let holder = format!("its process has {} locked", path.display());
            Err(BackupError::Busy { database: database.to_owned(), holder })
        }
        Err(TryLockError::Error(error)) => Err(BackupError::file(&path)(error)),
    }
}

/// The journal with which this attempt goes on.
fn taken_up(
    restore: &RestoreDump,
    journal: Option<Journal>,
    run: Run,
    database: &str,
) -> Result<Journal, BackupError> {
    let epoch = restore.fence.token;
    let fresh = Journal::new(run, epoch, database, &restore.sha256);
    let Some(journal) = journal else { return Ok(fresh) };
    if journal.epoch > epoch {
        return Err(BackupError::Overtaken { token: journal.epoch, epoch });
    }
    let at = &restore.data.join("wb-restore.json");
    let same = journal.run == fresh.run && journal.database == fresh.database;
    match journal.step {
        // Of somebody else's nothing but notes was made.
        Step::Loading | Step::Stamped if !same || journal.backup != fresh.backup => Ok(fresh),
        Step::Done if !same => Ok(fresh),
        Step::Done | Step::Swapping if same && journal.backup != fresh.backup => {
            Err(in_the_way(at, "this run has put another backup back already"))
        }
        Step::Swapping if !same => Err(in_the_way(
            at,
            &format!(
                "run {} is in the middle of its restore of {}; let it go on first",
                journal.run.number, journal.database
            ),
        )),
        // An older epoch stands in the copy, and would find its own token when it wakes up.
        Step::Stamped if journal.epoch < epoch => Ok(fresh),
        _ => Ok(Journal { epoch, ..journal }),
    }
}

/// Makes the copy beside: loaded, compared, stamped, its server stopped, all of it on the disk.
async fn copy(
    restore: &RestoreDump,
    manifest: &DumpManifest,
    journal: &Journal,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    progress: &mut impl FnMut(u64, u64, &str),
) -> Result<(), BackupError> {
    let data = restore.data.as_path();
    if manifest.source.database != journal.database {
        let reason = format!("it is a dump of database {}", manifest.source.database);
        return Err(in_the_way(&restore.path, &reason));
    }
    let beside = journal.run.make(data, &journal.run.beside())?;
    // Half of an earlier attempt's copy is of no use: the server that was stamping it may have been killed.
    swap::remove(&beside)?;
    let beside = journal.run.make(data, &journal.run.beside())?;
    let made = async {
        let dump = restore.storage.dump(&restore.path, &manifest.files)?;
        let store = Store::new(&beside, &journal.database)?;
        let load = store.load(&dump, |done, all| progress(done, all, "files loaded"));
        unless(stop.as_mut(), dump.while_sound(&manifest.files, load)).await?;
        progress(1, 1, "comparing and stamping the copy");
        store
            .serve(stop, &restore.fence.target, &restore.histories, async |server| {
                compare(&server, &restore.stamp).await?;
                server.stamp_copy(&restore.fence).await?;
                // What a stamp may have taken along is compared as well.
                compare(&server, &restore.stamp).await
            })
            .await?;
        sync_volume(data)
    };
    let made = made.await;
    if made.is_err() {
        // It takes room, and is of no use. If this fails the next attempt does it.
        let _ = swap::remove(&beside);
    }
    made.map_err(|error| match error {
        BackupError::Offline(OfflineError::VolumeFull { free, claim_hint, .. }) => {
            OfflineError::VolumeFull { free, path: data.display().to_string(), claim_hint }.into()
        }
        error => error,
    })
}
