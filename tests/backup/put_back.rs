//! The whole way back by restore: backup, damage, the restore's Job, the swap by the engine.

use super::beside::{RICH, ROLES, catalogue, dump, same};
use super::by_hand::by_hand;
use super::world::{World, sql, variable};
use serde_json::{Value, json};
use std::{fs, time::Duration};
use whimbrel::engine::{
    Claim, Engine as _, EngineError, Fence, Session as _, Stamp, fixed_credentials,
    postgresql::{Credentials, Postgresql, Settings, Tls, TlsMode, aside, beside},
};

fn engine(world: &World) -> Postgresql {
    let credentials = Credentials { user: world.role.0.clone(), password: world.role.1.clone() };
    let ca = fs::read(variable("WHIMBREL_TEST_POSTGRES_CA")).expect("the test made it so");
    Postgresql::new(Settings {
        target: format!("test/{}", world.database),
        host: "localhost".into(),
        port: variable("WHIMBREL_TEST_POSTGRES_PORT").parse().expect("the test made it so"),
        database: world.database.clone(),
        tls: Tls { mode: TlsMode::VerifyFull, ca: Some(ca), client: None },
        credentials: fixed_credentials(credentials),
        histories: vec![],
        identity_expect: None,
        // The tests' own machine may be busy.
        connect_timeout: Duration::from_secs(60),
        lock_timeout: Settings::LOCK_TIMEOUT,
        statement_timeout: Settings::STATEMENT_TIMEOUT,
        quiet_ignore: vec![],
        diagnostics_full: false,
    })
}

/// The run whose epoch the worker's flags have.
fn fence(world: &World) -> Fence {
    Fence {
        target: format!("test/{}", world.database),
        run_uid: "r-7".into(),
        run: 7,
        plan: "test/plan".into(),
        cluster: "c".into(),
        token: 3,
    }
}

/// Both, for whoever keeps the backup elsewhere.
pub(crate) fn engine_of(world: &World) -> (Postgresql, Fence) {
    (engine(world), fence(world))
}

/// Claims the target as a run does, and takes the backup and the proof.
async fn taken(world: &World) -> (Value, Stamp) {
    let engine = engine(world);
    engine
        .enter(&fence(world))
        .await
        .expect("the test made it so")
        .leave(Claim::Keep)
        .await
        .expect("the test made it so");
    let proof = engine.proof().await.expect("the test made it so");
    let stamp = Stamp { histories: proof.histories, structure: Some(proof.structure), mark: None };
    (world.backup().ok("backup"), stamp)
}

#[tokio::test]
async fn a_rich_database_is_what_it_was() {
    sql("postgres", ROLES);
    let rich = RICH
        .replace("wb same", "wb back")
        .replace("SET default_transaction_read_only TO on", "SET work_mem TO '5MB'");
    let options = "OWNER wb_same_owner TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'";
    let world = World::with("wb back", options, &rich);
    assert_eq!(engine(&world).try_restore(&fence(&world)).await.unwrap().obstacles, [""; 0]);
    let (taken, stamp) = taken(&world).await;
    let (before, had) = (dump("wb back"), catalogue("wb back"));
    sql(
        "wb back",
        "DROP TABLE users CASCADE; TRUNCATE part; DROP SEQUENCE counter; SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
         DROP EXTENSION hstore; ALTER DATABASE \"wb back\" SET search_path TO elsewhere; GRANT ALL ON DATABASE \"wb back\" TO PUBLIC;
         ALTER ROLE wb_same_reader IN DATABASE \"wb back\" RESET ALL; COMMENT ON DATABASE \"wb back\" IS 'broken'",
    );
    world.restore(&taken).ok("restore");
    let done = engine(&world).put_back(&fence(&world), &stamp).await.unwrap();
    same(&dump("wb back"), &before);
    assert_eq!(catalogue("wb back"), had);
    let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'wb back'";
    assert_eq!(sql("postgres", comment), "it's the \\ one");
    assert_eq!(done.aside, aside("wb back", 7));
    assert_eq!(Some(engine(&world).proof().await.unwrap().structure), stamp.structure);
    // The Job of an op that is done again finds that the swap has happened.
    let again = world.restore(&taken).ok("restore");
    assert_eq!(
        (&again["database"], done.identity.ends_with(&format!("/{}", again["oid"]))),
        (&json!("wb back"), true)
    );
    sql("postgres", &format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", done.aside));
    assert_eq!(sql(&done.aside, "SELECT count(*) FROM public.part"), "0", "the damaged one is there");
}

#[tokio::test]
async fn an_ordinary_owner_brings_its_database_back() {
    let schema = "CREATE TABLE a (id serial PRIMARY KEY, t text); INSERT INTO a (t) VALUES ('x'), ('y');
                  CREATE COLLATION mine (provider = libc, locale = 'C'); CREATE TABLE c (t text COLLATE mine);
                  CREATE SCHEMA s; ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO pg_monitor";
    let world = World::of_owner("wb_own_back", schema);
    sql("postgres", &format!("ALTER ROLE {} CREATEDB", world.role.0));
    assert_eq!(engine(&world).try_restore(&fence(&world)).await.unwrap().obstacles, [""; 0]);
    let (taken, stamp) = taken(&world).await;
    let (before, had) = (dump("wb_own_back"), catalogue("wb_own_back"));
    sql("wb_own_back", "DROP TABLE a, c; DROP SCHEMA s; DROP SCHEMA whimbrel CASCADE");
    world.restore(&taken).ok("restore");
    engine(&world).put_back(&fence(&world), &stamp).await.unwrap();
    same(&dump("wb_own_back"), &before);
    assert_eq!(catalogue("wb_own_back"), had);
}

#[tokio::test]
async fn after_an_automatic_restore_was_refused_a_person_can_do_it_by_hand() {
    let world = World::new("wb_then_hand", "CREATE TABLE a (t text); INSERT INTO a VALUES ('x'), ('y')");
    let (taken, mut stamp) = taken(&world).await;
    sql(&world.database, "DROP TABLE a");
    world.restore(&taken).ok("restore");
    stamp.structure = Some("relations=0".into());
    let refusal = engine(&world).put_back(&fence(&world), &stamp).await.unwrap_err();
    assert!(matches!(refusal, EngineError::NotRestorable { .. }), "{refusal}");
    by_hand(&world, &taken, &json!({"volumeClaim": {"name": "backups"}})).unwrap();
    assert_eq!(sql(&world.database, "SELECT count(*) FROM a"), "2");
    // What a person has done is not done again.
    stamp.structure = None;
    let refusal = engine(&world).put_back(&fence(&world), &stamp).await.unwrap_err().to_string();
    let kept = aside(&world.database, 7);
    assert!(
        refusal.contains(&format!("there is a database {kept} that this run did not put aside")),
        "{refusal}"
    );
    let refusal = engine(&world).drop_aside(&fence(&world), 7).await.unwrap_err().to_string();
    assert!(refusal.contains(&kept), "{refusal}");
    assert_ne!(
        sql(
            "postgres",
            &format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", beside(&world.database, 7))
        ),
        "0"
    );
}
