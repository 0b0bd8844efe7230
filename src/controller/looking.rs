//! Looking: everything that compile is shown, read live and with nothing held.

use super::histories;
use super::operator::Operator;
use super::sweep;
use super::targets::{OpenTarget, dialect};
use super::variables;
use crate::api::plan::{ScriptSource, Work};
use crate::api::target::{DatabaseTargetStatus, HistoryFormat, HistorySpec, HistoryStatus};
use crate::api::{self, DatabaseTarget, MigrationPlan, MigrationRun, Time, not_built};
use crate::cluster::lease::{self, TargetKey};
use crate::cluster::source::{self, SourceError};
use crate::cluster::{Acting, Holder, ReadError, get_if_there, list_all};
use crate::engine::{Engine, EngineError, Look};
use crate::program::{
    Action, Compiled, Intent, Refusal, Seen, TargetSeen, WorkloadRef, WorkloadSeen, compile, hash, parse,
};
use crate::script::{Bundle, Dialect, read_bundle};
use crate::words::{self, TargetFacts};
use crate::workload::{self as hands, Workload, WorkloadKey};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use std::collections::{BTreeMap, BTreeSet};

/// A plan, looked at.
pub(super) struct Looked {
    /// What it means, whatever is applied already.
    pub(super) intent_hash: String,
    /// What it comes to.
    pub(super) compiled: Compiled,
    /// What the targets remember of runs.
    pub(super) targets: Vec<DatabaseTargetStatus>,
}

/// Why a plan can't be compiled now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The reason of the condition.
    pub(super) reason: &'static str,
    /// One line.
    pub(super) message: String,
    /// The intent, as far as it could be known.
    pub(super) intent_hash: Option<String>,
}

impl Refused {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), intent_hash: None }
    }

    /// The first reason decides; all sentences are shown.
    fn all(refusals: &[Refusal]) -> Self {
        let reason = refusals.first().map_or("InvalidSpec", |refusal| refusal.reason);
        let messages: Vec<&str> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
        Self::new(reason, messages.join("; "))
    }
}

impl From<Vec<Refusal>> for Refused {
    fn from(refusals: Vec<Refusal>) -> Self {
        Self::all(&refusals)
    }
}

/// Looks at everything a plan names, and compiles it.
pub(super) async fn look(
    operator: &Operator,
    plan: &MigrationPlan,
    run: Option<(&str, u64)>,
    succeeded_before: impl Fn(&str) -> bool,
) -> Result<Looked, Refused> {
    let namespace = plan.metadata.namespace.clone().unwrap_or_default();
    if let Some(refusal) = not_built::refusals_plan(&plan.spec).into_iter().next() {
        return Err(Refused::new("NotBuilt", format!("{}: {}", refusal.field, refusal.sentence)));
    }
    let intent = parse(&plan.spec, &namespace)?;
    let acting = operator.for_plan(plan);
    let bundles = bundles(operator, &acting, plan, &namespace).await?;
    let digests: BTreeMap<String, String> =
        bundles.iter().map(|(step, bundle)| (step.clone(), bundle.digest.clone())).collect();
    let intent_hash = hash::intent_hash(&plan.spec, &digests);
    let looking = async {
        let targets = open(operator, plan, &namespace, &intent).await?;
        let servers = servers(&targets, &namespace)?;
        let mut seen = Seen {
            bundles,
            variables: variables::read(operator, &acting, plan, &namespace).await?,
            workloads: workloads(operator, &acting, &intent, &servers, run).await?,
            flags: flags(&acting, &intent).await?,
            succeeded_before: succeeded_before(&intent_hash),
            ..Seen::default()
        };
        for (name, target) in &targets {
            free(operator, name, target, run).await?;
            seen.targets.insert(name.clone(), look_at(operator, name, target, &namespace, run).await?);
        }
        let compiled = compile(&intent, &seen, &intent_hash)?;
        let targets = targets.into_values().filter_map(|target| target.object.status).collect();
        Ok((compiled, targets))
    };
    match looking.await {
        Ok((compiled, targets)) => Ok(Looked { intent_hash, compiled, targets }),
        Err(refused) => Err(Refused { intent_hash: Some(intent_hash), ..refused }),
    }
}

