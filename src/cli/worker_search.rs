//! `whimbrel worker snapshot`, `prove-snapshot`, `restore-snapshot` and `prune-snapshots`: what Jobs ask a search cluster.

use crate::backup::{self, BackupError, Level, SearchConnection, Told};
use crate::engine::search::{Beside, SnapshotOf};
use clap::Args;
use serde_json::{Value, json};

/// Has a search cluster take a snapshot.
#[derive(Debug, Args)]
pub(super) struct SnapshotArgs {
    #[command(flatten)]
    connection: SearchConnection,
    #[command(flatten)]
    of: OfArgs,
    /// Name of the snapshot repository
    #[arg(long)]
    repository: String,
    /// Name of the snapshot
    #[arg(long)]
    name: String,
    /// The driver's epoch; a target that a newer driver owns is left alone
    #[arg(long)]
    epoch: u64,
}

/// Proves a snapshot.
#[derive(Debug, Args)]
pub(super) struct ProveArgs {
    #[command(flatten)]
    connection: SearchConnection,
    #[command(flatten)]
    of: OfArgs,
    /// Repository and name of the snapshot
    #[arg(long)]
    path: String,
    /// What the snapshot must reach
    #[arg(long, value_enum, default_value_t = Level::Structure)]
    level: Level,
}

/// Restores a snapshot beside the indices.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    connection: SearchConnection,
    #[command(flatten)]
    of: OfArgs,
    /// Repository and name of the snapshot
    #[arg(long)]
    path: String,
    /// What identifies the snapshot that was proven
    #[arg(long)]
    sha256: String,
    /// Number of the run that took the snapshot; --run is the one that restores it
    #[arg(long)]
    backup_run: u64,
    /// Uid of the run's record
    #[arg(long)]
    run_uid: String,
    /// The driver's epoch; a target that a newer driver owns is left alone
    #[arg(long)]
    epoch: u64,
}

/// Deletes snapshots.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    connection: SearchConnection,
    /// Name of the target
    #[arg(long)]
    target: String,
    /// A snapshot to be deleted, as <what identifies it>/<plan uid>/<run>/<repository>/<snapshot>
    #[arg(long)]
    delete: Vec<Told>,
}

#[derive(Debug, Args)]
struct OfArgs {
    /// Uid of the plan whose backup this is
    #[arg(long)]
    plan_uid: String,
    /// Number of the run
    #[arg(long)]
    run: u64,
    /// Name of the target
    #[arg(long)]
    target: String,
}

impl OfArgs {
    fn of(&self) -> SnapshotOf {
        SnapshotOf { plan_uid: self.plan_uid.clone(), run: self.run, target: self.target.clone() }
    }
}

pub(super) async fn take(args: SnapshotArgs) -> Result<Value, BackupError> {
    let SnapshotArgs { connection, of, repository, name, epoch } = args;
    Ok(json!(backup::take_snapshot(&connection, &repository, &name, &of.of(), epoch).await?))
}

pub(super) async fn prove(args: ProveArgs) -> Result<Value, BackupError> {
    let ProveArgs { connection, of, path, level } = args;
    Ok(json!(backup::prove_snapshot(&connection, &path, &of.of(), level).await?))
}

pub(super) async fn restore(args: RestoreArgs) -> Result<Value, BackupError> {
    let RestoreArgs { connection, of, path, sha256, backup_run, run_uid, epoch } = args;
    let taken = SnapshotOf { run: backup_run, ..of.of() };
    let beside = Beside { path: &path, sha256: &sha256, of: &taken, run: of.run, run_uid: &run_uid, epoch };
    Ok(json!(backup::restore_snapshot(&connection, &beside).await?))
}

pub(super) async fn prune(args: PruneArgs) -> Result<Value, BackupError> {
    let PruneArgs { connection, target, delete, .. } = args;
    Ok(json!(backup::prune_snapshots(&connection, &target, &delete).await?))
}
