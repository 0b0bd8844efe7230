//! Takes a backup: a dump and its probes from one snapshot, made durable, the manifest last.

use super::{
    BackupError, Connection, FileDigest, Manifest, Of, Probes, Source, Storage, Summary,
    attempt::{Attempt, Place, Whose},
    connection::Opened,
    files,
    manifest::FORMAT,
    probe, roles,
    session::Session,
    storage::DUMP,
    tool::{self, Running},
};
use crate::engine::postgresql::Properties;
use futures::TryFutureExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    io::ErrorKind,
    path::PathBuf,
    pin::{Pin, pin},
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
    /// Where all backups are.
    pub storage: Storage,
    /// Folder below it for this run: `<plan>/<run>`.
    pub run_folder: PathBuf,
    /// Tables dumped at the same time.
    pub jobs: u32,
}

impl Take {
    fn whose(&self) -> Whose<'_> {
        let Self { of, epoch, attempt, storage, run_folder, .. } = self;
        Whose { of, epoch: *epoch, attempt: *attempt, storage, run_folder, file: DUMP }
    }
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

/// Takes the backup, unless `stop` ends first. Progress goes to `progress`: tables begun, tables in all, and the one begun
/// last.
///
/// # Errors
/// Whatever went wrong; the place of this attempt is then removed, and had no manifest at any time.
pub async fn take(
    take: &Take,
    stop: impl Future<Output = ()>,
    progress: impl FnMut(u64, u64, &str),
) -> Result<Taken, BackupError> {
    let mut stop = pin!(stop);
    let begun = async {
        let opened = take.connection.open()?;
        let mut session = Session::connect(&opened.environment, &take.connection.at(), &opened.user).await?;
        refuse_if_overtaken(&mut session, take.epoch).await?;
        Ok((opened, session, Attempt::make(take.whose()).await?))
    };
    let (opened, session, attempt) = unless(stop.as_mut(), begun).await?;
    match unless(stop.as_mut(), write(take, &opened, session, &attempt, progress)).await {
        Ok((manifest, sha256)) => {
            let path = attempt.keep();
            Ok(taken(&manifest, path, sha256, take.storage.summary().await))
        }
        Err(error) => {
            attempt.discard().await;
            Err(error)
        }
    }
}

/// The work, unless we are stopped first: then it is dropped, and its processes with it. What it has begun elsewhere is for
/// the caller to give up.
pub(super) async fn unless<T>(
    stop: Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = Result<T, BackupError>>,
) -> Result<T, BackupError> {
    tokio::select! {
        biased;
        () = stop => Err(BackupError::Stopped),
        done = work => done,
    }
}

/// Everything of a backup, its manifest last.
async fn write(
    take: &Take,
    opened: &Opened,
    mut session: Session,
    attempt: &Attempt,
    mut progress: impl FnMut(u64, u64, &str),
) -> Result<(Manifest, String), BackupError> {
    probe::prepare(&mut session).await?;
    session.run(&format!("SET lock_timeout = {LOCK_WAIT}; {NOTICE_OUR_END}")).await?;
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let started_at = Timestamp::now();
    let Facts { tables, source } = session.value(FACTS).await?;
    let properties = session.value(&Properties::query(&source.database)).await?;
    let bytes = source.bytes;
    let or_full = |error| or_disk_full(error, &take.storage, attempt, bytes);
    let dumped = {
        let probes = async {
            let roles = roles::needed(&mut session).await?;
            Ok((roles, probe::read(&mut session).await?))
        };
        let mut begun = 0;
        let dump = dump(take, opened, attempt, &source, |table| {
            begun += 1;
            progress(begun, tables, table);
        });
        // The first that fails ends the other: dropped, it takes its processes with it.
        tokio::try_join!(dump, probes)
    };
    let ((tool, written), (roles, probes)) = dumped.map_err(or_full)?;
    drop(session);
    let files = attempt.settle(written).await.map_err(or_full)?;
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
    let sha256 = attempt.commit(&manifest.text()).await.map_err(or_full)?;
    Ok((manifest, sha256))
}

/// Runs the dump and says with which tool; of a bucket also what was written.
async fn dump(
    take: &Take,
    opened: &Opened,
    attempt: &Attempt,
    source: &Source,
    mut on_table: impl FnMut(&str),
) -> Result<(String, Option<FileDigest>), BackupError> {
    let mut version = tool::command("pg_dump", &opened.environment)?;
    let version = tool::run("pg_dump", version.arg("--version")).await?.trim().to_owned();
    let mut command = tool::command("pg_dump", &opened.environment)?;
    command.args(["--no-password", "--verbose", "--lock-wait-timeout", LOCK_WAIT]);
    command.arg(format!("--snapshot={}", source.snapshot));
    let on_line = |line: &str| {
        if let Some((_, table)) = line.split_once("dumping contents of table ") {
            on_table(table.trim_matches('"'));
        }
    };
    match attempt.place() {
        Place::Folder(data) => {
            command.arg("--format=directory").arg(format!("--jobs={}", take.jobs.max(1)));
            command.arg("--file").arg(data).stdout(Stdio::null());
            Running::start("pg_dump", &mut command)?.end(on_line).await?;
            Ok((version, None))
        }
        Place::Bucket(sender) => {
            let mut running = Running::start("pg_dump", command.arg("--format=custom"))?;
            let output = running.child.stdout.take().expect("it was asked for");
            let ended = running.end(on_line).map_ok(drop);
            Ok((version, Some(sender.send(source.bytes, output, ended).await?)))
        }
    }
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

/// Every tool says it in its own way, and only the file system knows how much is missing.
pub(super) fn or_disk_full(
    error: BackupError,
    storage: &Storage,
    attempt: &Attempt,
    database: u64,
) -> BackupError {
    let (true, Some(folder), Storage::Folder(backups)) = (is_full(&error), attempt.folder(), storage) else {
        return error;
    };
    BackupError::DiskFull {
        free: files::free_bytes(folder).unwrap_or(0),
        written: files::bytes_below(folder),
        database,
        path: backups.display().to_string(),
    }
}

/// Whether what failed is that there was no room.
pub(super) fn is_full(error: &BackupError) -> bool {
    match error {
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
    }
}
