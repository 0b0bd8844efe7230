//! A test for every row of the table: the field and its sentence, from the YAML that a user would write.

use super::*;

fn plan(fields: &str, steps: &str) -> Vec<String> {
    let yaml = format!("{fields}\nstages:\n- name: Data\n  steps:\n  - {{name: a, {steps}}}\n");
    let spec: MigrationPlanSpec = serde_saphyr::from_str(&yaml).unwrap_or_else(|e| panic!("{yaml}: {e}"));
    refusals_plan(&spec).iter().map(ToString::to_string).collect()
}

fn target(yaml: &str) -> Vec<String> {
    let spec: DatabaseTargetSpec = serde_saphyr::from_str(yaml).unwrap_or_else(|e| panic!("{yaml}: {e}"));
    refusals_target(&spec).iter().map(ToString::to_string).collect()
}

const APPROVE: &str = "approve: {message: x}";
const PG: &str = "postgresql: {host: h, database: d}";
const OS: &str = "opensearch: {url: u, indices: [i], backup: {repository: r}}";

#[test]
fn what_is_built_is_not_refused() {
    let built = "
version: '1'
paused: true
approval: Required
windows: [{days: [Sat], from: '01:00', to: '04:00', timeZone: UTC}]
onWindowClose: Pause
notifications: [{name: n, url: {secretKeyRef: {name: s, key: k}}, on: [RunFailed]}]
deadline: 2h
maxDowntime: 15m
runHistoryLimit: 3
backup: {when: Quiesced, verification: Restored}
dependents: [{kind: CronJob, name: c}]
onFailure: {schema: Undo, images: Hold, workloads: KeepDown}
onDelete: Stop
diagnostics: Full
preflight: [{name: p, query: {target: t, statement: select 1, expect: {rows: 1}}}]
";
    let migrate = "group: g, variables: [{name: v, value: x}], migrate: {target: t, scripts: {inline: {V1__a.sql: x}, layout: Flyway}, to: '1', missing: Ignore, outOfOrder: Allow}";
    assert_eq!(plan(built, migrate), [""; 0]);
    assert_eq!(plan("backup: {when: Online}", APPROVE), [""; 0]);
    assert_eq!(plan("", "migrate: {target: t, scripts: {configMap: {name: c}, layout: Http}}"), [""; 0]);
    let evolution = "histories: [{name: h, format: ElasticsearchEvolution, table: es_evo}]";
    for engine in ["elasticsearch", "opensearch"] {
        let yaml = format!(
            "{engine}: {{url: u, indices: [i], names: Alias, {evolution}, backup: {{repository: r}}}}"
        );
        assert_eq!(target(&yaml), [""; 0]);
    }
    assert_eq!(plan("", "rollout: {kind: Deployment, name: w, replicas: 2, images: {c: i}}"), [""; 0]);
    assert_eq!(plan("", "configure: {configMap: {name: c, set: {a: b}}}"), [""; 0]);
    assert_eq!(
        target(
            "
serviceAccountName: s
postgresql: {host: h, database: d, tls: {mode: VerifyCA, clientCertificate: {secretRef: {name: c}}}}
credentials: {secretRef: {name: c}}
server: {kind: StatefulSet, name: pg}
identity: {expect: '1'}
timeouts: {lock: 1s}
quiet: {for: 1s, ignore: [{user: u}]}
backup: {image: i, storage: {volumeClaim: {name: c, path: p}}, verification: None, pod: {}, retention: {keepLast: 5}}
diagnostics: Full
"
        ),
        [""; 0]
    );
}

#[test]
fn each_field_of_a_plan_that_is_not_built_is_refused_by_one_sentence() {
    let step = |field: &str| format!("spec.stages[Data].steps[a].{field}");
    let http = "http: {steps: [{method: GET, url: u, expect: {status: 200}}]}";
    for (fields, steps, expected) in [
        (
            &*format!("preflight: [{{name: p, {http}}}]"),
            APPROVE,
            "spec.preflight[p].http: http checks are not built yet; use a query, or an approve step for a check by hand"
                .into(),
        ),
        (
            "",
            &format!("verify: {{{http}}}"),
            step("verify.http: http checks are not built yet; use a query, or an approve step for a check by hand"),
        ),
        (
            "",
            &format!("variables: [{{name: v, value: x}}], {APPROVE}"),
            step("variables: variables are built for migrate and verify; this step has no text that they could fill"),
        ),
        (
            "",
            "job: {image: i, command: [c], target: t}",
            step("job: job steps are not built yet; run the job by hand at an approve step"),
        ),
        (
            "",
            "migrate: {target: t, alembic: {image: i}}",
            step("migrate.alembic: Alembic is not built yet; use SQL scripts"),
        ),
        (
            "",
            "migrate: {target: t, scripts: {oci: {image: i}}}",
            step("migrate.scripts.oci: OCI sources are not built yet; use configMap, configMaps, inline or secret"),
        ),
        (
            "",
            "migrate: {target: t, scripts: {configMap: {name: c}, layout: Goose}}",
            step("migrate.scripts.layout: this layout is not built yet; use Flyway or UpDown, for Neo4j Cypher or CypherDated, for Elasticsearch and OpenSearch Http"),
        ),
        (
            "",
            "rollout: {kind: Deployment, name: w, imageOwner: GitOps}",
            step("rollout.imageOwner: waiting for images that Git sets is not built yet; leave imageOwner at Plan"),
        ),
    ] {
        assert_eq!(plan(fields, steps), [expected]);
    }
}

