//! Two epochs, two runs: one writes at a time, and the older one is told.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use whimbrel::engine::{Claim, Engine, EngineError, ScriptFailure, Session};

use crate::bed::{Bed, HISTORY, enter, script};
use crate::entering::{one_run_at_a_time, refused};

#[tokio::test]
async fn one_session_at_a_time_and_the_reason_is_said() {
    let bed = Bed::new().await;
    let (one, other) = (bed.engine(), bed.engine());
    let session = enter(&one, &bed.fence(1)).await;
    let message = refused(&other, &bed.fence(2)).await.to_string();
    assert!(
        message.contains("is busy: a session of run 1 of aether/platform (epoch 1) holds the lease, which is taken over 5 s after its last sign of life, since "),
        "{message}"
    );
    session.leave(Claim::Keep).await.expect("leaves");
}

#[tokio::test]
async fn a_claim_keeps_other_runs_out_and_a_token_only_grows() {
    let bed = Bed::new().await;
    let at = format!("aether/search ({})", bed.url());
    one_run_at_a_time(&bed.engine(), &bed.fence(1), &at).await;
    let row = bed.get("/.whimbrel/_doc/fence")["_source"].clone();
    assert_eq!(
        (row["token"].as_u64(), row["claimed"].as_bool(), row["lease"].is_null()),
        (Some(5), Some(false), true)
    );
}

#[tokio::test]
async fn a_silent_session_is_taken_over_after_its_time_and_told() {
    let bed = Bed::new().await;
    let (one, other) = (bed.engine(), bed.engine());
    let mut silent = enter(&one, &bed.fence(1)).await;
    // Its process stands still, as far as anybody can see: the lease is put back to how it was taken.
    let since = Instant::now();
    let frozen = bed.get("/.whimbrel/_doc/fence")["_source"].to_string();
    let fence = bed.fence(2);
    let mut session = loop {
        match other.enter(&fence).await {
            Ok(session) => break session,
            Err(EngineError::Busy { .. }) => {
                bed.put("/.whimbrel/_doc/fence", &frozen);
                sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(since.elapsed() < Duration::from_secs(30), "never taken over");
    };
    assert!(since.elapsed() >= Duration::from_secs(5), "{:?}", since.elapsed());
    session.apply(HISTORY, &script("PUT /new\n")).await.expect("applies");
    let told = silent.apply(HISTORY, &script("PUT /old\n")).await;
    assert!(matches!(told, Err(ScriptFailure::Overtaken { token: 2 } | ScriptFailure::LockLost)), "{told:?}");
    assert!(bed.has("/new") && !bed.has("/old"));
    session.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn a_lease_outlives_its_time_while_its_holder_lives() {
    let bed = Bed::new().await;
    let mut settings = bed.settings();
    settings.lease = Duration::from_millis(800);
    let engine = whimbrel::engine::search::Search::new(settings);
    let mut session = enter(&engine, &bed.fence(1)).await;
    let beats = || bed.get("/.whimbrel/_doc/fence")["_source"]["lease"]["beat"].as_u64().unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(20);
    while beats() < 6 {
        assert!(Instant::now() < deadline, "no heartbeat");
        sleep(Duration::from_millis(50)).await;
    }
    session.apply(HISTORY, &script("PUT /a\n")).await.expect("still ours");
    session.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn another_format_and_another_cluster_are_refused() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    enter(&engine, &bed.fence(1)).await.leave(Claim::GiveUp).await.expect("leaves");
    let mut row = bed.get("/.whimbrel/_doc/fence")["_source"].clone();
    row["format"] = 2.into();
    bed.put("/.whimbrel/_doc/fence", &row.to_string());
    let refusal = refused(&engine, &bed.fence(2)).await.to_string();
    assert!(
        refusal.ends_with("the index .whimbrel is of format 2, this version knows 1: use the version of Whimbrel that made it"),
        "{refusal}"
    );
    let mut settings = bed.settings();
    settings.identity_expect = Some("another".to_owned());
    let refused =
        whimbrel::engine::search::Search::new(settings).look().await.expect_err("refused").to_string();
    let uuid = bed.get("/")["cluster_uuid"].as_str().unwrap_or_default().to_owned();
    assert!(
        refused.ends_with(&format!(
            "is another database: expected identity another, found {uuid}. Correct the address, or spec.identity.expect."
        )),
        "{refused}"
    );
}
