//! What the API has and this version does not do: refused before anything is touched, never ignored.
//!
//! One table per kind; building something is deleting its row.

use super::{
    plan::{ImageOwner, Layout, MigrationPlanSpec, Step},
    reference::WorkloadRef,
    target::{DatabaseTargetSpec, Engine, Execution, HistoryFormat, Neo4jMethod},
};
use std::{collections::BTreeMap, fmt};

/// A field that is not built, with the sentence for `Stalled=True/NotBuilt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where, as a path into the object.
    pub field: String,
    /// What is not built, and what to do instead.
    pub sentence: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.sentence)
    }
}

/// One row: the places in a spec where something stands that is not built, and the sentence.
struct NotBuilt<S> {
    places: fn(&S) -> Vec<String>,
    sentence: &'static str,
}

const PLAN: &[NotBuilt<MigrationPlanSpec>] = &[
    NotBuilt {
        places: |plan| {
            plan.preflight
                .iter()
                .filter(|check| check.http.is_some())
                .map(|check| format!("spec.preflight[{}].http", check.name))
                .chain(steps(plan, "verify.http", |step| {
                    step.verify.as_ref().is_some_and(|v| v.http.is_some())
                }))
                .collect()
        },
        sentence: "http checks are not built yet; use a query, or an approve step for a check by hand",
    },
    NotBuilt {
        places: |plan| {
            steps(plan, "variables", |step| {
                !step.variables.is_empty() && step.migrate.is_none() && step.verify.is_none()
            })
        },
        sentence: "variables are built for migrate and verify; this step has no text that they could fill",
    },
    NotBuilt {
        places: |plan| steps(plan, "job", |step| step.job.is_some()),
        sentence: "job steps are not built yet; run the job by hand at an approve step",
    },
    NotBuilt {
        places: |plan| {
            steps(plan, "migrate.alembic", |step| step.migrate.as_ref().is_some_and(|m| m.alembic.is_some()))
        },
        sentence: "Alembic is not built yet; use SQL scripts",
    },
    NotBuilt {
        places: |plan| {
            steps(plan, "migrate.scripts.oci", |step| scripts(step).is_some_and(|s| s.oci.is_some()))
        },
        sentence: "OCI sources are not built yet; use configMap, configMaps, inline or secret",
    },
    NotBuilt {
        places: |plan| {
            steps(plan, "migrate.scripts.layout", |step| {
                let layout = scripts(step).and_then(|s| s.layout);
                let built =
                    [Layout::Flyway, Layout::UpDown, Layout::Cypher, Layout::CypherDated, Layout::Http];
                layout.is_some_and(|layout| !built.contains(&layout))
            })
        },
        sentence: "this layout is not built yet; use Flyway or UpDown, for Neo4j Cypher or CypherDated, for Elasticsearch and OpenSearch Http",
    },
    NotBuilt {
        places: |plan| {
            steps(plan, "rollout.imageOwner", |step| {
                step.rollout.as_ref().is_some_and(|r| r.image_owner == ImageOwner::GitOps)
            })
        },
        sentence: "waiting for images that Git sets is not built yet; leave imageOwner at Plan",
    },
];

