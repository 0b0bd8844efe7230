//! The operator's process: gates, servers, leadership, controllers, drivers; and how they end.

use super::drivers::Drivers;
use super::operator::Operator;
use super::plan::{self, Context};
use super::sweep;
use super::target;
use super::watched::Watched;
use crate::api::{DatabaseTarget, MigrationPlan, MigrationRun, crd};
use crate::cli::OperatorArgs;
use crate::cluster::events::Recorder;
use crate::cluster::leader::{Election, Timing};
use crate::cluster::{Answered, ApiServer, ConnectError};
use crate::serve::{self, Gate, Gates, Metrics, PlanKey, Request, Seen, ServeError, TargetKey};
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Name of the Lease that the leader holds.
const LEADER: &str = "whimbrel-operator";

/// Why the operator could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No API server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An address is in use.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The signal handler.
    #[error("signals can't be handled: {0}")]
    Signal(#[from] std::io::Error),
    /// The cluster's id.
    #[error("namespace kube-system, whose uid names the cluster, can't be read: {0}")]
    Cluster(Box<kube::Error>),
    /// Another operator leads now: this one must do nothing more.
    #[error("leadership is lost; the process ends so that nothing of it goes on")]
    LeadershipLost,
}

/// Runs the operator until it is told to stop.
///
/// # Errors
/// What keeps it from starting; the loss of leadership.
pub async fn run(args: OperatorArgs) -> Result<(), OperatorError> {
    let stop = CancellationToken::new();
    let (gates, metrics) = (Gates::default(), Arc::new(Metrics::new()));
    let (_, health) =
        serve::listen(args.health_address, serve::health_routes(gates.clone()), stop.clone()).await?;
    let numbers = serve::metrics_routes(metrics.clone());
    let (_, numbers) = serve::listen(args.metrics_address, numbers, stop.clone()).await?;
    tokio::spawn(health);
    tokio::spawn(numbers);
    end_on_signal(&stop)?;
    let counted = metrics.clone();
    let server = ApiServer::connect().await?;
    let server = server.counted(move |verb, answered| counted.requested(verb, became(answered)));
    wait_for_crds(server.own().client(), &gates, &stop).await;
    wait_for_key(&args, &gates, &stop).await;
    let cluster = cluster_uid(server.own().client()).await?;
    let operator = Operator {
        recorder: Recorder::new(server.own().clone(), args.name.clone()),
        server,
        namespace: args.namespace.clone(),
        default_account: args.default_account().map(str::to_owned),
        namespaces: args.watched(),
        image: args.image.clone(),
        hmac_key_file: args.hmac_key_file.clone(),
        names_are_proven: args.approval_policy,
        cluster,
        metrics: metrics.clone(),
        told_verbs: Arc::default(),
        notifier: Arc::default(),
    };
    let timing = Timing::of_lease(args.lease());
    gates.open(Gate::Watches);
    let election = Election::new(operator.own().clone(), &args.namespace, LEADER, &args.name, timing);
    let Some(leadership) = election.win(&stop).await else { return Ok(()) };
    // A standby is ready too: it has nothing to watch until it leads.
    metrics.leads(true);
    let lost = leadership.lost().clone();
    let ended = tokio::select! {
        biased;
        () = lost.cancelled() => Err(OperatorError::LeadershipLost),
        () = lead(&operator, &args, &stop) => Ok(()),
    };
    if ended.is_ok() {
        leadership.give_up().await;
    }
    ended
}

/// Controllers and drivers, until `stop`. Drivers end between two effects; nothing is dropped in the middle.
async fn lead(operator: &Operator, args: &OperatorArgs, stop: &CancellationToken) {
    let drivers = Drivers::new(stop.clone());
    let watched_runs = Watched::default();
    let context =
        Arc::new(Context { operator: operator.clone(), drivers: drivers.clone(), watched: watched_runs });
    let mut controllers = futures::stream::FuturesUnordered::new();
    for namespace in watched(args) {
        controllers.push(tokio::spawn(plans(
            operator.clone(),
            context.clone(),
            namespace.clone(),
            stop.clone(),
        )));
        controllers.push(tokio::spawn(targets(operator.clone(), namespace, stop.clone())));
    }
    controllers.push(tokio::spawn(sweep(operator.clone(), stop.clone())));
    while controllers.next().await.is_some() {}
    drivers.ended().await;
}

