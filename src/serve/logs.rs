//! How log lines look: JSON for machines, a readable form for people.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line, fields at the top level.
    #[default]
    Json,
    /// For a terminal.
    Pretty,
}

/// What is logged when `RUST_LOG` says nothing: our own lines and the warnings of everything else. kube logs every
/// watch that ends at info, which is routine.
const DEFAULT_FILTER: &str = "warn,whimbrel=info";

/// Starts logging to standard error, so that a subcommand's answer on standard output stays clean. `RUST_LOG`
/// selects what is logged. Said twice, the second time does nothing: tests start several operators in a process.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
            registry.with(layer.with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Pretty => registry.with(fmt::layer().with_writer(std::io::stderr)).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started already");
    }
}
