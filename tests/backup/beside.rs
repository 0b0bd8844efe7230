//! A backup restored beside its database: the same, or not at all.

use super::world::{Done, World, psql, sql, variable};
use serde_json::Value;
use std::{fs, process::Command};
use whimbrel::engine::postgresql::{Label, Stage, beside, lock};

/// Something of everything that a dump of the contents does not bring back by itself, and of what it does.
pub(crate) const RICH: &str = r#"
CREATE EXTENSION hstore;
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, twice text
  GENERATED ALWAYS AS (name || name) STORED, tags hstore);
INSERT INTO users (name, tags) SELECT 'n' || g, 'a=>1' FROM generate_series(1, 500) g;
ALTER TABLE users OWNER TO wb_same_owner; GRANT SELECT ON users TO wb_same_reader;
CREATE TABLE part (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
INSERT INTO part VALUES (1, 'ä'), (2, 'b');
CREATE SEQUENCE counter; SELECT nextval('counter'), nextval('counter');
CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM users;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f();
CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e();
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT lo_from_bytea(0, 'a large object');
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO wb_same_reader;
COMMENT ON DATABASE "wb same" IS 'it''s the \ one';
REVOKE CONNECT ON DATABASE "wb same" FROM PUBLIC;
GRANT CONNECT ON DATABASE "wb same" TO wb_same_reader WITH GRANT OPTION;
ALTER DATABASE "wb same" SET search_path TO "$user", public, "A, b";
ALTER DATABASE "wb same" SET default_transaction_read_only TO on;
ALTER ROLE wb_same_reader IN DATABASE "wb same" SET statement_timeout TO '5s';
ALTER DATABASE "wb same" CONNECTION LIMIT 17;
"#;

pub(crate) const ROLES: &str = "
DO $$ BEGIN CREATE ROLE wb_same_owner; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE wb_same_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$;";

/// What pg_dump says of a database, its own name and comment apart.
pub(crate) fn dump(database: &str) -> Vec<String> {
    let output = Command::new("pg_dump")
        .args(["--create", "--exclude-schema=whimbrel", "-h", &variable("WHIMBREL_TEST_POSTGRES_HOST"), "-U"])
        .args([&variable("WHIMBREL_TEST_POSTGRES_USER"), database])
        .env("PGPORT", variable("WHIMBREL_TEST_POSTGRES_PORT"))
        .env("PGPASSWORD", variable("WHIMBREL_TEST_POSTGRES_PASSWORD"))
        .output()
        .expect("the test made it so");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("the test made it so");
    // Lines of psql, such as the one that connects, and comments depend on the name.
    let kept = text.lines().filter(|line| {
        !["--", "\\", "COMMENT ON DATABASE"].iter().any(|it| line.starts_with(it)) || *line == "\\."
    });
    let database = if database.contains(' ') { format!("\"{database}\"") } else { database.to_owned() };
    let named = kept.map(|line| line.replace(&format!("DATABASE {database}"), "DATABASE it"));
    named.filter(|line| !line.is_empty()).collect()
}

/// Two dumps; of two that differ the first line that does.
pub(crate) fn same(one: &[String], other: &[String]) {
    let differs = one.iter().zip(other).find(|(one, other)| one != other);
    assert_eq!(differs, None);
    assert_eq!(one.len(), other.len());
}

pub(crate) fn catalogue(database: &str) -> String {
    sql(
        "postgres",
        &format!(
            "SELECT pg_get_userbyid(datdba), encoding, datcollate, datctype, datlocprovider, daticulocale, datconnlimit,
               dattablespace, (SELECT array_agg(a ORDER BY a::text) FROM aclexplode(datacl) a),
               (SELECT array_agg((setrole, setconfig) ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)
               FROM pg_database d WHERE datname = '{database}'"
        ),
    )
}

fn label(database: &str) -> Option<Label> {
    let comment = sql(
        "postgres",
        &format!(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'"
        ),
    );
    Label::read(&comment)
}

fn oid(database: &str) -> Value {
    let oid = sql("postgres", &format!("SELECT oid FROM pg_database WHERE datname = '{database}'"));
    serde_json::from_str(&oid).unwrap_or(Value::Null)
}

#[test]
fn the_copy_is_what_the_original_was() {
    sql("postgres", ROLES);
    let world = World::with(
        "wb same",
        "OWNER wb_same_owner TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' CONNECTION LIMIT 40",
        RICH,
    );
    let taken = world.backup().ok("backup");
    let (before, had) = (dump("wb same"), catalogue("wb same"));
    // What scripts do to the database itself is of no interest: the snapshot counts.
    sql(
        "wb same",
        "SET default_transaction_read_only = off; DROP TABLE users CASCADE; GRANT CONNECT ON DATABASE \"wb same\" TO PUBLIC; ALTER DATABASE \"wb same\" SET work_mem = '8MB'",
    );
    let done = world.restore(&taken);
    assert!(
        done.output.contains("whimbrel: progress 1/2 ")
            && done.output.contains("2/2 comparing with the snapshot, ANALYZE"),
        "{}",
        done.output
    );
    let restored = done.ok("restore");
    let copy = beside("wb same", 7);
    assert_eq!((restored["database"].as_str(), &restored["oid"]), (Some(copy.as_str()), &oid(&copy)));
    assert_eq!((&restored["sha256"], &restored["tables"]), (&taken["sha256"], &2.into()));
    assert_eq!(restored["rows"], 502);
    same(&dump(&copy), &before);
    assert_eq!(catalogue(&copy), had);
    assert_ne!(
        sql(&copy, "SELECT count(*) FROM pg_stats WHERE schemaname = 'public'"),
        "0",
        "statistics are there"
    );
    let label = label(&copy).expect("it says whose it is");
    assert_eq!((label.whimbrel, label.run_uid.as_str(), label.run), (Stage::Restored, "r-7", 7));
    assert_eq!(label.comment.as_deref(), Some("it's the \\ one"));
    let again = world.restore(&taken).ok("restore");
    assert_eq!(again["oid"], restored["oid"], "what is done is not done again");
}

/// The catalogue of 15 has it; a server without ICU has nothing to be tested.
#[test]
fn an_icu_locale_comes_back() {
    if sql("postgres", "SELECT count(*) FROM pg_collation WHERE collprovider = 'i'") == "0" {
        return;
    }
    let options =
        "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'de'";
    let world = World::with("wb_icu", options, "CREATE TABLE a (t text); INSERT INTO a VALUES ('ä'), ('z')");
    let taken = world.backup().ok("backup");
    world.restore(&taken).ok("restore");
    assert_eq!(catalogue(&beside("wb_icu", 7)), catalogue("wb_icu"));
}

const SMALL: &str = "CREATE TABLE a (t text); INSERT INTO a VALUES ('x'), ('y')";

fn small(name: &str) -> (World, Value) {
    let world = World::new(name, SMALL);
    let taken = world.backup().ok("backup");
    (world, taken)
}

#[test]
fn what_an_earlier_attempt_left_is_made_anew() {
    let (world, taken) = small("wb_left");
    let copy = beside("wb_left", 7);
    // Died before the comment.
    sql("postgres", &format!("CREATE DATABASE {copy}"));
    let first = world.restore(&taken).ok("restore");
    assert_eq!(sql(&copy, "SELECT count(*) FROM a"), "2");
    // Died later, with a session that still works in it.
    let text = Label { whimbrel: Stage::Restoring, ..label(&copy).unwrap() }.text();
    sql(&copy, &format!("DROP TABLE a; COMMENT ON DATABASE {copy} IS '{text}'"));
    let mut sleeper = psql(&copy).args(["-c", "SELECT pg_sleep(600)"]).spawn().unwrap();
    let second = world.restore(&taken).ok("restore");
    assert!(!sleeper.wait().unwrap().success());
    assert_eq!(sql(&copy, "SELECT count(*) FROM a"), "2");
    assert_ne!(first["oid"], second["oid"]);
    // Complete, of another backup of the run.
    sql("wb_left", "DELETE FROM a WHERE t = 'y'");
    let taken = world.backup().ok("backup");
    assert_ne!(world.restore(&taken).ok("restore")["oid"], second["oid"]);
    assert_eq!(sql(&copy, "SELECT count(*) FROM a"), "1");
}

#[test]
fn what_is_not_surely_ours_is_refused_by_its_name() {
    let (world, taken) = small("wb_mine");
    let copy = beside("wb_mine", 7);
    sql("postgres", &format!("CREATE DATABASE {copy}"));
    sql(&copy, "CREATE TABLE precious (t text)");
    let refused = |done: Done, reason: &str| {
        let message = format!(
            "database {copy} is in the way: {reason}. Rename it: ALTER DATABASE \"{copy}\" RENAME TO …;"
        );
        assert_eq!((done.message(), done.code), (message.as_str(), Some(42)));
    };
    refused(world.restore(&taken), "its comment does not say that this run made it");
    sql(&copy, &format!("COMMENT ON DATABASE {copy} IS 'mine'; DROP TABLE precious"));
    refused(world.restore(&taken), "its comment does not say that this run made it");
    let other = Label {
        whimbrel: Stage::Restored,
        database: "wb_mine".into(),
        run_uid: "r-of-another-plan".into(),
        run: 7,
        backup: None,
        comment: None,
        token: None,
        replaced_by: None,
    };
    sql(&copy, &format!("COMMENT ON DATABASE {copy} IS '{}'", other.text()));
    refused(world.restore(&taken), "its comment does not say that this run made it");
}

#[test]
fn one_restores_at_a_time() {
    let (world, taken) = small("wb_once");
    let mut other = psql("postgres")
        .args(["-c", &format!("SELECT pg_advisory_lock({})", lock("wb_once")), "-c", "SELECT pg_sleep(600)"])
        .env("PGAPPNAME", "the-other")
        .spawn()
        .unwrap();
    super::world::until("it has the lock", || {
        sql(
            "postgres",
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE application_name = 'the-other' AND locktype = 'advisory' AND granted",
        ) == "1"
    });
    let done = world.restore(&taken);
    assert!(
        done.message().starts_with("another restore of wb_once is at work: pid ")
            && done.message().ends_with(" (the-other)"),
        "{}",
        done.message()
    );
    assert_eq!(done.code, Some(1), "it may have ended a moment later");
    sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'the-other'",
    );
    other.wait().unwrap();
    world.restore(&taken).ok("restore");
}

#[test]
fn a_target_that_a_newer_driver_owns_gets_no_copy() {
    let world = World::new(
        "wb_newer",
        "CREATE SCHEMA whimbrel; CREATE TABLE whimbrel.fence (token bigint); INSERT INTO whimbrel.fence VALUES (3)",
    );
    let taken = world.backup().ok("backup");
    sql(&world.database, "UPDATE whimbrel.fence SET token = 4");
    let done = world.restore(&taken);
    assert_eq!(
        (done.message(), done.code),
        ("the target's token is 4, this Job has epoch 3: a newer driver owns the target", Some(43))
    );
    assert_eq!(oid(&beside("wb_newer", 7)), Value::Null);
}

#[test]
fn only_what_was_verified_is_restored() {
    let (world, mut taken) = small("wb_only");
    let manifest = world.backup_folder(&taken).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, format!("{text} ")).unwrap();
    let done = world.restore(&taken);
    assert!(done.message().ends_with(": it was changed since"), "{}", done.message());
    assert_eq!(done.code, Some(42));
    fs::write(&manifest, &text).unwrap();
    let file =
        fs::read_dir(world.backup_folder(&taken).join("data")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, [&bytes[..], b"x"].concat()).unwrap();
    let done = world.restore(&taken);
    assert!(done.message().starts_with("the backup is damaged: "), "{}", done.message());
    fs::write(&file, bytes).unwrap();
    let elsewhere = text.replacen("\"identity\": \"", "\"identity\": \"9", 1);
    fs::write(&manifest, &elsewhere).unwrap();
    taken["sha256"] = serde_json::json!(digest(elsewhere.as_bytes()));
    let done = world.restore(&taken);
    assert!(done.message().starts_with("the backup was taken of server 9"), "{}", done.message());
    assert_eq!(oid(&beside("wb_only", 7)), Value::Null);
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

#[test]
fn an_ordinary_owner_needs_createdb_and_is_told_so() {
    let world = World::of_owner(
        "wb_ordinary_restore",
        "CREATE TABLE a (id serial PRIMARY KEY, t text); INSERT INTO a (t) VALUES ('x')",
    );
    sql("postgres", &format!("ALTER ROLE {} NOCREATEDB", world.role.0));
    let taken = world.backup().ok("backup");
    let done = world.restore(&taken);
    assert!(done.message().contains("permission denied to create database"), "{}", done.message());
    assert_eq!(done.code, Some(42));
    sql("postgres", &format!("ALTER ROLE {} CREATEDB", world.role.0));
    world.restore(&taken).ok("restore");
    let copy = beside(&world.database, 7);
    assert_eq!(catalogue(&copy), catalogue(&world.database));
    same(&dump(&copy), &dump(&world.database));
}

/// A role that a grant needs is gone: the copy can't be what the original was, and does not stay.
#[test]
fn a_copy_that_can_not_be_completed_is_dropped() {
    sql("postgres", "DO $$ BEGIN CREATE ROLE wb_gone; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    let (world, _) = small("wb_incomplete");
    sql("wb_incomplete", "GRANT SELECT ON a TO wb_gone");
    let taken = world.backup().ok("backup");
    sql("wb_incomplete", "DROP OWNED BY wb_gone; DROP ROLE wb_gone");
    let done = world.restore(&taken);
    assert!(done.message().contains("role \"wb_gone\" does not exist"), "{}", done.message());
    assert_eq!(oid(&beside("wb_incomplete", 7)), Value::Null);
}
