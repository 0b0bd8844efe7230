//! Taking scripts back: schema first and as often as it takes, data and history together.

use whimbrel::engine::neo4j::Neo4j;
use whimbrel::engine::{Claim, Engine, ScriptFailure, Session};

use crate::bed::{Bed, HISTORY, count, enter, error, port, rows, scripts, texts};
use crate::proxy::{Proxy, Way};

const FILES: [(&str, &str); 4] = [
    (
        "V1__schema.cypher",
        "CREATE CONSTRAINT user_id FOR (u:User) REQUIRE u.id IS UNIQUE; CREATE INDEX user_name FOR (u:User) ON (u.name);",
    ),
    ("U1__schema.cypher", "DROP INDEX user_name IF EXISTS; DROP CONSTRAINT user_id IF EXISTS;"),
    ("V2__users.cypher", "MATCH (u:User) SET u.n = u.n + 1;"),
    ("U2__users.cypher", "MATCH (u:User) SET u.n = u.n - 1;"),
];

#[tokio::test]
async fn what_was_before_is_there_again() {
    let bed = Bed::new().await;
    rows("CREATE (:User {id: 1, n: 0})");
    let all = scripts(&FILES);
    bed.enter(1).await.leave(Claim::Keep).await.expect("leaves");
    let before = bed.engine().proof().await.expect("reads");
    let mut session = bed.enter(1).await;
    for script in &all {
        session.apply(HISTORY, script).await.expect("applies");
    }
    session.leave(Claim::Keep).await.expect("leaves");
    let between = bed.engine().proof().await.expect("reads");
    assert_ne!(between.structure, before.structure);
    assert_ne!(between.histories, before.histories);
    let mut session = bed.enter(1).await;
    let early = error(session.undo(HISTORY, &all[0]).await.expect_err("refused"));
    assert_eq!(
        early.to_string(),
        "V1__schema.cypher: the younger script 2 is in the history (HistoryDrift). Undo that one first."
    );
    for script in all.iter().rev() {
        session.undo(HISTORY, script).await.expect("undoes");
    }
    let gone = error(session.undo(HISTORY, &all[0]).await.expect_err("refused"));
    assert_eq!(gone.to_string(), "V1__schema.cypher: it is not in the history (HistoryDrift)");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(bed.engine().proof().await.expect("reads"), before);
    assert_eq!(count("MATCH (u:User) RETURN u.n"), 0);
    // Undone, it may be applied again.
    let mut session = bed.enter(2).await;
    session.apply(HISTORY, &all[0]).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn an_undo_that_fails_changes_nothing_and_one_that_is_missing_says_so() {
    let bed = Bed::new().await;
    let all = scripts(&[
        ("V1__a.cypher", "CREATE (:A)"),
        ("U1__a.cypher", "MATCH (a:A) DELETE a;\nRETURN nope;"),
        ("V2__b.cypher", "CREATE (:B)"),
    ]);
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &all[0]).await.expect("applies");
    let wrong = error(session.undo(HISTORY, &all[0]).await.expect_err("refused"));
    assert_eq!(
        wrong.to_string(),
        "U1__a.cypher:2:8 (statement 2): Variable `nope` not defined (Neo.ClientError.Statement.SyntaxError)"
    );
    session.apply(HISTORY, &all[1]).await.expect("applies");
    let none = error(session.undo(HISTORY, &all[1]).await.expect_err("refused"));
    assert_eq!(
        none.to_string(),
        "V2__b.cypher: the script can't be taken back: it has no undo file (NoUndo)"
    );
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (a:A) RETURN count(a)"), 1);
    assert_eq!(
        texts("MATCH (s:__WhimbrelScript {state: 'Applied'}) RETURN s.key ORDER BY s.rank"),
        ["1", "2"]
    );
}

#[tokio::test]
async fn a_part_of_a_script_is_taken_back_too() {
    let bed = Bed::new().await;
    rows("CREATE INDEX i FOR (x:X) ON (x.y)");
    let all = scripts(&[
        ("V1__a.cypher", "// whimbrel: mixed: true\nCREATE (:A);\nCREATE INDEX i FOR (a:A) ON (a.x);"),
        ("U1__a.cypher", "// whimbrel: undo partial-ok\nDROP INDEX a_x IF EXISTS; MATCH (a:A) DELETE a;"),
    ]);
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &all[0]).await.expect_err("refused");
    session.undo(HISTORY, &all[0]).await.expect("undoes");
    assert!(session.partial().is_empty());
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (a:A) RETURN count(a)"), 0);
}

#[tokio::test]
async fn cut_anywhere_an_undo_is_done_once() {
    let bed = Bed::new().await;
    let proxy = Proxy::new("127.0.0.1", port()).await;
    let engine = Neo4j::new(bed.plain(proxy.port));
    let all = scripts(&[
        (
            "V1__a.cypher",
            "// whimbrel: mixed: true\nMATCH (u:User) SET u.n = u.n + 1;\nCREATE INDEX user_n FOR (u:User) ON (u.n);",
        ),
        ("U1__a.cypher", "DROP INDEX user_n; MATCH (u:User) SET u.n = u.n - 1;"),
    ]);
    rows("CREATE (:User {n: 0})");
    let mut session = enter(&engine, 1).await;
    session.apply(HISTORY, &all[0]).await.expect("applies");
    proxy.count();
    session.undo(HISTORY, &all[0]).await.expect("undoes");
    let (said, heard) = (proxy.passed(Way::ToServer), proxy.passed(Way::ToClient));
    session.leave(Claim::Keep).await.expect("leaves");
    for (way, length) in [(Way::ToServer, said), (Way::ToClient, heard)] {
        for bytes in (0..length).step_by(607).chain([length - 1]) {
            let mut session = enter(&engine, 1).await;
            session.apply(HISTORY, &all[0]).await.expect("applies");
            proxy.cut_after(way, bytes);
            let outcome = session.undo(HISTORY, &all[0]).await;
            proxy.mend();
            drop(session);
            assert!(
                matches!(outcome, Ok(()) | Err(ScriptFailure::Lost { .. })),
                "{way:?} {bytes}: {outcome:?}"
            );
            let mut session = enter(&engine, 1).await;
            if !session.histories()[HISTORY].is_empty() {
                assert!(outcome.is_err(), "{way:?} {bytes}");
                session.undo(HISTORY, &all[0]).await.expect("goes on");
            }
            assert!(session.partial().is_empty(), "{way:?} {bytes}");
            session.leave(Claim::Keep).await.expect("leaves");
            assert_eq!(count("MATCH (u:User) RETURN u.n"), 0, "{way:?} {bytes}");
        }
    }
}
