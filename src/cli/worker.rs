//! `whimbrel worker`: what runs inside Whimbrel's Jobs.
//!
//! Flags say what to do; credentials come from mounted files. What became of it is written to the termination message,
//! progress to standard output, and the exit code says whether another try could help.

use super::worker_dump::{self, DropArgs, DumpArgs, ProveDumpArgs, RestoreDumpArgs};
use super::worker_export::{self, ExportArgs, ProveExportArgs};
use super::worker_search::{self, ProveArgs, SnapshotArgs};
use crate::backup::{
    self, BackupError, Connection, EXIT_FAILED, Fetch, Level, Of, Prune, Restore, Storage, StorageArgs, Take,
    Told, Verify,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};

/// Work that a Job of Whimbrel's does; nobody types this.
#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// File for the result as JSON
    #[arg(long, global = true, default_value = "/dev/termination-log")]
    result: PathBuf,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Copies this program to where a container of another image can start it
    Install {
        /// The file to be made
        to: PathBuf,
    },
    /// Takes a backup of a PostgreSQL database with the tools of this image
    Backup(BackupArgs),
    /// Verifies a backup that was taken before
    Verify(VerifyArgs),
    /// Has a search cluster take a snapshot
    Snapshot(SnapshotArgs),
    /// Proves a snapshot of a search cluster
    ProveSnapshot(ProveArgs),
    /// Restores a snapshot beside the indices of a search cluster
    RestoreSnapshot(worker_search::RestoreArgs),
    /// Deletes snapshots of a search cluster
    PruneSnapshots(worker_search::PruneArgs),
    /// Restores a verified backup beside its database
    Restore(RestoreArgs),
    /// Brings a backup of PostgreSQL or Neo4j out of its bucket, for a restore by hand
    Fetch(FetchArgs),
    /// Dumps a database of a stopped Neo4j
    Dump(DumpArgs),
    /// Proves a dump of Neo4j
    ProveDump(ProveDumpArgs),
    /// Puts a verified dump of Neo4j back on the volume of its stopped server
    RestoreDump(RestoreDumpArgs),
    /// Deletes what a restore of Neo4j has put aside
    DropPutAside(DropArgs),
    /// Exports a graph from a Neo4j that runs, by APOC
    Export(ExportArgs),
    /// Compares an export with its manifest
    ProveExport(ProveExportArgs),
    /// Deletes backups, and what aborted attempts have left
    Prune(PruneArgs),
}

#[derive(Debug, Args)]
struct BackupArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    attempt: AttemptArgs,
}

/// One attempt at a backup.
#[derive(Debug, Args)]
pub(super) struct AttemptArgs {
    /// Folder below the storage's for this run, such as aether-platform/7
    #[arg(long)]
    pub(super) run_folder: PathBuf,
    /// The driver's epoch; a target that a newer driver owns is left alone
    #[arg(long)]
    pub(super) epoch: u64,
    /// Number of the attempt, from 1
    #[arg(long)]
    pub(super) attempt: u32,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// Folder of the backup below the storage's
    #[arg(long)]
    path: PathBuf,
    /// What the backup must reach
    #[arg(long, value_enum, default_value_t = Level::Structure)]
    level: Level,
    /// Folder with room for the whole database, for level Restored
    #[arg(long)]
    scratch: PathBuf,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    proven: Proven,
    /// Number of the run that took the backup; --run is the one that restores it
    #[arg(long)]
    backup_run: u64,
    /// Uid of the run's record
    #[arg(long)]
    run_uid: String,
    /// The driver's epoch; a target that a newer driver owns is left alone
    #[arg(long)]
    epoch: u64,
}

#[derive(Debug, Args)]
struct FetchArgs {
    #[command(flatten)]
    proven: Proven,
    /// Folder that gets the dump
    #[arg(long)]
    to: PathBuf,
}

#[derive(Debug, Args)]
struct PruneArgs {
    #[command(flatten)]
    storage: StorageArgs,
    /// Name of the target
    #[arg(long)]
    target: String,
    /// A backup to be deleted, as <sha256 of its manifest>/<plan uid>/<run>/<path>
    #[arg(long)]
    delete: Vec<Told>,
    /// Runs that are over, as <plan uid>/<first number that is not>
    #[arg(long, value_parser = over)]
    over: Vec<(String, u64)>,
}

fn over(text: &str) -> Result<(String, u64), String> {
    let (uid, first) = text.split_once('/').ok_or("it is <plan uid>/<number>")?;
    let first = first.parse().map_err(|_| format!("{first} is not the number of a run"))?;
    Ok((uid.to_owned(), first))
}

/// A backup that was proven before, and no other.
#[derive(Debug, Args)]
struct Proven {
    #[command(flatten)]
    place: Place,
    /// Folder of the backup below the storage's
    #[arg(long)]
    path: PathBuf,
    /// SHA-256 that the backup's manifest must have
    #[arg(long)]
    sha256: String,
}

/// What all have.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    storage: StorageArgs,
    /// Uid of the plan whose backup this is
    #[arg(long)]
    plan_uid: String,
    /// Number of the run
    #[arg(long)]
    run: u64,
    /// Name of the target
    #[arg(long)]
    target: String,
    /// Tables worked on at the same time
    #[arg(long, default_value_t = 2)]
    jobs: u32,
}

impl Place {
    fn of(&self) -> Of {
        Of { plan_uid: self.plan_uid.clone(), run: self.run, target: self.target.clone() }
    }
}

