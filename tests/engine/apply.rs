//! Scripts in, one message each; what fails says where, and leaves nothing.

use std::time::Duration;

use whimbrel::engine::postgresql::{Postgresql, Settings};
use whimbrel::engine::{Claim, Engine, ScriptFailure, Session};
use whimbrel::script::{Value, Values};

use crate::bed::{As, Bed, HISTORY, raw, scripts, until};
use crate::witness::Witness;

#[tokio::test]
async fn scripts_leave_their_effect_and_one_row_each() {
    for who in [As::Superuser, As::Owner] {
        let bed = Bed::new(who);
        let mut session = bed.enter(1).await;
        for script in scripts(&[
            (
                "V1__users.sql",
                "CREATE TABLE users (id int PRIMARY KEY);\nINSERT INTO users VALUES (1), (2);\n",
            ),
            ("V2__tags.sql", "ALTER TABLE users ADD tag text DEFAULT 'ü'"),
        ]) {
            let row = session.apply(HISTORY, &script).await.expect("applies");
            assert_eq!(row.key, script.key);
        }
        let keys: Vec<_> =
            session.histories()[HISTORY].iter().map(|row| (row.key.as_str(), row.installed_rank)).collect();
        assert_eq!(keys, [("1", 1), ("2", 2)]);
        session.leave(Claim::Keep).await.expect("leaves");

        assert_eq!(bed.psql("SELECT count(*), min(tag) FROM users"), "2|ü");
        assert_eq!(bed.applied(), "1 2");
        assert_eq!(bed.psql("SELECT DISTINCT state FROM whimbrel.journal"), "Applied");
        let look = bed.engine().look().await.expect("looks");
        assert_eq!(look.histories[HISTORY].len(), 2);
        assert_eq!(look.claim.expect("kept").token, 1);
    }
}

/// The failure's text and whether the database is as before; the session goes on working.
async fn fails_with(body: &str, expected: &str) {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let before = bed.dump();
    let failure = session.apply(HISTORY, &raw("1", body, None)).await.expect_err("fails");
    assert!(matches!(failure, ScriptFailure::Failed(_)), "{failure:?}");
    assert_eq!(failure.to_string(), expected);
    assert_eq!(bed.dump(), before);
    assert_eq!(bed.applied(), "");
    session.apply(HISTORY, &raw("2", "SELECT 1", None)).await.expect("the session still works");
    assert!(session.partial().is_empty());
}

#[tokio::test]
async fn an_error_at_run_time_names_the_statement_that_ran() {
    fails_with(
        "-- ünïcode before it\nCREATE TABLE a (id int);\n\n;INSERT INTO a VALUES (1);\n  SELECT 1/0 FROM a;\nSELECT 2;\n",
        "V1__raw.sql:5:3 (statement 3): division by zero (22012)",
    )
    .await;
}

#[tokio::test]
async fn an_error_of_reading_names_line_and_column_in_characters() {
    fails_with(
        "SELECT 'ü';\nSELECT 'ü', nothing;\n",
        "V1__raw.sql:2:13 (statement 2): column \"nothing\" does not exist (42703)",
    )
    .await;
}

#[tokio::test]
async fn an_open_quote_is_an_error_where_it_was_opened() {
    fails_with(
        "CREATE TABLE a (t text);\nINSERT INTO a VALUES ('it''s);\n",
        "V1__raw.sql:2:23: a string (') is never closed (42601)",
    )
    .await;
}

#[tokio::test]
async fn an_open_dollar_quote_and_an_open_comment_too() {
    fails_with(
        "DO $x$ BEGIN END $$;\n",
        "V1__raw.sql:1:4: the string $x$ is never closed by another $x$ (42601)",
    )
    .await;
    fails_with(
        "SELECT 1; /* a /* b */",
        "V1__raw.sql:1:11: a comment (/*) is never closed; comments nest (42601)",
    )
    .await;
}

#[tokio::test]
async fn an_unfinished_statement_is_named_and_not_our_own_text() {
    fails_with(
        "SELECT 1;\nSELECT 1 +\n",
        "V1__raw.sql:2:1 (statement 2): the last statement is not complete (42601)",
    )
    .await;
}

#[tokio::test]
async fn a_deferred_constraint_is_named_at_the_end() {
    fails_with(
        "CREATE TABLE p (id int PRIMARY KEY);\n\
         CREATE TABLE c (p int CONSTRAINT c_to_p REFERENCES p DEFERRABLE INITIALLY DEFERRED);\n\
         INSERT INTO c VALUES (7);",
        "V1__raw.sql: at the end of the transaction, constraint c_to_p: insert or update on table \"c\" violates \
         foreign key constraint \"c_to_p\" (23503)",
    )
    .await;
}

