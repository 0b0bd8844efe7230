//! Where the objects come from: the API server, once or by watch.

use super::tree::Told;
use crate::api::{MigrationPlan, MigrationRun};
use crate::cluster::{ApiServer, ConnectError};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};

/// How many events the tail shows.
const TAIL: usize = 5;

/// Why a plan can't be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// This program could not be started.
    #[error("the runtime could not be started: {0}")]
    Runtime(std::io::Error),
    /// No API server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The API server said no.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// There is no such plan.
    #[error(
        "there is no plan {name} in namespace {namespace}; `whimbrel status -n {namespace}` lists those that are there"
    )]
    NoPlan {
        /// The name.
        name: String,
        /// The namespace.
        namespace: String,
    },
}

/// A plan with its newest run.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) plan: MigrationPlan,
    pub(super) run: Option<MigrationRun>,
    pub(super) events: Vec<Told>,
}

impl Seen {
    /// Plan and run as one line of JSON.
    pub(super) fn json(&self) -> String {
        format!("{}\n", serde_json::json!({"plan": self.plan, "run": self.run}))
    }
}

/// The objects of one namespace.
pub(super) struct Source {
    namespace: String,
    plans: Api<MigrationPlan>,
    runs: Api<MigrationRun>,
    events: Api<Event>,
}

impl Source {
    pub(super) fn new(server: &ApiServer, namespace: &str) -> Self {
        let own = server.own();
        Self {
            namespace: namespace.to_owned(),
            plans: own.api(namespace),
            runs: own.api(namespace),
            events: own.api(namespace),
        }
    }

    /// All plans, by name.
    pub(super) async fn all(&self) -> Result<Vec<MigrationPlan>, SourceError> {
        Ok(self.plans.list(&ListParams::default()).await?.items)
    }

    /// One plan with its newest run.
    pub(super) async fn one(&self, name: &str) -> Result<Seen, SourceError> {
        let plan = self.plans.get_opt(name).await?.ok_or_else(|| self.no_plan(name))?;
        let run = match plan.status.as_ref().and_then(|status| status.run.as_ref()) {
            Some(run) => self.runs.get_opt(&run.name).await?,
            None => None,
        };
        let events = self.tail(name).await;
        Ok(Seen { plan, run, events })
    }

    /// Shows the plan at every change of it and of its runs until `done` says that it has ended. A plan that is not
    /// there is an error at once; one that goes away ends the watch.
    pub(super) async fn follow(
        &self,
        name: &str,
        mut done: impl FnMut(&Seen) -> bool,
    ) -> Result<(), SourceError> {
        if done(&self.one(name).await?) {
            return Ok(());
        }
        let mine = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let plans = watcher(self.plans.clone(), mine).default_backoff().touched_objects();
        let runs = watcher(self.runs.clone(), watcher::Config::default()).default_backoff().touched_objects();
        let changed = futures::stream::select(
            plans.map_ok(|_| ()),
            runs.try_filter_map(|run| async move { Ok((run.spec.plan.name == name).then_some(())) }),
        );
        futures::pin_mut!(changed);
        while let Some(change) = changed.next().await {
            if let Err(error) = change {
                tracing::debug!(%error, "the watch is opened again");
                continue;
            }
            if done(&self.one(name).await?) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The newest events of a plan, oldest first; none where we may not read them.
    async fn tail(&self, name: &str) -> Vec<Told> {
        let of = ListParams::default().fields(&format!("regarding.name={name}"));
        let Ok(list) = self.events.list(&of).await else { return Vec::new() };
        let mut events = list.items;
        events.sort_by_key(|event| (event.event_time.as_ref().map(|at| at.0), event.name_any()));
        let skip = events.len().saturating_sub(TAIL);
        events.into_iter().skip(skip).map(told).collect()
    }

    fn no_plan(&self, name: &str) -> SourceError {
        SourceError::NoPlan { name: name.to_owned(), namespace: self.namespace.clone() }
    }
}

fn told(event: Event) -> Told {
    Told {
        at: event.event_time.map(|at| crate::words::text::clock(at.0)).unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        note: event.note.unwrap_or_default(),
    }
}
