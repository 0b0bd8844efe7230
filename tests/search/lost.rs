//! A connection cut before or after any request: never half, never twice.

use whimbrel::engine::{Claim, ScriptFailure, Session};

use crate::bed::{Bed, HISTORY, enter, script};
use crate::wire::{Cut, Wire};
use whimbrel::engine::search::Search;

/// Makes an index, puts documents in by id, switches an alias, and takes the old index away.
const SCRIPT: &str = "\
PUT /new

{\"settings\":{\"number_of_replicas\":0}}
###
PUT /new/_create/1

{\"n\":1}
###
POST /new/_bulk

{\"create\":{\"_id\":\"2\"}}
{\"n\":2}

###
POST /_aliases

{\"actions\":[{\"remove\":{\"index\":\"old\",\"alias\":\"live\"}},{\"add\":{\"index\":\"new\",\"alias\":\"live\"}}]}
###
DELETE /old
";

fn lay_out(bed: &Bed) {
    for index in ["old", "new", ".whimbrel"] {
        bed.curl("DELETE", &format!("/{index}"), None);
    }
    bed.put("/old", "{\"aliases\":{\"live\":{}},\"settings\":{\"number_of_replicas\":0}}");
}

fn is_done(bed: &Bed) -> bool {
    bed.count("live") == 2 && bed.count("new") == 2 && !bed.has("/old")
}

/// Until it is in, as a driver does: enters again after every lost answer, waits when it is told to.
async fn to_the_end(engine: &Search, bed: &Bed, text: &str) {
    let script = script(text);
    for _ in 0..40 {
        let mut session = enter(engine, &bed.fence(1)).await;
        if !session.histories()[HISTORY].is_empty() {
            session.leave(Claim::GiveUp).await.expect("leaves");
            return;
        }
        match session.apply(HISTORY, &script).await {
            Ok(_) | Err(ScriptFailure::Lost { .. } | ScriptFailure::Blocked(_) | ScriptFailure::LockLost) => {
            }
            Err(failure) => panic!("{failure}"),
        }
        drop(session);
    }
    panic!("it never ends");
}

#[tokio::test]
async fn cut_anywhere_a_script_is_in_once() {
    let bed = Bed::new().await;
    let wire = Wire::new(bed.port()).await;
    let mut settings = bed.through(wire.port);
    // A request that was cut may arrive as late as this.
    settings.request_timeout = std::time::Duration::from_millis(700);
    lay_out(&bed);
    let engine = Search::new(settings.clone());
    wire.mend();
    let mut session = enter(&engine, &bed.fence(1)).await;
    let entering = wire.seen();
    session.apply(HISTORY, &script(SCRIPT)).await.expect("applies");
    let all = wire.seen();
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert!(is_done(&bed) && all - entering > 15, "{entering} {all}");

    for number in entering..all {
        for cut in [Cut::Before, Cut::After] {
            lay_out(&bed);
            let engine = Search::new(settings.clone());
            wire.cut_number(number, cut);
            to_the_end(&engine, &bed, SCRIPT).await;
            wire.mend();
            assert!(is_done(&bed), "{number} {cut:?}");
        }
    }
}

#[tokio::test]
async fn what_must_not_be_done_twice_is_unknown_and_never_sent_again() {
    for cut in [Cut::Before, Cut::After] {
        let bed = Bed::new().await;
        let wire = Wire::new(bed.port()).await;
        let engine = Search::new(bed.through(wire.port));
        let script = script("POST /users/_doc\n\n{\"n\":1}\n");
        let mut session = enter(&engine, &bed.fence(1)).await;
        wire.cut_like("POST /users/_doc", cut);
        let lost = session.apply(HISTORY, &script).await;
        assert!(matches!(lost, Err(ScriptFailure::Lost { .. })), "{lost:?}");
        drop(session);
        let mut session = enter(&engine, &bed.fence(2)).await;
        assert_eq!(session.partial().len(), 1);
        for _ in 0..2 {
            let outcome = session.apply(HISTORY, &script).await.expect_err("nobody knows");
            assert_eq!(
                outcome.to_string(),
                "nobody can tell what of the script is applied: request 1 (POST /users/_doc) was sent and its answer is lost. Sent again it might do its work twice; write # @probe above it, or give what it makes an id"
            );
        }
        session.leave(Claim::GiveUp).await.expect("leaves");
        let sent = usize::from(cut == Cut::After);
        assert_eq!((wire.passed("POST /users/_doc"), bed.count("users")), (sent, sent as u64));
    }
}

#[tokio::test]
async fn a_probe_tells() {
    let text = "# @probe GET /users/_count?q=n:1 -> /count 1\nPOST /users/_doc?refresh=true\n\n{\"n\":1}\n";
    for cut in [Cut::Before, Cut::After] {
        let bed = Bed::new().await;
        bed.put("/users", "{\"settings\":{\"number_of_replicas\":0}}");
        let wire = Wire::new(bed.port()).await;
        let engine = Search::new(bed.through(wire.port));
        wire.cut_like("POST /users/_doc", cut);
        to_the_end(&engine, &bed, text).await;
        assert_eq!((wire.passed("POST /users/_doc"), bed.count("users")), (1, 1), "{cut:?}");
    }
}

#[tokio::test]
async fn an_undo_that_was_cut_goes_on() {
    let bed = Bed::new().await;
    let wire = Wire::new(bed.port()).await;
    let all = crate::bed::scripts(&[
        ("V1__a.http", "PUT /a\n###\nPUT /b\n"),
        ("U1__a.http", "DELETE /b\n###\nDELETE /a\n"),
    ]);
    for (beginning, cut) in [("DELETE /b", Cut::Before), ("DELETE /b", Cut::After), ("DELETE /a", Cut::After)]
    {
        let engine = Search::new(bed.through(wire.port));
        let mut session = enter(&engine, &bed.fence(1)).await;
        session.apply(HISTORY, &all[0]).await.expect("applies");
        wire.cut_like(beginning, cut);
        let lost = session.undo(HISTORY, &all[0]).await;
        assert!(matches!(lost, Err(ScriptFailure::Lost { .. })), "{lost:?}");
        drop(session);
        let mut session = enter(&engine, &bed.fence(1)).await;
        // It still counts as applied, so that whoever takes back goes on with it.
        assert_eq!(
            (session.histories()[HISTORY].len(), session.partial().len()),
            (1, 0),
            "{beginning} {cut:?}"
        );
        session.undo(HISTORY, &all[0]).await.expect("goes on");
        assert!(session.histories()[HISTORY].is_empty());
        session.leave(Claim::GiveUp).await.expect("leaves");
        assert!(!bed.has("/a") && !bed.has("/b"), "{beginning} {cut:?}");
    }
}
