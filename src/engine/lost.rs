//! A connection that went in the middle of something.

use super::{EngineError, ScriptFailure};

/// The connection went in the middle of something. A type of its own: only this leads to the ambiguity rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Lost {
    pub(super) reason: String,
}

impl Lost {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    /// Lost once it was made: what it was doing is to be read after a new [`super::Engine::enter`].
    pub(super) fn at(self, at: String) -> EngineError {
        EngineError::Lost { at, reason: self.reason }
    }

    /// Lost before it was made.
    pub(super) fn unreachable(self, at: &str) -> EngineError {
        EngineError::Unreachable { at: at.to_owned(), reason: self.reason }
    }
}

impl From<std::io::Error> for Lost {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<Lost> for ScriptFailure {
    fn from(lost: Lost) -> Self {
        Self::Lost { reason: lost.reason }
    }
}
