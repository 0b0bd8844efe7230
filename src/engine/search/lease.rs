//! The lease while we hold it: renewed by a task of its own, looked at before every effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::fence::{ID, Row, Watched};
use super::store::{INDEX, Version, Wrote};
use crate::engine::ScriptFailure;

/// So often in its time a lease is renewed: two beats may be lost.
const BEATS: u32 = 4;

/// A held lease. Dropped, it is remembered as one whose holder is gone.
pub(super) struct Held {
    state: Arc<Mutex<State>>,
    beating: JoinHandle<()>,
    watched: Arc<Watched>,
    holder: String,
    request: Duration,
    /// A request of the session is under way.
    pub(super) under_way: Arc<AtomicBool>,
    given_back: bool,
}

struct State {
    version: Version,
    row: Row,
    good_until: Instant,
    /// The token that is there instead of ours; 0 where only the holder is another one.
    overtaken: Option<u64>,
}

impl Held {
    pub(super) fn new(
        client: &Arc<Client>,
        watched: &Arc<Watched>,
        version: Version,
        row: Row,
        taken: Instant,
    ) -> Self {
        let lease = client.settings.lease;
        let holder = row.lease.as_ref().map(|lease| lease.holder.clone()).unwrap_or_default();
        let state = Arc::new(Mutex::new(State { version, row, good_until: taken + lease, overtaken: None }));
        let (beaten, client) = (state.clone(), client.clone());
        let request = client.settings.request_timeout;
        let beating = tokio::spawn(async move {
            loop {
                sleep(lease / BEATS).await;
                beaten.lock().await.beat(&client).await;
            }
        });
        Self {
            state,
            beating,
            watched: watched.clone(),
            holder,
            request,
            under_way: Arc::default(),
            given_back: false,
        }
    }

    /// Whether an effect may begin now.
    pub(super) async fn check(&self, client: &Client) -> Result<(), ScriptFailure> {
        let mut state = self.state.lock().await;
        if state.overtaken.is_none() && state.good_until <= Instant::now() + client.settings.lease / BEATS {
            state.beat(client).await;
        }
        match state.overtaken {
            Some(0) => Err(ScriptFailure::LockLost),
            Some(token) => Err(ScriptFailure::Overtaken { token }),
            None if state.good_until > Instant::now() => Ok(()),
            None => {
                let reason = "the lease on the target could not be renewed in time".to_owned();
                Err(ScriptFailure::Lost { reason })
            }
        }
    }

    /// Ends the heartbeat and gives the fence back, to be written without a lease.
    pub(super) async fn give_back(mut self) -> (Version, Row) {
        self.given_back = true;
        // Locked first: a beat that is under way ends before, and none begins any more.
        let mut state = self.state.lock().await;
        self.beating.abort();
        state.row.lease = None;
        (state.version, state.row.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beating.abort();
        if !self.given_back {
            let under_way = self.under_way.load(Ordering::Relaxed);
            self.watched.ended(&self.holder, if under_way { self.request } else { Duration::ZERO });
        }
    }
}

impl State {
    async fn beat(&mut self, client: &Client) {
        if self.overtaken.is_some() {
            return;
        }
        let began = Instant::now();
        let mut row = self.row.clone();
        if let Some(lease) = &mut row.lease {
            lease.beat += 1;
        }
        match client.put("renew the lease", INDEX, ID, Some(self.version), &row).await {
            Ok(Wrote::Done(version)) => {
                (self.version, self.row, self.good_until) = (version, row, began + client.settings.lease);
            }
            // An earlier beat may have arrived whose answer did not: then it still is our own row.
            Ok(Wrote::Stale) => self.read_again(client).await,
            Err(error) => tracing::warn!(%error, "a heartbeat did not get through"),
        }
    }

    async fn read_again(&mut self, client: &Client) {
        let Ok(Some((version, row))) = client.fence().await else { return };
        let holder = |row: &Row| row.lease.as_ref().map(|lease| lease.holder.clone());
        if holder(&row) == holder(&self.row) && row.token == self.row.token {
            (self.version, self.row) = (version, row);
        } else {
            self.overtaken = Some(if row.token > self.row.token { row.token } else { 0 });
        }
    }
}
