//! Rows that stand in a script, fed to the server as psql would feed them, and what pg_dump writes.

use std::process::Command;

use whimbrel::engine::postgresql::Postgresql;
use whimbrel::engine::{Claim, Engine, EngineError, ScriptFailure, Session};
use whimbrel::script::{Kind, checksum};

use crate::bed::{As, Bed, HISTORY, admin, env, port, raw, scripts};
use crate::proxy::{Proxy, Way};

#[tokio::test]
async fn rows_of_every_format_go_in_with_their_script() {
    for who in [As::Superuser, As::Owner] {
        let bed = Bed::new(who);
        let text = "CREATE TABLE t (id int, name text);\n\
                    COPY t (id, name) FROM stdin;\n1\tä;\n2\t\\N\n3\tit's -- no comment\n\\.\n\
                    INSERT INTO t VALUES (4, 'four');\n\
                    COPY t FROM stdin WITH (FORMAT csv, HEADER); -- with a header\n\
                    id,name\n5,\"a;\n\"\"b\"\"\"\n\\.\n\n\
                    COPY t FROM stdin;\n\\.\nINSERT INTO t VALUES (6, 'six')";
        let mut session = bed.enter(1).await;
        for script in scripts(&[
            ("V1__t.sql", text),
            ("V2__t.sql", &text.replace("CREATE TABLE t (id int, name text);", "")),
        ]) {
            session.apply(HISTORY, &script).await.expect("applies");
        }
        session.leave(Claim::Keep).await.expect("leaves");
        let rows = "SELECT string_agg(id || '=' || coalesce(replace(name, E'\\n', '|'), 'NULL'), ' ' ORDER BY id) FROM (SELECT DISTINCT id, name FROM t) t";
        assert_eq!(bed.psql(rows), "1=ä; 2=NULL 3=it's -- no comment 4=four 5=a;|\"b\" 6=six");
        assert_eq!(bed.psql("SELECT count(*) FROM t"), "12");
        assert_eq!(bed.applied(), "1 2");
    }
}

async fn fails_with(text: &str, expected: &str) {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let before = bed.dump();
    let failure = session.apply(HISTORY, &raw("1", text, None)).await.expect_err("fails");
    assert_eq!(failure.to_string(), expected);
    assert_eq!(bed.dump(), before);
    let next = raw("2", "CREATE TABLE n (i int);\nCOPY n FROM stdin;\n1\n\\.\n", None);
    session.apply(HISTORY, &next).await.expect("the session still works");
    assert_eq!(bed.psql("SELECT i FROM n"), "1");
}

#[tokio::test]
async fn a_bad_row_is_named_by_its_line_in_the_file() {
    fails_with(
        "CREATE TABLE t (i int);\nCOPY t FROM stdin;\n1\n2\nx\n4\n\\.\nSELECT 1;\n",
        "V1__raw.sql:5:1 (statement 2): invalid input syntax for type integer: \"x\" (22P02)",
    )
    .await;
    fails_with(
        "CREATE TABLE t (i int, j int);\nCOPY t FROM stdin CSV;\n1,2\n3\n\\.\n",
        "V1__raw.sql:4:1 (statement 2): missing data for column \"j\" (22P04)",
    )
    .await;
    fails_with(
        "CREATE TABLE t (i int);\nCOPY t FROM stdin;\n1\n\\.\nSELECT nothing;\n",
        "V1__raw.sql:5:8 (statement 3): column \"nothing\" does not exist (42703)",
    )
    .await;
    fails_with(
        "COPY nothing FROM stdin;\n1\n\\.\n",
        "V1__raw.sql:1:1 (statement 1): relation \"nothing\" does not exist (42P01)",
    )
    .await;
}

/// More rows than any buffer on the way holds.
fn many(line: &str, bytes: usize) -> String {
    line.repeat(bytes / line.len())
}

#[tokio::test]
async fn a_server_that_talks_about_every_row_is_listened_to() {
    let bed = Bed::new(As::Owner);
    let text = format!(
        "CREATE TABLE t (i int, pad text);\n\
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING '%', repeat('w', 2000); RETURN new; END $$;\n\
         CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();\n\
         COPY t FROM stdin;\n{}\\.\n",
        many(&format!("1\t{}\n", "x".repeat(1000)), 12 << 20)
    );
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &raw("1", &text, None)).await.expect("applies");
    assert_eq!(bed.psql("SELECT count(*) > 10000 FROM t"), "t");
}

