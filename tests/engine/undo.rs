//! Scripts back out, newest first, and the proof that everything is as it was.

use whimbrel::engine::postgresql::{History, Postgresql, Settings};
use whimbrel::engine::{Claim, Engine, ScriptFailure, Session};

use crate::bed::{As, Bed, HISTORY, raw, scripts};

#[tokio::test]
async fn what_is_undone_newest_first_is_proven_to_be_gone() {
    for who in [As::Superuser, As::Owner] {
        let bed = Bed::new(who);
        let mut session = bed.enter(1).await;
        let first = raw("1", "CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1)", None);
        session.apply(HISTORY, &first).await.expect("applies");
        let (proof, dump) = (bed.engine().proof().await.expect("read"), bed.dump());
        let files = scripts(&[
            ("V2__tags.sql", "CREATE TABLE tags (t text);\nCREATE INDEX ON tags (t);"),
            ("U2__tags.sql", "DROP TABLE tags;"),
            ("V3__tag.sql", "ALTER TABLE users ADD tag text; GRANT SELECT ON users TO pg_monitor"),
            ("U3__tag.sql", "REVOKE SELECT ON users FROM pg_monitor; ALTER TABLE users DROP tag;"),
        ]);
        for script in &files {
            session.apply(HISTORY, script).await.expect("applies");
        }
        let changed = bed.engine().proof().await.expect("read");
        assert_ne!(changed.structure, proof.structure);
        assert_ne!(changed.histories, proof.histories);

        let early = session.undo(HISTORY, &files[0]).await.expect_err("3 is younger");
        assert_eq!(
            early.to_string(),
            "U2__tags.sql: the younger script 3 is in the history (HistoryDrift). Undo that one first."
        );
        for script in files.iter().rev() {
            session.undo(HISTORY, script).await.expect("undoes");
        }
        let keys: Vec<_> = session.histories()[HISTORY].iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["1"]);
        assert_eq!(bed.engine().proof().await.expect("read"), proof);
        assert_eq!(
            bed.psql("SELECT string_agg(key || state, ' ' ORDER BY id) FROM whimbrel.journal"),
            "1Applied 2Undone 3Undone"
        );
        // A privilege that was given and taken is written down in the catalogue where before there was nothing.
        let silent = |dump: &str| dump.lines().filter(|line| !line.contains("users")).count();
        assert_eq!(silent(&bed.dump()), silent(&dump));

        session.apply(HISTORY, &files[0]).await.expect("what was undone may be applied again");
        session.leave(Claim::Keep).await.expect("leaves");
        assert_eq!(bed.applied(), "1 2");
    }
}

#[tokio::test]
async fn a_failing_undo_says_where_and_changes_nothing() {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let script = raw("1", "CREATE TABLE a ()", Some("DROP TABLE a;\nDROP TABLE nothing;"));
    session.apply(HISTORY, &script).await.expect("applies");
    let failure = session.undo(HISTORY, &script).await.expect_err("fails");
    assert_eq!(
        failure.to_string(),
        "U1__raw.sql:2:1 (statement 2): table \"nothing\" does not exist (42P01)"
    );
    assert_eq!(bed.psql("SELECT to_regclass('a') IS NOT NULL"), "t");
    assert_eq!(bed.applied(), "1");
    assert_eq!(bed.psql("SELECT state FROM whimbrel.journal"), "Applied");
}

#[tokio::test]
async fn without_an_undo_or_a_row_there_is_nothing_to_undo() {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let script = raw("1", "SELECT 1", None);
    let failure = session.undo(HISTORY, &script).await.expect_err("not in");
    assert_eq!(failure.to_string(), "V1__raw.sql: it is not in the history (HistoryDrift)");
    session.apply(HISTORY, &script).await.expect("applies");
    let failure = session.undo(HISTORY, &script).await.expect_err("no undo");
    assert_eq!(
        failure.to_string(),
        "V1__raw.sql: the script can't be taken back: it has no undo file (NoUndo)"
    );
}

/// A row that somebody else wrote after ours is never stepped over.
#[tokio::test]
async fn a_younger_row_of_somebody_else_is_named() {
    let bed = Bed::new(As::Superuser);
    let mut session = bed.enter(1).await;
    let script = raw("7", "CREATE TABLE spaces ()", Some("DROP TABLE spaces"));
    session.apply(HISTORY, &script).await.expect("applies");
    bed.psql(
        "INSERT INTO whimbrel.history (history, rank, key, kind, description, file, checksum, run_uid, run, applied_at) \
         VALUES ('default', 2, '8', 'Versioned', 'd', 'V8__x.sql', 'c', 'other', 1, now())",
    );
    let failure = session.undo(HISTORY, &script).await.expect_err("8 is younger");
    assert_eq!(
        failure.to_string(),
        "U7__raw.sql: the younger script 8 is in the history (HistoryDrift). Undo that one first."
    );
    assert_eq!(bed.psql("SELECT to_regclass('spaces') IS NOT NULL"), "t");
}

