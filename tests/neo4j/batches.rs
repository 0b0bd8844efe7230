//! `CALL { … } IN TRANSACTIONS`: again only where what is done is not done again.

use whimbrel::engine::neo4j::Neo4j;
use whimbrel::engine::{Claim, Engine as _, ScriptFailure, Session};

use crate::bed::{Bed, HISTORY, count, enter, error, port, rows, script, until};
use crate::proxy::{Proxy, Way};

const COPY: &str = "MATCH (o:Old) WITH o ORDER BY o.id CALL (o) { CREATE (n:New) SET n.id = o.id } IN TRANSACTIONS OF 100 ROWS";
const MARK: &str =
    "MATCH (o:Old) WHERE o.done IS NULL CALL (o) { SET o.done = true } IN TRANSACTIONS OF 10 ROWS";
const NEW: &str = "MATCH (n:New) RETURN count(n)";

#[tokio::test]
async fn batches_are_applied_with_their_row() {
    let bed = Bed::new().await;
    rows("UNWIND range(1, 1000) AS id CREATE (:Old {id: id})");
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &script(COPY)).await.expect("applies");
    assert!(session.partial().is_empty());
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count(NEW), 1000);
}

#[tokio::test]
async fn a_copy_that_was_cut_is_never_run_again() {
    let bed = Bed::new().await;
    // The seventh batch meets a node that it may not copy.
    rows("UNWIND range(1, 1000) AS id CREATE (:Old {id: id})");
    rows("CREATE (:New {id: 650})");
    rows("CREATE CONSTRAINT new_id FOR (n:New) REQUIRE n.id IS UNIQUE");
    let probed = format!("// whimbrel: probe MATCH (n:New) RETURN count(n)\n{COPY}");
    let mut session = bed.enter(1).await;
    let Err(ScriptFailure::Unknown { evidence }) = session.apply(HISTORY, &script(&probed)).await else {
        panic!("known")
    };
    let begin = "statement 1 (V1__a.cypher:2:1) commits batches of its own and was cut: the server said: ";
    assert!(evidence.starts_with(begin), "{evidence}");
    assert!(evidence.ends_with("; its probe said 1 before and says 601 now"), "{evidence}");
    assert!(!evidence.contains("= 650"), "{evidence}");
    session.leave(Claim::Keep).await.expect("leaves");

    rows("MATCH (n:New {id: 650}) DELETE n");
    let mut session = bed.enter(1).await;
    let Err(ScriptFailure::Unknown { evidence }) = session.apply(HISTORY, &script(&probed)).await else {
        panic!("known")
    };
    assert!(
        evidence.ends_with("its answer was lost; its probe said 1 before and says 600 now"),
        "{evidence}"
    );
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count(NEW), 600);
}

#[tokio::test]
async fn one_that_shows_what_is_done_goes_on() {
    let bed = Bed::new().await;
    let proxy = Proxy::new("127.0.0.1", port()).await;
    rows("UNWIND range(1, 2000) AS id CREATE (:Old {id: id})");
    let engine = Neo4j::new(bed.plain(proxy.port));
    let mut session = enter(&engine, 1).await;
    let marked = "MATCH (o:Old) WHERE o.done IS NOT NULL RETURN count(o)";
    let cutting = async {
        until("some are marked", || count(marked) > 0).await;
        proxy.cut_after(Way::ToClient, 0);
        proxy.cut_after(Way::ToServer, 0);
    };
    let applying = async {
        let outcome = session.apply(HISTORY, &script(MARK)).await;
        drop(session);
        outcome
    };
    // Whether the cut or the end comes first is the machine's affair: both are an outcome that is read rightly.
    let (outcome, ()) = tokio::join!(applying, cutting);
    proxy.mend();
    let mut session = enter(&engine, 1).await;
    if session.histories()[HISTORY].is_empty() {
        assert!(outcome.is_err());
        session.apply(HISTORY, &script(MARK)).await.expect("goes on");
    }
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count(marked), 2000);
    assert_eq!(count("MATCH (s:__WhimbrelScript {state: 'Applied'}) RETURN count(s)"), 1);
}

#[tokio::test]
async fn a_restartable_one_that_fails_says_that_something_stays_and_is_partial() {
    let bed = Bed::new().await;
    rows("UNWIND range(1, 100) AS id CREATE (:Old {id: id})");
    let body = "// whimbrel: restartable\nMATCH (o:Old) WITH o ORDER BY o.id CALL (o) { MERGE (:New {id: o.id, x: 100 / (50 - o.id)}) } IN TRANSACTIONS OF 10 ROWS";
    let mut session = bed.enter(1).await;
    let wrong = error(session.apply(HISTORY, &script(body)).await.expect_err("fails"));
    assert_eq!(
        wrong.to_string(),
        "V1__a.cypher:2:1 (statement 1): / by zero (Transactions committed: 4) (Neo.ClientError.Statement.ArithmeticError). The batches before it are applied and stay; it may run again."
    );
    assert_eq!(session.partial().len(), 1);
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(count(NEW), 40);
}

#[tokio::test]
async fn cancelled_in_the_middle_it_is_unknown_with_its_counts() {
    let bed = Bed::new().await;
    rows("UNWIND range(1, 300) AS id CREATE (:Old {id: id})");
    let slow = "// whimbrel: probe MATCH (n:New) RETURN count(n)\n\
        MATCH (o:Old) CALL (o) { CREATE (n:New {id: o.id}) WITH n UNWIND range(1, 300000) AS x WITH max(x) AS y, n SET n.y = y } IN TRANSACTIONS OF 1 ROW";
    let slow = script(slow);
    let mut session = bed.enter(1).await;
    let canceller = session.canceller();
    let cancelling = async {
        until("some are there", || count(NEW) > 2).await;
        let said = bed.engine().progress(&crate::bed::fence(1), &slow).await.expect("is asked");
        canceller.cancel().await;
        said.expect("it has a probe")
    };
    let (outcome, said) = tokio::join!(session.apply(HISTORY, &slow), cancelling);
    let so_far: i64 = said.strip_prefix("its probe says ").and_then(|n| n.parse().ok()).expect("a number");
    assert!((3..300).contains(&so_far), "{said}");
    let Err(ScriptFailure::Unknown { evidence }) = outcome else { panic!("{outcome:?}") };
    let there = count(NEW);
    assert!((3..300).contains(&there), "{there}");
    assert!(
        evidence
            .ends_with(&format!("was cut: it was cancelled; its probe said 0 before and says {there} now")),
        "{evidence}"
    );
}
