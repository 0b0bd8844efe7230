//! One attempt at a backup: a place of its own that becomes a backup by its manifest, or is removed. A note in it says whose
//! it is: without a manifest a place says nothing by itself, and only what is surely ours is ever deleted.

use super::{
    BackupError, Of, Storage,
    bucket::{Bucket, Upload, slashed},
    files::{self, FileDigest},
    manifest::{self, DATA, FILE_NAME},
    take::is_full,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tokio::io::AsyncRead;

/// Name of the note in an attempt's place.
pub(super) const NOTE: &str = "attempt.json";
/// In a bucket: name of the note of an upload that was begun and is no object yet.
pub(super) const UPLOAD: &str = "upload.json";

/// For whom an attempt is made, and where.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) of: &'a Of,
    /// The driver's epoch.
    pub(super) epoch: u64,
    /// Number of the attempt, from 1.
    pub(super) attempt: u32,
    pub(super) storage: &'a Storage,
    /// Folder below the storage's for this run: `<plan>/<run>`.
    pub(super) run_folder: &'a Path,
    /// In a bucket: name of the one file of the dump.
    pub(super) file: &'a str,
}

/// What the note says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Note {
    /// Whose attempt this is.
    pub(super) of: Of,
    /// The driver's epoch.
    pub(super) epoch: u64,
    /// When it was begun, to the nanosecond: two pods of one Job write two different notes.
    pub(super) at: Timestamp,
    /// In a bucket: the one file that it writes; another one there is not its own.
    pub(super) file: String,
}

/// What the note of an upload says: by this anybody can give it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadNote {
    /// The service's own word for it.
    pub(super) id: String,
}

/// An attempt.
pub(super) enum Attempt {
    /// A folder; removed when dropped, unless it became a backup.
    Folder { backups: PathBuf, path: PathBuf, kept: bool },
    /// A prefix in a bucket, with the upload that is at work.
    Bucket(Sender),
}

/// Where an attempt's dump goes.
pub(super) enum Place<'a> {
    /// A folder, to be made.
    Folder(PathBuf),
    /// A bucket, as one object.
    Bucket(&'a Sender),
}

/// Sends the dump of an attempt into a bucket.
pub(super) struct Sender {
    bucket: Bucket,
    path: String,
    /// Name of the one file.
    file: String,
    /// What the service knows the upload by that is at work.
    upload: Mutex<Option<String>>,
}

impl Attempt {
    /// Makes a place that nobody used before: `<run folder>/<target>-<attempt>`; if that is taken because a pod of the same
    /// Job was here already, which may still be writing, `<target>-<attempt>-2` and so on.
    pub(super) async fn make(whose: Whose<'_>) -> Result<Self, BackupError> {
        let file = whose.file.to_owned();
        let note = Note { of: whose.of.clone(), epoch: whose.epoch, at: Timestamp::now(), file };
        let text = serde_json::to_vec_pretty(&note).expect("a note has only strings and numbers");
        match whose.storage {
            Storage::Folder(backups) => {
                make_folder(whose, backups, &text).map_err(|error| or_no_room(error, backups))
            }
            Storage::Bucket(bucket) => {
                let first = format!("{}/{}-{}", slashed(whose.run_folder), whose.of.target, whose.attempt);
                let mut path = first.clone();
                let mut earlier = 1;
                while !made(bucket, &format!("{path}/{NOTE}"), &text).await? {
                    earlier += 1;
                    path = format!("{first}-{earlier}");
                }
                let (bucket, file) = (bucket.clone(), note.file);
                Ok(Self::Bucket(Sender { bucket, path, file, upload: Mutex::default() }))
            }
        }
    }