/// What a plan means now, whatever is applied already: its spec and its sources.
pub(super) async fn intent_now(operator: &Operator, plan: &MigrationPlan) -> Result<String, Refused> {
    let namespace = plan.metadata.namespace.clone().unwrap_or_default();
    let bundles = bundles(operator, &operator.for_plan(plan), plan, &namespace).await?;
    let digests = bundles.into_iter().map(|(step, bundle)| (step, bundle.digest)).collect();
    Ok(hash::intent_hash(&plan.spec, &digests))
}

/// Opens the targets that a plan names.
pub(super) async fn open(
    operator: &Operator,
    plan: &MigrationPlan,
    namespace: &str,
    intent: &Intent,
) -> Result<BTreeMap<String, OpenTarget>, Refused> {
    let mut targets = BTreeMap::new();
    for name in named(intent) {
        let target = OpenTarget::open(operator, namespace, &name).await;
        let target = target.map_err(|error| Refused::new(error.reason(), error.to_string()))?;
        targets.insert(name, target);
    }
    let specs = targets.iter().map(|(name, target)| (name.clone(), target.object.spec.clone())).collect();
    match not_built::refusals_together(namespace, &plan.spec, &specs).into_iter().next() {
        Some(refusal) => Err(Refused::new("NotBuilt", format!("{}: {}", refusal.field, refusal.sentence))),
        None => Ok(targets),
    }
}

/// The targets that an intent names, of checks too.
fn named(intent: &Intent) -> BTreeSet<String> {
    let steps = intent.steps.iter().flatten().filter_map(|step| match &step.action {
        Action::Migrate { target, .. } => Some(target.clone()),
        Action::Verify(check) => Some(check.target.clone()),
        _ => None,
    });
    steps.chain(intent.preflight.iter().map(|(_, check)| check.target.clone())).collect()
}

/// A target that another run has claimed is not connected to.
async fn free(
    operator: &Operator,
    name: &str,
    target: &OpenTarget,
    run: Option<(&str, u64)>,
) -> Result<(), Refused> {
    if run.is_none() && target.object.metadata.deletion_timestamp.is_some() {
        return Err(Refused::new("TargetNotReady", format!("target {name} is being deleted")));
    }
    let Some(key) = known_key(target) else { return Ok(()) };
    let claim = lease::look(operator.own(), &operator.namespace, &key).await;
    let claim = claim.map_err(|error| Refused::new("Forbidden", error.to_string()))?;
    let ours =
        |holder: &str| run.is_some_and(|(uid, number)| holder.starts_with(&format!("{uid}/{number}/")));
    match claim.holder.filter(|holder| !ours(holder)) {
        Some(holder) => match sweep::free(operator, target).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let runs = operator.all_runs().await.unwrap_or_default();
                let who = said_holder(&holder, &runs);
                Err(Refused::new("Queued", format!("target {name} is held by {who} until its Release")))
            }
            Err(error) => Err(Refused::new(
                "Queued",
                format!("target {name} is held by {holder}, which is over: {error}"),
            )),
        },
        None => Ok(()),
    }
}

/// A holder as people know it.
pub(super) fn said_holder(holder: &str, runs: &[MigrationRun]) -> String {
    let (token, more) = holder.split_once(' ').unwrap_or((holder, ""));
    let Ok(parsed) = token.parse::<Holder>() else { return holder.to_owned() };
    let claim = super::target::named(token, jiff::Timestamp::UNIX_EPOCH, runs);
    let known = runs.iter().any(|run| run.spec.plan.uid == parsed.plan_uid);
    let who = if known { format!("run {} of {}", claim.run, claim.plan) } else { token.to_owned() };
    [who.as_str(), more].join(" ").trim_end().to_owned()
}

