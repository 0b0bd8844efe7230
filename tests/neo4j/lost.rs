//! The connection cut after any byte that goes either way: never half, never twice. What is added to is `n = n + 1`, which
//! shows a second time.

use whimbrel::engine::neo4j::{Neo4j, Settings};
use whimbrel::engine::{Claim, ScriptFailure, Session};
use whimbrel::script::Script;

use crate::bed::{Bed, HISTORY, count, enter, port, rows, script, texts};
use crate::proxy::{Proxy, Way};

/// Cuts after `bytes`, sees that the outcome is read rightly, and finishes the script. `effect` is 0 before it and 1 after it.
async fn cut(settings: &Settings, proxy: &Proxy, script: &Script, effect: &str, way: Way, bytes: usize) {
    let at = format!("{} {way:?} {bytes}", script.body);
    let engine = Neo4j::new(settings.clone());
    let mut session = enter(&engine, 1).await;
    proxy.only_the_newest();
    proxy.cut_after(way, bytes);
    let outcome = session.apply(HISTORY, script).await;
    proxy.mend();
    assert!(matches!(outcome, Ok(_) | Err(ScriptFailure::Lost { .. })), "{at}: {outcome:?}");
    drop(session);
    let mut session = enter(&engine, 1).await;
    let row = !session.histories()[HISTORY].is_empty();
    assert!(row || outcome.is_err(), "{at}: said to be applied, and is not");
    if script.directives.no_transaction {
        assert!(!row || count(effect) == 1, "{at}: in the history without its effect");
    } else {
        assert_eq!(count(effect) == 1, row, "{at}: effect and history differ");
        assert!(session.partial().is_empty(), "{at}");
    }
    if !row {
        session.apply(HISTORY, script).await.unwrap_or_else(|failure| panic!("{at}: {failure:?}"));
    }
    assert!(session.partial().is_empty(), "{at}");
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(count(effect), 1, "{at}");
}

/// Cuts at `steps` places of what a script says and of what it hears, and at the last bytes of both.
async fn cut_everywhere(
    settings: &Settings,
    proxy: &Proxy,
    script: &Script,
    prepare: &[&str],
    effect: &str,
    step: usize,
) {
    let clean = || {
        rows("MATCH (s:__WhimbrelScript) DELETE s");
        rows("MATCH (m) WHERE m:__Neo4jMigration DETACH DELETE m");
        prepare.iter().for_each(|statement| drop(rows(statement)));
    };
    clean();
    let engine = Neo4j::new(settings.clone());
    let mut session = enter(&engine, 1).await;
    proxy.only_the_newest();
    proxy.count();
    session.apply(HISTORY, script).await.expect("applies");
    let (said, heard) = (proxy.passed(Way::ToServer), proxy.passed(Way::ToClient));
    session.leave(Claim::Keep).await.expect("leaves");
    assert!(said > 100 && heard > 100, "{said} {heard}");
    for (way, all) in [(Way::ToServer, said), (Way::ToClient, heard)] {
        for bytes in (0..all).step_by(step).chain([all - 1, all]) {
            clean();
            cut(settings, proxy, script, effect, way, bytes).await;
        }
    }
}

#[tokio::test]
async fn data() {
    let bed = Bed::new().await;
    let proxy = Proxy::new("127.0.0.1", port()).await;
    rows("CREATE (:N {n: 0})");
    let add = script("MATCH (x:N) SET x.n = x.n + 1");
    let prepare = ["MATCH (x:N) SET x.n = 0"];
    cut_everywhere(&bed.plain(proxy.port), &proxy, &add, &prepare, "MATCH (x:N) RETURN x.n", 211).await;
}

#[tokio::test]
async fn data_with_the_history_of_neo4j_migrations() {
    let bed = Bed::new().await;
    let proxy = Proxy::new("127.0.0.1", port()).await;
    rows("CREATE (:N {n: 0})");
    let settings = Settings { histories: bed.peers().histories, ..bed.plain(proxy.port) };
    let add = script("MATCH (x:N) SET x.n = x.n + 1");
    let prepare = ["MATCH (x:N) SET x.n = 0"];
    cut_everywhere(&settings, &proxy, &add, &prepare, "MATCH (x:N) RETURN x.n", 701).await;
}

