//! Brings a backup out of its bucket into a folder, for a person who restores it by hand.

use super::{BackupError, Bucket, Of, Storage, manifest::Head, storage};
use futures::StreamExt as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use tokio::{fs, io::AsyncWriteExt as _};

/// Bytes between two lines of progress.
const EVERY: u64 = 64 << 20;

/// One backup to be fetched.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Where it is.
    pub bucket: Bucket,
    /// Whose backup it must be.
    pub of: Of,
    /// Its folder below the bucket's prefix.
    pub path: PathBuf,
    /// SHA-256 that its manifest must have: what was verified, and nothing else, is restored.
    pub sha256: String,
    /// The folder that gets the file of the dump; made if it is not there.
    pub to: PathBuf,
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The file.
    pub file: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Fetches the dump of a backup. Progress goes to `progress`: bytes so far, bytes in all, the file's name.
///
/// The file has its name once it is complete and its digest is that of the manifest.
///
/// # Errors
/// Another manifest than the one that was verified, a damaged dump, no room, and what the bucket's service says.
pub async fn fetch(fetch: &Fetch, mut progress: impl FnMut(u64, u64, &str)) -> Result<Fetched, BackupError> {
    let storage = Storage::Bucket(fetch.bucket.clone());
    let (manifest, found): (Head, _) = storage.manifest(&fetch.path, &fetch.of).await?;
    if found != fetch.sha256 {
        let (path, expected) = (fetch.path.display().to_string(), fetch.sha256.clone());
        return Err(BackupError::Changed { path, expected, found });
    }
    let (folder, file) = storage::object(&fetch.path, &manifest.files)?;
    fs::create_dir_all(&fetch.to).await.map_err(BackupError::file(&fetch.to))?;
    let whole = fetch.to.join(&file.path);
    let part = whole.with_extension("part");
    let mut from = fetch.bucket.read(&format!("{folder}/{}", file.path)).await?;
    let mut to = fs::File::create(&part).await.map_err(BackupError::file(&part))?;
    let (mut bytes, mut hash) = (0, Sha256::new());
    while let Some(chunk) = from.next().await {
        let chunk = chunk?;
        to.write_all(&chunk).await.map_err(BackupError::file(&part))?;
        hash.update(&chunk);
        let before = bytes;
        bytes += chunk.len() as u64;
        if before / EVERY != bytes / EVERY {
            progress(bytes, file.size, &file.path);
        }
    }
    to.flush().await.map_err(BackupError::file(&part))?;
    finished(&part, &whole, hex::encode(hash.finalize()) == file.sha256, &file.path).await?;
    progress(bytes, file.size, &file.path);
    Ok(Fetched { file: whole, bytes })
}

async fn finished(part: &Path, whole: &Path, same: bool, name: &str) -> Result<(), BackupError> {
    if !same {
        let sentence = format!("{name} has another SHA-256 than when it was written");
        return Err(BackupError::Damaged(vec![sentence]));
    }
    fs::rename(part, whole).await.map_err(BackupError::file(whole))
}
