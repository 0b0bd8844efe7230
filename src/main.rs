//! The command line: one match.

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    whimbrel::cli::Cli::parse().run()
}