const TARGET: &[NotBuilt<DatabaseTargetSpec>] = &[
    NotBuilt {
        places: |target| match target.engine().map(|engine| engine.kind()) {
            // A target without one engine is InvalidSpec, which is not for this table to say.
            Ok(Engine::Postgresql | Engine::Neo4j | Engine::Elasticsearch | Engine::Opensearch) | Err(_) => {
                Vec::new()
            }
            Ok(other) => vec![format!("spec.{other}")],
        },
        sentence: "this engine is not built yet; postgresql, neo4j, elasticsearch and opensearch are",
    },
    NotBuilt {
        places: |target| {
            histories(target, "format", |history| {
                use HistoryFormat::{ElasticsearchEvolution, Neo4jMigrations, Whimbrel};
                !matches!(history.format, Whimbrel | Neo4jMigrations | ElasticsearchEvolution)
            })
        },
        sentence: "histories of other tools are not built yet; use format Whimbrel on a database that has none",
    },
    NotBuilt {
        places: |target| histories(target, "schema", |history| history.schema.is_some()),
        sentence: "only a history of another tool has a schema of its own, and those are not built yet; remove it",
    },
    NotBuilt {
        places: |target| {
            histories(target, "table", |history| {
                history.table.is_some() && history.format != HistoryFormat::ElasticsearchEvolution
            })
        },
        sentence: "only a history of another tool has a table of its own, and those are not built yet; remove it",
    },
    NotBuilt {
        places: |target| {
            let apoc = target.neo4j.as_ref().is_some_and(|it| it.backup.method == Neo4jMethod::Apoc);
            when(apoc && target.backup.image.is_some(), "spec.backup.image")
        },
        sentence: "an export is written down by Whimbrel's own program, without tools; remove it",
    },
    NotBuilt {
        places: |target| {
            let certificate = target.neo4j.as_ref().and_then(|it| it.tls.client_certificate.as_ref());
            when(certificate.is_some(), "spec.neo4j.tls.clientCertificate")
        },
        sentence: "logging in by certificate is not built yet for neo4j; use spec.credentials",
    },
    NotBuilt {
        places: |target| when(target.stored_in.is_some(), "spec.storedIn"),
        sentence: "targets that are stored in another one are not built yet; name the other one in the plan as well",
    },
    NotBuilt {
        places: |target| {
            let server = target.server.as_ref().filter(|_| target.neo4j.is_none());
            let mut places =
                when(server.is_some_and(|s| s.volume_claim.is_some()), "spec.server.volumeClaim");
            places.extend(when(server.is_some_and(|s| s.data_path.is_some()), "spec.server.dataPath"));
            places
        },
        sentence: "offline backups are built for neo4j alone, and nothing else needs it; remove it",
    },
    NotBuilt {
        places: |target| {
            let backup = &target.backup;
            let mut places = when(is_search(target) && backup.storage.is_some(), "spec.backup.storage");
            places.extend(when(is_search(target) && backup.image.is_some(), "spec.backup.image"));
            places
        },
        sentence: "snapshots are taken by the cluster itself, into the repository that the engine's block names; remove it",
    },
    NotBuilt {
        places: |target| when(is_search(target) && !target.quiet.ignore.is_empty(), "spec.quiet.ignore"),
        sentence: "this engine has no sessions that could be told apart: silence is measured by what is written; remove it",
    },
    NotBuilt {
        places: |target| when(target.execution == Execution::Job, "spec.execution"),
        sentence: "running the engine in a Job is not built yet; leave execution at Operator",
    },
];

/// What of a plan is not built.
pub fn refusals_plan(plan: &MigrationPlanSpec) -> Vec<Refusal> {
    refusals(PLAN, plan)
}

/// What of a target is not built.
pub fn refusals_target(target: &DatabaseTargetSpec) -> Vec<Refusal> {
    refusals(TARGET, target)
}

/// What of a plan is not built because of its targets, given by name; `namespace` is that of the plan and of them.
pub fn refusals_together(
    namespace: &str,
    plan: &MigrationPlanSpec,
    targets: &BTreeMap<String, DatabaseTargetSpec>,
) -> Vec<Refusal> {
    let whole = |workload: WorkloadRef| {
        (workload.kind, workload.namespace.unwrap_or_else(|| namespace.to_owned()), workload.name)
    };
    let servers: Vec<_> =
        targets.values().filter_map(|target| target.server.as_ref()).map(|s| whole(s.workload())).collect();
    steps(plan, "rollout", |step| {
        step.rollout.as_ref().is_some_and(|rollout| servers.contains(&whole(rollout.workload())))
    })
    .into_iter()
    .map(|field| Refusal {
        field,
        sentence: "rolling out the server of a target is not built yet; do it before the plan, with a backup",
    })
    .collect()
}

fn refusals<S>(table: &[NotBuilt<S>], spec: &S) -> Vec<Refusal> {
    table
        .iter()
        .flat_map(|row| (row.places)(spec).into_iter().map(|field| Refusal { field, sentence: row.sentence }))
        .collect()
}

fn is_search(target: &DatabaseTargetSpec) -> bool {
    target.elasticsearch.is_some() || target.opensearch.is_some()
}

fn when(found: bool, field: &str) -> Vec<String> {
    found.then(|| field.to_owned()).into_iter().collect()
}

fn steps(plan: &MigrationPlanSpec, field: &str, found: impl Fn(&Step) -> bool) -> Vec<String> {
    plan.steps()
        .into_iter()
        .filter(|(_, step)| found(step))
        .map(|(stage, step)| format!("spec.stages[{stage}].steps[{}].{field}", step.name))
        .collect()
}

fn scripts(step: &Step) -> Option<&super::plan::Scripts> {
    step.migrate.as_ref()?.scripts.as_ref()
}

fn histories(
    target: &DatabaseTargetSpec,
    field: &str,
    found: fn(&super::target::HistorySpec) -> bool,
) -> Vec<String> {
    let Ok(engine) = target.engine() else { return Vec::new() };
    engine
        .histories()
        .iter()
        .filter(|history| found(history))
        .map(|history| format!("spec.{}.histories[{}].{field}", engine.kind(), history.name))
        .collect()
}

#[cfg(test)]
#[path = "not_built_tests.rs"]
mod tests;
