//! What people type.

mod check_uninstall;
mod crd;
mod operator;
mod status;
mod worker;
mod worker_dump;
mod worker_export;
mod worker_search;

pub use operator::OperatorArgs;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Migrates whole platforms on Kubernetes, or brings everything back.
///
/// Installed as `kubectl-whimbrel` it is also `kubectl whimbrel`. Plans are written and applied as YAML; this program
/// shows how they stand.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator; normally started by the Helm chart
    Operator(OperatorArgs),
    /// Shows how plans stand, once or live, with the next action
    Status(status::StatusArgs),
    /// Prints the CRDs, or keeps the files that are generated from the types
    Crd(crd::CrdArgs),
    /// Refuses while a run is live; the chart asks before it is uninstalled
    CheckUninstall(check_uninstall::CheckUninstallArgs),
    /// Work that a Job of Whimbrel's does; nobody types this
    #[command(hide = true)]
    Worker(Box<worker::WorkerArgs>),
}

impl Cli {
    /// Reads the arguments of this process; prints help and ends it where they ask for that or can't be read.
    pub fn read() -> Self {
        Self::read_from(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
    }

    fn read_from(args: Vec<OsString>) -> Result<Self, clap::Error> {
        let program = args.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
        let mut command = Self::command();
        // As a plugin it is called by another name than it is typed.
        if program == Some("kubectl-whimbrel") {
            command = command.bin_name("kubectl whimbrel");
        }
        Self::from_arg_matches(&command.try_get_matches_from(args)?)
    }

    /// Does what was asked; the exit code is the answer.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Operator(args) => operator::run(args),
            Command::Status(args) => status::run(&args),
            Command::Crd(args) => crd::run(&args),
            Command::CheckUninstall(args) => check_uninstall::run(&args),
            Command::Worker(args) => worker::run(*args),
        }
    }
}

/// The items of a list as environment variables and the chart write it: separated by commas, empty ones left out.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> String {
        match Cli::read_from(args.iter().map(OsString::from).collect()) {
            Ok(cli) => format!("{cli:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn as_a_plugin_it_calls_itself_what_people_type() {
        assert!(read(&["/usr/bin/kubectl-whimbrel", "--help"]).contains("Usage: kubectl whimbrel <COMMAND>"));
        assert!(read(&["whimbrel", "--help"]).contains("Usage: whimbrel <COMMAND>"));
    }

    #[test]
    fn every_command_for_people_teaches_by_example() {
        for command in ["status", "check-uninstall"] {
            let help = read(&["whimbrel", command, "--help"]);
            assert!(help.contains("Example"), "{help}");
            assert!(help.contains(&format!("  whimbrel {command}")), "{help}");
        }
    }

    #[test]
    fn a_watch_needs_to_know_what_to_watch() {
        let error = read(&["whimbrel", "status", "--watch"]);
        assert!(
            error.contains("required arguments were not provided") && error.contains("<NAME>"),
            "{error}"
        );
    }

    #[test]
    fn a_list_leaves_out_what_is_empty() {
        assert_eq!(list(" a, b,,").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(list("").count(), 0);
    }
}
