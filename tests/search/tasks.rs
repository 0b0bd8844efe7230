//! Work by query as a task: awaited, found again after a lost answer, started again when it is gone.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use whimbrel::engine::search::Search;
use whimbrel::engine::{Claim, Engine as _, ScriptFailure, Session};

use crate::bed::{Bed, HISTORY, enter, script};
use crate::wire::{Cut, Wire};

const DOCUMENTS: usize = 600;

fn reindex(parameters: &str) -> String {
    format!(
        "# @await task\nPOST /_reindex{parameters}\n\n{{\"conflicts\":\"proceed\",\"source\":{{\"index\":\"a\",\"size\":50}},\"dest\":{{\"index\":\"b\",\"op_type\":\"create\"}}}}\n"
    )
}

async fn task(bed: &Bed) -> Option<String> {
    let tasks = bed.get("/_tasks?actions=*reindex");
    let nodes = tasks["nodes"].as_object()?;
    nodes.values().find_map(|node| node["tasks"].as_object()?.keys().next().cloned())
}

/// Waits until the server runs a reindex.
async fn runs(bed: &Bed) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(id) = task(bed).await {
            return id;
        }
        assert!(Instant::now() < deadline, "no reindex runs");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_reindex_is_done_when_its_documents_can_be_found() {
    let bed = Bed::new().await;
    bed.fill("a", DOCUMENTS);
    let engine = bed.engine();
    let mut session = enter(&engine, &bed.fence(1)).await;
    session.apply(HISTORY, &script(&reindex(""))).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
    // Not refreshed by us: the script's own end has done it.
    assert_eq!(bed.get("/b/_count")["count"], DOCUMENTS);
}

#[tokio::test]
async fn a_lost_answer_finds_its_task_again_running_or_ended() {
    for (parameters, cut) in [("?requests_per_second=300", Cut::After), ("", Cut::After), ("", Cut::Before)] {
        let bed = Bed::new().await;
        bed.fill("a", DOCUMENTS);
        // What the next request of a script searches is there only if we refresh it.
        bed.put("/b", "{\"settings\":{\"refresh_interval\":\"-1\"}}");
        let wire = Wire::new(bed.port()).await;
        let engine = Search::new(bed.through(wire.port));
        let script = script(&reindex(parameters));
        let mut session = enter(&engine, &bed.fence(1)).await;
        wire.cut_like("POST /_reindex", cut);
        let lost = session.apply(HISTORY, &script).await;
        assert!(matches!(lost, Err(ScriptFailure::Lost { .. })), "{lost:?}");
        drop(session);
        let mut session = enter(&engine, &bed.fence(2)).await;
        session.apply(HISTORY, &script).await.expect("goes on");
        session.leave(Claim::GiveUp).await.expect("leaves");
        assert_eq!(bed.get("/b/_count")["count"], DOCUMENTS, "{parameters} {cut:?}");
        assert_eq!(wire.passed("POST /_reindex"), 1, "{parameters} {cut:?}");
    }
}

#[tokio::test]
async fn a_task_that_is_gone_is_started_again_and_does_nothing_twice() {
    let bed = Bed::new().await;
    bed.fill("a", DOCUMENTS);
    let wire = Wire::new(bed.port()).await;
    let engine = Search::new(bed.through(wire.port));
    let script = script(&reindex("?requests_per_second=400"));
    let mut session = enter(&engine, &bed.fence(1)).await;
    let asked = script.clone();
    let applying = tokio::spawn(async move { (session.apply(HISTORY, &script).await, script) });
    let id = runs(&bed).await;
    // Until it has searched it does not know of how many.
    let deadline = Instant::now() + Duration::from_secs(20);
    let said = loop {
        if let Some(said) = engine.progress(&bed.fence(1), &asked).await.expect("is asked") {
            break said;
        }
        assert!(Instant::now() < deadline, "nothing is said of it");
    };
    assert!(said.starts_with("reindex: ") && said.ends_with(&format!(" of {DOCUMENTS} documents")), "{said}");
    // As after a restart of its node: it does not run, and nothing of it is stored.
    applying.abort();
    let _ = applying.await;
    bed.curl("POST", &format!("/_tasks/{id}/_cancel?wait_for_completion=true"), None);
    let deadline = Instant::now() + Duration::from_secs(20);
    while bed.curl("DELETE", &format!("/.tasks/_doc/{id}?refresh=true"), None).0 != 200 {
        assert!(Instant::now() < deadline, "the task is not stored");
        sleep(Duration::from_millis(20)).await;
    }
    let written = bed.count("b");
    assert!(written > 0 && written < DOCUMENTS as u64, "{written}");
    let script = crate::bed::script(&reindex("?requests_per_second=400"));
    let mut session = enter(&engine, &bed.fence(2)).await;
    session.apply(HISTORY, &script).await.expect("started again");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!((bed.count("b"), wire.passed("POST /_reindex")), (DOCUMENTS as u64, 2));
}

