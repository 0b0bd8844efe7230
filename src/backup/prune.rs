//! Deletes the backups that it is told, and what aborted attempts have left. Runs inside a Job, on the volume.
//!
//! Whoever told us may be wrong, and the volume may be another one, or be shared with strangers: a backup goes only if the
//! manifest that lies there is the very one that was recorded, and everything beside it is what the manifest lists. What
//! does not fit is left as it is and said.
//!
//! The manifest goes first, by another name: from then on no reader takes the folder for a backup, however we end. Under
//! that name it stays to the last, so that a second try knows what it is deleting.

use super::{
    BackupError, Of,
    attempt::{NOTE, Note},
    files::{FileDigest, digest},
    manifest::{DATA, FILE_NAME, UNFINISHED},
    tree::{Entry, Folder, Kind},
};
use crate::api::bounds::cut;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path, PathBuf},
    str::FromStr,
};

/// What a manifest is called whose backup is being deleted.
pub(super) const DELETED: &str = "manifest.json.deleted";
/// Nobody's manifest is longer: a table takes some hundred bytes.
const LONGEST: u64 = 64 << 20;
/// A sentence in the result; all of it must fit into a termination message of 4096 bytes.
const SENTENCE: u32 = 200;
/// Folders named in the result that were left alone.
const NAMED: usize = 3;

/// What is to be deleted.
#[derive(Clone, Debug)]
pub struct Prune {
    /// Folder of all backups of this storage.
    pub backups: PathBuf,
    /// Name of the target.
    pub target: String,
    /// The backups.
    pub told: Vec<Told>,
    /// By uid of a plan, a number: its runs before that one are over, and so are their attempts.
    pub over: BTreeMap<String, u64>,
}

/// One backup that is to be deleted, and what proves that it is this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// SHA-256 of its manifest.
    pub sha256: String,
    /// Uid of the plan.
    pub plan_uid: String,
    /// Number of the run.
    pub run: u64,
    /// Its folder below the storage's.
    pub path: String,
}

/// What became of it all; goes into the Job's termination message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// What became of each backup, in the order told.
    pub found: Vec<Found>,
    /// Aborted attempts that were deleted.
    pub attempts: u64,
    /// Their size in bytes.
    pub attempts_bytes: u64,
    /// Attempts that were left though their run is over, and why; the first few.
    pub left: Vec<String>,
}

/// What became of one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Found {
    /// It is deleted; this many bytes are free.
    Deleted(u64),
    /// It was not there.
    Absent,
    /// It is left as it is, because.
    Refused(String),
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.sha256, self.plan_uid, self.run, self.path)
    }
}

impl FromStr for Told {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(4, '/').map(str::to_owned);
        let mut next = || parts.next().filter(|it| !it.is_empty());
        let (Some(sha256), Some(plan_uid), Some(run), Some(path)) = (next(), next(), next(), next()) else {
            return Err("it is <sha256>/<plan uid>/<run>/<path>".into());
        };
        let run = run.parse().map_err(|_| format!("{run} is not the number of a run"))?;
        Ok(Self { sha256, plan_uid, run, path })
    }
}

/// Deletes. Idempotent: what an earlier try has begun is ended.
///
/// # Errors
/// The folder of all backups can't be opened: then this is not the volume that is meant, or we may not.
pub fn prune(prune: &Prune) -> Result<Pruned, BackupError> {
    let root = Folder::open(&prune.backups).map_err(BackupError::file(&prune.backups))?;
    let mut pruned = Pruned::default();
    for told in &prune.told {
        let found = delete(&root, told, &prune.target);
        pruned.found.push(match found {
            Ok(found) => found,
            Err(refusal) => Found::Refused(cut(&refusal, SENTENCE)),
        });
    }
    sweep(&root, prune, &mut pruned);
    Ok(pruned)
}