/// Looks at once, and then from time to time, for runs that nobody will ask for any more.
async fn sweep(operator: Operator, stop: CancellationToken) {
    loop {
        if let Err(error) = sweep::forgotten(&operator).await {
            tracing::warn!(%error, "sweeping again later");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(sweep::EVERY) => {}
        }
    }
}

/// The namespaces to watch; none means all.
fn watched(args: &OperatorArgs) -> Vec<Option<String>> {
    let named = args.watched();
    if named.is_empty() { vec![None] } else { named.into_iter().map(Some).collect() }
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn plans(
    operator: Operator,
    context: Arc<Context>,
    namespace: Option<String>,
    stop: CancellationToken,
) {
    let client = operator.own().client();
    let namespace = namespace.as_deref();
    let plans = Controller::new(scoped::<MigrationPlan>(client, namespace), watcher::Config::default());
    let (there, metrics) = (plans.store(), &operator.metrics);
    let runs = context.watched.clone();
    let of_run = move |run: MigrationRun| {
        let plan = plan_of(&run);
        runs.saw(run);
        plan
    };
    let looks = plans
        .watches(scoped::<MigrationRun>(client, namespace), watcher::Config::default(), of_run)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(plan::reconcile, plan::again, context)
        .for_each(|result| {
            count(metrics, "MigrationPlan", &result);
            let gone = |plan: &PlanKey| is_gone(&there, namespace, &plan.namespace, &plan.plan);
            metrics.forget_plans(gone);
            async move {
                if let Err(error) = result {
                    tracing::debug!(%error, "a look at a plan");
                }
            }
        });
    until_stopped(looks, &there, &stop).await;
}

/// Polls a controller to its end. One that is told to stop before it has seen what is there would never come to it: the runner of
/// kube-runtime (`Runner::poll_next`, as of 5.0) waits for a store that nothing fills any more. It has begun no look then, so
/// nothing is dropped in the middle.
async fn until_stopped<K>(looks: impl Future<Output = ()>, there: &Store<K>, stop: &CancellationToken)
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    let stopped_unfilled = async {
        stop.cancelled().await;
        if there.wait_until_ready().now_or_never().is_some() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = looks => {}
        () = stopped_unfilled => {}
    }
}

/// A run's changes are looked at through its plan.
fn plan_of(run: &MigrationRun) -> Option<ObjectRef<MigrationPlan>> {
    Some(ObjectRef::new(&run.spec.plan.name).within(run.metadata.namespace.as_deref()?))
}

async fn targets(operator: Operator, namespace: Option<String>, stop: CancellationToken) {
    let namespace = namespace.as_deref();
    let api = scoped::<DatabaseTarget>(operator.own().client(), namespace);
    let runs = scoped::<MigrationRun>(operator.own().client(), namespace);
    let changes = target::Changes::default();
    let of_run = move |run: MigrationRun| {
        let namespace = run.metadata.namespace.clone().unwrap_or_default();
        let named = changes.of(&run).into_iter();
        named.map(move |target| ObjectRef::<DatabaseTarget>::new(&target).within(&namespace))
    };
    let targets = Controller::new(api, watcher::Config::default());
    let (there, metrics) = (targets.store(), operator.metrics.clone());
    let looks = targets
        .watches(runs, watcher::Config::default(), of_run)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(target::reconcile, target::again, Arc::new(operator))
        .for_each(|result| {
            count(&metrics, "DatabaseTarget", &result);
            let gone = |target: &TargetKey| is_gone(&there, namespace, &target.namespace, &target.target);
            metrics.forget_targets(gone);
            async move {
                if let Err(error) = result {
                    tracing::debug!(%error, "a look at a target");
                }
            }
        });
    until_stopped(looks, &there, &stop).await;
}

