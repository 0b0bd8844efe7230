//! Verifies a backup to a level; each level includes the ones before it.

use super::{
    BackupError, Level, Manifest, Of, Storage, probe,
    scratch::Scratch,
    storage::Dump,
    take::seconds_between,
    tool::{self, Environment},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::PathBuf, process::Stdio};

/// One backup to be verified.
#[derive(Clone, Debug)]
pub struct Verify {
    /// Where all backups are.
    pub storage: Storage,
    /// Folder of the backup below it.
    pub path: PathBuf,
    /// Whose it must be.
    pub of: Of,
    /// What it must reach.
    pub level: Level,
    /// Folder with room for the database; used by [`Level::Restored`] only.
    pub scratch: PathBuf,
    /// Tables restored at the same time.
    pub jobs: u32,
}

/// What was proven; goes into the Job's termination message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Folder of the backup, relative to the storage's.
    pub path: String,
    /// The level it reached.
    pub level: Level,
    /// When it was taken.
    pub at: Timestamp,
    /// SHA-256 of its manifest.
    pub sha256: String,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// How long it took to prove this, in seconds.
    pub took_seconds: u64,
    /// How long the restore alone took; absent below [`Level::Restored`].
    pub restore_seconds: Option<u64>,
}

/// Verifies the backup. `progress` hears which level is being proven.
///
/// # Errors
/// What keeps the backup from the level, in one sentence; the files or tables by name.
pub async fn verify(verify: &Verify, mut progress: impl FnMut(Level)) -> Result<Verified, BackupError> {
    let begun = Timestamp::now();
    let (manifest, sha256): (Manifest, _) = verify.storage.manifest(&verify.path, &verify.of).await?;
    let dump = verify.storage.dump(&verify.path, &manifest.files)?;
    let mut restore_seconds = None;
    if verify.level >= Level::Restored {
        // Services are down while this runs: the server is made while the files are read. If they are damaged it is
        // dropped, and that stops it.
        let read = read(&dump, &manifest, verify.level, &mut progress);
        let (read, server) = futures::future::join(read, Scratch::start(&verify.scratch)).await;
        read?;
        progress(Level::Restored);
        let server = server?;
        let begun = Timestamp::now();
        let done = restored(&server, &dump, &manifest, verify.jobs).await?;
        restore_seconds = Some(seconds_between(begun, done));
    } else {
        read(&dump, &manifest, verify.level, &mut progress).await?;
    }
    Ok(Verified {
        path: verify.path.display().to_string(),
        level: verify.level,
        at: manifest.started_at,
        sha256,
        bytes: manifest.bytes(),
        took_seconds: seconds_between(begun, Timestamp::now()),
        restore_seconds,
    })
}

/// What can be proven by reading the files.
async fn read(
    dump: &Dump,
    manifest: &Manifest,
    level: Level,
    progress: &mut impl FnMut(Level),
) -> Result<(), BackupError> {
    progress(Level::Artifact);
    dump.sound(&manifest.files).await?;
    if level >= Level::Structure {
        progress(Level::Structure);
        structure(dump, manifest).await?;
    }
    Ok(())
}

/// The engine's own reader reads every block, not only the list, and the list has the data of every table.
async fn structure(dump: &Dump, manifest: &Manifest) -> Result<(), BackupError> {
    let mut read = tool::command("pg_restore", &Environment::new())?;
    read.arg("--file=/dev/null").stdout(Stdio::null());
    dump.read_by(&mut read, None, false, |_| ()).await?;
    let mut list = tool::command("pg_restore", &Environment::new())?;
    let list = dump.read_by(list.arg("--list"), None, true, |_| ()).await?;
    let listed: BTreeSet<String> = list.lines().filter_map(table_of).collect();
    let missing = manifest.probes.tables.keys().filter(|name| !listed.contains(&plain(name)));
    let missing: Vec<_> = missing.map(|name| format!("it holds no data of table {name}")).collect();
    if missing.is_empty() { Ok(()) } else { Err(BackupError::Different(shortened(missing))) }
}

/// `3330; 0 16388 TABLE DATA public users admin` gives `public users`; the last word is the owner.
fn table_of(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" TABLE DATA ")?;
    let (name, _owner) = rest.rsplit_once(' ')?;
    Some(plain(name))
}

/// The list neither quotes names nor puts a dot between schema and table, so neither does this.
fn plain(name: &str) -> String {
    name.replace('"', "").replace('.', " ")
}

/// A server of the same image gets the database back and must hold what the snapshot held. Gives the time at which the
/// restore itself was done.
async fn restored(
    server: &Scratch,
    dump: &Dump,
    manifest: &Manifest,
    jobs: u32,
) -> Result<Timestamp, BackupError> {
    server.furnish(manifest).await?;
    let source = &manifest.source;
    let mut restore = tool::command("pg_restore", &server.environment(&source.database, &source.role))?;
    restore.args(["--exit-on-error", "--no-password", "--no-subscriptions", "--no-publications"]);
    restore.args(["--no-tablespaces", "--no-security-labels"]);
    restore.arg("--dbname").arg(&source.database);
    dump.read_by(&mut restore, Some(jobs), false, |_| ()).await?;
    let done = Timestamp::now();
    let mut session = server.session(&source.database).await?;
    probe::prepare(&mut session).await?;
    let differences = manifest.probes.differences(&probe::read(&mut session).await?);
    drop(session);
    if differences.is_empty() { Ok(done) } else { Err(BackupError::Different(differences)) }
}

/// At most five: the sentence has to fit into a status.
pub(super) fn shortened(mut all: Vec<String>) -> Vec<String> {
    const NAMED: usize = 5;
    if all.len() > NAMED {
        let more = all.len() - NAMED;
        all.truncate(NAMED);
        all.push(format!("and {more} more"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_tables_with_blanks_too() {
        assert_eq!(table_of("3330; 0 16388 TABLE DATA public users admin").as_deref(), Some("public users"));
        assert_eq!(
            table_of("3330; 0 16388 TABLE DATA public my users admin").as_deref(),
            Some("public my users")
        );
        assert_eq!(plain("public.\"my users\""), "public my users");
        assert_eq!(table_of("214; 1259 16388 TABLE public users admin"), None);
        assert_eq!(table_of("; Dumped by pg_dump version: 15.14"), None);
    }

    #[test]
    fn many_sentences_become_a_few() {
        let all = (1..=7).map(|n| n.to_string()).collect();
        assert_eq!(shortened(all), ["1", "2", "3", "4", "5", "and 2 more"]);
    }
}