/// Deletes one backup, or says why not.
fn delete(root: &Folder, told: &Told, target: &str) -> Result<Found, String> {
    let [plan, run, name] = place(told, target)?;
    let Some(of_plan) = absent(root.folder(plan), plan)? else { return Ok(Found::Absent) };
    let Some(of_run) = absent(of_plan.folder(run), run)? else { return Ok(Found::Absent) };
    let Some(folder) = absent(of_run.folder(name), name)? else { return Ok(Found::Absent) };
    let said = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("{what}: {error}")
    };
    let begun = folder.read(DELETED, LONGEST).map_err(said(DELETED))?;
    let whole = folder.read(FILE_NAME, LONGEST).map_err(said(FILE_NAME))?;
    if begun.is_some() && whole.is_some() {
        return Err(format!("it has both {FILE_NAME} and {DELETED}: look what it is"));
    }
    let (manifest, whole) = match (whole, begun) {
        (Some(manifest), _) => (manifest, true),
        (None, Some(manifest)) => (manifest, false),
        // All but the last step of an earlier try.
        (None, None) if of_run.remove_folder(name).is_ok() => return Ok(Found::Deleted(0)),
        (None, None) => return Err(format!("it has no {FILE_NAME}: nobody can say whose it is")),
    };
    let files = meant(&manifest, told, target)?;
    let bytes = only(&folder, &files)?;
    let remove = || {
        if whole {
            folder.rename(FILE_NAME, DELETED)?;
            folder.sync()?;
        }
        folder.remove_all(DATA)?;
        gone(folder.remove_file(NOTE))?;
        folder.sync()?;
        folder.remove_file(DELETED)?;
        of_run.remove_folder(name)?;
        of_run.sync()?;
        // The next backup of an old run is never made; of a run of another cluster that has the same name, tried again.
        let _ = of_plan.remove_folder(run);
        io::Result::Ok(())
    };
    remove().map_err(|error| format!("it could not be deleted to the end: {error}"))?;
    Ok(Found::Deleted(bytes))
}

/// The three folders of a backup's path: `<plan>`, `<run>`, `<target>-<attempt>`, and nothing else.
fn place<'p>(told: &'p Told, target: &str) -> Result<[&'p str; 3], String> {
    let refusal = || {
        let run = told.run;
        format!(
            "{} is not <plan>/{run}/{target}-<attempt>: nothing of that kind was ever written here",
            told.path
        )
    };
    let parts: Option<Vec<&str>> = Path::new(&told.path)
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    let parts = parts.and_then(|it| <[&str; 3]>::try_from(it).ok()).ok_or_else(refusal)?;
    let [_, run, name] = parts;
    let attempt = name.strip_prefix(target).and_then(|it| it.strip_prefix('-'));
    let numbers = attempt.is_some_and(|it| it.split('-').all(|part| part.parse::<u64>().is_ok()));
    // What `components` smooths over (`a//b`, `./a`) was not written by us either.
    let exact = parts.join("/") == told.path;
    if run == told.run.to_string() && numbers && exact { Ok(parts) } else { Err(refusal()) }
}

/// A folder that may be gone; one that is a link is not taken for it.
fn absent(folder: io::Result<Folder>, name: &str) -> Result<Option<Folder>, String> {
    match folder {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{name} is no folder of ours: {error}")),
    }
}

/// What every manifest says, whatever the engine.
#[derive(Deserialize)]
struct Head {
    of: Of,
    files: Vec<FileDigest>,
}

/// The files of the manifest, if it is the one that is meant.
fn meant(manifest: &[u8], told: &Told, target: &str) -> Result<BTreeSet<String>, String> {
    let found = digest(manifest);
    if found != told.sha256 {
        return Err(format!(
            "its manifest has SHA-256 {found}, recorded was {}: it was changed, or is another backup",
            told.sha256
        ));
    }
    let head: Head =
        serde_json::from_slice(manifest).map_err(|error| format!("its manifest can't be read: {error}"))?;
    let expected = Of { plan_uid: told.plan_uid.clone(), run: told.run, target: target.to_owned() };
    if head.of != expected {
        return Err(format!("it is the backup of {}, not of {expected}", head.of));
    }
    Ok(head.files.into_iter().map(|file| format!("{DATA}/{}", file.path)).collect())
}

