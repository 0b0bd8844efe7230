//! The folder of one attempt at a backup, and the note in it that says whose it is: a folder without a manifest says
//! nothing by itself, and only what is surely ours is ever deleted.

use super::{BackupError, Of, take::Take};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Name of the note in an attempt's folder.
pub(super) const NOTE: &str = "attempt.json";

/// What the note says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Note {
    /// Whose attempt this is.
    pub(super) of: Of,
    /// The driver's epoch.
    pub(super) epoch: u64,
}

/// An attempt's folder: removed unless it became a backup.
pub(super) struct Attempt {
    pub(super) path: PathBuf,
    kept: bool,
}

impl Attempt {
    /// `<run folder>/<target>-<attempt>`; if that is taken because a pod of the same Job was here already, which may still
    /// be writing, `<target>-<attempt>-2` and so on.
    pub(super) fn make(take: &Take) -> Result<Self, BackupError> {
        let parent = take.backups.join(&take.run_folder);
        fs::create_dir_all(&parent).map_err(BackupError::file(&parent))?;
        let name = format!("{}-{}", take.of.target, take.attempt);
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
        let attempt = Self { path, kept: false };
        let note = Note { of: take.of.clone(), epoch: take.epoch };
        let text = serde_json::to_vec_pretty(&note).expect("a note has only strings and numbers");
        let path = attempt.path.join(NOTE);
        fs::write(&path, text).map_err(BackupError::file(&path))?;
        Ok(attempt)
    }

    pub(super) fn keep(mut self, backups: &Path) -> String {
        self.kept = true;
        self.path.strip_prefix(backups).expect("it was made below").to_string_lossy().into_owned()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.kept {
            // Best effort: without a manifest it counts for nothing, it only takes room.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