#[tokio::test]
async fn cancelled_its_task_ends_at_the_server_and_the_next_session_goes_on() {
    let bed = Bed::new().await;
    bed.fill("a", DOCUMENTS);
    let engine = bed.engine();
    let text = reindex("?requests_per_second=150");
    let mut session = enter(&engine, &bed.fence(1)).await;
    let canceller = session.canceller();
    let script_now = script(&text);
    let applying = tokio::spawn(async move { (session.apply(HISTORY, &script_now).await, session) });
    runs(&bed).await;
    canceller.cancel().await;
    let (ended, session) = applying.await.expect("no panic");
    let lost = ScriptFailure::Lost { reason: "request 1 was ended on our own request".to_owned() };
    assert_eq!(ended, Err(lost));
    assert_eq!(task(&bed).await, None);
    session.leave(Claim::Keep).await.expect("leaves");
    let written = bed.count("b");
    assert!(written < DOCUMENTS as u64, "{written}");
    // As after a pod that was told to go: another one takes the run up.
    let mut session = enter(&engine, &bed.fence(2)).await;
    assert_eq!(session.partial().len(), 1);
    session.apply(HISTORY, &script(&text)).await.expect("goes on");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(bed.count("b"), DOCUMENTS as u64);
}

#[tokio::test]
async fn a_task_that_somebody_else_ended_is_a_failure_that_says_how_far_it_came() {
    let bed = Bed::new().await;
    bed.fill("a", DOCUMENTS);
    let engine = bed.engine();
    let mut session = enter(&engine, &bed.fence(1)).await;
    let script = script(&reindex("?requests_per_second=100"));
    let applying = tokio::spawn(async move { session.apply(HISTORY, &script).await });
    let id = runs(&bed).await;
    bed.curl("POST", &format!("/_tasks/{id}/_cancel"), None);
    let failed = applying.await.expect("no panic").expect_err("ended");
    assert!(failed.to_string().contains("it was cancelled (by user request); of 600 documents"), "{failed}");
}

#[tokio::test]
async fn documents_that_were_there_before_are_no_success() {
    let bed = Bed::new().await;
    bed.fill("a", 5);
    bed.fill("b", 2);
    let engine = bed.engine();
    let mut session = enter(&engine, &bed.fence(1)).await;
    let failed = session.apply(HISTORY, &script(&reindex(""))).await.expect_err("conflicts");
    assert_eq!(
        failed.to_string(),
        "V1__a.http:2 (statement 1): 2 documents were passed over, because they were there before or changed meanwhile; of 5 documents 3 are created, 0 updated, 0 deleted (version_conflicts). Write to an index of its own that is empty, and see that nobody else writes. What it did before that stays."
    );
    session.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn a_task_that_outlived_its_session_is_ended_before_its_script_is_taken_back() {
    let bed = Bed::new().await;
    bed.fill("a", DOCUMENTS);
    let engine = bed.engine();
    let undo = "# whimbrel: undo partial-ok\n# @expect 200,404\nDELETE /b\n";
    let files = [("V1__a.http", reindex("?requests_per_second=50")), ("U1__a.http", undo.to_owned())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let script = crate::bed::scripts(&files).remove(0);
    let mut session = enter(&engine, &bed.fence(1)).await;
    let begun = script.clone();
    let applying = tokio::spawn(async move { session.apply(HISTORY, &begun).await });
    runs(&bed).await;
    // Its process is gone, and nobody has ended the task.
    applying.abort();
    let _ = applying.await;
    let mut session = enter(&engine, &bed.fence(2)).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match session.undo(HISTORY, &script).await {
            Ok(()) => break,
            Err(ScriptFailure::Blocked(by)) => {
                assert_eq!(
                    by.what,
                    "request 1 of V1__a.http still runs at the server and is being cancelled"
                );
                assert!(Instant::now() < deadline, "it never ends");
            }
            Err(failure) => panic!("{failure}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(task(&bed).await, None);
    assert!(!bed.has("/b"));
}
