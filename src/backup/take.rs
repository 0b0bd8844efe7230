//! Takes a backup: a dump and its probes from one snapshot, made durable, the manifest last.

use super::{
    BackupError, Connection, Manifest, Of, Probes, Source, Summary,
    attempt::Attempt,
    connection::Opened,
    files,
    manifest::{DATA, FORMAT},
    probe, retain, roles,
    session::Session,
    tool::{self, Running},
};
use crate::engine::postgresql::Properties;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
};

/// A server from 14 on looks every 5 s whether we are still there: a pod that was killed can't say goodbye, and its
/// statement would go on counting, or waiting.
const NOTICE_OUR_END: &str = "
SELECT set_config('client_connection_check_interval', '5s', false)
 WHERE current_setting('server_version_num')::int >= 140000";

/// How long the dump waits for a lock that somebody holds on a table before it gives up, in milliseconds. Everybody
/// was asked to leave before it began; who comes back for a minute does not go by himself.
const LOCK_WAIT: &str = "60000";

/// One backup to be taken.
#[derive(Clone, Debug)]
pub struct Take {
    /// The database.
    pub connection: Connection,
    /// For whom.
    pub of: Of,
    /// The driver's epoch; a target with a higher token is not touched.
    pub epoch: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Folder of all backups of this storage.
    pub backups: PathBuf,
    /// Folder below it for this run: `<plan>/<run>`.
    pub run_folder: PathBuf,
    /// Tables dumped at the same time.
    pub jobs: u32,
}

/// What became of it; goes into the Job's termination message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// Folder of the backup, relative to the storage's.
    pub path: String,
    /// When its snapshot was taken.
    pub at: Timestamp,
    /// How long it took, in seconds.
    pub took_seconds: u64,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Number of its files.
    pub files: u64,
    /// Size of the database in bytes; a restore test needs room for it.
    pub database_bytes: u64,
    /// SHA-256 of the manifest, which holds those of all files.
    pub sha256: String,
    /// Tables counted.
    pub tables: u64,
    /// Rows counted.
    pub rows: u64,
    /// All backups that are kept there now, this one included.
    pub kept: Summary,
}

/// Facts of the source that no probe holds.
#[derive(Deserialize)]
struct Facts {
    tables: u64,
    source: Source,
}

/// `snapshot` is exported by the very statement that reads the rest. Identity as the engine's look has it.
const FACTS: &str = "
SELECT jsonb_build_object(
  'tables', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
  'source', jsonb_build_object(
    'database', d.datname,
    'identity', (SELECT system_identifier FROM pg_control_system()) || '/' || d.oid,
    'version', split_part(current_setting('server_version'), ' ', 1),
    'lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
    'snapshot', pg_export_snapshot(),
    'bytes', pg_database_size(d.oid),
    'role', session_user))
  FROM pg_database d WHERE d.datname = current_database()";

/// Takes the backup. Progress goes to `progress`: tables begun, tables in all, and the one begun last.
///
/// # Errors
/// Whatever went wrong; the folder of this attempt is then removed, and had no manifest at any time.
pub async fn take(take: &Take, mut progress: impl FnMut(u64, u64, &str)) -> Result<Taken, BackupError> {
    let opened = take.connection.open()?;
    let mut session = Session::connect(&opened.environment, &take.connection.at(), &opened.user).await?;
    refuse_if_overtaken(&mut session, take.epoch).await?;
    let folder = Attempt::make(take)?;
    probe::prepare(&mut session).await?;
    session.run(&format!("SET lock_timeout = {LOCK_WAIT}; {NOTICE_OUR_END}")).await?;
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let started_at = Timestamp::now();
    let Facts { tables, source } = session.value(FACTS).await?;
    let properties = session.value(&Properties::query(&source.database)).await?;
    let data = folder.path.join(DATA);
    let dumped = {
        let probes = async {
            let roles = roles::needed(&mut session).await?;
            Ok((roles, probe::read(&mut session).await?))
        };
        let mut begun = 0;
        let dump = dump(take, &opened, &source.snapshot, &data, |table| {
            begun += 1;
            progress(begun, tables, table);
        });
        // The first that fails ends the other: dropped, it takes its processes with it.
        tokio::try_join!(dump, probes)
    };
    let (tool, (roles, probes)) = match dumped {
        Ok(done) => done,
        Err(error) => return Err(or_disk_full(error, take, &folder.path, &source)),
    };
    drop(session);
    let settled = {
        let data = data.clone();
        tokio::task::spawn_blocking(move || files::settle(&data)).await.map_err(|_| BackupError::Stopped)?
    };
    let files = settled.map_err(|error| or_disk_full(error, take, &folder.path, &source))?;
    let finished_at = Timestamp::now();
    let manifest = Manifest {
        format: FORMAT,
        of: take.of.clone(),
        epoch: take.epoch,
        started_at,
        finished_at,
        tool,
        source,
        properties,
        roles,
        probes,
        files,
    };
    let sha256 = manifest
        .commit(&folder.path)
        .map_err(|error| or_disk_full(error, take, &folder.path, &manifest.source))?;
    let path = folder.keep(&take.backups);
    Ok(taken(&manifest, path, sha256, retain::summary(&take.backups)))
}