/// The Lease of a target whose identity was pinned when it was first seen.
pub(super) fn known_key(target: &OpenTarget) -> Option<TargetKey> {
    let engine = target.object.status.as_ref()?.engine.as_ref()?;
    (!engine.identity.is_empty()).then(|| target_key(&engine.identity, &target_name(target)))
}

/// The Lease that stands for a database.
pub(super) fn target_key(identity: &str, what: &str) -> TargetKey {
    TargetKey::new(identity, "", what)
}

fn target_name(target: &OpenTarget) -> String {
    let metadata = &target.object.metadata;
    format!(
        "{}/{}",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default()
    )
}

async fn look_at(
    operator: &Operator,
    name: &str,
    target: &OpenTarget,
    namespace: &str,
    run: Option<(&str, u64)>,
) -> Result<TargetSeen, Refused> {
    let look = target.engine.look().await.map_err(|error| Refused::new(reason(&error), error.to_string()))?;
    // The Lease is free and the fence row is not: of a run that is over, or of another cluster, which Claim will name.
    if run.is_none()
        && look.claim.is_some()
        && let Err(error) = sweep::free(operator, target).await
    {
        tracing::warn!(target = name, %error, "whether its claim is left behind can't be told");
    }
    if let Some(pinned) = target.object.status.as_ref().and_then(|status| status.engine.as_ref())
        && !pinned.identity.is_empty()
        && pinned.identity != look.identity
    {
        let message = format!(
            "target {name}: the server is another one than before: identity {} was pinned, {} answers; if that is meant, make another target",
            pinned.identity, look.identity
        );
        return Err(Refused::new("TargetIdentityMismatch", message));
    }
    target.can_be_exported().await.map_err(|error| Refused::new(reason(&error), error.to_string()))?;
    let known = target.object.status.as_ref().map_or(&[][..], |status| &status.histories);
    if histories::in_sync(name, known, &look.histories).is_err() {
        // A run may have ended that its status does not know of yet.
        let known = left(operator, target).await?;
        histories::in_sync(name, &known, &look.histories)
            .map_err(|lost| Refused::new(lost.reason, lost.message))?;
    }
    Ok(TargetSeen {
        lease: target_key(&look.identity, name).name,
        quiet_for_ms: u64::try_from(target.object.spec.quiet.for_.get().as_millis()).unwrap_or(u64::MAX),
        bytes: look.bytes,
        verification: target.object.spec.backup.verification,
        server: target.server(namespace),
        offline: target.offline().and_then(|_| target.server(namespace)),
        speaks: target.engine.dialect(),
        proves: target.proves(),
        of_the_peer: of_the_peer(target),
        histories: provable(name, look)?,
    })
}

/// The watermarks of a target with those of all its runs.
async fn left(operator: &Operator, target: &OpenTarget) -> Result<Vec<HistoryStatus>, Refused> {
    let metadata = &target.object.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let runs: Vec<MigrationRun> = list_all(operator.own(), namespace, "").await.map_err(unread)?;
    let facts = TargetFacts {
        name: metadata.name.as_deref().unwrap_or_default(),
        created: metadata.creation_timestamp.as_ref().map(|at| at.0),
        generation: metadata.generation.unwrap_or_default(),
        runs: &runs,
        plans: &[],
        claim: None,
    };
    let old = target.object.status.clone().unwrap_or_default();
    Ok(words::target_left(&old, &facts, &Time(Timestamp::now())).histories)
}

/// The histories that neo4j-migrations reads and writes too.
fn of_the_peer(target: &OpenTarget) -> BTreeSet<String> {
    let Ok(engine) = target.object.spec.engine() else { return BTreeSet::new() };
    let peers = |history: &&HistorySpec| history.format == HistoryFormat::Neo4jMigrations;
    engine.histories().iter().filter(peers).map(|history| history.name.clone()).collect()
}

