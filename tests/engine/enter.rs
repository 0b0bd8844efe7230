//! Who may go in: lock, fence, claim, takeover.

use std::time::Duration;

use whimbrel::engine::postgresql::{Postgresql, Settings};
use whimbrel::engine::{Claim, Engine, EngineError, ScriptFailure, Session};

use crate::bed::{As, Bed, HISTORY, admin, credentials, port, raw, until};
use crate::entering::{one_run_at_a_time, refused};
use crate::proxy::{Proxy, Way};
use crate::witness::Witness;

const LOCK: &str = "8604243006615348588";
/// How many sessions of this database wait for an advisory lock.
const WAITS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = \
                     (SELECT oid FROM pg_database WHERE datname = current_database())";

fn at(bed: &Bed) -> String {
    format!("test/{0} (localhost:{1}/{0})", bed.database, port())
}

#[tokio::test]
async fn the_claim_outlives_the_session_until_it_is_given_up_and_the_token_outlives_both() {
    let bed = Bed::new(As::Owner);
    one_run_at_a_time(&bed.engine(), &bed.fence(1), &at(&bed)).await;
    assert_eq!(bed.psql("SELECT token, claimed, run FROM whimbrel.fence"), "5|f|4");
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(bed.psql(held), "0");
}

#[tokio::test]
async fn a_refused_session_keeps_no_lock() {
    let bed = Bed::new(As::Owner);
    bed.enter(3).await.leave(Claim::Keep).await.expect("leaves");
    refused(&bed.engine(), &bed.fence(2)).await;
    bed.enter(3).await.leave(Claim::Keep).await.expect("the lock is free");
}

#[tokio::test]
async fn an_idle_session_of_an_older_epoch_is_ended() {
    let bed = Bed::new(As::Owner);
    let mut old = bed.enter(1).await;
    let new = bed.enter(2).await;
    assert!(new.histories()[HISTORY].is_empty());
    let failure = old.apply(HISTORY, &raw("1", "CREATE TABLE effect ()", None)).await.expect_err("is gone");
    assert_eq!(
        failure.to_string(),
        "the connection was lost: terminating connection due to administrator command (57P01)"
    );
    assert_eq!(bed.psql("SELECT to_regclass('effect') IS NULL"), "t");
}

/// F-56: the connection is lost, the epoch is the same, the backend lives and commits.
#[tokio::test]
async fn a_session_that_executes_is_waited_for_and_its_outcome_counts() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE TABLE effect (n int)");
    let proxy = Proxy::new("127.0.0.1", port()).await;
    // So long that the script waits behind the gate until the second driver has been sent away.
    let through =
        Postgresql::new(Settings { lock_timeout: Duration::from_secs(120), ..bed.plain(proxy.port) });
    let mut session = through.enter(&bed.fence(1)).await.expect("enters");
    let mut gate = Witness::new(&bed.database, "gate");
    gate.say("SELECT pg_advisory_lock(1)");
    let script = raw("1", "INSERT INTO effect VALUES (1); SELECT pg_advisory_lock(1)", None);
    proxy.hide_after(Way::ToClient, 0);
    let pending = tokio::spawn(async move { session.apply(HISTORY, &script).await });
    until("the script waits", || bed.psql(WAITS) == "1").await;
    let refusal = refused(&bed.engine(), &bed.fence(1)).await;
    let EngineError::Busy { by, .. } = refusal else { panic!("{refusal:?}") };
    assert!(
        by.what.ends_with(&format!(
            "a session of run 0f5d7a1c epoch 1 (role {}), is executing a script",
            bed.role
        )),
        "{by}"
    );
    assert!(by.since.is_some() && by.sql.is_some());

    gate.say("SELECT pg_advisory_unlock(1)");
    assert!(matches!(pending.await.expect("no panic"), Err(ScriptFailure::Lost { .. })));
    until("the script is in", || bed.applied() == "1").await;
    // Its session still stands at the server, idle and with the lock.
    let session = bed.enter(1).await;
    assert_eq!(session.histories()[HISTORY].len(), 1);
    assert_eq!(bed.psql("SELECT count(*) FROM effect"), "1");
}