fn taken(manifest: &Manifest, path: String, sha256: String, kept: Summary) -> Taken {
    let Probes { tables, .. } = &manifest.probes;
    Taken {
        path,
        at: manifest.started_at,
        took_seconds: seconds_between(manifest.started_at, manifest.finished_at),
        bytes: manifest.bytes(),
        files: manifest.files.len() as u64,
        database_bytes: manifest.source.bytes,
        sha256,
        tables: tables.len() as u64,
        rows: manifest.probes.rows(),
        kept,
    }
}

pub(super) fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}

/// A late Job of an older driver: whoever raised the token may be changing the database already, and a snapshot of a
/// half-changed database must never look like a backup of this run.
pub(super) async fn refuse_if_overtaken(session: &mut Session, epoch: u64) -> Result<(), BackupError> {
    if !session.value::<bool>("SELECT to_jsonb(to_regclass('whimbrel.fence') IS NOT NULL)").await? {
        return Ok(());
    }
    let token: u64 = session.value("SELECT to_jsonb(coalesce(max(token), 0)) FROM whimbrel.fence").await?;
    if token > epoch {
        return Err(BackupError::Overtaken { token, epoch });
    }
    Ok(())
}

/// Runs the dump and says with which tool.
async fn dump(
    take: &Take,
    opened: &Opened,
    snapshot: &str,
    data: &Path,
    mut on_table: impl FnMut(&str),
) -> Result<String, BackupError> {
    let tool = tool::run("pg_dump", tool::command("pg_dump", &opened.environment)?.arg("--version")).await?;
    let mut command = tool::command("pg_dump", &opened.environment)?;
    command.args(["--format=directory", "--no-password", "--verbose", "--lock-wait-timeout", LOCK_WAIT]);
    command.arg(format!("--jobs={}", take.jobs.max(1))).arg(format!("--snapshot={snapshot}"));
    command.arg("--file").arg(data).stdout(Stdio::null());
    let dump = Running::start("pg_dump", &mut command)?;
    dump.end(|line| {
        if let Some((_, table)) = line.split_once("dumping contents of table ") {
            on_table(table.trim_matches('"'));
        }
    })
    .await?;
    Ok(tool.trim().to_owned())
}

/// Every tool says it in its own way, and only the file system knows how much is missing.
fn or_disk_full(error: BackupError, take: &Take, folder: &Path, source: &Source) -> BackupError {
    let is_full = match &error {
        BackupError::File { source, .. } => {
            matches!(
                source.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
            )
        }
        BackupError::Tool { said, .. } => {
            ["No space left on device", "Disk quota exceeded", "File too large"]
                .iter()
                .any(|it| said.contains(it))
        }
        _ => false,
    };
    if !is_full {
        return error;
    }
    BackupError::DiskFull {
        free: files::free_bytes(folder).unwrap_or(0),
        written: files::bytes_below(folder),
        database: source.bytes,
        path: take.backups.display().to_string(),
    }
}
