//! The blocks of the engines with sessions: PostgreSQL, Neo4j, Redis.

use super::{
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

/// A PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Postgresql {
    /// Host name or address of the server itself, not of a pooler.
    #[schemars(length(min = 1))]
    pub host: String,
    /// Port; default 5432.
    #[serde(default = "port_5432")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Name of the database.
    #[schemars(length(min = 1, max = NAME))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("the database of a target does not change: make another target"))]
    pub database: String,
    /// TLS to the server; default VerifyFull with the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// Named series of scripts; default is one named `default` in Whimbrel's format.
    #[serde(default = "one_default")]
    #[schemars(schema_with = "super::history::sql")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub histories: Vec<HistorySpec>,
    /// How it is backed up; default Dump.
    #[serde(default)]
    pub backup: PostgresqlBackup,
}

words! {
    /// The backup methods of PostgreSQL.
    #[derive(Default)]
    pub enum PostgresqlMethod {
        /// `pg_dump` in a Job.
        #[default]
        Dump,
    }
}

/// How a PostgreSQL database is backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PostgresqlBackup {
    /// Dump; default Dump.
    pub method: PostgresqlMethod,
}

/// A Neo4j database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Neo4j {
    /// Address of the server, such as `neo4j://graph:7687`.
    #[schemars(length(min = 1, max = URL))]
    pub uri: String,
    /// Name of the database; default neo4j.
    #[serde(default = "neo4j")]
    #[schemars(length(min = 1, max = NAME))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("the database of a target does not change: make another target"))]
    pub database: String,
    /// TLS to the server; default VerifyFull with the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// Named series of scripts; default is one named `default` in Whimbrel's format.
    #[serde(default = "one_default")]
    #[schemars(schema_with = "super::history::neo4j")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub histories: Vec<HistorySpec>,
    /// How it is backed up; default Offline.
    #[serde(default)]
    pub backup: Neo4jBackup,
}

words! {
    /// The backup methods of Neo4j.
    #[derive(Default)]
    pub enum Neo4jMethod {
        /// Stop, `neo4j-admin database dump`, start; needs `server.volumeClaim`.
        #[default]
        Offline,
        /// An export by APOC while the server runs; nothing restores it by itself.
        Apoc,
    }
}

words! {
    /// What an export of Neo4j is written as.
    #[derive(Default)]
    pub enum Neo4jExport {
        /// Statements that make everything again.
        #[default]
        Cypher,
        /// GraphML: neither constraints nor indexes, and the server has all of it in its heap at once.
        Graphml,
    }
}

/// How a Neo4j database is backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.format) || self.method == 'Apoc'").message("format is that of an export: say method: Apoc"))]
pub struct Neo4jBackup {
    /// Offline or Apoc; default Offline.
    #[serde(default)]
    pub method: Neo4jMethod,
    /// What an export is written as; default Cypher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Neo4jExport>,
}

/// A Redis database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    /// Host name or address of the server.
    #[schemars(length(min = 1))]
    pub host: String,
    /// Port; default 6379.
    #[serde(default = "port_6379")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Number of the database; default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 65535))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("the database of a target does not change: make another target"))]
    pub database: u16,
    /// TLS to the server; default VerifyFull with the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// Where the history is kept; default Server.
    #[serde(default)]
    pub history_in: RedisHistoryIn,
    /// Named series of scripts; default is one named `default` in Whimbrel's format.
    #[serde(default = "one_default")]
    #[schemars(schema_with = "super::history::own")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub histories: Vec<HistorySpec>,
    /// How it is backed up; default Rdb.
    #[serde(default)]
    pub backup: RedisBackup,
}

words! {
    /// Where the history of a Redis database is kept.
    #[derive(Default)]
    pub enum RedisHistoryIn {
        /// In the database itself.
        #[default]
        Server,
        /// In a Secret beside the target, for servers that may lose data.
        Cluster,
    }
}

words! {
    /// The backup methods of Redis.
    #[derive(Default)]
    pub enum RedisMethod {
        /// An RDB file over the replication protocol.
        #[default]
        Rdb,
    }
}

/// How a Redis database is backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RedisBackup {
    /// Rdb; default Rdb.
    pub method: RedisMethod,
}

fn port_5432() -> u16 {
    5432
}

fn port_6379() -> u16 {
    6379
}

fn neo4j() -> String {
    "neo4j".into()
}