#[tokio::test]
async fn a_new_enum_value_can_not_be_used_at_once() {
    let bed = Bed::new(As::Owner);
    bed.psql(
        "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE m (mood mood); ALTER TYPE mood OWNER TO CURRENT_USER",
    );
    bed.psql(&format!("ALTER TYPE mood OWNER TO {0}; ALTER TABLE m OWNER TO {0}", bed.role));
    let mut session = bed.enter(1).await;
    let body = "ALTER TYPE mood ADD VALUE 'good';\nINSERT INTO m VALUES ('good');";
    let failure = session.apply(HISTORY, &raw("1", body, None)).await.expect_err("fails");
    assert_eq!(
        failure.to_string(),
        "V1__raw.sql:2:23 (statement 2): unsafe use of new value \"good\" of enum type mood (55P04). \
         Put what uses the new enum value into a second script."
    );
    let first = raw("1", "ALTER TYPE mood ADD VALUE 'good';", None);
    session.apply(HISTORY, &first).await.expect("alone it runs inside the transaction");
    session
        .apply(HISTORY, &raw("2", "INSERT INTO m VALUES ('good')", None))
        .await
        .expect("and then it is there");
}

#[tokio::test]
async fn details_of_rows_are_said_only_where_asked_for() {
    let bed = Bed::new(As::Owner);
    let body =
        "CREATE TABLE u (mail text UNIQUE); INSERT INTO u VALUES ('eve@example.org'), ('eve@example.org')";
    for (full, said) in [(false, false), (true, true)] {
        let engine = Postgresql::new(Settings { diagnostics_full: full, ..bed.settings() });
        let mut session = engine.enter(&bed.fence(1)).await.expect("enters");
        let failure = session.apply(HISTORY, &raw("1", body, None)).await.expect_err("fails");
        assert_eq!(failure.to_string().contains("eve@example.org"), said, "{failure}");
        session.leave(Claim::Keep).await.expect("leaves");
    }
}

#[tokio::test]
async fn a_script_is_never_applied_twice() {
    let bed = Bed::new(As::Owner);
    let script = raw("1", "CREATE TABLE IF NOT EXISTS n (); CREATE TABLE once ()", None);
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &script).await.expect("applies");
    let failure = session.apply(HISTORY, &script).await.expect_err("is in");
    assert_eq!(failure.to_string(), "V1__raw.sql: it is applied already (HistoryDrift)");
    session.leave(Claim::Keep).await.expect("leaves");

    // The table itself refuses, were the history read wrongly.
    let mut other = Witness::new(&bed.database, "other");
    other.say("SET client_min_messages = error");
    assert_eq!(
        bed.psql("SELECT count(*) FROM pg_indexes WHERE schemaname = 'whimbrel' AND indexname IN ('journal_once', 'history_once')"),
        "2"
    );
}

#[tokio::test]
async fn the_isolation_level_of_a_script_is_the_one_it_asks_for() {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let text = "-- whimbrel: isolation: serializable\nCREATE TABLE level AS SELECT current_setting('transaction_isolation') AS it;";
    for script in scripts(&[
        ("V1__level.sql", text),
        ("V2__next.sql", "INSERT INTO level SELECT current_setting('transaction_isolation')"),
    ]) {
        session.apply(HISTORY, &script).await.expect("applies");
    }
    assert_eq!(bed.psql("SELECT string_agg(it, ', ') FROM level"), "serializable, read committed");
}

#[tokio::test]
async fn a_statement_that_waits_names_who_it_waits_for() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE TABLE users (id int)");
    let mut billing = Witness::new(&bed.database, "billing");
    let pid = billing.pid();
    billing.say("BEGIN; LOCK TABLE users");
    let settings = Settings { lock_timeout: Duration::from_millis(1500), ..bed.settings() };
    let mut session = Postgresql::new(settings).enter(&bed.fence(1)).await.expect("enters");
    let script = raw("1", "ALTER TABLE users ADD tag text", None);
    let failure = session.apply(HISTORY, &script).await.expect_err("waits in vain");
    let ScriptFailure::Blocked(by) = failure else { panic!("{failure:?}") };
    assert_eq!(by.what, format!("lock held by pid {pid} (app=billing, role {}) on public.users", bed.role));
    assert_eq!(by.sql, Some(format!("SELECT pg_terminate_backend({pid});")));
    assert_eq!(by.pid, Some(pid));
    assert!(by.since.is_some());

    billing.say("COMMIT");
    session.apply(HISTORY, &script).await.expect("the same session goes on");
    assert_eq!(bed.applied(), "1");
}

