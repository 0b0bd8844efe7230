//! How long we wait, and why so long.

use std::time::Duration;

/// Between two looks at a database that changes by itself (sessions, a lock): nothing there tells us.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// Between two looks at pods, workloads and Jobs where nothing says that they have moved. Watches say it at once; this is
/// for the watch that we may not have, or that is late.
pub(super) const LOOK_ANYWAY: Duration = Duration::from_secs(2);

/// Between two tries of something that failed in passing, at first; doubled up to [`RETRY_MOST`].
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(250);

/// The longest pause between two tries: an outage of minutes is noticed at most this late.
pub(super) const RETRY_MOST: Duration = Duration::from_secs(15);

/// How often foreign sessions are looked for while scripts run.
pub(super) const QUIET_WATCH: Duration = Duration::from_secs(5);

/// How often a running script is asked how far it is, for people.
pub(super) const PROGRESS_WATCH: Duration = Duration::from_secs(10);

/// How long foreign sessions may stay before the run gives the workloads back: services are down while we wait.
pub(super) const QUIET_WITHIN: Duration = Duration::from_secs(300);

/// How long pods may take to go: longer than any sane terminationGracePeriodSeconds.
pub(super) const PODS_GONE_WITHIN: Duration = Duration::from_secs(900);

/// How long the pod of a Job may take to start: longer than a node takes to be added, and services are down while an image
/// that nobody has is pulled again and again.
pub(super) const STARTS_WITHIN: Duration = Duration::from_secs(300);

/// How long a look under the claim may be refused for what usually passes by itself (a server that does not answer): nobody
/// is down yet, and a run that ends here has to be asked for again by a person.
pub(super) const LOOKS_WITHIN: Duration = Duration::from_secs(120);

/// How often replicas are taken down again before a run turns around: a fight is lost by then, not noise.
pub(super) const CONTENTIONS: u32 = 3;

/// How many writes to one workload need no pause between them: no op needs more than two.
pub(super) const WRITES_AT_ONCE: u32 = 3;

/// How often a waiting run looks whether what it waits for has changed without telling us.
pub(super) const GATE_LOOK: Duration = Duration::from_secs(30);

/// The pause after the n-th failure in a row.
pub(super) fn pause(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(2_u32.saturating_pow(failures.min(8))).min(RETRY_MOST)
}