/// Does the work. The exit code is 0, 1 (another try may help), 42 (it would not) or 43 (a newer driver owns the
/// target).
pub(super) fn run(args: WorkerArgs) -> ExitCode {
    let result = args.result.as_path();
    match args.work {
        Work::Install { to } => match install(&to) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", to.display());
                ExitCode::from(EXIT_FAILED)
            }
        },
        // These hear of the signal themselves: what is begun in a bucket must be given up, a server of theirs be stopped.
        Work::Backup(args) => finish(result, "backup", runtime().block_on(take(args))),
        Work::Dump(args) => finish(result, "backup", runtime().block_on(worker_dump::take(args))),
        Work::ProveDump(args) => finish(result, "verify", runtime().block_on(worker_dump::prove(args))),
        Work::RestoreDump(args) => finish(result, "restore", runtime().block_on(worker_dump::restore(args))),
        Work::Export(args) => finish(result, "backup", runtime().block_on(worker_export::take(args))),
        Work::ProveExport(args) => finish(result, "verify", block_on(worker_export::prove(args))),
        Work::Verify(args) => finish(result, "verify", block_on(verify(args))),
        Work::Restore(args) => finish(result, "restore", block_on(restore(args))),
        Work::Fetch(args) => finish(result, "fetch", block_on(fetch(args))),
        Work::Prune(args) => finish(result, "prune", block_on(prune(args))),
        Work::Snapshot(args) => finish(result, "backup", block_on(worker_search::take(args))),
        Work::ProveSnapshot(args) => finish(result, "verify", block_on(worker_search::prove(args))),
        Work::RestoreSnapshot(args) => finish(result, "restore", block_on(worker_search::restore(args))),
        Work::PruneSnapshots(args) => finish(result, "prune", block_on(worker_search::prune(args))),
        Work::DropPutAside(args) => finish(result, "aside", worker_dump::drop_aside(&args)),
    }
}

/// By way of another name, so that a container that starts early never runs half a program.
fn install(to: &Path) -> std::io::Result<()> {
    let unfinished = to.with_extension("unfinished");
    fs::copy(std::env::current_exe()?, &unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
    fs::rename(&unfinished, to)
}

async fn take(args: BackupArgs) -> Result<Value, BackupError> {
    let take = Take {
        of: args.place.of(),
        connection: args.connection,
        epoch: args.attempt.epoch,
        attempt: args.attempt.attempt,
        storage: args.place.storage.open()?,
        run_folder: args.attempt.run_folder,
        jobs: args.place.jobs,
    };
    let taken = backup::take(&take, stopped(), progress).await?;
    Ok(json!(taken))
}

async fn verify(args: VerifyArgs) -> Result<Value, BackupError> {
    let verify = Verify {
        of: args.place.of(),
        storage: args.place.storage.open()?,
        path: args.path,
        level: args.level,
        scratch: args.scratch,
        jobs: args.place.jobs,
    };
    let wanted = args.level as u64 + 1;
    let verified = backup::verify(&verify, |level| progress(level as u64 + 1, wanted, level.word())).await?;
    Ok(json!(verified))
}

async fn restore(args: RestoreArgs) -> Result<Value, BackupError> {
    let Proven { place, path, sha256 } = args.proven;
    let restore = Restore {
        of: Of { run: args.backup_run, ..place.of() },
        run: place.run,
        connection: args.connection,
        run_uid: args.run_uid,
        epoch: args.epoch,
        storage: place.storage.open()?,
        path,
        sha256,
        jobs: place.jobs,
    };
    let restored = backup::restore(&restore, progress).await?;
    Ok(json!(restored))
}

async fn fetch(args: FetchArgs) -> Result<Value, BackupError> {
    let Proven { place, path, sha256 } = args.proven;
    let of = place.of();
    let Storage::Bucket(bucket) = place.storage.open()? else {
        return Err(BackupError::Credentials(
            "a backup on a volume is mounted, not fetched: name a --bucket".into(),
        ));
    };
    let fetch = Fetch { bucket, of, path, sha256, to: args.to };
    Ok(json!(backup::fetch(&fetch, progress).await?))
}

async fn prune(args: PruneArgs) -> Result<Value, BackupError> {
    let prune = Prune {
        storage: args.storage.open()?,
        target: args.target,
        told: args.delete,
        over: args.over.into_iter().collect(),
    };
    Ok(json!(backup::prune(&prune).await?))
}

/// The same line that users' own Jobs write.
pub(super) fn progress(done: u64, all: u64, text: &str) {
    // Nobody may be listening; that is no reason to stop.
    let _ = writeln!(std::io::stdout(), "whimbrel: progress {done}/{all} {text}");
}

/// Runs the work until it is done or the pod is told to go: what is dropped then ends its processes.
fn block_on(work: impl Future<Output = Result<Value, BackupError>>) -> Result<Value, BackupError> {
    runtime().block_on(async {
        tokio::select! {
            done = work => done,
            () = stopped() => Err(BackupError::Stopped),
        }
    })
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("an event loop can be made wherever a process can be")
}

/// Ends when the pod is told to go.
pub(super) async fn stopped() {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be listened to");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be listened to");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn finish(result: &Path, what: &str, done: Result<Value, BackupError>) -> ExitCode {
    let (message, code) = match done {
        Ok(value) => (json!({ what: value }), ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            let failed = json!({ "failed": { "code": error.code(), "message": error.to_string() } });
            (failed, ExitCode::from(error.exit_code()))
        }
    };
    match fs::write(result, message.to_string()) {
        Ok(()) => code,
        // Work whose result nobody can read was not done.
        Err(error) => {
            eprintln!("{}: {error}", result.display());
            ExitCode::from(EXIT_FAILED)
        }
    }
}
