//! What would keep a restore from working is said before any downtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use whimbrel::engine::postgresql::{
    CredentialsSource, Label, Postgresql, Settings, Stage, aside, beside, lock,
};
use whimbrel::engine::{Engine, EngineError, RestoreTrial};

use crate::bed::{As, Bed, admin, credentials, env};
use crate::witness::Witness;

async fn trial(bed: &Bed) -> RestoreTrial {
    let trial = bed.engine().try_restore(&bed.fence(1)).await.expect("can be tried");
    assert_eq!(left(bed), "0", "nothing stays");
    trial
}

/// How many databases but its own carry the bed's hash.
fn left(bed: &Bed) -> String {
    admin(&format!(
        "SELECT count(*) FROM pg_database WHERE datname IN ('{}', '{}')",
        probe(bed),
        renamed(bed)
    ))
}

fn probe(bed: &Bed) -> String {
    beside(&bed.database, 1).replace("_n1", "_t1")
}

fn renamed(bed: &Bed) -> String {
    probe(bed).replace("_t1", "_u1")
}

/// What the bed's role is told always.
const DISK: &str = "a server does not say how much disk is free";

#[tokio::test]
async fn a_database_that_can_be_restored_has_no_obstacle() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE EXTENSION hstore; CREATE TABLE t (h hstore); CREATE PUBLICATION p FOR ALL TABLES");
    admin(&format!(
        "ALTER DATABASE {} SET log_min_duration_statement = 5; REVOKE CONNECT ON DATABASE {0} FROM PUBLIC",
        bed.database
    ));
    let found = trial(&bed).await;
    assert_eq!(found.obstacles, [""; 0]);
    assert!(found.warnings.len() == 1 && found.warnings[0].starts_with(DISK), "{found:?}");

    let bed = Bed::new(As::Owner);
    admin(&format!("ALTER ROLE {} CREATEDB", bed.role));
    let found = trial(&bed).await;
    assert_eq!(found.obstacles, [""; 0]);
    assert!(
        found.warnings[0].ends_with(&format!("GRANT pg_signal_backend TO \"{}\";", bed.role))
            && found.warnings[1].starts_with(DISK),
        "{found:?}"
    );
}

#[tokio::test]
async fn an_ordinary_role_is_told_what_it_lacks() {
    let bed = Bed::new(As::Owner);
    let role = &bed.role;
    assert_eq!(
        trial(&bed).await.obstacles,
        [format!(
            "a database beside it can't be made by role {role}: permission denied to create database (42501). \
             A database administrator must run: ALTER ROLE \"{role}\" CREATEDB;"
        )]
    );
    admin(&format!("ALTER ROLE {role} CREATEDB"));
    bed.psql(
        "CREATE PUBLICATION p FOR ALL TABLES; CREATE TABLE not_mine ();
         CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION e();
         CREATE EXTENSION file_fdw; CREATE EXTENSION hstore;",
    );
    let root = env("_USER");
    assert_eq!(
        trial(&bed).await.obstacles,
        [
            "publication for all tables p: only a superuser can make it again in a copy".to_owned(),
            "event trigger e: only a superuser can make it again in a copy".to_owned(),
            format!(
                "owner of objects in it is {root}: role {role} can't act as it and could not give a copy's objects to it. \
                 A database administrator must run GRANT … TO \"{role}\";"
            ),
            "extension file_fdw: only a superuser can make it again in a copy".to_owned(),
        ]
    );
    bed.psql("DROP PUBLICATION p; DROP EVENT TRIGGER e; DROP FUNCTION e; DROP TABLE not_mine; DROP EXTENSION file_fdw");
    assert_eq!(trial(&bed).await.obstacles, [""; 0]);
    admin(&format!("ALTER DATABASE {} SET log_min_duration_statement = 5", bed.database));
    let obstacle = trial(&bed).await.obstacles.remove(0);
    assert!(
        obstacle.starts_with("a copy can't be given what the database has (ALTER DATABASE ")
            && obstacle.contains("permission denied to set parameter \"log_min_duration_statement\" (42501)"),
        "{obstacle}"
    );
    admin(&format!(
        "ALTER DATABASE {0} RESET log_min_duration_statement; ALTER DATABASE {0} OWNER TO {root}; GRANT CREATE ON DATABASE {0} TO {role}",
        bed.database
    ));
    let obstacle = trial(&bed).await.obstacles.remove(0);
    assert!(
        obstacle.starts_with(&format!("role {role} has not the rights of {root}, which owns the database")),
        "{obstacle}"
    );
}