    /// Where the dump goes.
    pub(super) fn place(&self) -> Place<'_> {
        match self {
            Self::Folder { path, .. } => Place::Folder(path.join(DATA)),
            Self::Bucket(sender) => Place::Bucket(sender),
        }
    }

    /// Makes what was written durable, and says what is there.
    pub(super) async fn settle(&self, written: Option<FileDigest>) -> Result<Vec<FileDigest>, BackupError> {
        match (self, written) {
            (Self::Folder { path, .. }, _) => {
                let data = path.join(DATA);
                tokio::task::spawn_blocking(move || files::settle(&data))
                    .await
                    .map_err(|_| BackupError::Stopped)?
            }
            (Self::Bucket(Sender { bucket, path, .. }), Some(file)) => {
                let name = format!("{path}/{DATA}/{}", file.path);
                let found = bucket.list(&format!("{path}/{DATA}")).await?;
                if found.iter().any(|object| object.path == name && object.size == file.size) {
                    return Ok(vec![file]);
                }
                let sentence = format!("{} is not there as it was sent", file.path);
                Err(BackupError::Damaged(vec![sentence]))
            }
            (Self::Bucket(_), None) => Err(BackupError::Damaged(vec!["nothing was sent".into()])),
        }
    }

    /// Writes the manifest: this is what makes it a backup.
    pub(super) async fn commit(&self, manifest: &[u8]) -> Result<String, BackupError> {
        match self {
            Self::Folder { path, .. } => manifest::commit(manifest, path),
            Self::Bucket(Sender { bucket, path, .. }) => {
                let place = format!("{path}/{FILE_NAME}");
                if made(bucket, &place, manifest).await? {
                    return Ok(files::digest(manifest));
                }
                let reason = "somebody else wrote it meanwhile".to_owned();
                Err(BackupError::Manifest { path: place, reason })
            }
        }
    }

    /// It became a backup: where it is, relative to the storage.
    pub(super) fn keep(mut self) -> String {
        match &mut self {
            Self::Bucket(sender) => sender.path.clone(),
            Self::Folder { backups, path, kept } => {
                *kept = true;
                path.strip_prefix(backups).expect("it was made below").to_string_lossy().into_owned()
            }
        }
    }

    /// Removes it. Best effort: without a manifest it counts for nothing, it only takes room, and a prune finds it.
    pub(super) async fn discard(self) {
        let Self::Bucket(sender) = &self else { return };
        let Sender { bucket, path, .. } = sender;
        if let Some(id) = sender.begun(None) {
            let _ = bucket.abort(&sender.place(), &id).await;
        }
        let mut objects = bucket.list(path).await.unwrap_or_default();
        // The note last: without it nobody would know whose the rest is.
        objects.sort_by_key(|object| object.path.ends_with(NOTE));
        for object in objects {
            if bucket.delete(&object.path).await.is_err() {
                return;
            }
        }
    }

    /// The folder, for whoever asks how much is in it.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder { path, .. } => Some(path),
            Self::Bucket(_) => None,
        }
    }
}

impl Sender {
    /// Sends all that `from` gives, as a file of about `bytes`. The file is there only once `ended`, which says how the writer
    /// ended, is fine: one that died in the middle ends its output like one that did not.
    pub(super) async fn send(
        &self,
        bytes: u64,
        from: impl AsyncRead + Unpin,
        ended: impl Future<Output = Result<(), BackupError>>,
    ) -> Result<FileDigest, BackupError> {
        let (bucket, noted) = (&self.bucket, format!("{}/{UPLOAD}", self.path));
        let mut upload = Upload::begin(bucket, &self.place(), bytes).await?;
        self.begun(Some(upload.id().to_owned()));
        let note = UploadNote { id: upload.id().to_owned() };
        bucket.put(&noted, serde_json::to_vec(&note).expect("a note has only strings")).await?;
        let (sent, ended) = tokio::join!(upload.send(from), ended);
        // Why the one failed is why the other did.
        sent?;
        ended?;
        let file = upload.complete(&self.file).await?;
        self.begun(None);
        bucket.delete(&noted).await?;
        Ok(file)
    }

    fn place(&self) -> String {
        format!("{}/{DATA}/{}", self.path, self.file)
    }

    /// Which upload is at work from now on; gives the one before.
    fn begun(&self, id: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.upload.lock().unwrap_or_else(PoisonError::into_inner), id)
    }
}

fn make_folder(whose: Whose<'_>, backups: &Path, note: &[u8]) -> Result<Attempt, BackupError> {
    let parent = backups.join(whose.run_folder);
    fs::create_dir_all(&parent).map_err(BackupError::file(&parent))?;
    let name = format!("{}-{}", whose.of.target, whose.attempt);
    let mut path = parent.join(&name);
    let mut earlier = 1;
    loop {
        match fs::create_dir(&path) {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                earlier += 1;
                path = parent.join(format!("{name}-{earlier}"));
            }
            Err(error) => return Err(BackupError::file(&path)(error)),
        }
    }
    let place = path.join(NOTE);
    let attempt = Attempt::Folder { backups: backups.to_owned(), path, kept: false };
    fs::write(&place, note).map_err(BackupError::file(&place))?;
    Ok(attempt)
}

/// A volume that others have filled to the last byte has no room for a folder: that is not a fault of this folder.
fn or_no_room(error: BackupError, backups: &Path) -> BackupError {
    if !is_full(&error) {
        return error;
    }
    // The storage's own folder may be what there was no room for.
    let free = backups.ancestors().find_map(|there| files::free_bytes(there).ok());
    BackupError::NoRoom { free: free.unwrap_or(0), path: backups.display().to_string() }
}

/// Makes an object. True: it is there with these bytes, by us, perhaps by a request of ours whose answer was lost.
async fn made(bucket: &Bucket, path: &str, text: &[u8]) -> Result<bool, BackupError> {
    if bucket.make(path, text.to_vec()).await? {
        return Ok(true);
    }
    let limit = super::storage::LONGEST_MANIFEST;
    Ok(bucket.get(path, limit).await?.as_deref() == Some(text))
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Self::Folder { path, kept: false, .. } = self {
            // Best effort: without a manifest it counts for nothing, it only takes room.
            let _ = fs::remove_dir_all(path);
        }
    }
}
