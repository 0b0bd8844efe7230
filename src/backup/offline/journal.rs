//! The note on the server's volume that says how far a restore is: by it every later attempt goes on at the same place.

use super::{OfflineError, data::or_denied};
use crate::backup::BackupError;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

/// Name of the note in the data folder; one restore at a time.
const NAME: &str = "wb-restore.json";
/// Name of the note in a folder of ours: whose it is.
pub(super) const MARK: &str = "whimbrel.json";
const FORMAT: u32 = 1;

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// The copy is being made; nothing of the server's was touched.
    Loading,
    /// The copy is complete, compared and stamped, and its server has stopped.
    Stamped,
    /// Folders are being renamed, or are about to be.
    Swapping,
    /// The copy is in its place, and what was there is put aside.
    Done,
}

/// What the note says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Journal {
    pub(super) format: u32,
    /// The run that restores.
    pub(super) run: Run,
    /// The epoch of the driver that wrote last.
    pub(super) epoch: u64,
    /// The database.
    pub(super) database: String,
    /// SHA-256 of the backup's manifest.
    pub(super) backup: String,
    pub(super) step: Step,
    /// What there was before the swap: a database may have no logs of its own, and after the swap nobody could tell.
    pub(super) had: Vec<String>,
}

/// The run that a folder of ours is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Run {
    /// Uid of its record.
    pub(super) uid: String,
    /// Its number.
    pub(super) number: u64,
}

impl Run {
    /// Name of the folder in which the copy is made.
    pub(super) fn beside(&self) -> String {
        format!("wb-restore-{}", self.suffix())
    }

    /// Name of the folder that what was there is put into.
    pub(super) fn aside(&self) -> String {
        format!("wb-aside-{}", self.suffix())
    }

    /// Two plans' runs may have one number.
    fn suffix(&self) -> String {
        let uid: String = self.uid.chars().filter(char::is_ascii_hexdigit).take(8).collect();
        format!("{}-{uid}", self.number)
    }

    /// Makes a folder of this run's in `data`, with the note that says so.
    pub(super) fn make(&self, data: &Path, name: &str) -> Result<PathBuf, BackupError> {
        let folder = data.join(name);
        fs::create_dir_all(&folder).map_err(|error| or_denied(error, data, "write"))?;
        let mark = folder.join(MARK);
        match read::<Self>(&mark)? {
            Some(found) if found == *self => Ok(folder),
            Some(_) => Err(in_the_way(&folder, "it is another run's")),
            None if fs::read_dir(&folder).map_err(BackupError::file(&folder))?.next().is_some() => {
                Err(in_the_way(&folder, "nothing in it says that it is Whimbrel's. Move it away"))
            }
            None => {
                write(&mark, self)?;
                sync(data)?;
                Ok(folder)
            }
        }
    }

    /// Whether a folder is there and its note says that it is this run's.
    pub(super) fn owns(&self, folder: &Path) -> Result<bool, BackupError> {
        Ok(read::<Self>(&folder.join(MARK))?.as_ref() == Some(self))
    }
}

impl Journal {
    /// The note of the restore that was here last.
    pub(super) fn read(data: &Path) -> Result<Option<Self>, BackupError> {
        let journal: Option<Self> = read(&data.join(NAME))?;
        match journal {
            Some(Self { format, .. }) if format != FORMAT => {
                Err(in_the_way(&data.join(NAME), "a newer version of Whimbrel has written it; use that one"))
            }
            journal => Ok(journal),
        }
    }

    /// A restore that begins.
    pub(super) fn new(run: Run, epoch: u64, database: &str, backup: &str) -> Self {
        let (database, backup) = (database.to_owned(), backup.to_owned());
        Self { format: FORMAT, run, epoch, database, backup, step: Step::Loading, had: Vec::new() }
    }

    /// Writes the note; when this returns it stays, also through a power cut.
    pub(super) fn write(&self, data: &Path) -> Result<(), BackupError> {
        write(&data.join(NAME), self)
    }
}

/// A file that is there completely or not at all.
fn write(path: &Path, what: &impl Serialize) -> Result<(), BackupError> {
    let unfinished = path.with_extension("json.unfinished");
    let text = serde_json::to_vec_pretty(what).expect("a note has only strings and numbers");
    let folder = path.parent().unwrap_or(path);
    let written = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|error| or_denied(error, folder, "write"))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, BackupError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(or_denied(error, path, "read")),
    };
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|error| in_the_way(path, &format!("it can't be read: {error}. Move it away")))
}

/// Makes the names in a folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|it| it.sync_all()).map_err(BackupError::file(folder))
}

/// Makes everything durable that was written to the volume of `folder`.
pub(super) fn sync_volume(folder: &Path) -> Result<(), BackupError> {
    let synced = File::open(folder).and_then(|it| rustix::fs::syncfs(&it).map_err(io::Error::from));
    synced.map_err(BackupError::file(folder))
}

pub(super) fn in_the_way(path: &Path, reason: &str) -> BackupError {
    let (path, reason) = (path.display().to_string(), reason.to_owned());
    OfflineError::InTheWay { path, reason }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(uid: &str) -> Run {
        Run { uid: uid.to_owned(), number: 7 }
    }

    #[test]
    fn a_folder_of_somebody_else_is_never_used() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let (ours, theirs) = (run("5c1e0000-1"), run("9b7f0000-1"));
        let name = ours.aside();
        assert_eq!(name, "wb-aside-7-5c1e0000");
        let made = ours.make(data, &name).unwrap();
        assert_eq!(ours.make(data, &name).unwrap(), made, "again says the same");
        assert!(ours.owns(&made).unwrap() && !theirs.owns(&made).unwrap());
        let said = theirs.make(data, &name).unwrap_err().to_string();
        assert_eq!(said, format!("{}: it is another run's", made.display()));
        fs::create_dir_all(data.join("wb-restore-x/y")).unwrap();
        let said = ours.make(data, "wb-restore-x").unwrap_err().to_string();
        assert!(
            said.ends_with("wb-restore-x: nothing in it says that it is Whimbrel's. Move it away"),
            "{said}"
        );
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert_eq!(Journal::read(data).unwrap(), None);
        let mut journal = Journal::new(run("5c1e"), 3, "neo4j", "ab12");
        journal.write(data).unwrap();
        assert_eq!(Journal::read(data).unwrap().as_ref(), Some(&journal));
        journal.format = 2;
        journal.write(data).unwrap();
        let said = Journal::read(data).unwrap_err().to_string();
        assert!(
            said.ends_with("wb-restore.json: a newer version of Whimbrel has written it; use that one"),
            "{said}"
        );
        fs::write(data.join(NAME), "{").unwrap();
        let said = Journal::read(data).unwrap_err().to_string();
        assert!(said.contains("wb-restore.json: it can't be read: "), "{said}");
    }
}
