//! The fence of a target without transactions: one document with the token that only grows, the claim, and a lease that its
//! holder renews. It is weak: who writes it knows that nobody else had it at that moment, not that no older request is still
//! under way. So a lease is taken over only after it has stood still for its own time and for that of the longest request.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::client::Client;
use super::store::{FORMAT, INDEX, Version, Wrote};
use crate::engine::{BlockedBy, ClaimSeen, EngineError, Fence, fence};

/// The id of the document.
pub(super) const ID: &str = "fence";

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) format: u32,
    pub(super) token: u64,
    pub(super) claimed: bool,
    pub(super) run_uid: String,
    pub(super) run: u64,
    pub(super) plan: String,
    pub(super) cluster: String,
    pub(super) lease: Option<Lease>,
}

/// Who works in the target right now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Names one session for ever.
    pub(super) holder: String,
    /// Grows with every heartbeat.
    pub(super) beat: u64,
    /// How long it holds without one, and how long a request of its holder may take.
    pub(super) milliseconds: u64,
    pub(super) request_milliseconds: u64,
    pub(super) since: Timestamp,
}

impl Row {
    pub(super) fn seen(&self) -> ClaimSeen {
        ClaimSeen {
            run_uid: self.run_uid.clone(),
            run: self.run,
            plan: self.plan.clone(),
            token: self.token,
            cluster: self.cluster.clone(),
        }
    }
}

/// What this process has seen of leases: how long one stands still is measured on our own clock, since clocks of others may
/// be wrong.
#[derive(Default)]
pub(super) struct Watched {
    still: Mutex<Option<Still>>,
    /// Sessions of this process that ended without giving their lease back, and when their last request may arrive.
    ended: Mutex<BTreeMap<String, Instant>>,
}

struct Still {
    holder: String,
    beat: u64,
    since: Instant,
}

impl Watched {
    /// A session of ours is gone. `arrives`: as long as what it sent last may still take effect.
    pub(super) fn ended(&self, holder: &str, arrives: Duration) {
        let mut ended = self.ended.lock().expect("nobody panics while holding it");
        ended.insert(holder.to_owned(), Instant::now() + arrives);
    }

    /// How long the lease must still be waited for; zero: its holder can do nothing any more.
    fn wait(&self, lease: &Lease) -> Duration {
        let now = Instant::now();
        let ended = self.ended.lock().expect("nobody panics while holding it");
        if let Some(quiet_from) = ended.get(&lease.holder) {
            return quiet_from.saturating_duration_since(now);
        }
        drop(ended);
        let whole = Duration::from_millis(lease.milliseconds.saturating_add(lease.request_milliseconds));
        let mut still = self.still.lock().expect("nobody panics while holding it");
        match still.as_ref() {
            Some(seen) if seen.holder == lease.holder && seen.beat == lease.beat => {
                whole.saturating_sub(now - seen.since)
            }
            _ => {
                *still = Some(Still { holder: lease.holder.clone(), beat: lease.beat, since: now });
                whole
            }
        }
    }
}

/// Whether `fence` may go in past `row`.
pub(super) fn admit(at: &str, row: &Row, fence: &Fence) -> Result<(), EngineError> {
    if row.format != FORMAT {
        let reason = format!(
            "the index {INDEX} is of format {}, this version knows {FORMAT}: use the version of Whimbrel that made it",
            row.format
        );
        return Err(EngineError::Unsupported { at: at.to_owned(), reason });
    }
    fence::admit(at, row.claimed, &row.seen(), fence)
}

impl Client {
    /// The fence as it stands, nothing held.
    pub(super) async fn fence(&self) -> Result<Option<(Version, Row)>, EngineError> {
        self.get(INDEX, ID).await
    }

    /// Takes the lease with our token and claim, or says why not. One try.
    pub(super) async fn take(
        &self,
        fence: &Fence,
        holder: &str,
        watched: &Watched,
    ) -> Result<(Version, Row), EngineError> {
        let at = self.settings.at();
        let found = self.fence().await?;
        if let Some((_, row)) = &found {
            admit(&at, row, fence)?;
            if let Some(lease) = row.lease.as_ref().filter(|lease| !watched.wait(lease).is_zero()) {
                return Err(EngineError::Busy { at, by: held(row, lease) });
            }
        }
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let row = Row {
            format: FORMAT,
            token: fence.token,
            claimed: true,
            run_uid: fence.run_uid.clone(),
            run: fence.run,
            plan: fence.plan.clone(),
            cluster: fence.cluster.clone(),
            lease: Some(Lease {
                holder: holder.to_owned(),
                beat: 0,
                milliseconds: milliseconds(self.settings.lease),
                request_milliseconds: milliseconds(self.settings.request_timeout),
                since: Timestamp::now(),
            }),
        };
        match self.put("raise the fence", INDEX, ID, found.map(|(version, _)| version), &row).await? {
            Wrote::Done(version) => Ok((version, row)),
            Wrote::Stale => {
                let by = BlockedBy::unnamed("another session was faster at the fence");
                Err(EngineError::Busy { at, by })
            }
        }
    }
}

fn held(row: &Row, lease: &Lease) -> BlockedBy {
    let seconds = (lease.milliseconds + lease.request_milliseconds).div_ceil(1000);
    BlockedBy {
        what: format!(
            "a session of run {} of {} (epoch {}) holds the lease, which is taken over {seconds} s after its last sign of life",
            row.run, row.plan, row.token
        ),
        since: Some(lease.since),
        sql: None,
        pid: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fence_of_our_own_format_is_judged() {
        let row = |format| Row {
            format,
            token: 4,
            claimed: true,
            run_uid: "a".to_owned(),
            run: 7,
            plan: "other/q".to_owned(),
            cluster: "c2".to_owned(),
            lease: None,
        };
        assert_eq!(admit("t", &row(FORMAT), &Fence::of_run("a", 5)), Ok(()));
        let refusal = admit("t", &row(FORMAT), &Fence::of_run("b", 5)).unwrap_err();
        assert_eq!(refusal.to_string(), "t is claimed by run 7 of other/q (cluster c2)");
        let newer = admit("t", &row(FORMAT + 1), &Fence::of_run("a", 5)).unwrap_err();
        assert!(newer.to_string().contains("is of format 2"), "{newer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_taken_over_when_it_stood_still_for_its_time_and_a_request() {
        let watched = Watched::default();
        let lease = |holder: &str, beat| Lease {
            holder: holder.to_owned(),
            beat,
            milliseconds: 20_000,
            request_milliseconds: 30_000,
            since: Timestamp::UNIX_EPOCH,
        };
        let seconds = Duration::from_secs;
        assert_eq!(watched.wait(&lease("a", 1)), seconds(50));
        tokio::time::advance(seconds(49)).await;
        assert_eq!(watched.wait(&lease("a", 1)), seconds(1));
        // It moved: the time begins anew.
        assert_eq!(watched.wait(&lease("a", 2)), seconds(50));
        tokio::time::advance(seconds(50)).await;
        assert!(watched.wait(&lease("a", 2)).is_zero());
        assert_eq!(watched.wait(&lease("b", 2)), seconds(50));
        // A session of ours that is gone can only have a request under way.
        watched.ended("b", seconds(30));
        assert_eq!(watched.wait(&lease("b", 2)), seconds(30));
        tokio::time::advance(seconds(30)).await;
        assert!(watched.wait(&lease("b", 2)).is_zero());
    }
}
