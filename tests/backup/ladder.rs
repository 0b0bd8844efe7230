//! What each level of proof accepts and what it finds.

use super::world::{World, files, sql};
use serde_json::Value;
use std::fs;

/// Something of everything that a restore can get wrong.
const RICH: &str = r#"
DO $$ BEGIN CREATE ROLE wb_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, bal money, f float8, b bytea,
  at timestamptz, d interval, twice text GENERATED ALWAYS AS (name || name) STORED);
INSERT INTO users (name, bal, f, b, at, d) SELECT 'n' || g, g::money, g / 3.0, decode(md5(g::text), 'hex'),
  '2026-11-20 10:00+01'::timestamptz + g * interval '1 s', g * interval '1 h' FROM generate_series(1, 20000) g;
CREATE INDEX ON users (name);
GRANT SELECT ON users TO wb_reader;
CREATE TABLE "odd, table" ("whimbrel ""row""" json);
INSERT INTO "odd, table" VALUES ('{"a": 1}'), (NULL);
CREATE SCHEMA "A b"; CREATE TABLE "A b"."T.t" (x int); CREATE TABLE "A b".empty (x int);
CREATE TABLE part (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
INSERT INTO part VALUES (1, 'a'), (2, 'b');
CREATE TABLE hidden (who text); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON hidden USING (who = current_user);
INSERT INTO hidden VALUES ('a'), ('b'), ('c');
CREATE SEQUENCE counter; SELECT nextval('counter'), nextval('counter');
CREATE VIEW v AS SELECT id FROM users; CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM users;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f();
SELECT lo_from_bytea(0, 'a large object');
CREATE PUBLICATION everything FOR ALL TABLES;
"#;

#[test]
fn a_good_backup_reaches_restored_and_leaves_nothing_behind() {
    let world = World::new("wb_good", RICH);
    let done = world.backup();
    assert!(!done.output.contains(&world.role.1), "the password is in the output");
    assert!(done.output.contains("whimbrel: progress 1/6 "), "{}", done.output);
    let taken = done.ok("backup");
    assert_eq!(taken["path"], "plan/7/wb_good-1");
    assert_eq!((&taken["tables"], &taken["rows"]), (&6.into(), &20007.into()));
    assert_eq!((&taken["kept"]["count"], &taken["kept"]["unfinished"]), (&1.into(), &0.into()));
    let folder = world.backup_folder(&taken);
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    assert!(!manifest.contains(&world.role.1), "the password is in the manifest");
    let before = files(&folder);
    for level in ["Artifact", "Structure", "Restored"] {
        let verified = world.verify("plan/7/wb_good-1", level).ok("verify");
        assert_eq!((&verified["level"], &verified["sha256"]), (&level.into(), &taken["sha256"]));
    }
    assert_eq!(files(&folder), before, "a verification changes nothing");
    assert_eq!(files(&world.path("scratch")), [""; 0], "the scratch server is gone");
    assert_eq!(sql(&world.database, "SELECT count(*) FROM users"), "20000", "nor at the source");
}

#[test]
fn an_ordinary_owner_can_take_and_restore() {
    let world = World::of_owner(
        "wb_ordinary",
        "CREATE TABLE a (id serial PRIMARY KEY, t text); INSERT INTO a (t) VALUES ('x'), ('y');
         CREATE TABLE hidden (who text); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
         INSERT INTO hidden VALUES ('a'), ('b'); SELECT lo_from_bytea(0, 'mine');",
    );
    let taken = world.backup().ok("backup");
    assert_eq!(taken["rows"], 4);
    world.verify(taken["path"].as_str().unwrap(), "Restored").ok("verify");
}

/// A policy that hides rows from the role makes an error, never a smaller backup.
#[test]
fn rows_that_the_role_may_not_see_are_an_error() {
    let world = World::of_owner(
        "wb_policy",
        "CREATE TABLE hidden (who text); INSERT INTO hidden VALUES ('a'), ('b');
         ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; ALTER TABLE hidden FORCE ROW LEVEL SECURITY;",
    );
    let done = world.backup();
    assert!(
        done.message().contains("query would be affected by row-level security policy for table \"hidden\""),
        "{}",
        done.message()
    );
    assert_eq!(files(&world.path("backups")), [""; 0]);
}

fn small(name: &str) -> (World, Value) {
    let world = World::new(
        name,
        "CREATE TABLE a (t text); INSERT INTO a VALUES ('x'), ('y'); CREATE TABLE b (t text);",
    );
    let taken = world.backup().ok("backup");
    (world, taken)
}

/// The biggest file of the dump is the one with data.
fn data_file(world: &World, taken: &Value) -> std::path::PathBuf {
    let folder = world.backup_folder(taken).join("data");
    let name = files(&folder).into_iter().find(|it| it.ends_with(".dat.gz")).expect("there is data");
    folder.join(name.trim_start_matches("./"))
}

#[test]
fn a_flipped_bit_is_found_and_the_file_named() {
    let (world, taken) = small("wb_flip");
    let file = data_file(&world, &taken);
    let mut bytes = fs::read(&file).unwrap();
    bytes[12] ^= 1;
    fs::write(&file, bytes).unwrap();
    let done = world.verify("plan/7/wb_flip-1", "Artifact");
    let name = file.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        done.message(),
        format!("the backup is damaged: {name} has another SHA-256 than when it was written")
    );
    assert_eq!(done.code, Some(42), "another try would find the same");
}