#[tokio::test]
async fn rows_that_are_refused_at_the_first_are_not_sent_to_the_last() {
    let bed = Bed::new(As::Owner);
    bed.psql(&format!("CREATE TABLE t (i int); ALTER TABLE t OWNER TO {}", bed.role));
    let proxy = Proxy::new("127.0.0.1", port()).await;
    let mut session = Postgresql::new(bed.plain(proxy.port)).enter(&bed.fence(1)).await.expect("enters");
    proxy.count();
    let text = format!("COPY t FROM stdin;\nx\n{}\\.\n", many("12345\n", 64 << 20));
    let failure = session.apply(HISTORY, &raw("1", &text, None)).await.expect_err("fails");
    assert!(failure.to_string().starts_with("V1__raw.sql:2:1 (statement 1): "), "{failure}");
    assert!(proxy.passed(Way::ToServer) < 48 << 20, "{} bytes were sent", proxy.passed(Way::ToServer));
    session.apply(HISTORY, &raw("2", "COPY t FROM stdin;\n7\n\\.\n", None)).await.expect("goes on");
    assert_eq!(bed.psql("SELECT i FROM t"), "7");
}

#[tokio::test]
async fn a_copy_that_ended_its_own_transaction_is_unknown() {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let text = "CREATE TABLE t (i int);\nCOPY t FROM stdin;\n1\n\\.\nCOMMIT;\nCOPY t FROM stdin;\nx\n\\.\n";
    let failure = session.apply(HISTORY, &raw("1", text, None)).await.expect_err("fails");
    assert!(matches!(failure, ScriptFailure::Unknown { .. }), "{failure}");
    assert_eq!(bed.psql("SELECT key, state FROM whimbrel.journal"), "1|Started");
    assert_eq!(bed.psql("SELECT i FROM t"), "1");
}