#[tokio::test]
async fn what_would_be_lost_is_named() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)");
    bed.psql("CREATE EXTENSION hstore VERSION '1.4'");
    bed.psql("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'trial-2pc'");
    admin(&format!("ALTER DATABASE {} IS_TEMPLATE true", bed.database));
    let found = trial(&bed).await;
    admin(&format!("ALTER DATABASE {} IS_TEMPLATE false", bed.database));
    bed.psql("ROLLBACK PREPARED 'trial-2pc'");
    bed.psql("ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s");
    let begins =
        ["it is a template", "subscription s: ", "extension hstore has version 1.4, and a copy would get "];
    assert_eq!(found.obstacles.len(), begins.len(), "{found:?}");
    for (obstacle, begin) in found.obstacles.iter().zip(begins) {
        assert!(obstacle.starts_with(begin), "{obstacle}");
    }
    assert!(found.warnings[0].ends_with("To end it: ROLLBACK PREPARED 'trial-2pc';"), "{found:?}");
}

#[tokio::test]
async fn leftovers_of_ours_go_and_those_of_others_are_named() {
    let bed = Bed::new(As::Superuser);
    let label = Label {
        whimbrel: Stage::Probe,
        database: bed.database.clone(),
        run_uid: "another".to_owned(),
        run: 1,
        backup: None,
        comment: None,
        token: None,
        replaced_by: None,
    };
    for name in [probe(&bed), renamed(&bed)] {
        admin(&format!("CREATE DATABASE {name}"));
        admin(&format!("COMMENT ON DATABASE {name} IS '{}'", label.text()));
    }
    assert_eq!(trial(&bed).await.obstacles, [""; 0]);
    // Died before the comment.
    admin(&format!("CREATE DATABASE {}", probe(&bed)));
    assert_eq!(trial(&bed).await.obstacles, [""; 0]);
    admin(&format!("CREATE DATABASE {}", probe(&bed)));
    crate::bed::psql(&probe(&bed), "CREATE TABLE precious ()");
    let found = bed.engine().try_restore(&bed.fence(1)).await.expect("can be tried");
    assert!(
        found.obstacles[0]
            .starts_with(&format!("there is a database {} that no trial of ours has left", probe(&bed))),
        "{found:?}"
    );
    admin(&format!("DROP DATABASE {}", probe(&bed)));
}

#[tokio::test]
async fn a_name_that_another_plans_run_has_is_an_obstacle() {
    let bed = Bed::new(As::Superuser);
    let kept = aside(&bed.database, 1);
    admin(&format!("CREATE DATABASE {kept}"));
    assert_eq!(
        trial(&bed).await.obstacles,
        [format!(
            "a restore needs the name {kept}, which a database of somebody else has. Rename it: \
             ALTER DATABASE \"{kept}\" RENAME TO …;"
        )]
    );
}

#[tokio::test]
async fn one_trial_at_a_time() {
    let bed = Bed::new(As::Superuser);
    let mut other = Witness::new("postgres", "another trial");
    other.say(&format!("SELECT pg_advisory_lock({})", lock(&bed.database)));
    let refusal = bed.engine().try_restore(&bed.fence(1)).await.expect_err("waits");
    assert!(matches!(refusal, EngineError::Busy { .. }), "{refusal}");
}

/// pg_hba.conf may let a role into its database and nowhere else; here another password does not.
#[tokio::test]
async fn without_a_place_to_work_from_a_restore_is_a_persons_affair() {
    let bed = Bed::new(As::Superuser);
    let asked = Arc::new(AtomicU32::new(0));
    let right = credentials(&bed.role, &bed.password);
    let wrong = credentials(&bed.role, "not the password");
    let source: CredentialsSource =
        Arc::new(move || if asked.fetch_add(1, Ordering::SeqCst) == 0 { right() } else { wrong() });
    let settings = Settings { credentials: source, ..bed.settings() };
    let found = Postgresql::new(settings).try_restore(&bed.fence(1)).await;
    let obstacle = found.expect("can be tried").obstacles.remove(0);
    assert!(obstacle.starts_with("neither postgres nor template1 lets us in to work from"), "{obstacle}");
}
