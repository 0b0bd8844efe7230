//! `whimbrel operator`: what the operator is told when it starts. The chart sets every one of these by environment.

use crate::serve::logs::LogFormat;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs the operator: watches plans and drives their runs. Normally started by the Helm chart.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example, against the cluster of KUBECONFIG, as a developer:
  whimbrel operator --namespace whimbrel --image localhost/whimbrel:dev --hmac-key-file ./key --log-format pretty")]
pub struct OperatorArgs {
    /// Name of this operator among its replicas: holds the Lease, stands in events
    #[arg(long, env = "POD_NAME", default_value = "whimbrel")]
    pub name: String,
    /// Namespace of the operator's Leases
    #[arg(long, env = "POD_NAMESPACE", default_value = "whimbrel")]
    pub namespace: String,
    /// Namespaces to watch, separated by commas; all if empty
    #[arg(long, env = "WHIMBREL_WATCH_NAMESPACES", default_value = "", hide_default_value = true)]
    pub watch_namespaces: String,
    /// Service account of plans and targets that name none; empty: the operator's own rights, for clusters with one team
    #[arg(long, env = "WHIMBREL_DEFAULT_SERVICE_ACCOUNT", default_value = "whimbrel")]
    pub default_service_account: String,
    /// The admission policy that proves who approves is in place; without it records say "(unverified)"
    #[arg(long, env = "WHIMBREL_APPROVAL_POLICY", value_parser = clap::builder::FalseyValueParser::new())]
    pub approval_policy: bool,
    /// Image that Jobs copy this program from: the one that the operator itself runs
    #[arg(long, env = "WHIMBREL_IMAGE")]
    pub image: String,
    /// File with the key for hashes of secret values
    #[arg(long, env = "WHIMBREL_HMAC_KEY_FILE", value_name = "FILE")]
    pub hmac_key_file: PathBuf,
    /// Form of log lines; RUST_LOG selects them
    #[arg(long, env = "WHIMBREL_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Address of /metrics
    #[arg(long, env = "WHIMBREL_METRICS_ADDRESS", default_value = "0.0.0.0:8080", value_name = "IP:PORT")]
    pub metrics_address: SocketAddr,
    /// Address of /livez and /readyz
    #[arg(long, env = "WHIMBREL_HEALTH_ADDRESS", default_value = "0.0.0.0:8081", value_name = "IP:PORT")]
    pub health_address: SocketAddr,
    /// Seconds after which a Lease that nobody renews may be taken; short ones are for tests that kill the leader
    #[arg(long, env = "WHIMBREL_LEASE_SECONDS", default_value_t = 15, hide = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub lease_seconds: u64,
}

/// Runs until told to stop. Losing leadership ends the process with a failure, so that it is started anew.
pub(super) fn run(args: OperatorArgs) -> ExitCode {
    crate::serve::logs::start(args.log_format);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(crate::controller::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the operator ends");
            ExitCode::FAILURE
        }
    }
}

impl OperatorArgs {
    /// The namespaces to watch; empty: all.
    pub fn watched(&self) -> Vec<String> {
        super::list(&self.watch_namespaces).map(str::to_owned).collect()
    }

    /// The account of plans and targets that name none; none: the operator's own rights.
    pub fn default_account(&self) -> Option<&str> {
        Some(self.default_service_account.as_str()).filter(|account| !account.is_empty())
    }

    /// How long a Lease lasts.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};

    fn parse(args: &[&str]) -> Result<OperatorArgs, clap::Error> {
        let command = OperatorArgs::augment_args(clap::Command::new("operator"));
        OperatorArgs::from_arg_matches(&command.try_get_matches_from([&["operator"], args].concat())?)
    }

    #[test]
    fn empty_means_all_namespaces_and_own_rights() {
        let needed = ["--image", "whimbrel:1", "--hmac-key-file", "/key"];
        let args = parse(&needed).unwrap();
        assert_eq!((args.watched(), args.default_account()), (Vec::new(), Some("whimbrel")));
        let more = ["--watch-namespaces", "aether, tas,", "--default-service-account", ""];
        let args = parse(&[needed.as_slice(), &more].concat()).unwrap();
        assert_eq!(
            (args.watched(), args.default_account()),
            (vec!["aether".to_owned(), "tas".to_owned()], None)
        );
    }

    #[test]
    fn a_lease_of_no_time_is_refused() {
        let error = parse(&["--image", "x", "--hmac-key-file", "/key", "--lease-seconds", "0"]).unwrap_err();
        assert!(error.to_string().contains("0 is not in 1.."), "{error}");
    }
}
