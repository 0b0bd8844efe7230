//! `whimbrel status`: how a plan stands, once or live.

#[cfg(test)]
mod fixture;
mod paint;
mod screen;
mod source;
mod tree;
mod verdict;

use crate::api::MigrationPlan;
use crate::cluster::ApiServer;
use paint::Look;
use screen::Screen;
use source::{Seen, SourceError};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;
use tree::{Line, mark_of};
use verdict::{Verdict, verdict};

/// Shows how plans stand: what is done, what is at work, who waits for what since when, and what to do next.
///
/// Exit code: 0 ready, 1 ended badly (everything is back, or nothing was begun), 2 not ended (in time), 3 a person must
/// act (approval, pause, Held).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  whimbrel status                                   all plans of the namespace, one line each
  whimbrel status aether-platform                   one plan as a tree
  whimbrel status aether-platform --watch           live, until it has ended
  whimbrel status aether-platform --watch --timeout 2h && ./announce.sh
                                                    in a pipeline: one line per change, the exit code decides")]
pub(super) struct StatusArgs {
    /// Name of the plan; all plans of the namespace if absent
    name: Option<String>,
    /// Namespace; that of the kubeconfig's context if absent
    #[arg(short, long)]
    namespace: Option<String>,
    /// Stays until the plan has ended: redraws in a terminal, prints one line per change elsewhere
    #[arg(short, long, requires = "name")]
    watch: bool,
    /// With --watch: gives up after this long, such as 90s or 2h; no limit if absent
    #[arg(long, value_name = "TIME", requires = "watch")]
    timeout: Option<crate::api::Duration>,
    /// Prints plan and run as JSON, with --watch one line per change
    #[arg(long)]
    json: bool,
    /// No colours; NO_COLOR and a pipe say the same
    #[arg(long)]
    no_color: bool,
    /// Signs in ASCII; a locale without UTF-8 says the same
    #[arg(long)]
    ascii: bool,
}

/// Does what the arguments say; the exit code is the answer.
pub(super) fn run(args: &StatusArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.map_err(SourceError::Runtime).and_then(|runtime| runtime.block_on(answer(args)));
    match answer {
        Ok(verdict) => verdict.exit(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(args: &StatusArgs) -> Result<Verdict, SourceError> {
    let server = ApiServer::connect().await?;
    let namespace = args.namespace.clone().unwrap_or_else(|| server.default_namespace().to_owned());
    let source = source::Source::new(&server, &namespace);
    let look = look(args);
    match &args.name {
        Some(name) if args.watch => watch(args, &source, name, look).await,
        Some(name) => {
            let seen = source.one(name).await?;
            print!("{}", shown(&seen, args.json, look));
            Ok(verdict(&seen.plan))
        }
        None => {
            let plans = source.all().await?;
            print!("{}", listed(&plans, args.json, look, &namespace));
            Ok(plans.iter().map(verdict).max().unwrap_or(Verdict::Good))
        }
    }
}

/// Until the plan has ended or the time is up. The last thing seen decides what the exit code says.
async fn watch(
    args: &StatusArgs,
    source: &source::Source,
    name: &str,
    look: Look,
) -> Result<Verdict, SourceError> {
    let mut screen = Screen::new(look, args.json, std::io::stdout().is_terminal());
    let last = {
        let follow = source.follow(name, |seen| {
            screen.show(seen);
            verdict(&seen.plan).is_final(&seen.plan)
        });
        let limit = args.timeout.map(crate::api::Duration::get).unwrap_or(Duration::MAX);
        tokio::time::timeout(limit, follow).await
    };
    screen.leave();
    match last {
        Ok(ended) => ended?,
        Err(_) => eprintln!("not ended in time"),
    }
    Ok(screen.last().map_or(Verdict::Open, verdict))
}

fn shown(seen: &Seen, json: bool, look: Look) -> String {
    if json {
        seen.json()
    } else {
        paint::text(&tree::tree(&seen.plan, seen.run.as_ref(), &seen.events), look, None)
    }
}

fn listed(plans: &[MigrationPlan], json: bool, look: Look, namespace: &str) -> String {
    if json {
        return plans.iter().map(|plan| format!("{}\n", serde_json::json!({"plan": plan}))).collect();
    }
    if plans.is_empty() {
        return format!("no plans in namespace {namespace}\n");
    }
    let lines: Vec<Line> = plans.iter().map(one_line).collect();
    paint::text(&lines, look, None)
}

/// A plan in one line.
fn one_line(plan: &MigrationPlan) -> Line {
    let unseen = crate::api::MigrationPlanStatus::default();
    let status = plan.status.as_ref().unwrap_or(&unseen);
    let name = plan.metadata.name.as_deref().unwrap_or_default();
    let text = format!("{name}  {}  {}  {}", status.phase, status.progress, status.message);
    Line { depth: 0, mark: mark_of(status.phase), text: text.trim_end().to_owned() }
}

fn look(args: &StatusArgs) -> Look {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    Look {
        utf8: utf8 && !args.ascii,
        color: std::io::stdout().is_terminal() && !args.no_color && !set("NO_COLOR"),
    }
}
