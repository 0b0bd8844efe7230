//! Which engine a target has: the word, and the block as a real union.

use super::{
    history::HistorySpec,
    server_engines::{Neo4j, Postgresql, Redis},
    service_engines::{Elasticsearch, Http, Kafka, Keycloak, Qdrant, S3},
};
use crate::api::words::words;

words! {
    /// The kind of a target.
    pub enum Engine {
        /// PostgreSQL.
        Postgresql = "postgresql",
        /// Neo4j.
        Neo4j = "neo4j",
        /// Elasticsearch.
        Elasticsearch = "elasticsearch",
        /// OpenSearch.
        Opensearch = "opensearch",
        /// Redis.
        Redis = "redis",
        /// S3, MinIO.
        S3 = "s3",
        /// Kafka.
        Kafka = "kafka",
        /// Keycloak.
        Keycloak = "keycloak",
        /// Qdrant.
        Qdrant = "qdrant",
        /// Any service with an HTTP API.
        Http = "http",
    }
}

impl Engine {
    /// Its name, as its makers write it.
    pub const fn product(self) -> &'static str {
        match self {
            Self::Postgresql => "PostgreSQL",
            Self::Neo4j => "Neo4j",
            Self::Elasticsearch => "Elasticsearch",
            Self::Opensearch => "OpenSearch",
            Self::Redis => "Redis",
            Self::S3 => "S3",
            Self::Kafka => "Kafka",
            Self::Keycloak => "Keycloak",
            Self::Qdrant => "Qdrant",
            Self::Http => "the service",
        }
    }
}

/// The engine block of a target, as a real union.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EngineSpec<'a> {
    /// `spec.postgresql`
    Postgresql(&'a Postgresql),
    /// `spec.neo4j`
    Neo4j(&'a Neo4j),
    /// `spec.elasticsearch`
    Elasticsearch(&'a Elasticsearch),
    /// `spec.opensearch`
    Opensearch(&'a Elasticsearch),
    /// `spec.redis`
    Redis(&'a Redis),
    /// `spec.s3`
    S3(&'a S3),
    /// `spec.kafka`
    Kafka(&'a Kafka),
    /// `spec.keycloak`
    Keycloak(&'a Keycloak),
    /// `spec.qdrant`
    Qdrant(&'a Qdrant),
    /// `spec.http`
    Http(&'a Http),
}

impl<'a> EngineSpec<'a> {
    /// The engine's name.
    pub const fn kind(&self) -> Engine {
        match self {
            Self::Postgresql(_) => Engine::Postgresql,
            Self::Neo4j(_) => Engine::Neo4j,
            Self::Elasticsearch(_) => Engine::Elasticsearch,
            Self::Opensearch(_) => Engine::Opensearch,
            Self::Redis(_) => Engine::Redis,
            Self::S3(_) => Engine::S3,
            Self::Kafka(_) => Engine::Kafka,
            Self::Keycloak(_) => Engine::Keycloak,
            Self::Qdrant(_) => Engine::Qdrant,
            Self::Http(_) => Engine::Http,
        }
    }

    /// The histories that the target declares.
    pub fn histories(&self) -> &'a [HistorySpec] {
        match *self {
            Self::Postgresql(e) => &e.histories,
            Self::Neo4j(e) => &e.histories,
            Self::Elasticsearch(e) | Self::Opensearch(e) => &e.histories,
            Self::Redis(e) => &e.histories,
            Self::S3(e) => &e.histories,
            Self::Kafka(e) => &e.histories,
            Self::Keycloak(e) => &e.histories,
            Self::Qdrant(e) => &e.histories,
            Self::Http(e) => &e.histories,
        }
    }

    /// The history of that name, if the target declares it.
    pub fn history(&self, name: &str) -> Option<&'a HistorySpec> {
        self.histories().iter().find(|h| h.name == name)
    }
}