fn provable(name: &str, look: Look) -> Result<BTreeMap<String, Vec<crate::script::HistoryRow>>, Refused> {
    if let Err(why) = &look.quiet_provable {
        return Err(Refused::new("TargetNotReady", format!("target {name}: quiet can't be proven: {why}")));
    }
    Ok(look.histories)
}

/// The reason of the condition for an engine's error before a run.
pub(super) fn reason(error: &EngineError) -> &'static str {
    match error {
        EngineError::Identity { .. } => "TargetIdentityMismatch",
        EngineError::Foreign { .. } => "HistoryDrift",
        _ => "TargetNotReady",
    }
}

/// Reads the source of every migrate step.
async fn bundles(
    operator: &Operator,
    acting: &Acting,
    plan: &MigrationPlan,
    namespace: &str,
) -> Result<BTreeMap<String, Bundle>, Refused> {
    let (mut bundles, mut dialects) = (BTreeMap::new(), BTreeMap::new());
    for (_, step) in plan.spec.steps() {
        let Some(migrate) = &step.migrate else { continue };
        let Ok(Work::Scripts(scripts)) = Work::try_from(migrate) else { continue };
        let invalid = |why: String| Refused::new("InvalidSpec", format!("step {}: {why}", step.name));
        let from = ScriptSource::try_from(&scripts).map_err(|error| invalid(error.to_string()))?;
        let files = source::scripts(acting, namespace, &from)
            .await
            .map_err(|error| source_refused(&step.name, &error))?;
        let layout = scripts.layout.map(layout).transpose().map_err(invalid)?;
        let dialect = match dialects.get(&migrate.target) {
            Some(dialect) => *dialect,
            None => {
                let dialect = dialect_of(operator, namespace, &migrate.target).await?;
                *dialects.entry(migrate.target.clone()).or_insert(dialect)
            }
        };
        let bundle = read_bundle(files, layout, dialect).map_err(|errors| {
            invalid(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        if let Some(pinned) = scripts.digest.as_ref().filter(|pinned| **pinned != bundle.digest) {
            let message = format!(
                "step {}: the source has digest {}, the plan pins {pinned}: the source is not the one that the plan means, or not there yet",
                step.name, bundle.digest
            );
            return Err(Refused::new("SourceNotReady", message));
        }
        bundles.insert(step.name.clone(), bundle);
    }
    Ok(bundles)
}

/// The language of a target's scripts. What a target that is not there would speak is of no interest: it is refused when it
/// is opened.
async fn dialect_of(operator: &Operator, namespace: &str, target: &str) -> Result<Dialect, Refused> {
    let target: Option<DatabaseTarget> =
        get_if_there(operator.own(), namespace, target).await.map_err(unread)?;
    let kind = target.and_then(|target| target.spec.engine().ok().map(|engine| engine.kind()));
    Ok(kind.and_then(dialect).unwrap_or(Dialect::Postgresql))
}

pub(super) fn source_refused(step: &str, error: &SourceError) -> Refused {
    let reason = if error.forbidden().is_some() { "Forbidden" } else { "SourceNotReady" };
    Refused::new(reason, format!("step {step}: {error}"))
}

fn layout(layout: api::plan::Layout) -> Result<crate::script::Layout, String> {
    serde_json::from_value(serde_json::json!(layout.as_str()))
        .map_err(|_| format!("layout {layout} is not one of files that are read here"))
}

/// The servers that are stopped for backups. Their Jobs mount their volumes, which is possible only in their own namespace.
fn servers(
    targets: &BTreeMap<String, OpenTarget>,
    namespace: &str,
) -> Result<BTreeSet<WorkloadRef>, Refused> {
    let mut servers = BTreeSet::new();
    for (name, target) in targets.iter().filter(|(_, target)| target.offline().is_some()) {
        let Some(server) = target.server(namespace) else { continue };
        if server.namespace != namespace {
            let message = format!(
                "target {name}: {server} is in another namespace than the target, where no Job can mount its volume: make target and plan in namespace {}",
                server.namespace
            );
            return Err(Refused::new("InvalidSpec", message));
        }
        servers.insert(server);
    }
    Ok(servers)
}

/// Every workload that an intent names, as it is, and the servers that are stopped for backups.
async fn workloads(
    operator: &Operator,
    acting: &Acting,
    intent: &Intent,
    servers: &BTreeSet<WorkloadRef>,
    run: Option<(&str, u64)>,
) -> Result<BTreeMap<WorkloadRef, WorkloadSeen>, Refused> {
    let rolled = intent.steps.iter().flatten().filter_map(|step| match &step.action {
        Action::Rollout { workload, .. } => Some(workload),
        _ => None,
    });
    let all: BTreeSet<&WorkloadRef> = intent.dependents.iter().chain(rolled).chain(servers).collect();
    let mut workloads = BTreeMap::new();
    let mut scalers = BTreeMap::new();
    for of in all {
        let Some(found) = hands::look_if_there(acting, &key(of)).await.map_err(unread)? else { continue };
        if !of.is_cron() && !scalers.contains_key(&of.namespace) {
            let there = hands::scalers(acting, &of.namespace).await.map_err(unread)?;
            scalers.insert(of.namespace.clone(), there);
        }
        let mut workload = seen(of, &found, None);
        let scaler = scalers.get(&of.namespace).and_then(|all| hands::scaler_of(&found.key, all));
        workload.hpa_min = scaler.filter(|_| !of.is_cron()).map(|scaler| scaler.min);
        if run.is_none()
            && let Some(claim) = &workload.claimed_by
        {
            sweep::free_workload(operator, acting, &key(of), claim).await;
        }
        workloads.insert(of.clone(), workload);
    }
    Ok(workloads)
}

fn unread(error: ReadError) -> Refused {
    let reason = if matches!(error, ReadError::Forbidden(_)) { "Forbidden" } else { "TargetNotReady" };
    Refused::new(reason, error.to_string())
}

/// The same workload in the words of the workload room.
pub(super) fn key(of: &WorkloadRef) -> WorkloadKey {
    WorkloadKey { kind: of.kind, namespace: of.namespace.clone(), name: of.name.clone() }
}

/// A workload in the words of the program; what an autoscaler keeps of it is not known yet.
pub(super) fn seen(of: &WorkloadRef, found: &Workload, not_ready: Option<String>) -> WorkloadSeen {
    WorkloadSeen {
        of: of.clone(),
        uid: found.uid.clone(),
        version: found.resource_version.clone(),
        replicas: found.replicas.unwrap_or(0),
        images: found.images(),
        suspend: found.suspend.unwrap_or(false),
        claimed_by: found.annotations.get(hands::CLAIMED_BY).cloned(),
        hpa_min: None,
        controlled_by: found.controller.clone(),
        deletes_volumes: found.drops_volumes,
        not_ready,
        scaled_by: hands::replicas_owners(&found.managed_fields).into_iter().next(),
    }
}

/// The ConfigMaps that an intent sets keys of.
async fn flags(
    acting: &Acting,
    intent: &Intent,
) -> Result<BTreeMap<(String, String), BTreeMap<String, String>>, Refused> {
    let mut flags = BTreeMap::new();
    for step in intent.steps.iter().flatten() {
        let Action::Configure { namespace, name, .. } = &step.action else { continue };
        if flags.contains_key(&(namespace.clone(), name.clone())) {
            continue;
        }
        let found = get_if_there::<ConfigMap>(acting, namespace, name).await;
        let found = found.map_err(|error| Refused::new("Forbidden", error.to_string()))?;
        if let Some(found) = found {
            flags.insert((namespace.clone(), name.clone()), found.data.unwrap_or_default());
        }
    }
    Ok(flags)
}
