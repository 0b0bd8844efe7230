//! Ending a running statement from another task.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::RwLock;

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
pub(super) struct Cancelled {
    asked: Arc<AtomicBool>,
    under_way: Arc<RwLock<()>>,
}

impl Cancelled {
    pub(super) fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// A canceller that marks the session first, so that what is only about to be sent is not, and then does what `ask`
    /// does.
    pub(super) fn canceller(
        &self,
        ask: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Canceller {
        let cancelled = self.clone();
        Canceller::new(move || {
            cancelled.asked.store(true, Ordering::SeqCst);
            let (under_way, asking) = (cancelled.under_way.clone(), ask());
            async move {
                let _under_way = under_way.read().await;
                asking.await;
            }
            .boxed()
        })
    }

    /// Returns when no request is under way: what is sent from then on is not met by the end of one that was meant for
    /// what ran before.
    pub(super) async fn settled(&self) {
        drop(self.under_way.write().await);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_is_waited_for() {
        let (cancelled, passed_on) = (Cancelled::default(), Arc::new(Notify::new()));
        let asking = passed_on.clone();
        let canceller = cancelled.canceller(move || {
            let asking = asking.clone();
            async move { asking.notified().await }.boxed()
        });
        cancelled.settled().await;
        assert!(!cancelled.asked());

        let request = tokio::spawn(async move { canceller.cancel().await });
        tokio::task::yield_now().await;
        assert!(cancelled.asked());
        let settled = tokio::time::timeout(std::time::Duration::from_secs(1), cancelled.settled()).await;
        assert!(settled.is_err(), "the request has not ended");
        passed_on.notify_one();
        cancelled.settled().await;
        request.await.expect("no panic");
    }
}