#[tokio::test]
async fn schema_beside_data() {
    let bed = Bed::new().await;
    let proxy = Proxy::new("127.0.0.1", port()).await;
    rows("CREATE (:N {n: 0})");
    let body = "// whimbrel: mixed: true\nMATCH (x:N) SET x.n = x.n + 1;\nCREATE CONSTRAINT c FOR (x:N) REQUIRE x.n IS UNIQUE;\nDROP INDEX i;";
    let prepare = [
        "MATCH (x:N) SET x.n = 0",
        "DROP CONSTRAINT c IF EXISTS",
        "CREATE INDEX i IF NOT EXISTS FOR (y:Y) ON (y.z)",
    ];
    cut_everywhere(&bed.plain(proxy.port), &proxy, &script(body), &prepare, "MATCH (x:N) RETURN x.n", 997)
        .await;
    assert_eq!(
        texts(
            "SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' AND NOT name STARTS WITH '__' RETURN name"
        ),
        ["c"]
    );
}

#[tokio::test]
async fn a_server_that_does_not_notice_that_its_client_is_gone() {
    let bed = Bed::new().await;
    let proxy = Proxy::new("127.0.0.1", port()).await;
    rows("CREATE (:N {n: 0})");
    let settings = bed.plain(proxy.port);
    let add = script("MATCH (x:N) SET x.n = x.n + 1");
    for bytes in [1, 300, 600, 900, 1200] {
        rows("MATCH (s:__WhimbrelScript) DELETE s");
        rows("MATCH (x:N) SET x.n = 0");
        let proxied = Neo4j::new(settings.clone());
        let mut session = enter(&proxied, 1).await;
        proxy.hide_after(Way::ToServer, bytes);
        let outcome = session.apply(HISTORY, &add).await;
        proxy.mend();
        drop(session);
        let mut session = bed.enter(1).await;
        if session.histories()[HISTORY].is_empty() {
            assert!(outcome.is_err(), "{bytes}");
            session.apply(HISTORY, &add).await.expect("applies");
        }
        session.leave(Claim::Keep).await.expect("leaves");
        assert_eq!(count("MATCH (x:N) RETURN x.n"), 1, "{bytes}");
    }
}

#[tokio::test]
async fn a_server_that_dies_keeps_what_it_said_and_nothing_else() {
    let bed = Bed::new().await;
    rows("CREATE (:N {n: 0})");
    let mut session = bed.enter(1).await;
    let first = crate::bed::scripts(&[
        ("V1__a.cypher", "MATCH (x:N) SET x.n = x.n + 1"),
        (
            "V2__b.cypher",
            "MATCH (x:N) SET x.n = x.n + 1 WITH x UNWIND range(1, 1000000000) AS y WITH y WHERE y < 0 CREATE (:B)",
        ),
    ]);
    session.apply(HISTORY, &first[0]).await.expect("applies");
    let dying = async {
        crate::bed::until("the second script runs", || {
            count("SHOW TRANSACTIONS YIELD currentQuery WHERE currentQuery STARTS WITH 'MATCH (x:N)' RETURN count(*)") == 1
        })
        .await;
        let testbed = concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/neo4j");
        let status = tokio::process::Command::new(testbed).arg("crash").status().await.expect("runs");
        assert!(status.success());
    };
    let (outcome, ()) = tokio::join!(session.apply(HISTORY, &first[1]), dying);
    assert!(matches!(outcome, Err(ScriptFailure::Lost { .. })), "{outcome:?}");
    drop(session);
    let session = bed.enter(2).await;
    assert_eq!(session.histories()[HISTORY].len(), 1);
    assert!(session.partial().is_empty());
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (x:N) RETURN x.n"), 1);
}
