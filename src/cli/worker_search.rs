//! `whimbrel worker snapshot` and `prove-snapshot`: what Jobs ask a search cluster.

use crate::backup::{self, BackupError, Level, SearchConnection};
use crate::engine::search::SnapshotOf;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

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
    /// File for the result as JSON
    #[arg(long, default_value = "/dev/termination-log")]
    result: PathBuf,
}

impl OfArgs {
    fn of(&self) -> SnapshotOf {
        SnapshotOf { plan_uid: self.plan_uid.clone(), run: self.run, target: self.target.clone() }
    }
}

impl SnapshotArgs {
    pub(super) fn result(&self) -> PathBuf {
        self.of.result.clone()
    }
}

impl ProveArgs {
    pub(super) fn result(&self) -> PathBuf {
        self.of.result.clone()
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