#[test]
fn each_field_of_a_target_that_is_not_built_is_refused_by_one_sentence() {
    let engine = "this engine is not built yet; postgresql, neo4j, elasticsearch and opensearch are";
    for (yaml, expected) in [
        (
            "neo4j: {uri: u, backup: {method: Apoc}}\nbackup: {image: i}",
            "spec.backup.image: an export is written down by Whimbrel's own program, without tools; remove it".into(),
        ),
        (
            "neo4j: {uri: u, tls: {clientCertificate: {secretRef: {name: s}}}}\nbackup: {verification: None}",
            "spec.neo4j.tls.clientCertificate: logging in by certificate is not built yet for neo4j; use spec.credentials".into(),
        ),
        (
            &format!("{OS}\nbackup: {{storage: {{volumeClaim: {{name: c}}}}}}"),
            "spec.backup.storage: snapshots are taken by the cluster itself, into the repository that the engine's block names; remove it".into(),
        ),
        (
            &format!("{OS}\nbackup: {{image: i}}"),
            "spec.backup.image: snapshots are taken by the cluster itself, into the repository that the engine's block names; remove it".into(),
        ),
        (
            &format!("{OS}\nquiet: {{ignore: [{{user: u}}]}}"),
            "spec.quiet.ignore: this engine has no sessions that could be told apart: silence is measured by what is written; remove it".into(),
        ),
        ("redis: {host: h}", format!("spec.redis: {engine}")),
        ("s3: {endpoint: e, buckets: [b], backup: {bucket: c}}", format!("spec.s3: {engine}")),
        ("kafka: {bootstrapServers: [b]}", format!("spec.kafka: {engine}")),
        ("keycloak: {url: u, realms: [r]}", format!("spec.keycloak: {engine}")),
        ("qdrant: {url: u, collections: [c]}", format!("spec.qdrant: {engine}")),
        ("http: {url: u}", format!("spec.http: {engine}")),
        (
            "postgresql: {host: h, database: d, histories: [{name: users, format: Alembic}]}",
            "spec.postgresql.histories[users].format: histories of other tools are not built yet; use format Whimbrel on a database that has none".into(),
        ),
        (
            "postgresql: {host: h, database: d, histories: [{name: users, schema: s}]}",
            "spec.postgresql.histories[users].schema: only a history of another tool has a schema of its own, and those are not built yet; remove it".into(),
        ),
        (
            "postgresql: {host: h, database: d, histories: [{name: users, table: t}]}",
            "spec.postgresql.histories[users].table: only a history of another tool has a table of its own, and those are not built yet; remove it".into(),
        ),
        (
            &format!("{PG}\nstoredIn: {{target: t}}"),
            "spec.storedIn: targets that are stored in another one are not built yet; name the other one in the plan as well".into(),
        ),
        (
            &format!("{PG}\nserver: {{kind: StatefulSet, name: s, volumeClaim: v}}"),
            "spec.server.volumeClaim: offline backups are built for neo4j alone, and nothing else needs it; remove it".into(),
        ),
        (
            &format!("{PG}\nserver: {{kind: StatefulSet, name: s, dataPath: /p}}"),
            "spec.server.dataPath: offline backups are built for neo4j alone, and nothing else needs it; remove it".into(),
        ),
        (
            &format!("{PG}\nexecution: Job"),
            "spec.execution: running the engine in a Job is not built yet; leave execution at Operator".into(),
        ),
    ] {
        assert_eq!(target(yaml), [expected]);
    }
}

#[test]
fn a_rollout_of_the_server_of_a_target_is_refused_wherever_it_lives() {
    let spec = |yaml: &str| serde_saphyr::from_str::<DatabaseTargetSpec>(yaml).unwrap();
    let plan: MigrationPlanSpec = serde_saphyr::from_str(
        "stages:
- name: SharedInfra
  steps:
  - {name: near, rollout: {kind: StatefulSet, name: pg}}
  - {name: far, rollout: {kind: StatefulSet, name: pg, namespace: data}}
  - {name: else, rollout: {kind: Deployment, name: pg}}
",
    )
    .unwrap();
    let fields = |server: &str| -> Vec<String> {
        let targets = [("t".to_owned(), spec(&format!("{PG}\nserver: {server}")))].into();
        refusals_together("app", &plan, &targets).iter().map(ToString::to_string).collect()
    };
    let sentence =
        "rolling out the server of a target is not built yet; do it before the plan, with a backup";
    assert_eq!(
        fields("{kind: StatefulSet, name: pg}"),
        [format!("spec.stages[SharedInfra].steps[near].rollout: {sentence}")]
    );
    assert_eq!(
        fields("{kind: StatefulSet, name: pg, namespace: data}"),
        [format!("spec.stages[SharedInfra].steps[far].rollout: {sentence}")]
    );
    assert_eq!(fields("{kind: StatefulSet, name: other}"), [""; 0]);
}
