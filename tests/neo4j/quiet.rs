//! Silence: who is seen, and what moves the write mark.

use std::net::TcpStream;
use std::time::Duration;

use whimbrel::engine::neo4j::{Ignore, Neo4j, Settings};
use whimbrel::engine::{Claim, Engine, EngineError, Session};

use crate::bed::{Bed, HISTORY, Open, fence, rows, script, until};
use crate::testbed::env;

async fn mark(engine: &Neo4j) -> String {
    engine.quiet(&fence(1)).await.expect("samples").mark.expect("is read")
}

#[tokio::test]
async fn every_write_moves_the_mark_and_our_own_fence_does_not() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    bed.enter(1).await.leave(Claim::Keep).await.expect("leaves");
    let mut before = mark(&engine).await;
    for token in 1..4 {
        bed.enter(token).await.leave(Claim::Keep).await.expect("leaves");
        rows("MATCH (n) RETURN count(n)");
        engine.look().await.expect("looks");
        assert_eq!(mark(&engine).await, before, "{token}");
    }
    // A name that no test before has used.
    let fresh = format!("CALL db.createLabel('Fresh{}')", std::process::id());
    for write in [
        "CREATE (:A {x: 1})",
        "MATCH (a:A) SET a.x = 2",
        "CREATE INDEX i FOR (a:A) ON (a.x)",
        "MATCH (a:A) DELETE a",
        "DROP INDEX i",
        fresh.as_str(),
    ] {
        rows(write);
        let after = mark(&engine).await;
        assert_ne!(after, before, "{write}");
        before = after;
    }
}

#[tokio::test]
async fn the_mark_is_still_while_the_lock_of_neo4j_migrations_comes_and_goes() {
    let bed = Bed::new().await;
    let engine = Neo4j::new(bed.peers());
    crate::bed::enter(&engine, 1).await.leave(Claim::Keep).await.expect("leaves");
    let before = mark(&engine).await;
    crate::bed::enter(&engine, 2).await.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(mark(&engine).await, before);
}

#[tokio::test]
async fn others_are_seen_and_ours_are_not() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    let session = bed.enter(1).await;
    assert_eq!(engine.quiet(&fence(1)).await.expect("samples").foreign, []);
    // One connection, of another target; and a transaction that stays open without any.
    let other = Settings { target: "other/graph".to_owned(), ..bed.settings() };
    let open = Open::new("MATCH (n) RETURN count(n)");
    let mut fence_of_other = fence(1);
    fence_of_other.target = "other/graph".to_owned();
    session.leave(Claim::GiveUp).await.expect("leaves");
    let foreign = Neo4j::new(other.clone()).enter(&fence_of_other).await.expect("enters");
    let seen = engine.quiet(&fence(1)).await.expect("samples").foreign;
    let kinds: Vec<_> = seen.iter().filter_map(|session| session.backend_type.clone()).collect();
    assert_eq!(kinds, ["bolt connection", "transaction without a connection"], "{seen:?}");
    assert!(seen[0].application.starts_with("wb/") && seen[0].user.as_deref() == Some("neo4j"), "{seen:?}");
    let ignored = Settings {
        quiet_ignore: vec![Ignore { user: Some("neo4j".to_owned()), application_name: None }],
        ..bed.settings()
    };
    assert_eq!(Neo4j::new(ignored).quiet(&fence(1)).await.expect("samples").foreign, []);
    foreign.leave(Claim::GiveUp).await.expect("leaves");
    open.commit();
    assert_eq!(engine.quiet(&fence(1)).await.expect("samples").foreign, []);
}

#[tokio::test]
async fn who_only_connects_is_nobody() {
    let bed = Bed::new().await;
    let settings = bed.settings();
    let http = env("HTTP_PORT").parse().expect("a port");
    // As a kubelet looks at a port, and as it looks until its request is read.
    let looks = [http, settings.port].map(|port| TcpStream::connect((settings.host.as_str(), port)));
    let looks = looks.map(|look| look.expect("connects"));
    let listed = || rows("CALL dbms.listConnections() YIELD username WHERE username IS NULL RETURN 1").len();
    until("both are listed", || listed() >= looks.len()).await;
    let engine = bed.engine();
    assert_eq!(engine.quiet(&fence(1)).await.expect("samples").foreign, []);
}

#[tokio::test]
async fn a_check_reads_and_can_not_write() {
    let bed = Bed::new().await;
    rows("UNWIND range(1, 1200) AS n CREATE (:A {n: n})");
    let engine = bed.engine();
    let minute = Duration::from_secs(60);
    let read = engine
        .query("MATCH (a:A) RETURN count(a) AS all, null AS nothing, ['x', 1.5] AS list", minute)
        .await
        .expect("reads");
    assert_eq!(read.columns, ["all", "nothing", "list"]);
    assert_eq!(read.rows, [[Some("1200".to_owned()), None, Some("['x', 1.5]".to_owned())]]);
    let many = engine.query("MATCH (a:A) RETURN a.n", minute).await.expect("reads");
    assert_eq!((many.rows.len(), many.truncated), (1000, true));
    for write in [
        "CREATE (:B)",
        "MATCH (a:A) DETACH DELETE a",
        "CREATE INDEX i FOR (a:A) ON (a.n)",
        "MATCH (a:A) CALL (a) { DELETE a } IN TRANSACTIONS",
    ] {
        let refused = engine.query(write, minute).await.expect_err(write);
        assert!(matches!(refused, EngineError::Server { .. }), "{refused}");
    }
    let slow = engine
        .query("UNWIND range(1, 10000000000) AS x WITH x WHERE x < 0 RETURN x", Duration::from_millis(300))
        .await;
    let Err(EngineError::Server { code, .. }) = slow else { panic!("{slow:?}") };
    assert!(code.contains("TransactionTimedOut"), "{code}");
    assert_eq!(crate::bed::count("MATCH (n) WHERE n:A OR n:B RETURN count(n)"), 1200);
}

#[tokio::test]
async fn our_own_scripts_move_the_mark() {
    let bed = Bed::new().await;
    let mut session = bed.enter(1).await;
    let engine = bed.engine();
    let before = mark(&engine).await;
    session.apply(HISTORY, &script("CREATE (:A)")).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_ne!(mark(&engine).await, before);
}
