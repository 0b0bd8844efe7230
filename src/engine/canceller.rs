//! Ending a running statement from another task.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;

/// Asks the server to end what a session is running. The session itself then says how that ended: a statement may
/// have finished before the request arrived.
#[derive(Clone)]
pub struct Canceller(Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>);

impl Canceller {
    /// A canceller that does what `ask` does. `ask` may be called more than once.
    pub fn new(ask: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Sends the request. Nothing is returned, since only the session knows what came of it.
    pub async fn cancel(&self) {
        (self.0)().await;
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canceller")
    }
}

/// Set once somebody has asked a session to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// A canceller that marks the session first, so that what is only about to be sent is not, and then does what `ask`
    /// does.
    pub(super) fn canceller(
        &self,
        ask: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Canceller {
        let cancelled = self.clone();
        Canceller::new(move || {
            cancelled.0.store(true, Ordering::SeqCst);
            ask()
        })
    }
}