/// F-57: an older transaction stands between its look at the token and its commit.
#[tokio::test]
async fn raising_the_token_waits_for_whoever_is_inside() {
    let bed = Bed::new(As::Superuser);
    bed.enter(1).await.leave(Claim::Keep).await.expect("leaves");
    // Under another name and without the lock, so that only the row itself can keep the newer one out.
    let mut inside = Witness::new(&bed.database, "nameless");
    inside.say("BEGIN; SELECT token FROM whimbrel.fence FOR UPDATE");
    let hasty = Postgresql::new(Settings { lock_timeout: Duration::from_millis(300), ..bed.settings() });
    let refusal = refused(&hasty, &bed.fence(2)).await;
    assert_eq!(
        refusal.to_string(),
        format!("{} is busy: a transaction of an older session still holds the fence row", at(&bed))
    );
    assert_eq!(bed.psql("SELECT token FROM whimbrel.fence"), "1");
    inside.say("COMMIT");
    let session = hasty.enter(&bed.fence(2)).await.expect("nobody is inside");
    session.leave(Claim::Keep).await.expect("leaves");
}

#[tokio::test]
async fn a_script_of_an_overtaken_session_does_nothing() {
    let bed = Bed::new(As::Superuser);
    let mut session = bed.enter(1).await;
    bed.psql("UPDATE whimbrel.fence SET token = 7");
    let failure = session.apply(HISTORY, &raw("1", "CREATE TABLE effect ()", None)).await;
    assert_eq!(failure, Err(ScriptFailure::Overtaken { token: 7 }));
    assert_eq!(bed.psql("SELECT to_regclass('effect') IS NULL, count(*) FROM whimbrel.journal"), "t|0");
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_named() {
    let bed = Bed::new(As::Superuser);
    let mut stranger = Witness::new(&bed.database, "stranger");
    let pid = stranger.pid();
    stranger.say(&format!("SELECT pg_advisory_lock({LOCK})"));
    let EngineError::Busy { by, .. } = refused(&bed.engine(), &bed.fence(1)).await else {
        panic!("not busy")
    };
    assert_eq!(by.what, format!("pid {pid} (app=stranger, role {}) holds the lock", bed.role));
    assert_eq!(by.pid, Some(pid));
    assert_eq!(
        bed.psql("SELECT to_regnamespace('whimbrel') IS NULL"),
        "t",
        "nothing is made without the lock"
    );
}

#[tokio::test]
async fn a_session_that_lost_its_lock_to_another_stops() {
    let bed = Bed::new(As::Superuser);
    let mut session = bed.enter(1).await;
    let mut next = Witness::new(&bed.database, "next");
    next.start(&format!("SELECT pg_advisory_lock({LOCK})"));
    until("it waits", || bed.psql(WAITS) == "1").await;
    // Frees the lock, and then fails: the unlocking is not rolled back.
    let script =
        raw("1", "SELECT pg_advisory_unlock_all(); SELECT pg_advisory_unlock_all(); SELECT 1/0", None);
    let failure = session.apply(HISTORY, &script).await.expect_err("fails");
    assert!(matches!(failure, ScriptFailure::Failed(_)), "{failure}");
    let failure = session.apply(HISTORY, &raw("2", "CREATE TABLE effect ()", None)).await;
    assert_eq!(failure, Err(ScriptFailure::LockLost));
    assert_eq!(bed.psql("SELECT to_regclass('effect') IS NULL"), "t");
}

#[tokio::test]
async fn another_tools_history_is_refused_by_name_until_a_script_of_ours_is_in() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE SCHEMA app; CREATE TABLE app.flyway_schema_history (v text); CREATE TABLE \"__EFMigrationsHistory\" (v text)");
    let look = bed.engine().look().await.expect("looks");
    assert!(!look.empty);
    assert_eq!(
        look.foreign_tables,
        ["app.flyway_schema_history (Flyway)", "public.__EFMigrationsHistory (Entity Framework)"]
    );
    let refusal = refused(&bed.engine(), &bed.fence(1)).await;
    assert_eq!(
        refusal.to_string(),
        format!(
            "{} is not empty and carries the history of another tool: app.flyway_schema_history (Flyway), \
             public.__EFMigrationsHistory (Entity Framework). Its format is not declared in spec histories, and \
             scripts could be applied twice.",
            at(&bed)
        )
    );
    assert_eq!(bed.psql("SELECT to_regnamespace('whimbrel') IS NULL"), "t");

    let bed = Bed::new(As::Superuser);
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &raw("1", "CREATE TABLE schema_migrations ()", None)).await.expect("applies");
    session.leave(Claim::Keep).await.expect("leaves");
    bed.enter(1).await.leave(Claim::Keep).await.expect("an application's own business by now");
}

