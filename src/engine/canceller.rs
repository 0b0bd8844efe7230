//! Ending a running statement from another task.

use std::fmt;
use std::sync::Arc;

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
