//! Restores a backup beside the database it was taken of: a second database, complete and proven, that the engine can
//! swap in. The original is only looked at.

use super::{
    BackupError, Connection, Manifest, Of, Probes, Storage,
    beside::{Found, Server},
    probe,
    session::Session,
    storage::Dump,
    take, tool,
};
use crate::engine::postgresql::{Label, Stage};
use futures::future::join;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, process::Stdio};

/// One backup to be restored.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The database that is to be replaced.
    pub connection: Connection,
    /// Whose backup it must be.
    pub of: Of,
    /// Number of the run that restores it, in the names of what it makes.
    pub run: u64,
    /// Uid of the run's record: by it a later attempt knows what an earlier one left.
    pub run_uid: String,
    /// The driver's epoch; a target with a higher token is not touched.
    pub epoch: u64,
    /// Where all backups are.
    pub storage: Storage,
    /// Folder of the backup below it.
    pub path: PathBuf,
    /// SHA-256 that its manifest must have: what was verified, and nothing else, is restored.
    pub sha256: String,
    /// Tables restored at the same time.
    pub jobs: u32,
}

/// A complete copy; goes into the Job's termination message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// Folder of the backup, relative to the storage's.
    pub path: String,
    /// When the backup's snapshot was taken.
    pub at: Timestamp,
    /// SHA-256 of its manifest.
    pub sha256: String,
    /// Name of the database that holds the copy now: its own, or the original's if it was swapped in before.
    pub database: String,
    /// Its oid, which it keeps when it is swapped in.
    pub oid: u32,
    /// Its size in bytes.
    pub bytes: u64,
    /// How long it took, in seconds; next to nothing if an earlier attempt had done it.
    pub took_seconds: u64,
    /// Tables compared with the snapshot.
    pub tables: u64,
    /// Rows compared with the snapshot.
    pub rows: u64,
}

/// Restores the backup. Progress goes to `progress`: tables begun, tables in all, and the one begun last.
///
/// Idempotent: what an earlier attempt of the same run left half done is dropped and made anew; what it completed from
/// the same backup is taken as it is.
///
/// # Errors
/// Whatever went wrong; the incomplete copy is dropped where the server still lets us.
pub async fn restore(
    restore: &Restore,
    mut progress: impl FnMut(u64, u64, &str),
) -> Result<Restored, BackupError> {
    let begun = Timestamp::now();
    let (manifest, sha256): (Manifest, _) = restore.storage.manifest(&restore.path, &restore.of).await?;
    if sha256 != restore.sha256 {
        return Err(BackupError::Changed {
            path: restore.path.display().to_string(),
            expected: restore.sha256.clone(),
            found: sha256,
        });
    }
    let opened = restore.connection.open()?;
    let mut server = Server::connect(&restore.connection, &opened, restore.label()).await?;
    let oid = match server.look().await? {
        Found::Done { oid } => oid,
        Found::ToDo { leftover } => {
            refuse_another_server(&manifest, &server.system().await?)?;
            let mut original = server.inside(&restore.connection.database).await?;
            take::refuse_if_overtaken(&mut original, restore.epoch).await?;
            drop(original);
            let dump = restore.storage.dump(&restore.path, &manifest.files)?;
            if leftover {
                server.drop_copy().await?;
            }
            server.make(&manifest).await?;
            let filled = fill(restore, &manifest, &dump, &mut server, &mut progress);
            let done = dump.while_sound(&manifest.files, filled).await;
            let done = match done {
                Ok(()) => server.complete(&manifest).await,
                failed => failed,
            };
            if let Err(error) = done {
                // It takes room, and is of no use. If this fails the next attempt does it.
                let _ = server.drop_copy().await;
                return Err(error);
            }
            server.oid().await?
        }
    };
    let (database, bytes) = server.size(oid).await?;
    Ok(Restored {
        path: restore.path.display().to_string(),
        at: manifest.started_at,
        sha256,
        database,
        oid,
        bytes,
        took_seconds: take::seconds_between(begun, Timestamp::now()),
        tables: manifest.probes.tables.len() as u64,
        rows: manifest.probes.rows(),
    })
}

impl Restore {
    fn label(&self) -> Label {
        Label {
            whimbrel: Stage::Restoring,
            database: self.connection.database.clone(),
            run_uid: self.run_uid.clone(),
            run: self.run,
            backup: Some(self.sha256.clone()),
            comment: None,
            token: None,
            replaced_by: None,
        }
    }
}

/// Contents, then probes and statistics. Settings come last, not here: they may keep a session from reading.
async fn fill(
    restore: &Restore,
    manifest: &Manifest,
    dump: &Dump,
    server: &mut Server<'_>,
    progress: &mut impl FnMut(u64, u64, &str),
) -> Result<(), BackupError> {
    let (name, tables) = (server.name(), manifest.probes.tables.len() as u64);
    let mut command = tool::command("pg_restore", &server.environment(&name))?;
    // Subscriptions stay out: one that is dropped with a copy takes the publisher's slot along.
    command.args(["--exit-on-error", "--no-password", "--no-subscriptions", "--verbose"]);
    command.arg("--dbname").arg(&name).stdout(Stdio::null());
    let mut begun = 0;
    let on_line = |line: &str| {
        if let Some((_, table)) = line.split_once("processing data for table ") {
            begun += 1;
            progress(begun, tables, table.trim_matches('"'));
        }
    };
    dump.read_by(&mut command, Some(restore.jobs), false, on_line).await?;
    progress(tables, tables, "comparing with the snapshot, ANALYZE");
    let (mut copy, mut other) = (server.inside(&name).await?, server.inside(&name).await?);
    let (read, analysed) = join(read(&mut copy), other.run("ANALYZE")).await;
    let differences = manifest.probes.differences(&read?);
    if differences.is_empty() { analysed } else { Err(BackupError::Different(differences)) }
}

async fn read(copy: &mut Session) -> Result<Probes, BackupError> {
    probe::prepare(copy).await?;
    probe::read(copy).await
}

/// The same system identifier means the same roles and tablespaces, also after a failover.
fn refuse_another_server(manifest: &Manifest, found: &str) -> Result<(), BackupError> {
    let expected = manifest.source.identity.split('/').next().unwrap_or_default();
    if expected == found {
        return Ok(());
    }
    Err(BackupError::AnotherServer { expected: expected.to_owned(), found: found.to_owned() })
}