#[test]
fn a_file_that_is_shorter_or_missing_is_named() {
    let (world, taken) = small("wb_short");
    let file = data_file(&world, &taken);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let length = fs::metadata(&file).unwrap().len();
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length - 1).unwrap();
    let message = format!("the backup is damaged: {name} has {} bytes, not {length}", length - 1);
    assert_eq!(world.verify("plan/7/wb_short-1", "Artifact").message(), message);
    fs::remove_file(&file).unwrap();
    let message = format!("the backup is damaged: {name} is missing");
    assert_eq!(world.verify("plan/7/wb_short-1", "Artifact").message(), message);
}

#[test]
fn another_targets_backup_is_refused() {
    let (one, _) = small("wb_one");
    let (other, taken) = small("wb_other");
    fs::rename(one.path("backups/plan/7/wb_one-1"), other.backup_folder(&taken).with_file_name("x")).unwrap();
    let done = other.verify("plan/7/x", "Artifact");
    assert_eq!(
        done.message(),
        "plan/7/x is the backup of target wb_one in run 7 of plan u-1, not of target wb_other in run 7 of plan u-1"
    );
    assert_eq!(done.code, Some(42));
}

#[test]
fn a_folder_without_a_manifest_is_no_backup() {
    let (world, taken) = small("wb_unfinished");
    let folder = world.backup_folder(&taken);
    fs::remove_file(folder.join("manifest.json")).unwrap();
    let message = format!(
        "{} has no manifest.json: this backup was not finished and counts for nothing",
        folder.display()
    );
    assert_eq!(world.verify("plan/7/wb_unfinished-1", "Artifact").message(), message);
}

/// Whole, readable, and of another moment: only the restore test knows.
#[test]
fn a_dump_that_is_not_of_its_snapshot_is_found_by_the_restore_test_alone() {
    let (world, taken) = small("wb_moment");
    let first = world.backup_folder(&taken);
    sql(&world.database, "UPDATE a SET t = 'z' WHERE t = 'x'; INSERT INTO b VALUES ('new')");
    let later = world.backup().ok("backup");
    assert_eq!(later["path"], "plan/7/wb_moment-1-2", "a folder is never used twice");
    let later = world.backup_folder(&later);
    let manifest = |path: &std::path::Path| -> Value {
        serde_json::from_slice(&fs::read(path.join("manifest.json")).unwrap()).unwrap()
    };
    let mut forged = manifest(&first);
    forged["files"] = manifest(&later)["files"].clone();
    fs::write(first.join("manifest.json"), forged.to_string()).unwrap();
    fs::remove_dir_all(first.join("data")).unwrap();
    fs::rename(later.join("data"), first.join("data")).unwrap();
    world.verify("plan/7/wb_moment-1", "Structure").ok("verify");
    let done = world.verify("plan/7/wb_moment-1", "Restored");
    assert_eq!(
        done.message(),
        "the backup does not give back what was in the database: table public.a has as many rows as the snapshot, but others; table public.b has 1 rows, the snapshot had 0"
    );
    assert_eq!(files(&world.path("scratch")), [""; 0], "the scratch server is gone after a failure too");
}
