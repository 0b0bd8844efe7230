//! `DatabaseTarget`: one database, where it is, how to back it up, what counts as quiet.

mod backup;
mod engine;
mod guard;
mod history;
mod retained;
mod server_engines;
mod service_engines;
mod status;

pub use backup::{Retention, S3Storage, Storage, TargetBackup, VerificationLevel, VolumeClaim};
pub use engine::{Engine, EngineSpec};
pub use guard::{Drift, Execution, Identity, Quiet, QuietIgnore, Server, StoredIn, Timeouts, Tls, TlsMode};
pub use history::{HistoryFormat, HistorySpec};
pub use retained::{AsideStatus, Deleted, Pruning, TargetBackupStatus};
pub use server_engines::{
    Neo4j, Neo4jBackup, Neo4jExport, Neo4jMethod, Postgresql, PostgresqlBackup, PostgresqlMethod, Redis,
    RedisBackup, RedisHistoryIn, RedisMethod,
};
pub use service_engines::{
    Elasticsearch, ElasticsearchBackup, Http, HttpBackup, HttpMethod, IndexNames, Kafka, KafkaBackup,
    KafkaMethod, Keycloak, KeycloakBackup, KeycloakMethod, Qdrant, QdrantBackup, S3, S3Backup, S3Method,
    Sasl, SaslMechanism, SnapshotMethod,
};
pub use status::{
    AdoptedStatus, DatabaseTargetStatus, EngineStatus, FailedIntent, HistoryStatus, Measured, TargetClaim,
};

use super::{Diagnostics, bounds::NAME, error::ApiError, reference::WholeSecret};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// One database: where it is, how to back it up, what counts as quiet.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "whimbrel.dev",
    version = "v1alpha1",
    kind = "DatabaseTarget",
    plural = "databasetargets",
    shortname = "dbt",
    category = "migrations",
    namespaced,
    status = "DatabaseTargetStatus",
    derive = "PartialEq",
    doc = "One database: where it is, how to back it up, what counts as quiet.",
    cel,
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Engine", type_ = "string", json_path = ".status.engine.kind"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.engine.version"),
    printcolumn(name = "History", type_ = "string", json_path = ".status.histories[0].last"),
    printcolumn(name = "Last-Backup", type_ = "date", json_path = ".status.backups[0].at"),
    printcolumn(
        name = "Restore-Tested",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="RestoreTested")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name of a target is at most 63 characters: it is written into labels")
)]
#[x_kube(
    validation = Rule::new("[has(self.postgresql), has(self.neo4j), has(self.elasticsearch), has(self.opensearch), has(self.redis), has(self.s3), has(self.kafka), has(self.keycloak), has(self.qdrant), has(self.http)].filter(x, x).size() == 1")
        .message("a target has exactly one engine: postgresql, neo4j, elasticsearch, opensearch, redis, s3, kafka, keycloak, qdrant or http"),
    validation = Rule::new("has(self.postgresql) == has(oldSelf.postgresql) && has(self.neo4j) == has(oldSelf.neo4j) && has(self.elasticsearch) == has(oldSelf.elasticsearch) && has(self.opensearch) == has(oldSelf.opensearch) && has(self.redis) == has(oldSelf.redis) && has(self.s3) == has(oldSelf.s3) && has(self.kafka) == has(oldSelf.kafka) && has(self.keycloak) == has(oldSelf.keycloak) && has(self.qdrant) == has(oldSelf.qdrant) && has(self.http) == has(oldSelf.http)")
        .message("the engine of a target does not change: make another target")
)]
pub struct DatabaseTargetSpec {
    /// ServiceAccount as which Secrets are read and Jobs run; default is the operator's `defaultServiceAccount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME))]
    pub service_account_name: Option<String>,
    /// A PostgreSQL database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<Postgresql>,
    /// A Neo4j database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neo4j: Option<Neo4j>,
    /// Indices of an Elasticsearch cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elasticsearch: Option<Elasticsearch>,
    /// Indices of an OpenSearch cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opensearch: Option<Elasticsearch>,
    /// A Redis database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// Buckets of an S3 service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// A Kafka cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<Kafka>,
    /// Realms of a Keycloak server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keycloak: Option<Keycloak>,
    /// Collections of a Qdrant server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qdrant: Option<Qdrant>,
    /// Any HTTP service that is changed by requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// Secret with `username` and `password`, or `token`, or for s3 `accessKey` and `secretKey`; default is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<WholeSecret>,
    /// The workload that serves the database; default is that it runs outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// The target that holds this one's data, such as Keycloak's database: claimed, backed up and restored together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_in: Option<StoredIn>,
    /// The server's own identity; default is that the first one seen is pinned in status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// How long the database may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What counts as quiet.
    #[serde(default)]
    pub quiet: Quiet,
    /// How backups are made, kept and proven.
    #[serde(default)]
    pub backup: TargetBackup,
    /// Looking for drift between runs; default is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// What of a server's error is shown; default Codes.
    #[serde(default)]
    pub diagnostics: Diagnostics,
    /// Where the engine's work runs; default Operator.
    #[serde(default)]
    pub execution: Execution,
}

impl DatabaseTargetSpec {
    /// The one engine block that is set.
    ///
    /// # Errors
    /// `NotOne` if there is none or more than one: a CRD older than the rule let it in.
    pub fn engine(&self) -> Result<EngineSpec<'_>, ApiError> {
        let set = [
            self.postgresql.as_ref().map(EngineSpec::Postgresql),
            self.neo4j.as_ref().map(EngineSpec::Neo4j),
            self.elasticsearch.as_ref().map(EngineSpec::Elasticsearch),
            self.opensearch.as_ref().map(EngineSpec::Opensearch),
            self.redis.as_ref().map(EngineSpec::Redis),
            self.s3.as_ref().map(EngineSpec::S3),
            self.kafka.as_ref().map(EngineSpec::Kafka),
            self.keycloak.as_ref().map(EngineSpec::Keycloak),
            self.qdrant.as_ref().map(EngineSpec::Qdrant),
            self.http.as_ref().map(EngineSpec::Http),
        ];
        super::error::exactly_one("a target", "engine", set)
    }
}
