//! `manifest.json`: what a backup is, written last; a folder without one is not a backup.

use super::{BackupError, Probes, Role, files::FileDigest};
use crate::engine::postgresql::Properties;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
};

/// The format that this program writes, and the only one it reads.
pub(super) const FORMAT: u32 = 2;
/// Name of the file in a backup's folder.
pub(super) const FILE_NAME: &str = "manifest.json";
/// What it is called until it is complete.
pub(super) const UNFINISHED: &str = "manifest.json.unfinished";
/// Name of the folder beside it that the dump is in.
pub(super) const DATA: &str = "data";

/// Everything that is known of one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose backup this is.
    pub of: Of,
    /// The driver's epoch when it was taken.
    pub epoch: u64,
    /// When the snapshot was taken.
    pub started_at: Timestamp,
    /// When the last file was on the disk.
    pub finished_at: Timestamp,
    /// What wrote it, such as `pg_dump (PostgreSQL) 15.14`.
    pub tool: String,
    /// The server it came from.
    pub source: Source,
    /// What the database was beside its contents, at the same snapshot: a restore gives it all of this again.
    pub properties: Properties,
    /// The roles that a restore needs, with their attributes; never a password.
    pub roles: Vec<Role>,
    /// What was in the database at the very snapshot that the dump was made from.
    pub probes: Probes,
    /// Every file of the dump, by path.
    pub files: Vec<FileDigest>,
}

/// To whom a backup belongs. It counts only for exactly these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Of {
    /// Uid of the plan.
    pub plan_uid: String,
    /// Number of the run.
    pub run: u64,
    /// Name of the target.
    pub target: String,
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "target {} in run {} of plan {}", self.target, self.run, self.plan_uid)
    }
}

/// The database a backup was taken of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// Its name.
    pub database: String,
    /// `<system identifier>/<database oid>`.
    pub identity: String,
    /// The server's version, such as `15.14`.
    pub version: String,
    /// Where in the log the snapshot stands.
    pub lsn: String,
    /// The exported snapshot that dump and probes share.
    pub snapshot: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The role that the dump was made as; a restore test is made as it too.
    pub role: String,
}

impl Manifest {
    /// What stands in the file.
    pub(super) fn text(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest has only strings and numbers")
    }

    /// Reads the manifest of a backup's folder, and its digest.
    ///
    /// # Errors
    /// No manifest: the backup was never finished. Another format, or not JSON.
    pub fn read(folder: &Path) -> Result<(Self, String), BackupError> {
        read(folder)
    }

    /// Size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl Written for Manifest {
    fn of(&self) -> &Of {
        &self.of
    }
}

/// `manifest.json` of a backup that is one file of a tool's own; `S`: what it was taken of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FileManifest<S> {
    /// As every manifest.
    pub(super) format: u32,
    /// Who wrote it: another engine's reader refuses it by this.
    pub(super) engine: String,
    /// Whose backup this is.
    pub(super) of: Of,
    /// The driver's epoch when it was taken.
    pub(super) epoch: u64,
    /// When it was begun.
    pub(super) started_at: Timestamp,
    /// When the file was on the disk, or in the bucket.
    pub(super) finished_at: Timestamp,
    /// What wrote it, such as `neo4j-admin 5.26.0`.
    pub(super) tool: String,
    /// What it was taken of.
    pub(super) source: S,
    /// The file.
    pub(super) files: Vec<FileDigest>,
}

impl<S: Serialize> FileManifest<S> {
    /// What stands in the file.
    pub(super) fn text(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest has only strings and numbers")
    }

    /// Size of the file in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl<S: DeserializeOwned> Written for FileManifest<S> {
    fn of(&self) -> &Of {
        &self.of
    }
}

/// What every manifest says, whatever the engine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) of: Of,
    pub(super) started_at: Timestamp,
    pub(super) files: Vec<FileDigest>,
}

impl Written for Head {
    fn of(&self) -> &Of {
        &self.of
    }
}

/// A manifest of some engine.
pub(super) trait Written: DeserializeOwned {
    /// Whose backup it is.
    fn of(&self) -> &Of;
}

/// Writes a manifest into the backup's folder so that it is there completely or not at all, and stays there through a
/// power cut: this is what makes the folder a backup. Gives its digest.
pub(super) fn commit(text: &[u8], folder: &Path) -> Result<String, BackupError> {
    let unfinished = folder.join(UNFINISHED);
    let write = || {
        let mut file = File::create_new(&unfinished)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&unfinished, folder.join(FILE_NAME))?;
        File::open(folder)?.sync_all()
    };
    write().map_err(BackupError::file(&unfinished))?;
    Ok(super::files::digest(text))
}

/// Reads the manifest of a backup's folder, and its digest.
pub(super) fn read<M: Written>(folder: &Path) -> Result<(M, String), BackupError> {
    let path = folder.join(FILE_NAME);
    let text = fs::read(&path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => BackupError::Unfinished { path: folder.display().to_string() },
        _ => BackupError::File { path: path.display().to_string(), source },
    })?;
    parse(&text, &path.display().to_string())
}

/// The manifest that this text is, and its digest; `path` is how it is called in sentences.
pub(super) fn parse<M: Written>(text: &[u8], path: &str) -> Result<(M, String), BackupError> {
    let misfit = |reason: String| BackupError::Manifest { path: path.to_owned(), reason };
    let format: Format = serde_json::from_slice(text).map_err(|error| misfit(error.to_string()))?;
    if format.format != FORMAT {
        return Err(misfit(format!("it says format {}, this program reads {FORMAT}", format.format)));
    }
    let manifest = serde_json::from_slice(text).map_err(|error| misfit(error.to_string()))?;
    Ok((manifest, super::files::digest(text)))
}

/// Read before anything else, so that a newer format is named instead of its first new field.
#[derive(Deserialize)]
struct Format {
    format: u32,
}
