//! Where backups are kept: a folder of a volume, or a bucket. What lies there is the same; a folder has the files of a dump
//! that many write at once, a bucket one object that is written as it comes.

use super::{
    BackupError, Of, Summary,
    bucket::{Bucket, BucketArgs, slashed},
    files::{self, FileDigest},
    manifest::{self, DATA, FILE_NAME, Written},
    retain, tool,
    verify::shortened,
};
use bytes::Bytes;
use futures::{
    StreamExt as _,
    future::{Either, select},
    stream::BoxStream,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    pin::pin,
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

    /// The dump of the backup at `path`, of which its manifest names these files.
    pub(super) fn dump(&self, path: &Path, files: &[FileDigest]) -> Result<Dump, BackupError> {
        match self {
            Self::Folder(backups) => Ok(Dump::Folder(backups.join(path).join(DATA))),
            Self::Bucket(bucket) => {
                let (folder, file) = object(path, files)?;
                Ok(Dump::Object(DumpObject { bucket: bucket.clone(), folder, file }))
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
pub(super) fn object(path: &Path, files: &[FileDigest]) -> Result<(String, FileDigest), BackupError> {
    let [file] = files else {
        let reason = format!("a backup in a bucket has one file, this one has {}", files.len());
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
    Object(DumpObject),
}

/// A dump that is one object.
pub(super) struct DumpObject {
    bucket: Bucket,
    folder: String,
    file: FileDigest,
}

impl Dump {
    /// Every file is there, as long as it was, and with the same bytes.
    ///
    /// # Errors
    /// What differs, by name.
    pub(super) async fn sound(&self, files: &[FileDigest]) -> Result<(), BackupError> {
        let differences = self.differences(files).await?;
        if differences.is_empty() { Ok(()) } else { Err(BackupError::Damaged(shortened(differences))) }
    }

    /// Has it used while it is compared with the manifest: services are down. If it is damaged, that is what is said, and
    /// what came of the use is to be thrown away.
    pub(super) async fn while_sound<T>(
        &self,
        files: &[FileDigest],
        used: impl Future<Output = Result<T, BackupError>>,
    ) -> Result<T, BackupError> {
        match select(pin!(self.sound(files)), pin!(used)).await {
            Either::Left((Ok(()), used)) => used.await,
            Either::Left((Err(damaged), _)) => Err(damaged),
            Either::Right((used, sound)) => sound.await.and(used),
        }
    }

    async fn differences(&self, expected: &[FileDigest]) -> Result<Vec<String>, BackupError> {
        match self {
            Self::Folder(data) => {
                let (data, expected) = (data.clone(), expected.to_vec());
                tokio::task::spawn_blocking(move || files::differences(&data, &expected))
                    .await
                    .map_err(|_| BackupError::Stopped)?
            }
            Self::Object(object) => object.differences().await,
        }
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
            Self::Object(object) => object.feed("pg_restore", command, !list, on_line).await,
        }
    }
}

impl DumpObject {
    /// Has it read by a tool at its standard input. `whole`: all of it must be what was written.
    ///
    /// # Errors
    /// As [`tool::fed`].
    pub(super) async fn feed(
        &self,
        tool: &'static str,
        command: &mut Command,
        whole: bool,
        on_line: impl FnMut(&str),
    ) -> Result<String, BackupError> {
        tool::fed(tool, command, self.bytes().await?, whole.then_some(&self.file), on_line).await
    }

    async fn bytes(&self) -> Result<BoxStream<'static, Result<Bytes, BackupError>>, BackupError> {
        self.bucket.read(&format!("{}/{}", self.folder, self.file.path)).await
    }

    async fn differences(&self) -> Result<Vec<String>, BackupError> {
        let Self { bucket, folder, file } = self;
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
            } else if self.hashed().await? != file.sha256 {
                differences.push(format!("{name} has another SHA-256 than when it was written"));
            }
        }
        if !found {
            differences.push(format!("{} is missing", file.path));
        }
        Ok(differences)
    }

    async fn hashed(&self) -> Result<String, BackupError> {
        let mut bytes = self.bytes().await?;
        let mut hash = Sha256::new();
        while let Some(bytes) = bytes.next().await {
            hash.update(&bytes?);
        }
        Ok(hex::encode(hash.finalize()))
    }
}
