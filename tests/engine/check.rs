//! A check's query reads, and can't write.

use std::time::Duration;

use whimbrel::engine::{Engine, EngineError, Rows};

use crate::bed::{As, Bed};

const LONG: Duration = Duration::from_secs(30);

async fn query(bed: &Bed, statement: &str) -> Result<Rows, EngineError> {
    bed.engine().query(statement, LONG).await
}

fn code(result: Result<Rows, EngineError>) -> String {
    match result {
        Err(EngineError::Server { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rows_come_as_text_and_only_so_many() {
    let bed = Bed::new(As::Owner);
    let rows = query(&bed, "SELECT 1 AS a, NULL AS b, 'ü' AS c").await.expect("reads");
    assert_eq!(rows.columns, ["a", "b", "c"]);
    assert_eq!(rows.rows, [[Some("1".to_owned()), None, Some("ü".to_owned())]]);
    assert!(!rows.truncated);
    let many = query(&bed, "SELECT generate_series(1, 1001)").await.expect("reads");
    assert_eq!((many.rows.len(), many.truncated), (1000, true));
    let full = query(&bed, "SELECT generate_series(1, 999)").await.expect("reads");
    assert_eq!((full.rows.len(), full.truncated), (999, false));
}

#[tokio::test]
async fn no_way_leads_to_a_write() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE TABLE t (n int); CREATE SEQUENCE s; INSERT INTO t VALUES (1)");
    for statement in [
        "DELETE FROM t",
        "SELECT nextval('s')",
        "CREATE TABLE u ()",
        "WITH d AS (DELETE FROM t RETURNING 1) SELECT 1 FROM d",
    ] {
        assert_eq!(code(query(&bed, statement).await), "25006", "{statement}");
    }
    for statement in ["COMMIT; DELETE FROM t", "SELECT 1; SELECT 2", "ROLLBACK; BEGIN; DELETE FROM t; COMMIT"]
    {
        assert_eq!(code(query(&bed, statement).await), "42601", "{statement}");
    }
    query(&bed, "COMMIT").await.expect("ends nothing but itself");
    assert_eq!(bed.psql("SELECT count(*) FROM t"), "1");
}

#[tokio::test]
async fn a_query_ends_in_time() {
    let bed = Bed::new(As::Owner);
    let late = bed.engine().query("SELECT pg_sleep(600)", Duration::from_millis(100)).await;
    assert_eq!(
        late.expect_err("late").to_string(),
        format!(
            "test/{0} (localhost:{1}/{0}): the server says: canceling statement due to statement timeout (57014)",
            bed.database,
            crate::bed::port()
        )
    );
}

#[tokio::test]
async fn a_look_sees_what_is_there() {
    let bed = Bed::new(As::Superuser);
    let look = bed.engine().look().await.expect("looks");
    assert!(look.empty && look.histories["default"].is_empty() && look.claim.is_none());
    assert!(look.bytes > 1_000_000, "{}", look.bytes);
    assert_eq!(look.version, bed.psql("SELECT split_part(current_setting('server_version'), ' ', 1)"));
    assert!(look.lineage.starts_with(&format!("{}/", look.identity)));
    assert_eq!(bed.psql("SELECT to_regnamespace('whimbrel') IS NULL"), "t", "looking makes nothing");

    bed.psql("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (1)");
    let mut command = crate::bed::psql_command(&bed.database);
    let failed =
        command.args(["-c", "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (n)"]).output().expect("psql runs");
    assert!(!failed.status.success());
    let look = bed.engine().look().await.expect("looks");
    assert!(!look.empty);
    assert_eq!(
        look.warnings,
        ["index public.broken is INVALID: an earlier CREATE INDEX CONCURRENTLY failed or still runs"]
    );
}
