//! The swap: four renames on one volume, each of which can be the last that happened.
//!
//! ```text
//! databases/<db>                      -> wb-aside-<run>/databases/<db>
//! transactions/<db>                   -> wb-aside-<run>/transactions/<db>
//! wb-restore-<run>/data/databases/<db>    -> databases/<db>
//! wb-restore-<run>/data/transactions/<db> -> transactions/<db>
//! ```
//!
//! What was there leaves before anything comes, so a name never stands for two stores, and who looks can tell of every
//! rename whether it happened. The `system` database with its users stays where it is.

use super::{
    data::{DATABASES, TRANSACTIONS, or_denied},
    journal::{Journal, Run, Step, in_the_way, sync},
};
use crate::backup::BackupError;
use crate::fault::Point;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder in a copy's that its server used as data folder.
pub(super) const COPY: &str = "data";

/// Swaps, or goes on where an earlier attempt ended. The journal says [`Step::Stamped`] or [`Step::Swapping`] when this is
/// called, and [`Step::Done`] when it returns.
pub(super) async fn swap(data: &Path, journal: &mut Journal) -> Result<(), BackupError> {
    let (beside, aside) = (data.join(journal.run.beside()), data.join(journal.run.aside()));
    if journal.step == Step::Stamped {
        prepare(data, journal)?;
        write(data, journal, Step::Swapping).await?;
    }
    for kind in [DATABASES, TRANSACTIONS] {
        if journal.had.iter().any(|had| had == kind) {
            let (from, to) = (data.join(kind), aside.join(kind));
            // Once it is aside, the name may be the copy's already.
            if !exists(&to.join(&journal.database))? {
                rename(&from, &to, &journal.database, "put aside").await?;
            }
        }
    }
    for kind in [DATABASES, TRANSACTIONS] {
        let (from, to) = (beside.join(COPY).join(kind), data.join(kind));
        if exists(&from.join(&journal.database))? {
            if exists(&to.join(&journal.database))? {
                return Err(in_the_way(
                    &to.join(&journal.database),
                    "somebody made it during a restore. Move it away",
                ));
            }
            rename(&from, &to, &journal.database, "put in place").await?;
        } else if !exists(&to.join(&journal.database))? {
            return Err(in_the_way(
                &from.join(&journal.database),
                "it is gone, and it was the restored copy",
            ));
        }
    }
    write(data, journal, Step::Done).await
}

/// Makes the places to which things go, so that only renames are left.
fn prepare(data: &Path, journal: &mut Journal) -> Result<(), BackupError> {
    let aside = journal.run.make(data, &journal.run.aside())?;
    let mut had = Vec::new();
    for kind in [DATABASES, TRANSACTIONS] {
        let folder = aside.join(kind);
        fs::create_dir_all(&folder).map_err(|error| or_denied(error, &aside, "write"))?;
        if exists(&folder.join(&journal.database))? {
            return Err(in_the_way(
                &folder.join(&journal.database),
                "an earlier restore of this run put it there",
            ));
        }
        if exists(&data.join(kind).join(&journal.database))? {
            had.push(kind.to_owned());
        }
    }
    journal.had = had;
    sync(&aside)
}

async fn write(data: &Path, journal: &mut Journal, step: Step) -> Result<(), BackupError> {
    journal.step = step;
    let what = format!("journal of the restore: {step:?}");
    Point::of_message(&what).around(async { journal.write(data) }, stopped).await
}

async fn rename(from: &Path, to: &Path, database: &str, what: &str) -> Result<(), BackupError> {
    let rename = async {
        fs::rename(from.join(database), to.join(database)).map_err(|error| match error.kind() {
            io::ErrorKind::CrossesDevices => in_the_way(
                from,
                "it is on another volume than the data folder, and can't be put aside by a rename",
            ),
            _ => or_denied(error, from, "write"),
        })?;
        // The new name before the old one's end: a power cut between the two leaves at least one.
        sync(to)?;
        sync(from)
    };
    let kind = from.file_name().unwrap_or_default().to_string_lossy();
    Point::of_message(&format!("{kind} {what}")).around(rename, stopped).await
}

/// A file system has no answer that is lost: who is struck here has ended.
fn stopped(_: String) -> BackupError {
    BackupError::Stopped
}

fn exists(path: &Path) -> Result<bool, BackupError> {
    path.try_exists().map_err(|error| or_denied(error, path, "read"))
}

/// Deletes what a run that is over has put aside, and its copy if it was never swapped in, where a note says that it is that
/// run's. Gives the names of what was deleted.
///
/// # Errors
/// A folder of the run's name that is another's; a restore of this run that is not done, which would be lost with it; files
/// that can't be deleted.
pub fn drop_put_aside(data: &Path, uid: &str, number: u64) -> Result<Vec<String>, BackupError> {
    let run = Run { uid: uid.to_owned(), number };
    if let Some(journal) = Journal::read(data)?
        && journal.run == run
        && matches!(journal.step, Step::Swapping)
    {
        return Err(in_the_way(data, "the restore of this run is half done, and needs what is aside"));
    }
    let there: Vec<PathBuf> = [run.aside(), run.beside()].iter().map(|name| data.join(name)).collect();
    let mut ours = Vec::new();
    // All are judged before the first is deleted.
    for folder in there {
        if exists(&folder)? {
            if !run.owns(&folder)? {
                return Err(in_the_way(
                    &folder,
                    "no note in it says that it is this run's; it is not deleted",
                ));
            }
            ours.push(folder);
        }
    }
    let mut dropped = Vec::new();
    for folder in ours {
        remove(&folder)?;
        dropped.extend(folder.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    sync(data)?;
    Ok(dropped)
}

/// Deletes a folder of ours, its note last: what is left of one that is half deleted is still known as ours.
pub(super) fn remove(folder: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(BackupError::file(folder))? {
        let entry = entry.map_err(BackupError::file(folder))?;
        if entry.file_name() == super::journal::MARK {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().map_err(BackupError::file(&path))?;
        let removed = if kind.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|error| or_denied(error, &path, "write"))?;
    }
    fs::remove_dir_all(folder).map_err(|error| or_denied(error, folder, "write"))
}

#[cfg(test)]
#[path = "swap_tests.rs"]
mod tests;
