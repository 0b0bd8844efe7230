//! One numbered point at every boundary between this program and what it changes: each write to the API server, each
//! message that changes a database, each rename of a store.
//!
//! Built with the feature `fault-points`, the environment can have the process die before or after point n, or lose the
//! answer to it (`told.rs`); `make crash` visits them all. Without the feature a point is nothing.

#[cfg(feature = "fault-points")]
mod told;

use http::{Method, Uri};
use std::future::Future;

/// The point that an effect passes.
pub(crate) struct Point {
    #[cfg(feature = "fault-points")]
    strike: Option<told::Strike>,
}

impl Point {
    /// The point of a write to the API server.
    #[cfg(feature = "fault-points")]
    pub(crate) fn of_request(method: &Method, uri: &Uri) -> Self {
        Self { strike: told::request(method, uri).and_then(told::pass) }
    }

    /// The point of a message to a database, by what it does.
    #[cfg(feature = "fault-points")]
    pub(crate) fn of_message(what: &str) -> Self {
        Self { strike: told::pass(what.to_owned()) }
    }

    /// The effect, struck if this is the point to be struck. `lost` makes the error of an answer that never came.
    #[cfg(feature = "fault-points")]
    pub(crate) async fn around<T, E>(
        self,
        effect: impl Future<Output = Result<T, E>>,
        lost: impl FnOnce(String) -> E,
    ) -> Result<T, E> {
        match self.strike {
            None => effect.await,
            Some(strike) => strike.around(effect, lost).await,
        }
    }

    /// No point: this build has none.
    #[cfg(not(feature = "fault-points"))]
    pub(crate) fn of_request(_: &Method, _: &Uri) -> Self {
        Self {}
    }

    /// No point: this build has none.
    #[cfg(not(feature = "fault-points"))]
    pub(crate) fn of_message(_: &str) -> Self {
        Self {}
    }

    /// The effect, and nothing else.
    #[cfg(not(feature = "fault-points"))]
    pub(crate) async fn around<T, E>(
        self,
        effect: impl Future<Output = Result<T, E>>,
        _: impl FnOnce(String) -> E,
    ) -> Result<T, E> {
        effect.await
    }
}
