//! Who is there, what could write without being there, and the mark that every write moves.

use whimbrel::engine::postgresql::{Ignore, Postgresql, Settings};
use whimbrel::engine::{Claim, Engine, Quiet, Session};

use crate::bed::{As, Bed, HISTORY, raw, until};
use crate::witness::Witness;

async fn sample(bed: &Bed) -> Quiet {
    bed.engine().quiet(&bed.fence(1)).await.expect("samples")
}

async fn mark(bed: &Bed) -> String {
    let quiet = sample(bed).await;
    assert_eq!(quiet.obstacles, Vec::<String>::new());
    quiet.mark.expect("readable")
}

#[tokio::test]
async fn somebody_else_is_seen_and_may_be_ignored_by_rule() {
    let bed = Bed::new(As::Superuser);
    let session = bed.enter(1).await;
    assert_eq!(sample(&bed).await.foreign, [], "our own sessions do not count");
    let mut billing = Witness::new(&bed.database, "billing");
    let pid = billing.pid();
    let foreign = sample(&bed).await.foreign;
    assert_eq!(foreign.len(), 1);
    assert_eq!((foreign[0].pid, foreign[0].application.as_str()), (pid, "billing"));
    assert_eq!(foreign[0].user, Some(bed.role.clone()));
    assert_eq!(foreign[0].backend_type.as_deref(), Some("client backend"));
    assert_eq!(bed.engine().look().await.expect("looks").sessions, foreign);

    let rule = Ignore { user: None, application_name: Some("billing".to_owned()) };
    let ignoring = Postgresql::new(Settings { quiet_ignore: vec![rule], ..bed.settings() });
    assert_eq!(ignoring.quiet(&bed.fence(1)).await.expect("samples").foreign, []);
    session.leave(Claim::Keep).await.expect("leaves");
}

#[tokio::test]
async fn a_role_that_can_not_see_others_proves_nothing_and_says_what_to_grant() {
    let bed = Bed::new(As::Owner);
    let mut stranger = Witness::new(&bed.database, "stranger");
    stranger.pid();
    let why = format!(
        "role {0} can't see the sessions of other roles, so silence can't be proven. A database administrator must \
         run: GRANT pg_read_all_stats TO \"{0}\";",
        bed.role
    );
    assert_eq!(bed.engine().look().await.expect("looks").quiet_provable, Err(why.clone()));
    let quiet = sample(&bed).await;
    assert_eq!(quiet.obstacles, [why]);
    assert_eq!(quiet.foreign.len(), 1, "and what it can't see counts as foreign");
    assert_eq!(quiet.foreign[0].backend_type, None);

    bed.psql(&format!("GRANT pg_read_all_stats TO \"{}\"", bed.role));
    assert_eq!(bed.engine().look().await.expect("looks").quiet_provable, Ok(()));
    assert_eq!(sample(&bed).await.obstacles, Vec::<String>::new());
}

#[tokio::test]
async fn what_can_write_without_a_session_is_an_obstacle() {
    let bed = Bed::new(As::Superuser);
    let name = &bed.database;
    bed.psql(&format!(
        "CREATE TABLE t (n int); BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '{name}'"
    ));
    bed.psql(&format!(
        "CREATE SUBSCRIPTION birds CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, slot_name = '{name}')"
    ));
    let expected = [
        format!(
            "prepared transaction {name} is open and may be committed at any time. End it: ROLLBACK PREPARED '{name}';"
        ),
        "subscription birds writes into this database. Stop it: ALTER SUBSCRIPTION \"birds\" DISABLE;"
            .to_owned(),
    ];
    assert_eq!(sample(&bed).await.obstacles, expected[..1], "a subscription that is off is none");
    bed.psql("ALTER SUBSCRIPTION birds ENABLE");
    assert_eq!(sample(&bed).await.obstacles, expected);
    bed.psql("ALTER SUBSCRIPTION birds DISABLE; ALTER SUBSCRIPTION birds SET (slot_name = NONE)");
    bed.psql("DROP SUBSCRIPTION birds");
    bed.psql(&format!("ROLLBACK PREPARED '{name}'"));
}

/// F-63, and every way to write that moves no row counter.
#[tokio::test]
async fn every_write_between_two_samples_moves_the_mark() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE TABLE t (id serial PRIMARY KEY, n int); CREATE SEQUENCE s; CREATE VIEW v AS SELECT 1 AS a; INSERT INTO t (n) VALUES (1)");
    bed.enter(1).await.leave(Claim::Keep).await.expect("leaves");
    let mut before = mark(&bed).await;
    assert_eq!(mark(&bed).await, before, "nobody has written");
    for write in [
        "INSERT INTO t (id, n) VALUES (1000, 2)",
        "UPDATE t SET n = 3",
        "DELETE FROM t WHERE id = 1000",
        "TRUNCATE t",
        "SELECT nextval('s')",
        "SELECT setval('s', 1, false)",
        "CREATE TABLE u (n int)",
        "ALTER TABLE t ADD COLUMN late text",
        "ALTER TABLE t ALTER late SET DEFAULT 'x'",
        "CREATE INDEX i ON t (n)",
        "CREATE OR REPLACE VIEW v AS SELECT 2 AS a",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "DROP TABLE u",
        "SELECT lo_from_bytea(0, 'bird')",
        "SELECT lo_put(max(oid), 0, 'x') FROM pg_largeobject_metadata",
        "SELECT lo_unlink(max(oid)) FROM pg_largeobject_metadata",
    ] {
        bed.psql(write);
        let after = mark(&bed).await;
        assert_ne!(after, before, "{write}");
        before = after;
    }
    for read in ["SELECT * FROM t", "ANALYZE t", "VACUUM t", "SELECT last_value FROM s"] {
        bed.psql(read);
        assert_eq!(mark(&bed).await, before, "{read}");
    }
}

#[tokio::test]
async fn what_we_wrote_ourselves_is_in_the_mark_once_we_have_left() {
    let bed = Bed::new(As::Superuser);
    let mut session = bed.enter(1).await;
    session
        .apply(
            HISTORY,
            &raw("1", "CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 100)", None),
        )
        .await
        .expect("applies");
    session.leave(Claim::Keep).await.expect("leaves");
    let left = mark(&bed).await;
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'wb/%' AND datname = current_database()";
    until("all our sessions are gone", || bed.psql(ours) == "0").await;
    assert_eq!(mark(&bed).await, left);
    bed.psql("UPDATE whimbrel.fence SET plan = plan");
    assert_eq!(mark(&bed).await, left, "our own tables do not count");
}

#[tokio::test]
async fn sequences_that_can_not_be_read_leave_no_mark() {
    let bed = Bed::new(As::Owner);
    bed.psql(&format!("GRANT pg_read_all_stats TO {}; CREATE SEQUENCE hidden", bed.role));
    let quiet = sample(&bed).await;
    assert_eq!(quiet.mark, None);
    assert_eq!(
        quiet.obstacles,
        [
            "the write mark can't be read: permission denied for sequence hidden. Grant SELECT on all sequences."
        ]
    );
}