/// Refuses a folder that holds what no backup has. Gives the bytes of its files.
fn only(folder: &Folder, files: &BTreeSet<String>) -> Result<u64, String> {
    let beside = [FILE_NAME, DELETED, NOTE];
    let top = folder.entries().map_err(|error| error.to_string())?;
    let found = folder.files().map_err(|error| error.to_string())?;
    let found = found
        .map_err(|name| format!("{name} in it is neither file nor folder: no backup has such a thing"))?;
    let foreign_folder = top.iter().find(|it| it.kind == Kind::Folder && it.name != DATA);
    let foreign_file =
        found.iter().find(|it| !beside.contains(&it.name.as_str()) && !files.contains(&it.name));
    match foreign_folder.or(foreign_file) {
        Some(foreign) => Err(format!("{} in it does not belong to it", foreign.name)),
        None => Ok(found.iter().map(|it| it.size).sum()),
    }
}

/// Deletes the attempts of this target that became no backup and whose run is over.
fn sweep(root: &Folder, prune: &Prune, pruned: &mut Pruned) {
    let folders = |of: &Folder| -> Vec<(String, Folder)> {
        let all = of.entries().unwrap_or_default().into_iter().filter(|it| it.kind == Kind::Folder);
        all.filter_map(|it| Some((it.name.clone(), of.folder(&it.name).ok()?))).collect()
    };
    for (plan, of_plan) in folders(root) {
        for (run, of_run) in folders(&of_plan) {
            for (name, folder) in folders(&of_run) {
                match sweep_one(&of_run, &name, &folder, prune) {
                    Ok(Some(bytes)) => {
                        pruned.attempts += 1;
                        pruned.attempts_bytes += bytes;
                        // Only if it is empty by now.
                        let _ = of_plan.remove_folder(&run);
                    }
                    Ok(None) => {}
                    Err(_) if pruned.left.len() >= NAMED => {}
                    Err(why) => pruned.left.push(cut(&format!("{plan}/{run}/{name}: {why}"), SENTENCE)),
                }
            }
        }
    }
}

/// Deletes an attempt if it is one of ours whose run is over, and gives its bytes.
fn sweep_one(of_run: &Folder, name: &str, folder: &Folder, prune: &Prune) -> Result<Option<u64>, String> {
    if !name.starts_with(&prune.target) {
        return Ok(None);
    }
    let entries = folder.entries().map_err(|error| error.to_string())?;
    let has = |name: &str| entries.iter().any(|it| it.name == name);
    // A backup, or one whose deletion was begun: that is for whoever is told of it.
    if has(FILE_NAME) || has(DELETED) {
        return Ok(None);
    }
    let Some(note) = folder.read(NOTE, LONGEST).map_err(|error| format!("{NOTE}: {error}"))? else {
        return Ok(None);
    };
    let Ok(note) = serde_json::from_slice::<Note>(&note) else { return Ok(None) };
    let over = prune.over.get(&note.of.plan_uid).is_some_and(|first| note.of.run < *first);
    if note.of.target != prune.target || !over {
        return Ok(None);
    }
    let foreign = |it: &&Entry| ![DATA, NOTE, UNFINISHED].contains(&it.name.as_str());
    if let Some(foreign) = entries.iter().find(foreign) {
        return Err(format!("{} in it does not belong to it", foreign.name));
    }
    let files = folder.files().map_err(|error| error.to_string())?;
    let files = files.map_err(|name| format!("{name} in it is neither file nor folder"))?;
    let bytes = files.iter().map(|it| it.size).sum();
    let remove = || {
        folder.remove_all(DATA)?;
        gone(folder.remove_file(UNFINISHED))?;
        // Last: without it nobody would know whose the rest is.
        gone(folder.remove_file(NOTE))?;
        of_run.remove_folder(name)
    };
    remove().map_err(|error| format!("it could not be deleted to the end: {error}"))?;
    Ok(Some(bytes))
}

/// What is not there need not be removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
