//! A DatabaseTarget opened: the engine that reaches it, and what Jobs need to know of it.

mod neo4j;
mod postgresql;
mod search;

use super::operator::Operator;
use crate::api::target::{
    DatabaseTargetSpec, Elasticsearch, Engine as Kind, EngineSpec, HistoryFormat,
    Postgresql as PostgresqlSpec, QuietIgnore, Tls as TlsSpec, TlsMode as TlsModeSpec,
};
use crate::api::{DatabaseTarget, not_built};
use crate::cluster::source::{self, SourceError};
use crate::cluster::{Acting, ReadError, get};
use crate::engine::AnyEngine;
use crate::engine::neo4j::Neo4j;
use crate::engine::postgresql::{
    ClientCertificate, Credentials, CredentialsError, CredentialsSource, Ignore, Postgresql, Tls, TlsMode,
};
use crate::engine::search::Search;
use crate::script::Dialect;
use std::sync::Arc;

/// Why a target can't be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// It, its Secret or its certificates can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A Secret or ConfigMap lacks something.
    #[error("target {target}: {source}")]
    Source {
        /// The target.
        target: String,
        /// What.
        source: SourceError,
    },
    /// Its address can't be read; what it was is shown only as far as it holds no password.
    #[error("target {target}: spec.neo4j.uri {}: {why}", .uri.split('@').next_back().unwrap_or_default())]
    Address {
        /// The target.
        target: String,
        /// As it was written.
        uri: String,
        /// What is wrong, and what to write.
        why: &'static str,
    },
    /// It names what is not built yet.
    #[error("target {target}: {field}: {sentence}")]
    NotBuilt {
        /// The target.
        target: String,
        /// The field.
        field: String,
        /// What is not built.
        sentence: &'static str,
    },
}

impl TargetError {
    /// The reason of the condition.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Read(ReadError::Forbidden(_)) => "Forbidden",
            Self::Source { source, .. } if source.forbidden().is_some() => "Forbidden",
            Self::Read(_) | Self::Source { .. } => "TargetNotReady",
            Self::Address { .. } => "InvalidSpec",
            Self::NotBuilt { .. } => "NotBuilt",
        }
    }
}

/// An opened target.
#[derive(Clone)]
pub(super) struct OpenTarget {
    /// The object.
    pub(super) object: DatabaseTarget,
    /// As whom its Secrets are read and its Jobs run.
    pub(super) acting: Acting,
    /// The database.
    pub(super) engine: AnyEngine,
}

impl OpenTarget {
    /// Reads a target and everything that it refers to.
    pub(super) async fn open(operator: &Operator, namespace: &str, name: &str) -> Result<Self, TargetError> {
        let object: DatabaseTarget = get(operator.own(), namespace, name).await?;
        Self::of(operator, object).await
    }

    /// Opens a target that was read.
    pub(super) async fn of(operator: &Operator, object: DatabaseTarget) -> Result<Self, TargetError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        if let Some(refusal) = not_built::refusals_target(&object.spec).into_iter().next() {
            return Err(TargetError::NotBuilt {
                target: name,
                field: refusal.field,
                sentence: refusal.sentence,
            });
        }
        let acting = operator.for_target(&object);
        let engine = match object.spec.engine() {
            Ok(EngineSpec::Postgresql(spec)) => {
                AnyEngine::Postgresql(Postgresql::new(postgresql::settings(&acting, &object, spec).await?))
            }
            Ok(EngineSpec::Neo4j(spec)) => {
                AnyEngine::Neo4j(Neo4j::new(neo4j::settings(&acting, &object, spec).await?))
            }
            Ok(EngineSpec::Elasticsearch(spec) | EngineSpec::Opensearch(spec)) => {
                AnyEngine::Search(Search::new(search::settings(&acting, &object, spec).await?))
            }
            // The table of what is not built refuses every other engine above; a target without one is refused by CEL.
            _ => {
                let sentence = "exactly one engine that is built is needed";
                return Err(TargetError::NotBuilt { target: name, field: "spec".into(), sentence });
            }
        };
        Ok(Self { object, acting, engine })
    }

    /// The format of a history that it declares.
    pub(super) fn format(object: &DatabaseTarget, history: &str) -> HistoryFormat {
        let declared =
            object.spec.engine().ok().and_then(|engine| engine.history(history).map(|it| it.format));
        declared.unwrap_or_default()
    }

    /// The PostgreSQL block.
    pub(super) fn postgresql(&self) -> Option<&PostgresqlSpec> {
        self.object.spec.postgresql.as_ref()
    }

    /// The block of either search engine.
    pub(super) fn search(&self) -> Option<&Elasticsearch> {
        search(&self.object.spec)
    }
}

/// The block of either search engine.
pub(super) fn search(spec: &DatabaseTargetSpec) -> Option<&Elasticsearch> {
    spec.elasticsearch.as_ref().or(spec.opensearch.as_ref())
}

pub(super) use search::evolution;

/// The language of an engine's scripts; none: it is not built.
pub(super) fn dialect(kind: Kind) -> Option<Dialect> {
    match kind {
        Kind::Postgresql => Some(Dialect::Postgresql),
        Kind::Neo4j => Some(Dialect::Cypher),
        Kind::Elasticsearch | Kind::Opensearch => Some(Dialect::Http),
        _ => None,
    }
}

/// What is said about TLS, with the certificates that it refers to.
async fn tls(acting: &Acting, target: &DatabaseTarget, spec: &TlsSpec) -> Result<Tls, TargetError> {
    let namespace = target.metadata.namespace.clone().unwrap_or_default();
    let name = target.metadata.name.clone().unwrap_or_default();
    let failed = |source| TargetError::Source { target: name.clone(), source };
    let ca = match &spec.ca {
        Some(from) => Some(source::value(acting, &namespace, from).await.map_err(failed)?),
        None => None,
    };
    let client = match &spec.client_certificate {
        Some(secret) => {
            let found = source::client_certificate(acting, &namespace, &secret.secret_ref.name)
                .await
                .map_err(failed)?;
            Some(ClientCertificate { certificate: found.certificate, key: found.key })
        }
        None => None,
    };
    let mode = match spec.mode {
        TlsModeSpec::VerifyFull => TlsMode::VerifyFull,
        TlsModeSpec::VerifyCA => TlsMode::VerifyCa,
        TlsModeSpec::Disable => TlsMode::Disable,
    };
    Ok(Tls { mode, ca, client })
}

/// Reads the Secret at every connect: passwords rotate in the middle of a run.
fn credentials(acting: &Acting, namespace: &str, target: &DatabaseTarget) -> CredentialsSource {
    let (acting, namespace) = (acting.clone(), namespace.to_owned());
    let secret = target.spec.credentials.as_ref().map(|whole| whole.secret_ref.name.clone());
    Arc::new(move || {
        let (acting, namespace, secret) = (acting.clone(), namespace.clone(), secret.clone());
        Box::pin(async move {
            let Some(secret) = secret else {
                return Err(CredentialsError("spec.credentials names no Secret".into()));
            };
            let found = source::credentials(&acting, &namespace, &secret).await;
            let found = found.map_err(|error| CredentialsError(error.to_string()))?;
            Ok(Credentials { user: found.username, password: found.password })
        })
    })
}

/// Whose sessions do not count as foreign.
fn quiet_ignore(target: &DatabaseTarget) -> Vec<Ignore> {
    let rule = |rule: &QuietIgnore| Ignore {
        user: rule.user.clone(),
        application_name: rule.application_name.clone(),
    };
    target.spec.quiet.ignore.iter().map(rule).collect()
}
