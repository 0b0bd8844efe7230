//! Waiting for what a test can only see from outside.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Waits until `holds`, at most half a minute; panics with `what` after that.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}
