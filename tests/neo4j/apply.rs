//! A script of data: one transaction with its entry, never half, never twice.

use whimbrel::engine::{Claim, Engine, ScriptFailure, Session};

use std::time::Duration;

use whimbrel::engine::neo4j::{Neo4j, Settings};

use crate::bed::{Bed, HISTORY, Open, count, enter, error, rows, script, scripts, texts};

const APPLIED: &str = "MATCH (s:__WhimbrelScript {state: 'Applied'}) RETURN s.key ORDER BY s.rank";

#[tokio::test]
async fn effect_and_history_are_one() {
    let bed = Bed::new().await;
    let all = scripts(&[
        ("V001__users.cypher", "CREATE (:User {id: 1});\nCREATE (:User {id: 2});"),
        ("V002__more.cypher", ":use neo4j;\nMATCH (u:User) SET u.n = coalesce(u.n, 0) + 1;"),
        ("R1__reference.cypher", "MERGE (:Currency {code: 'CHF'});"),
    ]);
    let mut session = bed.enter(1).await;
    for script in &all {
        session.apply(HISTORY, script).await.expect("applies");
    }
    let rows: Vec<_> =
        session.histories()[HISTORY].iter().map(|row| (row.installed_rank, row.key.clone())).collect();
    assert_eq!(rows, [(1, "1".to_owned()), (2, "2".to_owned()), (3, "R:reference".to_owned())]);
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (u:User) RETURN sum(u.n)"), 2);
    assert_eq!(texts(APPLIED), ["1", "2", "R:reference"]);

    let look = bed.engine().look().await.expect("looks");
    assert_eq!(
        look.histories[HISTORY].iter().map(|row| row.checksum.clone()).collect::<Vec<_>>(),
        all.iter().map(|it| it.checksum.clone()).collect::<Vec<_>>()
    );
    let mut session = bed.enter(2).await;
    let twice = error(session.apply(HISTORY, &all[1]).await.expect_err("refused"));
    assert_eq!(twice.to_string(), "V002__more.cypher: it is applied already (HistoryDrift)");
    session.apply(HISTORY, &all[2]).await.expect("a repeatable script runs again");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (u:User) RETURN sum(u.n)"), 2);
}

#[tokio::test]
async fn a_refused_statement_takes_everything_back_and_is_named_in_the_file() {
    let bed = Bed::new().await;
    let mut session = bed.enter(1).await;
    let body = "// one\nCREATE (:User {id: 1});\n\nMATCH (u:User)\n  SET u.x = nope;\n";
    let wrong = error(session.apply(HISTORY, &script(body)).await.expect_err("refused"));
    assert_eq!(
        wrong.to_string(),
        "V1__a.cypher:5:13 (statement 2): Variable `nope` not defined (Neo.ClientError.Statement.SyntaxError)"
    );
    assert_eq!(count("MATCH (u:User) RETURN count(u)"), 0);
    assert_eq!(texts(APPLIED), Vec::<String>::new());
    assert!(session.partial().is_empty());
    session.apply(HISTORY, &script("CREATE (:User {id: 1})")).await.expect("applies after the refusal");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (u:User) RETURN count(u)"), 1);
}

#[tokio::test]
async fn a_script_that_deletes_everything_does_not_count_as_applied() {
    let bed = Bed::new().await;
    rows("CREATE (:User)");
    let mut session = bed.enter(1).await;
    let wrong =
        error(session.apply(HISTORY, &script("MATCH (n) DETACH DELETE n")).await.expect_err("refused"));
    assert_eq!(
        wrong.to_string(),
        "V1__a.cypher: after its statements the journal's node of this script is gone or another (JournalGone). \
         It matches every node: leave out those whose labels begin with __Whimbrel or __Neo4jMigration."
    );
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (u:User) RETURN count(u)"), 1);
}

