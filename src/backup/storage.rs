//! Where backups are kept: a folder of a volume, or a bucket. What lies there is the same; a folder has the files of a dump
//! that many write at once, a bucket one object that is written as it comes.

use super::{
    BackupError, Manifest, Of, Summary,
    bucket::{Bucket, BucketArgs, slashed},
    files::{self, FileDigest},
    manifest::{self, DATA, FILE_NAME, Written},
    retain, tool,
};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use tokio::process::Command;

/// Name of the one file of a dump in a bucket.
pub(super) const DUMP: &str = "dump.pgc";
/// Nobody's manifest is longer: a table takes some hundred bytes.
pub(super) const LONGEST_MANIFEST: u64 = 64 << 20;

/// Where backups are kept.
#[derive(Clone, Debug)]
pub enum Storage {
    /// The folder of all backups.
    Folder(PathBuf),
    /// The bucket, with its prefix.
    Bucket(Bucket),
}

/// The same, as flags say it.
#[derive(Clone, Debug, clap::Args)]
pub struct StorageArgs {
    /// Folder of all backups of this storage; or --bucket
    #[arg(long, conflicts_with = "bucket", required_unless_present = "bucket")]
    pub backups: Option<PathBuf>,
    /// The bucket.
    #[command(flatten)]
    pub bucket: BucketArgs,
}

impl StorageArgs {
    /// Opens it; nothing is asked of a bucket yet.
    ///
    /// # Errors
    /// Credentials that can't be read.
    pub fn open(&self) -> Result<Storage, BackupError> {
        match &self.bucket.bucket {
            Some(name) => Ok(Storage::Bucket(Bucket::open(&self.bucket, name)?)),
            None => Ok(Storage::Folder(self.backups.clone().unwrap_or_default())),
        }
    }
}

impl Storage {
    /// The manifest of the backup at `path`, which must be that of `of`, and its digest.
    pub(super) async fn manifest<M: Written>(
        &self,
        path: &Path,
        of: &Of,
    ) -> Result<(M, String), BackupError> {
        let shown = || path.display().to_string();
        let (manifest, sha256): (M, String) = match self {
            Self::Folder(backups) => manifest::read(&backups.join(path))?,
            Self::Bucket(bucket) => {
                let key = format!("{}/{FILE_NAME}", slashed(path));
                let text = bucket.get(&key, LONGEST_MANIFEST).await?;
                manifest::parse(&text.ok_or_else(|| BackupError::Unfinished { path: shown() })?, &key)?
            }
        };
        if manifest.of() != of {
            let (expected, found) = (of.to_string(), manifest.of().to_string());
            return Err(BackupError::NotThis { path: shown(), expected, found });
        }
        Ok((manifest, sha256))
    }

    /// The dump of the backup at `path`.
    pub(super) fn dump(&self, path: &Path, manifest: &Manifest) -> Result<Dump, BackupError> {
        match self {
            Self::Folder(backups) => Ok(Dump::Folder(backups.join(path).join(DATA))),
            Self::Bucket(bucket) => {
                let (folder, file) = object(path, manifest)?;
                Ok(Dump::Object { bucket: bucket.clone(), folder, file })
            }
        }
    }

    /// Counts the backups. What can't be read counts as nothing: a summary never fails a backup.
    pub(super) async fn summary(&self) -> Summary {
        match self {
            Self::Folder(backups) => retain::summary(backups),
            Self::Bucket(bucket) => summary(bucket).await.unwrap_or_default(),
        }
    }
}

/// The folder of the dump of a backup in a bucket, and the one file in it.
pub(super) fn object(path: &Path, manifest: &Manifest) -> Result<(String, FileDigest), BackupError> {
    let [file] = manifest.files.as_slice() else {
        let reason = format!("a backup in a bucket has one file, this one has {}", manifest.files.len());
        return Err(BackupError::Manifest { path: format!("{}/{FILE_NAME}", path.display()), reason });
    };
    Ok((format!("{}/{DATA}", slashed(path)), file.clone()))
}

async fn summary(bucket: &Bucket) -> Result<Summary, BackupError> {
    let mut folders = BTreeMap::<String, (Option<jiff::Timestamp>, u64)>::new();
    for object in bucket.list("").await? {
        let mut parts = object.path.splitn(4, '/');
        let folder: Vec<&str> = parts.by_ref().take(3).collect();
        let (made, bytes) = folders.entry(folder.join("/")).or_default();
        *bytes += object.size;
        if parts.next() == Some(FILE_NAME) {
            *made = Some(object.at);
        }
    }
    let mut summary = Summary::default();
    for (made, bytes) in folders.into_values() {
        match made {
            Some(at) => {
                summary.count += 1;
                summary.bytes += bytes;
                summary.oldest = Some(summary.oldest.map_or(at, |oldest| oldest.min(at)));
            }
            None => {
                summary.unfinished += 1;
                summary.unfinished_bytes += bytes;
            }
        }
    }
    Ok(summary)
}

/// The dump of a backup, for whoever reads it.
pub(super) enum Dump {
    /// The folder that many can read at once.
    Folder(PathBuf),
    /// One object, read from its beginning to its end.
    Object { bucket: Bucket, folder: String, file: FileDigest },
}

impl Dump {
    /// Every file is there, as long as it was, and with the same bytes.
    pub(super) async fn artifact(&self, manifest: &Manifest) -> Result<Vec<String>, BackupError> {
        match self {
            Self::Folder(data) => {
                let (data, expected) = (data.clone(), manifest.files.clone());
                tokio::task::spawn_blocking(move || files::differences(&data, &expected))
                    .await
                    .map_err(|_| BackupError::Stopped)?
            }
            Self::Object { bucket, folder, file } => {
                let mut differences = Vec::new();
                let mut found = false;
                for object in bucket.list(folder).await? {
                    let name = object.path.strip_prefix(&format!("{folder}/")).unwrap_or(&object.path);
                    if name != file.path {
                        differences.push(format!("{name} does not belong to it"));
                        continue;
                    }
                    found = true;
                    if object.size != file.size {
                        differences.push(format!("{name} has {} bytes, not {}", object.size, file.size));
                    } else if self.hashed(bucket, folder, file).await? != file.sha256 {
                        differences.push(format!("{name} has another SHA-256 than when it was written"));
                    }
                }
                if !found {
                    differences.push(format!("{} is missing", file.path));
                }
                Ok(differences)
            }
        }
    }

    async fn hashed(&self, bucket: &Bucket, folder: &str, file: &FileDigest) -> Result<String, BackupError> {
        let mut bytes = bucket.read(&format!("{folder}/{}", file.path)).await?;
        let mut hash = Sha256::new();
        while let Some(bytes) = bytes.next().await {
            hash.update(&bytes?);
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// Has the dump read by `pg_restore`, to which `command` says what to do with it. `jobs`: tables at the same time, where
    /// more than one can read. `list`: only the list is wanted, and the rest may stay unread.
    pub(super) async fn read_by(
        &self,
        command: &mut Command,
        jobs: Option<u32>,
        list: bool,
        on_line: impl FnMut(&str),
    ) -> Result<String, BackupError> {
        match self {
            Self::Folder(data) => {
                if let Some(jobs) = jobs {
                    command.arg(format!("--jobs={}", jobs.max(1)));
                }
                tool::Running::start("pg_restore", command.arg(data))?.end(on_line).await
            }
            Self::Object { bucket, folder, file } => {
                let from = bucket.read(&format!("{folder}/{}", file.path)).await?;
                let whole = (!list).then_some(file);
                tool::fed("pg_restore", command, from, whole, on_line).await
            }
        }
    }
}