/// What a look at an object came to. One that is asked for again waits for something that does not wake us.
fn count<K, E, Q>(
    metrics: &Metrics,
    kind: &'static str,
    result: &Result<(ObjectRef<K>, Action), controller::Error<E, Q>>,
) where
    K: kube::runtime::reflector::Lookup<DynamicType: std::fmt::Debug> + 'static,
    E: std::error::Error + 'static,
    Q: std::error::Error + 'static,
{
    match result {
        Ok((_, action)) if *action == Action::await_change() => metrics.reconciled(kind, Seen::Done),
        Ok(_) => metrics.reconciled(kind, Seen::Waiting),
        Err(controller::Error::ReconcilerFailed(..)) => metrics.reconciled(kind, Seen::Failed),
        // The object is gone meanwhile, or the watch is made anew: nothing was looked at.
        Err(_) => {}
    }
}

/// Whether an object of a watched namespace is not there any more.
fn is_gone<K>(there: &Store<K>, watched: Option<&str>, namespace: &str, name: &str) -> bool
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    let ours = watched.is_none_or(|watched| watched == namespace);
    ours && there.get(&ObjectRef::new(name).within(namespace)).is_none()
}

/// The same in the words of the numbers.
fn became(answered: Answered) -> Request {
    match answered {
        Answered::Done => Request::Done,
        Answered::Conflict => Request::Conflict,
        Answered::Refused => Request::Refused,
        Answered::Lost => Request::Lost,
    }
}

fn end_on_signal(stop: &CancellationToken) -> Result<(), std::io::Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop: no new op, running statements are awaited or cancelled");
        stop.cancel();
    });
    Ok(())
}

/// Waits until the served CRDs are those of this operator: an older schema drops fields of the record without a word.
async fn wait_for_crds(client: &Client, gates: &Gates, stop: &CancellationToken) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    loop {
        let mut wrong = None;
        for ours in crd::crds() {
            let name = ours.metadata.name.clone().unwrap_or_default();
            let hash = |crd: &CustomResourceDefinition| {
                crd.metadata.annotations.as_ref().and_then(|all| all.get(crd::SCHEMA_HASH).cloned())
            };
            wrong = match api.get_opt(&name).await {
                Ok(Some(served)) if hash(&served) == hash(&ours) => continue,
                Ok(Some(_)) => Some(format!("CRD {name} is of another release: apply the CRDs of this one")),
                Ok(None) => Some(format!("CRD {name} is not there: apply the CRDs of this release")),
                Err(error) => Some(format!("CRD {name} can't be read: {error}")),
            };
            break;
        }
        match wrong {
            None => return gates.open(Gate::Crds),
            Some(why) => {
                tracing::warn!(why, "waiting for the CRDs");
                gates.close(Gate::Crds, why);
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}

/// Waits until the key for hashes of secret values can be read: an install without it shall not be noticed by the first
/// plan that has variables.
async fn wait_for_key(args: &OperatorArgs, gates: &Gates, stop: &CancellationToken) {
    loop {
        match tokio::fs::read(&args.hmac_key_file).await {
            Ok(key) if !key.is_empty() => return gates.open(Gate::Key),
            Ok(_) => gates.close(Gate::Key, format!("{} is empty", args.hmac_key_file.display())),
            Err(error) => {
                gates.close(Gate::Key, format!("{} can't be read: {error}", args.hmac_key_file.display()))
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}

async fn cluster_uid(client: &Client) -> Result<String, OperatorError> {
    let system = Api::<Namespace>::all(client.clone()).get("kube-system").await;
    let system = system.map_err(|error| OperatorError::Cluster(Box::new(error)))?;
    Ok(system.metadata.uid.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::FakeApiServer;
    use crate::controller::telling::tests::operator;

    #[tokio::test]
    async fn told_to_stop_before_it_has_seen_what_is_there_a_controller_ends() {
        let fake = FakeApiServer::new();
        let before = CancellationToken::new();
        before.cancel();
        let meanwhile = CancellationToken::new();
        let stops = meanwhile.clone();
        fake.hang_next();
        let all = async {
            targets(operator(&fake), None, before).await;
            fake.hang_next();
            tokio::join!(targets(operator(&fake), None, meanwhile), async { stops.cancel() });
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("it ends");
    }
}