#[tokio::test]
async fn another_database_is_refused_before_anything_runs() {
    let bed = Bed::new().await;
    let mut session = bed.enter(1).await;
    let wrong = error(
        session
            .apply(HISTORY, &script("CREATE (:A);\n:use other;\nCREATE (:B);"))
            .await
            .expect_err("refused"),
    );
    assert_eq!(
        wrong.to_string(),
        "V1__a.cypher: it says :use other, and the target's database is neo4j (OtherDatabase). \
         A script is about one database: make a target of the other one, and another script."
    );
    assert_eq!(count("MATCH (n:A) RETURN count(n)"), 0);
    session.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn assertions_are_checked_before_the_script_begins() {
    let bed = Bed::new().await;
    let mut session = bed.enter(1).await;
    for (assertion, said) in [
        (
            "that edition is enterprise",
            "it asserts that the edition is Enterprise, and the server is Community Edition",
        ),
        ("that version is 4.4", "it asserts that the version is 4.4, and the server has 5.26.30"),
        ("that version is lt 5.0", "it asserts that the version is lt 5.0, and the server has 5.26.30"),
        (
            "q' MATCH (n:Nobody) RETURN count(n) > 0",
            "its assertion does not hold: q' query returned something else than true",
        ),
    ] {
        let wrong = error(
            session
                .apply(HISTORY, &script(&format!("// assert {assertion}\nCREATE (:A)")))
                .await
                .expect_err("refused"),
        );
        assert_eq!(wrong.to_string(), format!("V1__a.cypher: {said} (Precondition)"));
    }
    let holds = "// assert that edition is community\n// assert that version is ge 5.0\n// assert q' RETURN true\nCREATE (:A)";
    session.apply(HISTORY, &script(holds)).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (n:A) RETURN count(n)"), 1);
}

#[tokio::test]
async fn a_cancelled_script_is_not_applied_and_the_session_runs_no_other() {
    let bed = Bed::new().await;
    let mut session = bed.enter(1).await;
    let canceller = session.canceller();
    let endless =
        script("CREATE (:A) WITH 1 AS one UNWIND range(1, 1000000000) AS x WITH x WHERE x < 0 CREATE (:B)");
    let cancelling = async {
        crate::bed::until("the script runs", || {
            count("SHOW TRANSACTIONS YIELD currentQuery WHERE currentQuery STARTS WITH 'CREATE (:A) WITH' RETURN count(*)") == 1
        })
        .await;
        canceller.cancel().await;
    };
    let (outcome, ()) = tokio::join!(session.apply(HISTORY, &endless), cancelling);
    assert_eq!(outcome, Err(ScriptFailure::Cancelled));
    assert_eq!(session.apply(HISTORY, &script("CREATE (:A)")).await, Err(ScriptFailure::Cancelled));
    drop(session);
    assert_eq!(count("MATCH (n:A) RETURN count(n)"), 0);
    let session = bed.enter(1).await;
    assert!(session.partial().is_empty());
    session.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn a_script_that_waits_for_somebody_gives_way_and_says_for_whom() {
    let bed = Bed::new().await;
    rows("CREATE (:N {n: 0})");
    let settings = Settings { lock_timeout: Duration::from_millis(300), ..bed.settings() };
    let mut session = enter(&Neo4j::new(settings), 1).await;
    let add = script("MATCH (x:N) SET x.n = x.n + 1");
    let open = Open::new("MATCH (x:N) SET x.n = 5");
    let Err(ScriptFailure::Blocked(by)) = session.apply(HISTORY, &add).await else {
        panic!("nobody is in the way")
    };
    assert!(
        by.what.starts_with("lock held by neo4j-transaction-") && by.what.contains("(user neo4j, http-"),
        "{by}"
    );
    assert!(
        by.since.is_some()
            && by.sql.as_deref().is_some_and(|it| it.starts_with("TERMINATE TRANSACTIONS 'neo4j-")),
        "{by}"
    );
    open.commit();
    session.apply(HISTORY, &add).await.expect("applies once nobody is in the way");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (x:N) RETURN x.n"), 6);
}
