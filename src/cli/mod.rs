//! What people type.

mod crd;
mod worker;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Migrates whole platforms on Kubernetes, or brings everything back.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the CRDs, or keeps the files that are generated from the types
    Crd(crd::CrdArgs),
    /// Work that a Job of Whimbrel's does; nobody types this
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
}

impl Cli {
    /// Does what was asked; the exit code is the answer.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Crd(args) => crd::run(&args),
            Command::Worker(args) => worker::run(args),
        }
    }
}