#[tokio::test]
async fn a_repeatable_goes_back_to_the_text_that_ran_before() {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let version = |n: u32| {
        scripts(&[("R__view.sql", &format!("CREATE OR REPLACE VIEW v AS SELECT {n} AS n;"))]).remove(0)
    };
    session.apply(HISTORY, &version(1)).await.expect("applies");
    let proof = bed.engine().proof().await.expect("read");
    session.apply(HISTORY, &version(2)).await.expect("applies");
    assert_eq!(bed.psql("SELECT n FROM v"), "2");
    assert_eq!(session.histories()[HISTORY].len(), 2);
    session.undo(HISTORY, &version(2)).await.expect("undoes");
    assert_eq!(bed.psql("SELECT n FROM v"), "1");
    assert_eq!(bed.engine().proof().await.expect("read"), proof);
    let failure = session.undo(HISTORY, &version(1)).await.expect_err("the first");
    assert_eq!(
        failure.to_string(),
        "R__view.sql: the script can't be taken back: it ran for the first time, so there is nothing to go back to (NoUndo)"
    );

    let more =
        scripts(&[("R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT 3 AS n; CREATE TABLE made ();")])
            .remove(0);
    session.apply(HISTORY, &more).await.expect("applies");
    let failure = session.undo(HISTORY, &more).await.expect_err("not replace-only");
    assert_eq!(
        failure.to_string(),
        "R__view.sql: the script can't be taken back: not all of its statements are CREATE OR REPLACE (NoUndo)"
    );
}

#[tokio::test]
async fn a_half_done_script_counts_as_applied_until_its_undo_has_run() {
    let bed = Bed::new(As::Owner);
    let mut session = bed.enter(1).await;
    let script = raw("1", "CREATE TABLE half (); COMMIT; SELECT 1/0", Some("DROP TABLE IF EXISTS half"));
    let failure = session.apply(HISTORY, &script).await.expect_err("half");
    assert_eq!(
        failure,
        ScriptFailure::Unknown {
            evidence:
                "it ended its own transaction; what it did before that is there, what came after is not: \
                       division by zero (22012)"
                    .to_owned()
        }
    );
    let half = session.partial()[0].clone();
    assert_eq!(
        (half.history.as_str(), half.key.as_str(), half.run_uid),
        (HISTORY, "1", bed.fence(1).run_uid)
    );
    assert!(half.since.is_some());
    let again = session.apply(HISTORY, &script).await.expect_err("never again");
    assert_eq!(
        again.to_string(),
        "V1__raw.sql: it was begun by run 0f5d7a1c-88aa-4a63-9b65-000000000001 and never finished (HistoryDrift)"
    );
    session.undo(HISTORY, &script).await.expect("the caller knows that its undo may do that");
    assert!(session.partial().is_empty());
    assert_eq!(bed.psql("SELECT to_regclass('half') IS NULL"), "t");
    session.leave(Claim::Keep).await.expect("leaves");
    assert!(bed.enter(1).await.partial().is_empty());
}

#[tokio::test]
async fn histories_of_one_database_do_not_disturb_each_other() {
    let bed = Bed::new(As::Owner);
    let histories = ["users", "orders"].map(|name| History { name: name.to_owned() }).to_vec();
    let engine = Postgresql::new(Settings { histories, ..bed.settings() });
    let mut session = engine.enter(&bed.fence(1)).await.expect("enters");
    let script =
        |table: &str| raw("1", &format!("CREATE TABLE {table} ()"), Some(&format!("DROP TABLE {table}")));
    session.apply("users", &script("u")).await.expect("applies");
    session.apply("orders", &script("o")).await.expect("the same key in another history");
    session.undo("users", &script("u")).await.expect("is the newest of its own");
    let failure = session.apply("nobody", &script("n")).await.expect_err("undeclared");
    assert_eq!(failure.to_string(), "V1__raw.sql: history nobody is not declared (HistoryDrift)");
    let look = engine.look().await.expect("looks");
    assert_eq!((look.histories["users"].len(), look.histories["orders"].len()), (0, 1));
}
