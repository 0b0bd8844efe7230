//! A DatabaseTarget opened: the engine that reaches it, and what Jobs need to know of it.

mod neo4j;
mod postgresql;
mod search;

use super::operator::Operator;
use crate::api::outcome::Diagnostics;
use crate::api::target::{
    DatabaseTargetSpec, Elasticsearch, Engine as Kind, EngineSpec, HistoryFormat, Neo4j as Neo4jSpec,
    Neo4jExport, Neo4jMethod, Postgresql as PostgresqlSpec, QuietIgnore, Tls as TlsSpec,
    TlsMode as TlsModeSpec, VerificationLevel,
};
use crate::api::{DatabaseTarget, not_built};
use crate::cluster::source::{self, SourceError};
use crate::cluster::{Acting, ReadError, get};
use crate::engine::neo4j::{Export, Neo4j};
use crate::engine::postgresql::Postgresql;
use crate::engine::search::Search;
use crate::engine::{
    AnyEngine, ClientCertificate, Credentials, CredentialsError, CredentialsSource, DatabaseSettings,
    EngineError, Ignore, Tls, TlsMode,
};
use crate::program::{WorkloadRef, workload};
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

    /// The workload that serves it, where it runs in the cluster; `namespace` where the target says none.
    pub(super) fn server(&self, namespace: &str) -> Option<WorkloadRef> {
        self.object.spec.server.as_ref().map(|server| workload(&server.workload(), namespace))
    }

    /// A database whose files are backed up while its server is stopped, with the volume that holds them.
    pub(super) fn offline(&self) -> Option<Offline<'_>> {
        let (neo4j, server) = (self.object.spec.neo4j.as_ref()?, self.object.spec.server.as_ref()?);
        let volume_claim = server.volume_claim.as_deref()?;
        let stops = neo4j.backup.method == Neo4jMethod::Offline;
        stops.then_some(Offline { neo4j, volume_claim, data_path: server.data_path.as_deref() })
    }

    /// As [`exported`].
    pub(super) fn exported(&self) -> Option<&Neo4jSpec> {
        exported(&self.object.spec)
    }

    /// Asks the server of a target that is exported whether it can be.
    pub(super) async fn can_be_exported(&self) -> Result<(), EngineError> {
        let (Some(spec), AnyEngine::Neo4j(engine)) = (self.exported(), &self.engine) else { return Ok(()) };
        let export = match spec.backup.format.unwrap_or_default() {
            Neo4jExport::Cypher => Export::Cypher,
            Neo4jExport::Graphml => Export::GraphMl,
        };
        engine.can_export(export).await
    }

    /// The most that a backup of it can prove; None: no run takes one.
    pub(super) fn proves(&self) -> VerificationLevel {
        match (self.object.spec.neo4j.is_some(), self.offline().is_some(), self.exported().is_some()) {
            (true, false, true) => VerificationLevel::Artifact,
            (true, false, false) => VerificationLevel::None,
            _ => VerificationLevel::Restored,
        }
    }

    /// The block of either search engine.
    pub(super) fn search(&self) -> Option<&Elasticsearch> {
        search(&self.object.spec)
    }
}

/// A graph that is exported while its server runs.
pub(super) fn exported(spec: &DatabaseTargetSpec) -> Option<&Neo4jSpec> {
    spec.neo4j.as_ref().filter(|neo4j| neo4j.backup.method == Neo4jMethod::Apoc)
}

/// The block of either search engine.
pub(super) fn search(spec: &DatabaseTargetSpec) -> Option<&Elasticsearch> {
    spec.elasticsearch.as_ref().or(spec.opensearch.as_ref())
}

pub(super) use neo4j::address;
pub(super) use search::evolution;

/// What an offline backup reads.
pub(super) struct Offline<'a> {
    /// The database.
    pub(super) neo4j: &'a Neo4jSpec,
    /// The claim of the volume with the server's data.
    pub(super) volume_claim: &'a str,
    /// The data folder on it.
    pub(super) data_path: Option<&'a str>,
}

/// The language of an engine's scripts; none: it is not built.
pub(super) fn dialect(kind: Kind) -> Option<Dialect> {
    match kind {
        Kind::Postgresql => Some(Dialect::Postgresql),
        Kind::Neo4j => Some(Dialect::Cypher),
        Kind::Elasticsearch | Kind::Opensearch => Some(Dialect::Http),
        _ => None,
    }
}

/// Where a database is and how it is spoken to, as the engine's block says it.
struct Place<'a> {
    host: String,
    port: u16,
    database: &'a str,
    tls: &'a TlsSpec,
}

/// What is the same of every target that is a database of a server.
async fn database<H>(
    acting: &Acting,
    target: &DatabaseTarget,
    place: Place<'_>,
    histories: Vec<H>,
) -> Result<DatabaseSettings<H>, TargetError> {
    let timeouts = &target.spec.timeouts;
    Ok(DatabaseSettings {
        target: full_name(target),
        host: place.host,
        port: place.port,
        database: place.database.to_owned(),
        tls: tls(acting, target, place.tls).await?,
        credentials: credentials(acting, target),
        histories,
        identity_expect: identity(target),
        connect_timeout: timeouts.connect.get(),
        lock_timeout: timeouts.lock.get(),
        statement_timeout: timeouts.statement.get(),
        quiet_ignore: quiet_ignore(target),
        diagnostics_full: diagnostics_full(target),
    })
}

/// `<namespace>/<name>`
fn full_name(target: &DatabaseTarget) -> String {
    let name = target.metadata.name.as_deref().unwrap_or_default();
    format!("{}/{name}", namespace(target))
}

fn namespace(target: &DatabaseTarget) -> &str {
    target.metadata.namespace.as_deref().unwrap_or_default()
}

fn identity(target: &DatabaseTarget) -> Option<String> {
    target.spec.identity.as_ref().map(|identity| identity.expect.clone())
}

fn diagnostics_full(target: &DatabaseTarget) -> bool {
    target.spec.diagnostics == Diagnostics::Full
}

/// What is said about TLS, with the certificates that it refers to.
async fn tls(acting: &Acting, target: &DatabaseTarget, spec: &TlsSpec) -> Result<Tls, TargetError> {
    let namespace = namespace(target);
    let name = target.metadata.name.clone().unwrap_or_default();
    let failed = |source| TargetError::Source { target: name.clone(), source };
    let ca = match &spec.ca {
        Some(from) => Some(source::value(acting, namespace, from).await.map_err(failed)?),
        None => None,
    };
    let client = match &spec.client_certificate {
        Some(secret) => {
            let found = source::client_certificate(acting, namespace, &secret.secret_ref.name)
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
fn credentials(acting: &Acting, target: &DatabaseTarget) -> CredentialsSource {
    let (acting, namespace) = (acting.clone(), namespace(target).to_owned());
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
