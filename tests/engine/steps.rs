//! Scripts without a transaction: statement by statement, never one of them twice, and never Unknown where the database
//! can tell.

use std::time::Duration;

use whimbrel::engine::postgresql::{Postgresql, Settings};
use whimbrel::engine::{Claim, Engine, EngineError, Fence, ScriptFailure, Session};
use whimbrel::script::Script;

use crate::bed::{As, Bed, HISTORY, admin, port, scripts, until};
use crate::proxy::{Proxy, Way};
use crate::witness::Witness;

/// A script of version 1 that says `no-transaction` and `mixed`, and its undo.
fn script(body: &str, undo: &str) -> Script {
    let text = format!("-- whimbrel: no-transaction\n-- whimbrel: mixed: true\n{body}");
    let undo = format!("-- whimbrel: undo partial-ok\n{undo}");
    scripts(&[("V1__a.sql", &text), ("U1__a.sql", &undo)]).remove(0)
}

const INVALID: &str = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
const JOURNAL: &str = "SELECT state, statement, outside_at IS NOT NULL FROM whimbrel.journal";

async fn enter(engine: &Postgresql, fence: &Fence) -> <Postgresql as Engine>::Session {
    loop {
        match engine.enter(fence).await {
            Ok(session) => return session,
            Err(EngineError::Busy { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn bed(who: As, sql: &str) -> Bed {
    let bed = Bed::new(who);
    bed.psql(&format!("GRANT CREATE ON SCHEMA public TO {0}; SET ROLE {0}; {sql}", bed.role));
    bed
}

#[tokio::test]
async fn each_statement_runs_as_the_server_wants_it() {
    for who in [As::Superuser, As::Owner] {
        let bed = bed(
            who,
            "CREATE TABLE t (a int, b text); CREATE INDEX old ON t (b); CREATE TYPE mood AS ENUM ('ok')",
        );
        let body = "SET work_mem = '7MB'; SET search_path = public, pg_temp;\n\
                    INSERT INTO t SELECT i, current_setting('work_mem') FROM generate_series(1, 5) i;\n\
                    CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS by_a ON t USING btree (a) INCLUDE (b) WHERE a > 0;\n\
                    COPY t FROM stdin;\n6\tsix\n\\.\n\
                    DROP INDEX CONCURRENTLY old;\n\
                    ALTER TYPE mood ADD VALUE 'good';\n\
                    REINDEX TABLE CONCURRENTLY t;\nVACUUM (ANALYZE) t;\n\
                    RESET work_mem; INSERT INTO t SELECT 7, current_setting('work_mem')";
        let mut session = bed.enter(1).await;
        let row = session.apply(HISTORY, &script(body, "")).await.expect("applies");
        assert_eq!((row.key.as_str(), row.installed_rank), ("1", 1));
        assert!(session.partial().is_empty());
        session.apply(HISTORY, &scripts(&[("V2__b.sql", "SELECT 1")])[0]).await.expect("goes on");
        session.leave(Claim::Keep).await.expect("leaves");
        assert_eq!(bed.psql("SELECT string_agg(b, ' ' ORDER BY a) FROM t"), "7MB 7MB 7MB 7MB 7MB six 4MB");
        assert_eq!(
            bed.psql(
                "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid"
            ),
            "by_a"
        );
        assert_eq!(bed.psql(JOURNAL), "Applied|11|f\nApplied|0|f");
        assert_eq!(bed.applied(), "1 2");
    }
}

#[tokio::test]
async fn databases_and_partitions_are_looked_up() {
    let bed = bed(
        As::Superuser,
        "CREATE TABLE p (i int) PARTITION BY LIST (i); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
    );
    let name = format!("{}_made", bed.database);
    let body = format!(
        "CREATE DATABASE {name}; ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY; DROP DATABASE {name}; DROP DATABASE IF EXISTS {name}"
    );
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &script(&body, "")).await.expect("applies");
    assert_eq!(bed.psql("SELECT count(*) FROM pg_inherits"), "0");
    assert_eq!(admin(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")), "0");
}

#[tokio::test]
async fn a_failed_unique_index_leaves_nothing_and_can_be_tried_again() {
    let bed = bed(As::Owner, "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)");
    let before = bed.dump();
    let unique = script("SET work_mem = '7MB';\nCREATE UNIQUE INDEX CONCURRENTLY by_a ON t (a);", "");
    let mut session = bed.enter(1).await;
    let failure = session.apply(HISTORY, &unique).await.expect_err("1 is there twice");
    assert_eq!(
        failure.to_string(),
        "V1__a.sql:4:1 (statement 2): could not create unique index \"by_a\" (23505)"
    );
    assert_eq!((bed.dump(), bed.psql(INVALID)), (before, "0".to_owned()));
    assert!(session.partial().is_empty(), "nothing of it has happened");
    assert_eq!(bed.psql("SELECT count(*) FROM whimbrel.journal"), "0");
    bed.psql("DELETE FROM t");
    session.apply(HISTORY, &unique).await.expect("applies now");
    assert_eq!(
        bed.psql("SELECT indisunique FROM pg_index WHERE indisvalid AND indexrelid = 'by_a'::regclass"),
        "t"
    );
}

#[tokio::test]
async fn what_stops_half_way_says_what_is_there_and_is_taken_back_by_an_undo_that_may() {
    let bed = bed(As::Owner, "CREATE TABLE t (a int)");
    let before = bed.dump();
    let body = "INSERT INTO t VALUES (1);\nCREATE INDEX CONCURRENTLY by_a ON t (a);\nINSERT INTO t VALUES (nothing);\nVACUUM t";
    let half = script(body, "DROP INDEX IF EXISTS by_a; DELETE FROM t;");
    let mut session = bed.enter(1).await;
    let failure = session.apply(HISTORY, &half).await.expect_err("fails");
    assert_eq!(
        failure.to_string(),
        "V1__a.sql:5:23 (statement 3): column \"nothing\" does not exist (42703). Statements 1 to 2 of it are applied and stay."
    );
    assert_eq!(session.partial().iter().map(|half| half.statement).collect::<Vec<_>>(), [2]);
    session.leave(Claim::Keep).await.expect("leaves");

    let mut session = bed.enter(2).await;
    assert_eq!((session.partial()[0].key.as_str(), session.partial()[0].statement), ("1", 2));
    let edited = script("INSERT INTO t VALUES (2);", "");
    let refusal = session.apply(HISTORY, &edited).await.expect_err("another text");
    assert!(refusal.to_string().contains("it was begun with another text"), "{refusal}");
    session.undo(HISTORY, &half).await.expect("takes the part back");
    assert!(session.partial().is_empty());
    assert_eq!((bed.dump(), bed.psql("SELECT state FROM whimbrel.journal")), (before, "Undone".to_owned()));
}

#[tokio::test]
async fn another_run_never_goes_on_with_it() {
    let bed = bed(As::Owner, "CREATE TABLE t (a int)");
    let half = script("INSERT INTO t VALUES (1); INSERT INTO t VALUES (nothing);", "");
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &half).await.expect_err("fails");
    session.leave(Claim::GiveUp).await.expect("leaves");
    let other = Fence { run_uid: "eeeeeeee-88aa-4a63-9b65-000000000002".to_owned(), run: 2, ..bed.fence(2) };
    let mut session = bed.engine().enter(&other).await.expect("enters");
    let refusal = session.apply(HISTORY, &half).await.expect_err("refused");
    assert_eq!(
        refusal.to_string(),
        "V1__a.sql: it was begun by run 0f5d7a1c-88aa-4a63-9b65-000000000001 and never finished (HistoryDrift)"
    );
    assert_eq!(bed.psql("SELECT count(*) FROM t"), "1");
}

#[tokio::test]
async fn an_index_that_is_not_of_the_statement_is_never_dropped() {
    for (body, expected) in [
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS broken ON t (a)",
            "the server says that it is done, but index public.broken is INVALID and not of this statement: drop it, or make it valid, by hand (NotDone)",
        ),
        ("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)", "relation \"broken\" already exists (42P07)"),
        (
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS other ON t (a)",
            "the server says that it is done, but an index public.other of another definition was there before: CREATE INDEX other ON public.t USING btree (a DESC) (NotDone)",
        ),
        (
            "REINDEX INDEX CONCURRENTLY by_b; CREATE INDEX CONCURRENTLY other ON t (a)",
            "relation \"other\" already exists (42P07). Statement 1 of it is applied and stays.",
        ),
    ] {
        let bed = bed(
            As::Owner,
            "CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1), (1); CREATE INDEX other ON t (a DESC); CREATE INDEX by_b ON t (b)",
        );
        let mut maker = Witness::new(&bed.database, "maker");
        maker.say("\\set ON_ERROR_STOP off\nCREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)");
        bed.psql("ALTER INDEX broken RENAME TO by_b_ccnew");
        bed.psql("ALTER INDEX by_b_ccnew RENAME TO broken");
        assert_eq!(bed.psql(INVALID), "1");
        let mut session = bed.enter(1).await;
        let failure = session.apply(HISTORY, &script(body, "")).await.expect_err("fails");
        assert!(failure.to_string().ends_with(expected), "{failure}");
        assert_eq!(bed.psql(INVALID), "1", "{body}");
        // One that fits is done, made by whom it may be.
        let fits =
            script("CREATE INDEX CONCURRENTLY IF NOT EXISTS other ON t USING btree (a DESC NULLS FIRST)", "");
        if session.partial().is_empty() {
            session.apply(HISTORY, &fits).await.expect("is as it should be");
        }
    }
}

/// A session in whose way an index can't be finished: it has begun before, and has the table.
fn in_the_way(bed: &Bed) -> Witness {
    let mut stranger = Witness::new(&bed.database, "stranger");
    stranger.say("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t");
    stranger
}

const BUILDS: &str = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^CREATE .*INDEX CONCURRENTLY' \
                      AND wait_event_type = 'Lock' AND datname = current_database()";

#[tokio::test]
async fn an_index_waits_for_others_as_long_as_it_takes() {
    let bed = bed(As::Owner, "CREATE TABLE t (a int)");
    let settings = Settings { lock_timeout: Duration::from_millis(100), ..bed.settings() };
    let engine = Postgresql::new(settings);
    let mut session = engine.enter(&bed.fence(1)).await.expect("enters");
    let mut stranger = in_the_way(&bed);
    let index = script("CREATE INDEX CONCURRENTLY by_a ON t (a)", "");
    assert_eq!(engine.progress(&bed.fence(1), &index).await.expect("is asked"), None);
    let running = tokio::spawn({
        let index = index.clone();
        async move { session.apply(HISTORY, &index).await.map(|_| session) }
    });
    let waits_long = format!("{BUILDS} AND clock_timestamp() > query_start + interval '500 ms'");
    until("the index does not wait", || bed.psql(&waits_long) == "1").await;
    let said = engine.progress(&bed.fence(1), &index).await.expect("is asked").expect("it runs");
    assert!(said.starts_with("index on public.t: waiting for ") && said.ends_with(", 0 of 1"), "{said}");
    let another = engine.progress(&bed.fence(2), &index).await.expect("is asked");
    assert_eq!(another, None, "that is no statement of its session");
    stranger.say("COMMIT");
    running.await.expect("no panic").expect("applies");
    assert_eq!(bed.psql(INVALID), "0");
}

#[tokio::test]
async fn an_index_that_timed_out_is_cleared_away_and_built_again() {
    let bed = bed(As::Owner, "CREATE TABLE t (a int)");
    let settings = Settings { lock_timeout: Duration::from_millis(200), ..bed.settings() };
    let hurried = script("SET lock_timeout = '200ms'; CREATE INDEX CONCURRENTLY by_a ON t (a)", "");
    let mut session = Postgresql::new(settings).enter(&bed.fence(1)).await.expect("enters");
    let mut stranger = in_the_way(&bed);
    for _ in 0..2 {
        let failure = session.apply(HISTORY, &hurried).await.expect_err("somebody is in the way");
        let ScriptFailure::Blocked(by) = failure else { panic!("{failure}") };
        assert!(by.what.contains("public.by_a is INVALID, left by a statement of V1__a.sql"), "{by}");
        assert_eq!(bed.psql(INVALID), "1", "what can't be dropped yet is still known to be ours");
    }
    stranger.say("COMMIT");
    session.apply(HISTORY, &hurried).await.expect("applies");
    assert_eq!((bed.psql(INVALID), bed.applied()), ("0".to_owned(), "1".to_owned()));
}

#[tokio::test]
async fn a_backend_that_dies_in_the_middle_of_an_index_is_followed_by_one_that_finishes() {
    let bed = bed(As::Owner, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let body =
        "INSERT INTO t VALUES (2);\nCREATE INDEX CONCURRENTLY by_a ON t (a);\nINSERT INTO t VALUES (3);";
    let mut session = bed.enter(1).await;
    let mut stranger = in_the_way(&bed);
    let running = tokio::spawn(async move { session.apply(HISTORY, &script(body, "")).await });
    until("the index does not wait", || bed.psql(BUILDS) == "1").await;
    bed.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^CREATE INDEX CONCURRENTLY' AND datname = current_database()",
    );
    let outcome = running.await.expect("no panic");
    assert!(matches!(outcome, Err(ScriptFailure::Lost { .. })), "{outcome:?}");
    assert_eq!((bed.psql(INVALID), bed.psql(JOURNAL)), ("1".to_owned(), "Started|1|t".to_owned()));
    stranger.say("COMMIT");

    let mut session = enter(&bed.engine(), &bed.fence(2)).await;
    assert_eq!(session.partial()[0].statement, 1);
    session.apply(HISTORY, &script(body, "")).await.expect("goes on");
    assert_eq!(bed.psql("SELECT string_agg(a::text, ' ' ORDER BY a) FROM t"), "1 2 3");
    assert_eq!((bed.psql(INVALID), bed.psql(JOURNAL)), ("0".to_owned(), "Applied|3|f".to_owned()));
}

#[tokio::test]
async fn who_deadlocks_with_an_index_only_delays_it() {
    let bed = bed(As::Owner, "CREATE TABLE t (a int)");
    let mut session = bed.enter(1).await;
    let mut stranger = in_the_way(&bed);
    let running = tokio::spawn(async move {
        let mut tries = 0;
        loop {
            tries += 1;
            match session.apply(HISTORY, &script("CREATE INDEX CONCURRENTLY by_a ON t (a)", "")).await {
                Err(ScriptFailure::Blocked(_)) if tries < 100 => tokio::task::yield_now().await,
                other => break other,
            }
        }
    });
    until("the index does not wait", || bed.psql(BUILDS) == "1").await;
    // Now each waits for the other, and the server ends one of the two.
    stranger.start("\\set ON_ERROR_STOP off\nLOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE; ROLLBACK");
    running.await.expect("no panic").expect("applies in the end");
    assert_eq!((bed.psql(INVALID), bed.applied()), ("0".to_owned(), "1".to_owned()));
}

#[tokio::test]
async fn a_cancelled_index_leaves_nothing() {
    let bed = bed(As::Owner, "CREATE TABLE t (a int)");
    let before = bed.dump();
    let mut session = bed.enter(1).await;
    let mut stranger = in_the_way(&bed);
    let canceller = session.canceller();
    let running = tokio::spawn(async move {
        session.apply(HISTORY, &script("CREATE INDEX CONCURRENTLY by_a ON t (a)", "")).await.map(|_| ())
    });
    until("the index does not wait", || bed.psql(BUILDS) == "1").await;
    stranger.start("SELECT pg_sleep(0.3); COMMIT");
    canceller.cancel().await;
    let outcome = running.await.expect("no panic");
    assert_eq!(outcome, Err(ScriptFailure::Cancelled));
    assert_eq!((bed.dump(), bed.psql(INVALID)), (before, "0".to_owned()));
    assert_eq!(bed.psql("SELECT count(*) FROM whimbrel.journal"), "0");
}

#[tokio::test]
async fn what_nothing_can_tell_is_unknown_and_never_sent_again() {
    let bed = bed(As::Superuser, "CREATE TABLE t (a int)");
    let body = "INSERT INTO t VALUES (1);\nCREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p;";
    let half = script(body, "DELETE FROM t");
    let session = bed.enter(1).await;
    session.leave(Claim::Keep).await.expect("leaves");
    // As a driver leaves it that has sent the second statement and died.
    bed.psql(&format!(
        "INSERT INTO whimbrel.journal (state, statement, history, rank, key, kind, version, description, file, checksum, token, run_uid, run, outside_at, before) \
         VALUES ('Started', 1, '{HISTORY}', 1, '1', 'Versioned', '1', 'a', 'V1__a.sql', '{}', 1, '{}', 1, now(), '')",
        half.checksum,
        bed.fence(1).run_uid
    ));
    for token in [1, 2] {
        let mut session = bed.enter(token).await;
        let outcome = session.apply(HISTORY, &half).await.expect_err("nobody can tell");
        assert_eq!(
            outcome.to_string(),
            "nobody can tell what of the script is applied: statement 2 (V1__a.sql:4:1, CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION ...) was sent outside of a transaction, and its answer was lost; nothing in the database tells whether it happened"
        );
        assert_eq!(bed.psql(JOURNAL), "Started|1|t");
        session.leave(Claim::Keep).await.expect("leaves");
    }
    let mut session = bed.enter(3).await;
    session.undo(HISTORY, &half).await.expect("its author says that it takes back any part");
    assert_eq!(bed.psql("SELECT state FROM whimbrel.journal"), "Undone");
}

/// The connection cut anywhere: no statement twice, none left out, no outcome that nobody knows.
#[tokio::test]
async fn cut_anywhere_every_statement_happens_once() {
    let bed = bed(As::Superuser, "CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE INDEX old ON t (a)");
    let body = "SET work_mem = '7MB'; INSERT INTO u VALUES (1);\nCREATE INDEX CONCURRENTLY by_a ON t (a);\n\
                COPY u FROM stdin;\n2\n\\.\nDROP INDEX CONCURRENTLY old;\nINSERT INTO u VALUES (3); VACUUM t;";
    let steps = script(body, "");
    let proxy = Proxy::new("127.0.0.1", port()).await;
    let engine = Postgresql::new(bed.plain(proxy.port));
    let mut session = enter(&engine, &bed.fence(1)).await;
    proxy.count();
    session.apply(HISTORY, &steps).await.expect("applies");
    let passed = [(Way::ToServer, proxy.passed(Way::ToServer)), (Way::ToClient, proxy.passed(Way::ToClient))];
    session.leave(Claim::Keep).await.expect("leaves");
    for (way, all) in passed {
        for bytes in (0..=all).step_by(all / 12) {
            bed.psql("TRUNCATE u; DELETE FROM whimbrel.history; DELETE FROM whimbrel.journal; DROP INDEX IF EXISTS by_a; DROP INDEX IF EXISTS old; CREATE INDEX old ON t (a)");
            let mut session = enter(&engine, &bed.fence(1)).await;
            proxy.cut_after(way, bytes);
            let mut outcome = session.apply(HISTORY, &steps).await;
            proxy.mend();
            while let Err(failure) = outcome {
                assert!(matches!(failure, ScriptFailure::Lost { .. }), "{way:?} {bytes}: {failure}");
                drop(session);
                session = enter(&engine, &bed.fence(1)).await;
                if session.histories()[HISTORY].len() == 1 {
                    break;
                }
                outcome = session
                    .apply(HISTORY, &steps)
                    .await
                    .map_err(|failure| panic!("{way:?} {bytes}: {failure}"));
            }
            session.leave(Claim::Keep).await.expect("leaves");
            assert_eq!(
                bed.psql("SELECT string_agg(a::text, ' ' ORDER BY a) FROM u"),
                "1 2 3",
                "{way:?} {bytes}"
            );
            assert_eq!(
                bed.psql("SELECT string_agg(indexrelid::regclass || ' ' || indisvalid, ' ') FROM pg_index WHERE indrelid = 't'::regclass"),
                "by_a true",
                "{way:?} {bytes}"
            );
            assert_eq!(bed.psql(JOURNAL), "Applied|7|f", "{way:?} {bytes}");
        }
    }
}

#[tokio::test]
async fn a_schema_of_the_format_before_is_read_and_renewed() {
    let bed = Bed::new(As::Owner);
    bed.psql(&format!("SET ROLE {}; {}", bed.role, include_str!("../../src/engine/postgresql/schema.sql")));
    bed.psql(&format!("SET ROLE {}; INSERT INTO whimbrel.history VALUES ('{HISTORY}', 1, '0', 'Versioned', '0', 'd', 'f', 'c', NULL, 'r', 1, 'me', now())", bed.role));
    let look = bed.engine().look().await.expect("reads it");
    assert_eq!(look.histories[HISTORY].len(), 1);
    let mut session = bed.enter(1).await;
    assert_eq!(bed.psql("SELECT format FROM whimbrel.fence"), "2");
    session.apply(HISTORY, &script("SELECT 1; VACUUM", "")).await.expect("applies");
    assert_eq!(bed.applied(), "0 1");
}
