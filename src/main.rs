//! The command line: one match.

use std::process::ExitCode;

fn main() -> ExitCode {
    whimbrel::cli::Cli::read().run()
}
