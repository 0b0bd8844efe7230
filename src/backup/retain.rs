//! What is there is counted at each backup, so that nobody learns of it from a full volume.

use super::{
    files,
    manifest::{self, Head},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// How deep a backup's folder lies below the storage's: `<plan>/<run>/<target>-<attempt>`.
const DEPTH: usize = 3;

/// All backups of one storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Finished backups.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// When the oldest was taken.
    pub oldest: Option<Timestamp>,
    /// Folders without a manifest: being written now, or left behind by a pod that was killed.
    pub unfinished: u64,
    /// Size of those in bytes.
    pub unfinished_bytes: u64,
}

/// Counts the backups below `root`. Folders that can't be read count as nothing: a summary never fails a backup.
pub fn summary(root: &Path) -> Summary {
    let mut folders = vec![root.to_owned()];
    for _ in 0..DEPTH {
        folders = folders.iter().flat_map(fs::read_dir).flatten().flatten().map(|it| it.path()).collect();
        folders.retain(|it| it.is_dir());
    }
    let mut summary = Summary::default();
    for folder in folders {
        match manifest::read::<Head>(&folder) {
            Ok((head, _)) => {
                summary.count += 1;
                summary.bytes += head.files.iter().map(|file| file.size).sum::<u64>();
                let at = head.started_at;
                summary.oldest = Some(summary.oldest.map_or(at, |oldest| oldest.min(at)));
            }
            Err(_) => {
                summary.unfinished += 1;
                summary.unfinished_bytes += files::bytes_below(&folder);
            }
        }
    }
    summary
}