#[tokio::test]
async fn a_cancelled_script_leaves_nothing_and_its_session_runs_no_other() {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let canceller = session.canceller();
    let running = tokio::spawn(async move {
        let script = raw("1", "CREATE TABLE effect (); SELECT pg_sleep(600)", None);
        (session.apply(HISTORY, &script).await, session)
    });
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    until("the script sleeps", || bed.psql(sleeping) == "1").await;
    canceller.cancel().await;
    let (outcome, mut session) = running.await.expect("no panic");
    assert_eq!(outcome, Err(ScriptFailure::Cancelled));
    assert_eq!(bed.psql("SELECT to_regclass('effect') IS NULL"), "t");
    assert_eq!(session.apply(HISTORY, &raw("2", "SELECT 1", None)).await, Err(ScriptFailure::Cancelled));
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(bed.enter(1).await.histories()[HISTORY].len(), 0);
}

#[tokio::test]
async fn a_statement_timeout_is_the_scripts_failure() {
    let bed = Bed::new(As::Owner);
    let settings = Settings { statement_timeout: Duration::from_millis(200), ..bed.settings() };
    let mut session = Postgresql::new(settings).enter(&bed.fence(1)).await.expect("enters");
    let failure =
        session.apply(HISTORY, &raw("1", "SELECT 1;\nSELECT pg_sleep(600)", None)).await.expect_err("late");
    assert_eq!(
        failure.to_string(),
        "V1__raw.sql:2:1 (statement 2): canceling statement due to statement timeout (57014)"
    );
}

#[tokio::test]
async fn psql_commands_that_are_skipped_keep_every_position() {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let text = "\\restrict abc\nCREATE TABLE a ();\n\\echo ü\nSELECT nothing;\n\\unrestrict abc\n";
    let script = scripts(&[("V1__dump.sql", text)]).remove(0);
    let failure = session.apply(HISTORY, &script).await.expect_err("fails");
    assert_eq!(
        failure.to_string(),
        "V1__dump.sql:4:8 (statement 2): column \"nothing\" does not exist (42703)"
    );
}

#[tokio::test]
async fn a_thousand_scripts_and_one_of_four_megabytes() {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    for n in 1..=1000 {
        let script =
            raw(&n.to_string(), &format!("CREATE TABLE t{n} (id int); INSERT INTO t{n} VALUES ({n});"), None);
        session.apply(HISTORY, &script).await.expect("applies");
    }
    let filler = format!("CREATE TABLE big (t text);\nINSERT INTO big VALUES ('{}');", "ü".repeat(2 << 20));
    session.apply(HISTORY, &raw("1001", &filler, None)).await.expect("applies");
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(bed.psql("SELECT count(*), max(rank) FROM whimbrel.history"), "1001|1001");
    assert_eq!(bed.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1001");
    assert_eq!(bed.psql("SELECT length(t) FROM big"), (2 << 20).to_string());
}

/// What a script is filled with is in no history, and a superuser keeps it out of the server's log.
#[tokio::test]
async fn a_filled_script_is_kept_as_it_was_written_and_not_logged() {
    let bed = Bed::new(As::Superuser);
    let mut session = bed.enter(1).await;
    let value = Value { text: "it's hunter2".to_owned(), secret: true };
    let values = Values::new([("password".to_owned(), value)].into());
    let body = "CREATE OR REPLACE VIEW seen AS SELECT ${password:literal}::text AS password, \
                (SELECT setting FROM pg_settings WHERE name = 'log_min_error_statement') AS level;\n\
                SELECT 1 / (CASE WHEN current_setting('log_min_error_statement') = 'panic' THEN 1 ELSE 0 END);\n";
    for mut script in scripts(&[("R__seen.sql", body)]) {
        script.values = values.clone();
        session.apply(HISTORY, &script).await.expect("applies");
        assert_eq!(bed.psql("SELECT password FROM seen"), "it's hunter2");
        assert_eq!(bed.psql("SELECT count(*) FROM whimbrel.history WHERE body LIKE '%hunter2%'"), "0");
        assert_eq!(
            bed.psql("SELECT count(*) FROM whimbrel.history WHERE body LIKE '%${password:literal}%'"),
            "1"
        );
    }
    session.leave(Claim::Keep).await.expect("leaves");
    // Who may not decide about the log applies all the same.
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let mut script = raw(
        "1",
        "CREATE TABLE t AS SELECT ${password:literal}::text AS p;",
        Some("DROP TABLE t; SELECT ${password:literal};"),
    );
    script.values = values;
    session.apply(HISTORY, &script).await.expect("applies");
    assert_eq!(bed.psql("SELECT p FROM t"), "it's hunter2");
    session.undo(HISTORY, &script).await.expect("undoes");
    assert_eq!(bed.applied(), "");
}
