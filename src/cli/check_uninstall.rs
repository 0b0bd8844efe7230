//! `whimbrel check-uninstall`: may the operator go? The chart's pre-delete hook asks.

use crate::api::MigrationRun;
use crate::cluster::{ApiServer, ConnectError};
use kube::Api;
use kube::api::ListParams;
use std::process::ExitCode;

/// Refuses with exit code 1 while a run is live: its workloads are down, and only the operator brings them back.
///
/// A Held run counts as live: its claims and its fences are still there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  whimbrel check-uninstall --watch-namespaces aether,tas   names each live run of these namespaces, one a line")]
pub(super) struct CheckUninstallArgs {
    /// Namespaces to look into, separated by commas; all if empty
    #[arg(long, env = "WHIMBREL_WATCH_NAMESPACES", default_value = "", hide_default_value = true)]
    watch_namespaces: String,
}

#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("the runtime could not be started: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("runs can't be listed, so nobody knows whether one is live: {0}")]
    List(kube::Error),
}

/// Does what the arguments say; what is in the way is told on stderr.
pub(super) fn run(args: &CheckUninstallArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let live = runtime.map_err(CheckError::Runtime).and_then(|runtime| runtime.block_on(live(args)));
    match live {
        Ok(runs) if runs.is_empty() => ExitCode::SUCCESS,
        Ok(runs) => {
            runs.iter().for_each(|run| eprintln!("{run}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn live(args: &CheckUninstallArgs) -> Result<Vec<String>, CheckError> {
    let server = ApiServer::connect().await?;
    let own = server.own();
    let namespaces: Vec<&str> = super::list(&args.watch_namespaces).collect();
    let apis: Vec<Api<MigrationRun>> = if namespaces.is_empty() {
        vec![Api::all(own.client().clone())]
    } else {
        namespaces.into_iter().map(|namespace| own.api(namespace)).collect()
    };
    let mut live = Vec::new();
    for api in apis {
        match api.list(&ListParams::default()).await {
            Ok(runs) => live.extend(runs.items.iter().filter_map(in_the_way)),
            // No CRD: the operator never ran here, or its kinds are gone already.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(CheckError::List(error)),
        }
    }
    Ok(live)
}

/// The sentence about a live run; none for one that has ended.
fn in_the_way(run: &MigrationRun) -> Option<String> {
    use crate::api::Outcome;
    let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
    let name = run.metadata.name.as_deref().unwrap_or_default();
    let number = run.spec.number;
    let plan = &run.spec.plan.name;
    match run.status.as_ref().and_then(|status| status.outcome) {
        None => Some(format!(
            "run {namespace}/{name} of plan {plan} is live: wait for it, or kubectl annotate mplan -n {namespace} {plan} --overwrite whimbrel.dev/abort=\"{number} by <you>\""
        )),
        Some(Outcome::Held) if has_claims(run) => Some(format!(
            "run {namespace}/{name} of plan {plan} is Held: its plan's status names the ways on"
        )),
        Some(_) => None,
    }
}

/// A live run has a finalizer; it goes with the last claim.
fn has_claims(run: &MigrationRun) -> bool {
    run.metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn run(finalizers: &Value, status: &Value) -> MigrationRun {
        serde_json::from_value(json!({
            "apiVersion": "whimbrel.dev/v1alpha1",
            "kind": "MigrationRun",
            "metadata": {"name": "platform-3", "namespace": "aether", "finalizers": finalizers},
            "spec": {"plan": {"name": "platform", "uid": "u", "generation": 4}, "number": 3, "intentHash": "x"},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn live_and_held_runs_are_in_the_way_and_named() {
        let live = in_the_way(&run(&json!(["whimbrel.dev/run"]), &json!({})));
        assert_eq!(
            live.as_deref(),
            Some(
                "run aether/platform-3 of plan platform is live: wait for it, or kubectl annotate mplan -n aether platform --overwrite whimbrel.dev/abort=\"3 by <you>\""
            )
        );
        let held = in_the_way(&run(&json!(["whimbrel.dev/run"]), &json!({"outcome": "Held"})));
        assert_eq!(
            held.as_deref(),
            Some("run aether/platform-3 of plan platform is Held: its plan's status names the ways on")
        );
        assert_eq!(in_the_way(&run(&json!([]), &json!({"outcome": "Held"}))), None);
        assert_eq!(in_the_way(&run(&json!(["x"]), &json!({"outcome": "Succeeded"}))), None);
    }
}
