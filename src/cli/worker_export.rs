//! `whimbrel worker export` and `prove-export`: what Jobs do for a Neo4j that runs.

use super::worker::{AttemptArgs, progress, stopped};
use super::worker_dump::WhoseArgs;
use crate::backup::{self, BackupError, GraphConnection, ProveExport, TakeExport};
use crate::engine::neo4j::Export;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Exports a graph.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    #[command(flatten)]
    connection: GraphConnection,
    /// What it is written as
    #[arg(long, value_enum, default_value_t = Format::Cypher)]
    format: Format,
    #[command(flatten)]
    attempt: AttemptArgs,
}

/// Compares an export with its manifest.
#[derive(Debug, Args)]
pub(super) struct ProveExportArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    /// Folder of the backup below the storage's
    #[arg(long)]
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Format {
    /// Statements that make everything again
    Cypher,
    /// XML without constraints and indexes
    Graphml,
}

pub(super) async fn take(args: ExportArgs) -> Result<Value, BackupError> {
    let take = TakeExport {
        of: args.whose.of(),
        storage: args.whose.storage.open()?,
        connection: args.connection,
        export: match args.format {
            Format::Cypher => Export::Cypher,
            Format::Graphml => Export::GraphMl,
        },
        epoch: args.attempt.epoch,
        attempt: args.attempt.attempt,
        run_folder: args.attempt.run_folder,
    };
    Ok(json!(backup::take_export(&take, stopped(), progress).await?))
}

pub(super) async fn prove(args: ProveExportArgs) -> Result<Value, BackupError> {
    let prove = ProveExport { of: args.whose.of(), storage: args.whose.storage.open()?, path: args.path };
    Ok(json!(backup::prove_export(&prove).await?))
}