/// Cut after any byte of text, rows and answer the script is in once, or not at all.
#[tokio::test]
async fn cut_anywhere_its_rows_are_in_once() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE TABLE effect (n int)");
    let proxy = Proxy::new("127.0.0.1", port()).await;
    let engine = Postgresql::new(bed.plain(proxy.port));
    let text = format!("COPY effect FROM stdin;\n{}\\.\nSELECT 1;", many("1\n", 4096));
    let script = raw("1", &text, None);
    let clean = "TRUNCATE effect; DELETE FROM whimbrel.history; DELETE FROM whimbrel.journal";
    let enter = async || loop {
        match engine.enter(&bed.fence(1)).await {
            Ok(session) => break session,
            Err(EngineError::Busy { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let mut session = enter().await;
    proxy.count();
    session.apply(HISTORY, &script).await.expect("applies");
    let (message, answer) = (proxy.passed(Way::ToServer), proxy.passed(Way::ToClient));
    session.leave(Claim::Keep).await.expect("leaves");
    assert!(message > 4096, "the rows are sent");
    let to_server = [message - 4200, message - 4000, message - 6, message - 5, message - 1, message];
    let cuts = to_server.map(|bytes| (Way::ToServer, bytes)).into_iter();
    for (way, bytes) in cuts.chain((0..=answer).step_by(61).map(|bytes| (Way::ToClient, bytes))) {
        bed.psql(clean);
        let mut session = enter().await;
        proxy.cut_after(way, bytes);
        let outcome = session.apply(HISTORY, &script).await;
        proxy.mend();
        assert!(matches!(outcome, Ok(_) | Err(ScriptFailure::Lost { .. })), "{way:?} {bytes}: {outcome:?}");
        drop(session);
        let mut session = enter().await;
        let row = !session.histories()[HISTORY].is_empty();
        let there = bed.psql("SELECT count(*) FROM effect");
        assert_eq!(there, if row { "2048" } else { "0" }, "{way:?} {bytes}");
        assert!((row || outcome.is_err()) && session.partial().is_empty(), "{way:?} {bytes}");
        if !row {
            session.apply(HISTORY, &script).await.expect("applies");
        }
        session.leave(Claim::Keep).await.expect("leaves");
        assert_eq!(bed.psql("SELECT count(*) FROM effect"), "2048", "{way:?} {bytes}");
    }
}

/// What pg_dump writes of a database, rows and all.
fn pg_dump(bed: &Bed, more: &[&str]) -> String {
    let output = Command::new("pg_dump")
        .args(["-h", "localhost", "-U", &env("_USER"), &bed.database])
        .args(more)
        .env("PGPORT", env("_PORT"))
        .env("PGPASSWORD", env("_PASSWORD"))
        .output()
        .expect("pg_dump runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test]
async fn what_pg_dump_writes_is_a_baseline_as_it_is() {
    let from = Bed::new(As::Superuser);
    let role = format!("{}_r", from.database);
    admin(&format!("CREATE ROLE {role}"));
    from.psql(&include_str!("everything.sql").replace(":role", &role));
    let mut dumps = Vec::new();
    for more in [&[][..], &["--inserts"], &["--column-inserts", "--rows-per-insert=100", "--no-comments"]] {
        let dump = pg_dump(&from, more);
        assert!(more.is_empty() == dump.contains("FROM stdin;") && dump.contains("\n\\restrict "));
        let bed = Bed::new(As::Superuser);
        let mut session = bed.enter(1).await;
        let files = scripts(&[
            ("V1__baseline.sql", &dump),
            (
                "V2__next.sql",
                "INSERT INTO orders (note) SELECT current_setting('search_path') || current_user",
            ),
        ]);
        for script in &files {
            session.apply(HISTORY, script).await.unwrap_or_else(|failure| panic!("{more:?}: {failure}"));
        }
        // Nothing that a dump sets leaks into the next script.
        let next = format!("\"$user\", public{}", bed.role);
        assert_eq!(
            bed.psql(&format!("DELETE FROM ONLY orders WHERE note = '{next}' RETURNING 1")),
            "1",
            "{more:?}"
        );
        bed.psql("SELECT setval('orders_id_seq', 3)");
        dumps.push((more, bed.dump()));
    }
    let before = from.dump();
    for (more, after) in dumps {
        let kept = |dump: &str| -> Vec<String> {
            let comments = |line: &&str| !more.contains(&"--no-comments") || !line.starts_with("COMMENT ON");
            dump.lines().filter(comments).map(str::to_owned).collect()
        };
        if more.contains(&"--no-comments") {
            assert_eq!(
                after.lines().filter(|line| line.starts_with("CREATE ")).count(),
                before.lines().filter(|line| line.starts_with("CREATE ")).count()
            );
        } else {
            assert_eq!(kept(&after), kept(&before), "{more:?}");
        }
    }
    drop(from);
    admin(&format!("DROP ROLE IF EXISTS {role}"));
}

/// What a process of its own does for the next test.
async fn apply_what_is_large() {
    let bed = Bed::new(As::Superuser);
    let mut text = String::with_capacity(201 << 20);
    text.push_str("CREATE TABLE t (i int, pad text);\nINSERT INTO t VALUES (0, 'x')");
    while text.len() < 10 << 20 {
        text.push_str(", (1, 'a row of an INSERT; it''s long'), (2, NULL)");
    }
    text.push_str(";\nCOPY t FROM stdin;\n");
    while text.len() < 200 << 20 {
        text.push_str("3\tThe quick brown fox jumps over the lazy dog; and it's not a statement.\n");
    }
    text.push_str("\\.\nSELECT 1;\n");
    let mut script = raw("1", "", None);
    assert_eq!(script.kind, Kind::Versioned);
    script.checksum = checksum(&text);
    script.body = text;
    assert_eq!(script.findings(), []);
    assert!(!script.is_irreversible());
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &script).await.expect("applies");
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(bed.psql("SELECT count(*) > 2000000 FROM t"), "t");
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 300 << 10, "{peak} kB for a script of 200 MB: it is there more than once");
}

#[tokio::test]
async fn a_script_of_200_mb_is_in_memory_once() {
    const ALONE: &str = "WHIMBREL_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return apply_what_is_large().await;
    }
    let itself = std::env::current_exe().expect("this test");
    let name = "copy::a_script_of_200_mb_is_in_memory_once";
    let output = Command::new(itself).args(["--exact", name, "--nocapture"]).env(ALONE, "1").output();
    let output = output.expect("runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
