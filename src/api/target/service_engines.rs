//! The blocks of the engines behind a service's own API: search, objects, events, realms, vectors, plain HTTP.

use super::{
    backup::us_east_1,
    guard::Tls,
    history::{HistorySpec, one_default},
};
use crate::api::{
    bounds::{NAME, URL},
    words::words,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Indices of an Elasticsearch or OpenSearch cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Elasticsearch {
    /// Address of the cluster.
    #[schemars(length(min = 1, max = URL))]
    pub url: String,
    /// Names or patterns of the indices that belong to this target.
    #[schemars(length(min = 1))]
    pub indices: Vec<String>,
    /// Whether services use aliases or the indices' own names; default Concrete.
    #[serde(default)]
    pub names: IndexNames,
    /// TLS to the server; default VerifyFull with the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// Named series of scripts; default is one named `default` in Whimbrel's format.
    #[serde(default = "one_default")]
    #[schemars(schema_with = "super::history::elasticsearch")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub histories: Vec<HistorySpec>,
    /// How it is backed up.
    pub backup: ElasticsearchBackup,
}

words! {
    /// How services name the indices that they use.
    #[derive(Default)]
    pub enum IndexNames {
        /// By alias: a restored index is swapped in by one call.
        Alias,
        /// By the index's own name: a restore deletes and clones back.
        #[default]
        Concrete,
    }
}

words! {
    /// The backup methods of Elasticsearch, OpenSearch and Qdrant.
    #[derive(Default)]
    pub enum SnapshotMethod {
        /// The engine's own snapshots.
        #[default]
        Snapshot,
    }
}

/// How indices are backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ElasticsearchBackup {
    /// Snapshot; default Snapshot.
    #[serde(default)]
    pub method: SnapshotMethod,
    /// Name of the snapshot repository, which exists already.
    #[schemars(length(min = 1))]
    pub repository: String,
}

/// Buckets of an S3 service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// URL of the service.
    #[schemars(length(min = 1, max = URL))]
    pub endpoint: String,
    /// Region; default us-east-1.
    #[serde(default = "us_east_1")]
    #[schemars(length(min = 1, max = NAME))]
    pub region: String,
    /// Bucket in the path instead of the host name; default false.
    #[serde(default)]
    pub path_style: bool,
    /// Names of the buckets that belong to this target.
    #[schemars(length(min = 1))]
    pub buckets: Vec<String>,
    /// TLS to the server; default VerifyFull with the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// Named series of scripts; default is one named `default` in Whimbrel's format.
    #[serde(default = "one_default")]
    #[schemars(schema_with = "super::history::own")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub histories: Vec<HistorySpec>,
    /// How it is backed up.
    pub backup: S3Backup,
}

words! {
    /// The backup methods of S3.
    #[derive(Default)]
    pub enum S3Method {
        /// Objects are copied into another bucket, with a manifest.
        #[default]
        Mirror,
    }
}

/// How buckets are backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Backup {
    /// Mirror; default Mirror.
    #[serde(default)]
    pub method: S3Method,
    /// Bucket that takes the copies, which exists already.
    #[schemars(length(min = 1, max = NAME))]
    pub bucket: String,
}

/// A Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kafka {
    /// Brokers to begin with, each `host:port`.
    #[schemars(length(min = 1))]
    pub bootstrap_servers: Vec<String>,
    /// Login by SASL; default is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// TLS to the server; default VerifyFull with the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// Named series of scripts; default is one named `default` in Whimbrel's format.
    #[serde(default = "one_default")]
    #[schemars(schema_with = "super::history::own")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub histories: Vec<HistorySpec>,
    /// How it is backed up; default Metadata.
    #[serde(default)]
    pub backup: KafkaBackup,
}

/// Login by SASL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sasl {
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    pub mechanism: SaslMechanism,
}

words! {
    /// How Kafka checks the password.
    pub enum SaslMechanism {
        /// In the clear, inside TLS.
        Plain = "PLAIN",
        /// SCRAM with SHA-256.
        ScramSha256 = "SCRAM-SHA-256",
        /// SCRAM with SHA-512.
        ScramSha512 = "SCRAM-SHA-512",
    }
}

words! {
    /// The backup methods of Kafka.
    #[derive(Default)]
    pub enum KafkaMethod {
        /// Topics, configurations, ACLs and offsets; no messages.
        #[default]
        Metadata,
    }
}

/// How a Kafka cluster is backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KafkaBackup {
    /// Metadata; default Metadata.
    pub method: KafkaMethod,
}

/// Realms of a Keycloak server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keycloak {
    /// Address of the server.
    #[schemars(length(min = 1, max = URL))]
    pub url: String,
    /// Names of the realms that belong to this target.
    #[schemars(length(min = 1))]
    pub realms: Vec<String>,
    /// TLS to the server; default VerifyFull with the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// Named series of scripts; default is one named `default` in Whimbrel's format.
    #[serde(default = "one_default")]
    #[schemars(schema_with = "super::history::own")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub histories: Vec<HistorySpec>,
    /// How it is backed up; default RealmExport.
    #[serde(default)]
    pub backup: KeycloakBackup,
}

words! {
    /// The backup methods of Keycloak.
    #[derive(Default)]
    pub enum KeycloakMethod {
        /// The realms' own export; the database's backup is by `storedIn`.
        #[default]
        RealmExport,
    }
}

/// How realms are backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KeycloakBackup {
    /// RealmExport; default RealmExport.
    pub method: KeycloakMethod,
}

/// Collections of a Qdrant server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Qdrant {
    /// Address of the server.
    #[schemars(length(min = 1, max = URL))]
    pub url: String,
    /// Names of the collections that belong to this target.
    #[schemars(length(min = 1))]
    pub collections: Vec<String>,
    /// TLS to the server; default VerifyFull with the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// Named series of scripts; default is one named `default` in Whimbrel's format.
    #[serde(default = "one_default")]
    #[schemars(schema_with = "super::history::own")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub histories: Vec<HistorySpec>,
    /// How it is backed up; default Snapshot.
    #[serde(default)]
    pub backup: QdrantBackup,
}

/// How collections are backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QdrantBackup {
    /// Snapshot; default Snapshot.
    pub method: SnapshotMethod,
}

/// Any service that is changed by requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Http {
    /// Address of the service.
    #[schemars(length(min = 1, max = URL))]
    pub url: String,
    /// TLS to the server; default VerifyFull with the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// Named series of scripts; default is one named `default` in Whimbrel's format.
    #[serde(default = "one_default")]
    #[schemars(schema_with = "super::history::own")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub histories: Vec<HistorySpec>,
    /// How it is backed up; default None.
    #[serde(default)]
    pub backup: HttpBackup,
}

words! {
    /// The backup methods of plain HTTP services.
    #[derive(Default)]
    pub enum HttpMethod {
        /// There is none.
        #[default]
        None,
    }
}

/// How a plain HTTP service is backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpBackup {
    /// None; default None.
    pub method: HttpMethod,
}
