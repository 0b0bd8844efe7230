//! From what a person wrote to an [`Intent`]: parsed once, and nothing later reads the spec.

use super::{Action, Intent, OnFailure, QueryCheck, Refusal, Step, WorkloadRef};
use crate::api::plan::{
    self, Approval, BackupWhen, CheckForm, ImagesPolicy, MigrationPlanSpec, Windows, WorkloadsPolicy,
};
use crate::api::{self, Stage};
use crate::check::Expect;
use crate::script::{Missing, OutOfOrder, Policy, Values, Version};

/// Parses a plan of `namespace`.
///
/// # Errors
/// Every part that can't be read; an API server with our CRDs admits few of them.
pub fn parse(spec: &MigrationPlanSpec, namespace: &str) -> Result<Intent, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut keep = |error: Refusal| refusals.push(error);
    let steps = groups(spec)
        .into_iter()
        .map(|group| group.into_iter().filter_map(|s| step(s, namespace).map_err(&mut keep).ok()).collect())
        .collect();
    let preflight = spec
        .preflight
        .iter()
        .filter_map(|check| {
            let form = CheckForm::try_from(check).map_err(|error| refusal(&check.name, &error));
            let check =
                form.and_then(|form| query(&check.name, form)).map(|query| (check.name.clone(), query));
            check.map_err(&mut keep).ok()
        })
        .collect();
    if let Err(error) = Windows::read(&spec.windows) {
        refusals.push(Refusal { reason: "InvalidSpec", message: error.to_string() });
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok(Intent {
        approval: spec.approval == Approval::Required,
        windows: !spec.windows.is_empty(),
        dependents: spec.dependents.iter().map(|of| workload(of, namespace)).collect(),
        preflight,
        steps,
        on_failure: OnFailure {
            schema: spec.on_failure.schema,
            revert_images: spec.on_failure.images == ImagesPolicy::Revert,
            give_back: spec.on_failure.workloads == WorkloadsPolicy::GiveBack,
        },
        online: spec.backup.when == BackupWhen::Online,
        verification: spec.backup.verification,
    })
}

/// Neighbours with the same group run side by side; a step without one stands alone.
fn groups(spec: &MigrationPlanSpec) -> Vec<Vec<&api::Step>> {
    let mut groups: Vec<Vec<&api::Step>> = Vec::new();
    let mut last: Option<(Stage, &str)> = None;
    for (stage, step) in spec.steps() {
        let here = step.group.as_deref().map(|group| (stage, group));
        match groups.last_mut() {
            Some(open) if here.is_some() && here == last => open.push(step),
            _ => groups.push(vec![step]),
        }
        last = here;
    }
    groups
}

fn step(step: &api::Step, namespace: &str) -> Result<Step, Refusal> {
    let name = &step.name;
    let action = match api::Action::try_from(step).map_err(|error| refusal(name, &error))? {
        api::Action::Migrate(migrate) => {
            let policy = policy(&migrate).map_err(|error| refusal(name, &error))?;
            Action::Migrate { target: migrate.target, history: migrate.history, policy }
        }
        api::Action::Rollout(rollout) => Action::Rollout {
            workload: WorkloadRef {
                kind: rollout.kind,
                namespace: rollout.namespace.unwrap_or_else(|| namespace.to_owned()),
                name: rollout.name,
            },
            images: rollout.images,
            replicas: rollout.replicas,
            ready_within: rollout.ready_within.get().as_secs(),
        },
        api::Action::Verify(check) => {
            let form = CheckForm::try_from(&check).map_err(|error| refusal(name, &error))?;
            Action::Verify(query(name, form)?)
        }
        api::Action::Configure(configure) => Action::Configure {
            namespace: configure.config_map.namespace.unwrap_or_else(|| namespace.to_owned()),
            name: configure.config_map.name,
            set: configure.config_map.set,
        },
        api::Action::Approve(approve) => Action::Approve { message: approve.message },
        api::Action::Job(_) => return Err(not_built(name, "job")),
    };
    Ok(Step { name: name.clone(), action })
}

fn policy(migrate: &plan::Migrate) -> Result<Policy, crate::script::VersionError> {
    Ok(Policy {
        out_of_order: match migrate.out_of_order {
            plan::OutOfOrder::Reject => OutOfOrder::Reject,
            plan::OutOfOrder::Allow => OutOfOrder::Allow,
        },
        missing: match migrate.missing {
            Some(plan::Missing::Reject) => Missing::Reject,
            Some(plan::Missing::Ignore) | None => Missing::Ignore,
        },
        to: migrate.to.as_deref().map(str::parse::<Version>).transpose()?,
    })
}

fn query(name: &str, form: CheckForm) -> Result<QueryCheck, Refusal> {
    match form {
        CheckForm::Query(query) => {
            let expect = Expect::try_from(&query.expect).map_err(|error| refusal(name, &error))?;
            Ok(QueryCheck {
                target: query.target,
                statement: query.statement,
                expect,
                values: Values::default(),
            })
        }
        CheckForm::Http(_) => Err(not_built(name, "an http check")),
    }
}

/// The workload that a reference of a plan in `namespace` means.
pub fn workload(of: &api::WorkloadRef, namespace: &str) -> WorkloadRef {
    WorkloadRef {
        kind: of.kind,
        namespace: of.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
        name: of.name.clone(),
    }
}

fn refusal(name: &str, error: &dyn std::error::Error) -> Refusal {
    Refusal { reason: "InvalidSpec", message: format!("step {name}: {error}") }
}

fn not_built(name: &str, what: &str) -> Refusal {
    Refusal { reason: "NotBuilt", message: format!("step {name}: {what} is not built yet") }
}
