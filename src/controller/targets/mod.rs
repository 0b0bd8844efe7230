//! A DatabaseTarget opened: the engine that reaches it, and what Jobs need to know of it.

mod postgresql;

use super::operator::Operator;
use crate::api::target::{Engine as Kind, EngineSpec, HistoryFormat, Postgresql as PostgresqlSpec};
use crate::api::{DatabaseTarget, not_built};
use crate::cluster::source::SourceError;
use crate::cluster::{Acting, ReadError, get};
use crate::engine::AnyEngine;
use crate::script::Dialect;

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
                AnyEngine::Postgresql(postgresql::open(&acting, &object, spec).await?)
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
}

/// The language of an engine's scripts; none: it is not built.
pub(super) fn dialect(kind: Kind) -> Option<Dialect> {
    match kind {
        Kind::Postgresql => Some(Dialect::Postgresql),
        _ => None,
    }
}
