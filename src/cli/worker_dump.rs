//! `whimbrel worker dump`, `prove-dump`, `restore-dump` and `drop-put-aside`: what Jobs do with the files of a stopped Neo4j.

use super::worker::{AttemptArgs, progress, stopped};
use crate::backup::{
    self, BackupError, Level, Of, ProveDump, RestoreDump, StorageArgs, TakeDump, drop_put_aside,
};
use crate::engine::{
    Fence, Stamp,
    neo4j::{Format, History},
};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Dumps a database.
#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    /// The server's data folder
    #[arg(long)]
    data: PathBuf,
    /// Name of the database
    #[arg(long)]
    database: String,
    /// Folder for the tools' own files, which is made
    #[arg(long)]
    scratch: PathBuf,
    #[command(flatten)]
    attempt: AttemptArgs,
}

/// Proves a dump.
#[derive(Debug, Args)]
pub(super) struct ProveDumpArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    #[command(flatten)]
    expected: ExpectedArgs,
    /// Folder of the backup below the storage's
    #[arg(long)]
    path: PathBuf,
    /// What the backup must reach
    #[arg(long, value_enum, default_value_t = Level::Structure)]
    level: Level,
    /// Folder with room for the whole store, which is made
    #[arg(long)]
    scratch: PathBuf,
}

/// Puts a dump back.
#[derive(Debug, Args)]
pub(super) struct RestoreDumpArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    #[command(flatten)]
    expected: ExpectedArgs,
    /// The server's data folder
    #[arg(long)]
    data: PathBuf,
    /// Name of the database
    #[arg(long)]
    database: String,
    /// Folder of the backup below the storage's
    #[arg(long)]
    path: PathBuf,
    /// SHA-256 that the backup's manifest must have
    #[arg(long)]
    sha256: String,
    /// Number of the run that took the backup; --run is the one that restores it
    #[arg(long)]
    backup_run: u64,
    /// The target as the fence has it: <namespace>/<name>
    #[arg(long)]
    fence_target: String,
    /// Uid of the run's record
    #[arg(long)]
    run_uid: String,
    /// The plan: <namespace>/<name>
    #[arg(long)]
    plan: String,
    /// Id of the cluster
    #[arg(long)]
    cluster: String,
    /// The driver's epoch; what a newer driver has begun is left alone
    #[arg(long)]
    epoch: u64,
}

/// Deletes what a restore has put aside.
#[derive(Debug, Args)]
pub(super) struct DropArgs {
    /// The server's data folder
    #[arg(long)]
    data: PathBuf,
    /// Uid of the record of the run that restored
    #[arg(long)]
    run_uid: String,
    /// Its number
    #[arg(long)]
    run: u64,
}

#[derive(Debug, Args)]
pub(super) struct WhoseArgs {
    #[command(flatten)]
    pub(super) storage: StorageArgs,
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

#[derive(Debug, Args)]
struct ExpectedArgs {
    /// A declared history, as <name>=<Whimbrel or Neo4jMigrations>
    #[arg(long, value_parser = declared)]
    declared: Vec<History>,
    /// What a history must be, as <name>=<digest>
    #[arg(long, value_parser = pair)]
    history: Vec<(String, String)>,
    /// What the structure and the contents must be, as they were read before the backup
    #[arg(long)]
    structure: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is <name>=<value>")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn declared(text: &str) -> Result<History, String> {
    let (name, format) = pair(text)?;
    let format = match format.as_str() {
        "Whimbrel" => Format::Whimbrel,
        "Neo4jMigrations" => Format::Neo4jMigrations,
        other => return Err(format!("{other} is neither Whimbrel nor Neo4jMigrations")),
    };
    Ok(History { name, format })
}

impl WhoseArgs {
    pub(super) fn of(&self) -> Of {
        Of { plan_uid: self.plan_uid.clone(), run: self.run, target: self.target.clone() }
    }
}

impl ExpectedArgs {
    fn stamp(&self) -> Stamp {
        let histories = self.history.iter().cloned().collect();
        Stamp { histories, structure: self.structure.clone(), mark: None }
    }
}

pub(super) async fn take(args: DumpArgs) -> Result<Value, BackupError> {
    let take = TakeDump {
        of: args.whose.of(),
        storage: args.whose.storage.open()?,
        data: args.data,
        database: args.database,
        epoch: args.attempt.epoch,
        attempt: args.attempt.attempt,
        run_folder: args.attempt.run_folder,
        scratch: args.scratch,
    };
    Ok(json!(backup::take_dump(&take, stopped(), progress).await?))
}

pub(super) async fn prove(args: ProveDumpArgs) -> Result<Value, BackupError> {
    let prove = ProveDump {
        of: args.whose.of(),
        storage: args.whose.storage.open()?,
        expected: args.expected.stamp(),
        histories: args.expected.declared,
        path: args.path,
        level: args.level,
        scratch: args.scratch,
    };
    let wanted = args.level as u64 + 1;
    let proven =
        backup::prove_dump(&prove, stopped(), |level| progress(level as u64 + 1, wanted, level.word()));
    Ok(json!(proven.await?))
}

pub(super) async fn restore(args: RestoreDumpArgs) -> Result<Value, BackupError> {
    let restore = RestoreDump {
        of: Of { run: args.backup_run, ..args.whose.of() },
        fence: Fence {
            target: args.fence_target,
            run_uid: args.run_uid,
            run: args.whose.run,
            plan: args.plan,
            cluster: args.cluster,
            token: args.epoch,
        },
        storage: args.whose.storage.open()?,
        stamp: args.expected.stamp(),
        histories: args.expected.declared,
        data: args.data,
        database: args.database,
        path: args.path,
        sha256: args.sha256,
    };
    Ok(json!(backup::restore_dump(&restore, stopped(), progress).await?))
}

pub(super) fn drop_aside(args: &DropArgs) -> Result<Value, BackupError> {
    Ok(json!({ "dropped": drop_put_aside(&args.data, &args.run_uid, args.run)? }))
}