#[tokio::test]
async fn a_schema_of_our_name_that_is_not_ours_is_refused() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE SCHEMA whimbrel; CREATE TABLE whimbrel.birds ()");
    assert_eq!(
        refused(&bed.engine(), &bed.fence(1)).await.to_string(),
        format!("{}: it has a schema named whimbrel that is not Whimbrel's. Rename it.", at(&bed))
    );
    bed.psql("DROP SCHEMA whimbrel CASCADE");
    bed.enter(1).await.leave(Claim::GiveUp).await.expect("leaves");
    bed.psql("UPDATE whimbrel.fence SET format = 3");
    assert_eq!(
        refused(&bed.engine(), &bed.fence(2)).await.to_string(),
        format!(
            "{}: its schema whimbrel has format 3, this Whimbrel knows 2. Use the Whimbrel that made it, or a newer one.",
            at(&bed)
        )
    );
}

#[tokio::test]
async fn a_role_that_may_not_create_is_told_what_to_grant() {
    let bed = Bed::new(As::Owner);
    admin(&format!("ALTER DATABASE {} OWNER TO {}", bed.database, crate::bed::env("_USER")));
    let expected = format!(
        "{}: role {role} may not create a schema. A database administrator must run: \
         GRANT CREATE ON DATABASE \"{database}\" TO \"{role}\";",
        at(&bed),
        role = bed.role,
        database = bed.database
    );
    assert_eq!(bed.engine().look().await.expect_err("refused").to_string(), expected);
    assert_eq!(refused(&bed.engine(), &bed.fence(1)).await.to_string(), expected);
}

#[tokio::test]
async fn after_a_rotation_to_another_role_the_older_session_and_the_schema_are_named() {
    let bed = Bed::new(As::Owner);
    let rotated = format!("{}_r", bed.database);
    admin(&format!("CREATE ROLE {rotated} LOGIN PASSWORD 'p'"));
    let engine = Postgresql::new(Settings { credentials: credentials(&rotated, "p"), ..bed.settings() });
    let old = bed.enter(1).await;
    // May read, but not end a session of the old role.
    bed.psql(&format!("GRANT USAGE ON SCHEMA whimbrel TO {rotated}; GRANT SELECT ON ALL TABLES IN SCHEMA whimbrel TO {rotated}"));
    let EngineError::Busy { by, .. } = refused(&engine, &bed.fence(2)).await else { panic!("not busy") };
    assert!(
        by.what.contains(&format!(
            "a session of run 0f5d7a1c epoch 1 (role {}), can't be ended by our role",
            bed.role
        )),
        "{by}"
    );
    let pid = by.pid.expect("a pid");
    assert_eq!(by.sql, Some(format!("SELECT pg_terminate_backend({pid});")));

    old.leave(Claim::Keep).await.expect("leaves");
    let expected = format!(
        "{}: role {rotated} may not use the schema whimbrel, which another role made. A database administrator must \
         run: GRANT USAGE ON SCHEMA whimbrel TO \"{rotated}\"; GRANT ALL ON ALL TABLES IN SCHEMA whimbrel TO \"{rotated}\";",
        at(&bed)
    );
    assert_eq!(refused(&engine, &bed.fence(2)).await.to_string(), expected);
    bed.psql(&format!("GRANT ALL ON ALL TABLES IN SCHEMA whimbrel TO {rotated}"));
    let session = engine.enter(&bed.fence(2)).await;
    session.expect("granted as told").leave(Claim::GiveUp).await.expect("leaves");
    admin_drop(&bed, &rotated);
}

fn admin_drop(bed: &Bed, role: &str) {
    bed.psql(&format!("DROP OWNED BY {role}"));
    admin(&format!("DROP ROLE {role}"));
}
