//! The same backups in a bucket, on a real MinIO with TLS: `testbed/minio up`, and its `env`.

use super::beside::{RICH, ROLES, catalogue, dump, same};
use super::by_hand::by_hand;
use super::hostile::{Holder, signal, waiting_dumps};
use super::put_back::engine_of;
use super::s3::{Bucket, minio};
use super::world::{Done, World, is_root, sql, until, worker};
use object_store::{ObjectStoreExt as _, PutPayload, multipart::MultipartStore as _, path::Path as Key};
use serde_json::{Value, json};
use std::{
    fs,
    process::{Command, Stdio},
};
use whimbrel::engine::{Claim, Engine as _, Fence, Session as _, Stamp, postgresql::aside};

const SCHEMA: &str = "CREATE TABLE a (t text); INSERT INTO a VALUES ('x'), ('y')";

/// What hardly compresses, so that there are three parts of 16 MiB.
const LARGE: &str = "CREATE TABLE a AS SELECT g, (SELECT string_agg(md5(random()::text || g || i), '') FROM generate_series(1, 64) i) AS t
                     FROM generate_series(1, 32000) g";

/// A database, and a prefix of its own in a bucket.
pub(crate) struct Place {
    world: World,
    at: Bucket,
}

impl Place {
    fn new(database: &str, schema: &str) -> Self {
        Self::of(World::new(database, schema))
    }

    fn of(world: World) -> Self {
        Bucket::put_credentials(&world.path("bucket"));
        let at = Bucket::new(&world.database);
        Self { world, at }
    }

    fn command(&self, work: &str, more: &[String]) -> Command {
        let mut command = worker();
        command.args(["worker", work]).args(more);
        command.args(self.at.flags(&self.world.path("bucket")));
        command.arg("--result").arg(self.world.path("private/result"));
        command.arg("--target").arg(&self.world.database);
        command
    }

    fn backup_command(&self) -> Command {
        let mut more = self.world.connection();
        more.extend(["--run-folder=plan/7", "--attempt=1", "--plan-uid=u-1", "--run=7"].map(str::to_owned));
        self.command("backup", &more)
    }

    fn backup(&self) -> Done {
        self.world.run(self.backup_command())
    }

    fn verify(&self, taken: &Value, level: &str) -> Done {
        let more = [
            format!("--path={}", text(taken, "path")),
            format!("--level={level}"),
            format!("--scratch={}", self.world.path("scratch").display()),
            "--plan-uid=u-1".into(),
            "--run=7".into(),
        ];
        self.world.run(self.command("verify", &more))
    }

    fn restore(&self, taken: &Value) -> Done {
        let mut more = self.world.connection();
        more.extend([
            format!("--path={}", text(taken, "path")),
            format!("--sha256={}", text(taken, "sha256")),
            "--backup-run=7".into(),
            "--run-uid=r-7".into(),
            "--plan-uid=u-1".into(),
            "--run=7".into(),
        ]);
        self.world.run(self.command("restore", &more))
    }

    fn prune(&self, told: &[&Value], over: &[&str]) -> Done {
        let mut more: Vec<String> = told
            .iter()
            .map(|it| format!("--delete={}/u-1/7/{}", text(it, "sha256"), text(it, "path")))
            .collect();
        more.extend(over.iter().map(|it| format!("--over={it}")));
        self.world.run(self.command("prune", &more))
    }

    /// The key of something in a backup.
    fn key(&self, taken: &Value, name: &str) -> String {
        format!("some/where/{}/{name}", text(taken, "path"))
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

#[test]
fn a_backup_is_taken_proven_restored_and_deleted() {
    let place = Place::new("wb_s3", SCHEMA);
    let taken = place.backup().ok("backup");
    assert_eq!((&taken["path"], &taken["files"]), (&json!("plan/7/wb_s3-1"), &json!(1)));
    let root = "some/where/plan/7/wb_s3-1";
    let all =
        [format!("{root}/attempt.json"), format!("{root}/data/dump.pgc"), format!("{root}/manifest.json")];
    assert_eq!(place.at.keys(), all);
    assert!(place.at.get(&all[1]).starts_with(b"PGDMP"), "the engine's own format");
    for level in ["Artifact", "Structure", "Restored"] {
        let verified = place.verify(&taken, level).ok("verify");
        assert_eq!((&verified["level"], &verified["sha256"]), (&json!(level), &taken["sha256"]));
    }
    let copy = place.restore(&taken).ok("restore");
    assert_eq!(sql(text(&copy, "database"), "SELECT count(*) FROM a"), "2");
    let second = place.backup().ok("backup");
    assert_eq!(second["path"], "plan/7/wb_s3-1-2", "a place of its own");
    assert_eq!((&second["kept"]["count"], &second["kept"]["unfinished"]), (&json!(2), &json!(0)));
    let size: usize = all.iter().map(|key| place.at.get(key).len()).sum();
    assert_eq!(place.prune(&[&taken], &[]).ok("prune")["found"], json!([{ "deleted": size }]));
    assert_eq!(place.at.keys().len(), 3, "the second is there");
    assert_eq!(place.prune(&[&taken], &[]).ok("prune")["found"], json!(["absent"]));
    place.verify(&second, "Restored").ok("verify");
}

#[test]
fn a_person_restores_from_the_bucket_by_hand_and_what_is_damaged_changes_nothing() {
    let place = Place::new("wb_s3_hand", SCHEMA);
    let taken = place.backup().ok("backup");
    sql("wb_s3_hand", "DROP TABLE a; CREATE TABLE half_migrated (x int)");
    let storage = json!({"s3": {"endpoint": place.at.endpoint, "bucket": place.at.name, "prefix": "some/where", "pathStyle": true,
        "credentials": {"secretRef": {"name": "minio"}}, "ca": {"configMapKeyRef": {"name": "minio-ca", "key": "ca.pem"}}}});
    let dump = place.key(&taken, "data/dump.pgc");
    let whole = place.at.get(&dump);
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    place.at.put(&dump, &damaged);
    let said = by_hand(&place.world, &taken, &storage).unwrap_err();
    assert!(said.contains("dump.pgc has another SHA-256 than when it was written"), "{said}");
    assert_eq!(sql("wb_s3_hand", "SELECT count(*) FROM half_migrated"), "0", "nothing was renamed");
    place.at.put(&dump, &whole);
    by_hand(&place.world, &taken, &storage).unwrap();
    assert_eq!(sql("wb_s3_hand", "SELECT count(*) FROM a"), "2");
    let aside = aside("wb_s3_hand", 7);
    assert_eq!(sql(&aside, "SELECT count(*) FROM half_migrated"), "0", "the broken one is still there");
    sql("postgres", &format!("DROP DATABASE \"{aside}\""));
}

#[test]
fn a_dump_of_many_parts_is_the_same_in_the_bucket_and_memory_is_bounded() {
    let place = Place::new("wb_s3_large", LARGE);
    let mut limited = Command::new("bash");
    // The address space of the program itself; of pg_dump too, which needs less.
    let inner = place.backup_command();
    limited
        .args(["-c", "ulimit -v 1500000; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args());
    let taken = place.world.run(limited).ok("backup");
    let bytes = taken["bytes"].as_u64().unwrap();
    assert!(bytes > 2 * (16 << 20), "{bytes}");
    assert_eq!(place.at.get(&place.key(&taken, "data/dump.pgc")).len() as u64, bytes);
    place.verify(&taken, "Restored").ok("verify");
}

#[tokio::test]
async fn a_rich_database_is_what_it_was() {
    sql("postgres", ROLES);
    let rich = RICH
        .replace("wb same", "wb s3 back")
        .replace("SET default_transaction_read_only TO on", "SET work_mem TO '5MB'");
    let options = "OWNER wb_same_owner TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'";
    let place =
        tokio::task::spawn_blocking(move || Place::of(World::with("wb s3 back", options, &rich))).await;
    let place = place.expect("it was made");
    let (engine, fence) = engine_of(&place.world);
    engine.enter(&fence).await.unwrap().leave(Claim::Keep).await.unwrap();
    let proof = engine.proof().await.unwrap();
    let stamp = Stamp { histories: proof.histories, structure: Some(proof.structure), mark: None };
    let (place, taken) = tokio::task::spawn_blocking(move || {
        let taken = place.backup().ok("backup");
        (place, taken)
    })
    .await
    .expect("it was taken");
    let (before, had) = (dump("wb s3 back"), catalogue("wb s3 back"));
    sql(
        "wb s3 back",
        "DROP TABLE users CASCADE; TRUNCATE part; DROP SEQUENCE counter; SELECT lo_unlink(oid) FROM pg_largeobject_metadata",
    );
    let place = tokio::task::spawn_blocking(move || {
        place.restore(&taken).ok("restore");
        place
    })
    .await
    .expect("it was restored");
    let Fence { .. } = fence;
    engine_of(&place.world).0.put_back(&fence, &stamp).await.unwrap();
    same(&dump("wb s3 back"), &before);
    assert_eq!(catalogue("wb s3 back"), had);
    tokio::task::spawn_blocking(move || drop(place)).await.expect("it ends");
}

#[test]
fn a_kill_in_the_middle_leaves_no_backup_and_a_prune_takes_what_is_left() {
    let place = Place::new("wb_s3_kill", SCHEMA);
    let holder = Holder::of(&place.world.database, "a");
    let child = place.backup_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the dump waits", || waiting_dumps(&place.world) == "1");
    let root = "some/where/plan/7/wb_s3_kill-1";
    let note = format!("{root}/upload.json");
    until("the upload is noted", || place.at.keys().contains(&note));
    signal(&child, "-KILL");
    drop(holder);
    assert_eq!(place.world.done(child).code, None);
    assert_eq!(place.at.keys(), [format!("{root}/attempt.json"), note.clone()]);
    let id =
        serde_json::from_slice::<Value>(&place.at.get(&note)).unwrap()["id"].as_str().unwrap().to_owned();
    let dump = Key::from(format!("{root}/data/dump.pgc"));
    // Whoever was killed had sent a part.
    let store = place.at.store();
    let part = place.at.runtime.block_on(store.put_part(&dump, &id, 0, PutPayload::from(vec![7; 6 << 20])));
    let part = part.expect("the upload is still there");
    assert_eq!(place.at.uploads(dump.as_ref()), 1);
    let taken = place.backup().ok("backup");
    assert_eq!(taken["path"], "plan/7/wb_s3_kill-1-2");
    assert_eq!(taken["kept"]["unfinished"], 1);
    for over in ["u-1/7", "u-2/9"] {
        assert_eq!(place.prune(&[], &[over]).ok("prune")["attempts"], 0, "{over}");
    }
    assert_eq!(place.prune(&[], &["u-1/8"]).ok("prune")["attempts"], 1);
    assert!(
        place.at.keys().iter().all(|key| key.starts_with("some/where/plan/7/wb_s3_kill-1-2/")),
        "{:?}",
        place.at.keys()
    );
    assert_eq!(place.at.uploads(dump.as_ref()), 0);
    let late = place.at.runtime.block_on(store.complete_multipart(&dump, &id, vec![part]));
    assert!(late.is_err(), "who comes back late makes nothing of it");
    place.verify(&taken, "Structure").ok("verify");
}

#[test]
fn a_dump_that_dies_in_the_middle_of_its_rows_becomes_no_object() {
    let place = Place::new("wb_s3_dies", LARGE);
    let child = place.backup_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let copying = "SELECT pid FROM pg_stat_activity WHERE application_name = 'wb/wb_s3_dies' AND query LIKE 'COPY %' AND state = 'active'";
    until("rows are on their way", || !sql("postgres", copying).is_empty());
    let dump = "some/where/plan/7/wb_s3_dies-1/data/dump.pgc";
    assert_eq!(place.at.uploads(dump), 1);
    sql("postgres", &format!("SELECT pg_terminate_backend(pid) FROM ({copying}) it"));
    let done = place.world.done(child);
    assert_eq!(
        (done.code, done.result["failed"]["code"].as_str()),
        (Some(1), Some("Tool")),
        "{}",
        done.result
    );
    assert_eq!(place.at.keys(), [""; 0]);
    assert_eq!(place.at.uploads(dump), 0, "its parts are forgotten");
    place.backup().ok("backup");
}

#[test]
fn a_signal_in_the_middle_gives_the_upload_up() {
    let place = Place::new("wb_s3_term", SCHEMA);
    let _holder = Holder::of(&place.world.database, "a");
    let child = place.backup_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the dump waits", || waiting_dumps(&place.world) == "1");
    let dump = "some/where/plan/7/wb_s3_term-1/data/dump.pgc";
    until("the upload is begun", || place.at.uploads(dump) == 1);
    signal(&child, "-TERM");
    let done = place.world.done(child);
    assert_eq!(done.message(), "stopped by a signal before it was done");
    assert_eq!((done.code, place.at.uploads(dump)), (Some(1), 0));
    assert_eq!(place.at.keys(), [""; 0]);
}

/// A MinIO whose disk is full: a process of the test's own on a file system of its own.
#[test]
fn a_service_without_room_is_said_with_what_helps_and_nothing_is_left() {
    let mut place = Place::new("wb_s3_full", LARGE);
    let data = place.world.path("full");
    fs::create_dir(&data).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    let inside = r#"mount -t tmpfs -o size=24m full "$0"; mkdir "$0/wb-full"; exec "$@" "$0""#;
    command.args(["--mount", "sh", "-ec", inside]).arg(&data).arg(minio("WHIMBREL_TEST_S3_PROGRAM"));
    command.args(["server", "--address", &format!("127.0.0.1:{port}")]);
    command.env("MINIO_ROOT_USER", minio("WHIMBREL_TEST_S3_ACCESS_KEY"));
    command.env("MINIO_ROOT_PASSWORD", minio("WHIMBREL_TEST_S3_SECRET_KEY")).env("MINIO_BROWSER", "off");
    let mut server =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program can be started");
    until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    place.at.name = "wb-full".into();
    place.at.endpoint = format!("http://127.0.0.1:{port}");
    let filled = (0..64).find_map(|n| {
        let payload = PutPayload::from(vec![n; 1 << 20]);
        place.at.runtime.block_on(place.at.store().put(&Key::from(format!("filler/{n}")), payload)).err()
    });
    assert!(filled.is_some(), "the disk is full");
    let before = place.at.keys();
    let done = place.backup();
    let (message, after) = (done.message().to_owned(), place.at.keys());
    let _ = server.kill();
    let _ = server.wait();
    assert!(message.contains("XMinioStorageFull: "), "{message}");
    assert!(message.ends_with("; enlarge the service's disks, or let retention keep less"), "{message}");
    assert_eq!(done.code, Some(42));
    assert_eq!(after, before);
}

#[test]
fn what_was_changed_in_the_bucket_is_found() {
    let place = Place::new("wb_s3_tamper", SCHEMA);
    let taken = place.backup().ok("backup");
    let dump = place.key(&taken, "data/dump.pgc");
    let whole = place.at.get(&dump);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    place.at.put(&dump, &flipped);
    let done = place.verify(&taken, "Artifact");
    assert_eq!(
        done.message(),
        "the backup is damaged: dump.pgc has another SHA-256 than when it was written"
    );
    assert_eq!(done.code, Some(42));
    assert_eq!(
        place.restore(&taken).message(),
        "the backup is damaged: dump.pgc has another SHA-256 than when it was written"
    );
    place.at.put(&dump, &whole[..whole.len() - 1]);
    let shorter = format!("dump.pgc has {} bytes, not {}", whole.len() - 1, whole.len());
    assert_eq!(place.verify(&taken, "Artifact").message(), format!("the backup is damaged: {shorter}"));
    place.at.put(&dump, &whole);
    let foreign = place.key(&taken, "data/other");
    place.at.put(&foreign, b"x");
    assert_eq!(
        place.verify(&taken, "Artifact").message(),
        "the backup is damaged: other does not belong to it"
    );
    // Nor is it deleted with what does not belong to it.
    let before = place.at.keys();
    let pruned = place.prune(&[&taken], &[]).ok("prune");
    assert_eq!(pruned["found"][0]["refused"], "data/other in it does not belong to it");
    assert_eq!(place.at.keys(), before);
    place.at.runtime.block_on(place.at.store().delete(&Key::from(foreign))).unwrap();
    place.at.runtime.block_on(place.at.store().delete(&Key::from(dump))).unwrap();
    assert_eq!(place.verify(&taken, "Artifact").message(), "the backup is damaged: dump.pgc is missing");
}

#[test]
fn a_manifest_of_another_run_or_an_older_one_is_refused_by_all_who_read_it() {
    let place = Place::new("wb_s3_stale", SCHEMA);
    let (first, second) = (place.backup().ok("backup"), place.backup().ok("backup"));
    let manifest = place.key(&second, "manifest.json");
    let own = place.at.get(&manifest);
    place.at.put(&manifest, &place.at.get(&place.key(&first, "manifest.json")));
    let said = place.restore(&second).message().to_owned();
    assert!(said.ends_with("it was changed since"), "{said}");
    let refused = place.prune(&[&second], &[]).ok("prune");
    let refused = refused["found"][0]["refused"].as_str().unwrap().to_owned();
    assert!(refused.starts_with("its manifest has SHA-256 "), "{refused}");
    let theirs = String::from_utf8(own).unwrap().replace("\"u-1\"", "\"u-2\"");
    place.at.put(&manifest, theirs.as_bytes());
    let said = place.verify(&second, "Artifact").message().to_owned();
    assert!(said.contains("is the backup of target wb_s3_stale in run 7 of plan u-2, not of"), "{said}");
    place.at.runtime.block_on(place.at.store().delete(&Key::from(manifest))).unwrap();
    assert_eq!(
        place.verify(&second, "Artifact").message(),
        "plan/7/wb_s3_stale-1-2 has no manifest.json: this backup was not finished and counts for nothing"
    );
    let refused = place.prune(&[&second], &[]).ok("prune");
    assert_eq!(refused["found"][0]["refused"], "it has no manifest.json: nobody can say whose it is");
    place.verify(&first, "Structure").ok("verify");
}

#[test]
fn what_a_killed_prune_left_is_no_backup_and_goes_with_the_next() {
    let place = Place::new("wb_s3_prune", SCHEMA);
    let taken = place.backup().ok("backup");
    let manifest = place.at.get(&place.key(&taken, "manifest.json"));
    place.at.put(&place.key(&taken, "manifest.json.deleted"), &manifest);
    place.verify(&taken, "Artifact").ok("verify");
    place
        .at
        .runtime
        .block_on(place.at.store().delete(&Key::from(place.key(&taken, "manifest.json"))))
        .unwrap();
    assert!(place.verify(&taken, "Artifact").message().contains("has no manifest.json"));
    let before = place.at.keys();
    place.prune(&[], &["u-1/9"]).ok("prune");
    assert_eq!(place.at.keys(), before, "it is for whoever is told of it");
    let pruned = place.prune(&[&taken], &[]).ok("prune");
    assert!(pruned["found"][0]["deleted"].is_u64(), "{pruned}");
    assert_eq!(place.at.keys(), [""; 0]);
}

#[test]
fn a_bucket_that_is_not_there_a_wrong_key_and_a_stranger_are_said_with_what_helps() {
    let mut place = Place::new("wb_s3_refused", SCHEMA);
    let right = std::mem::replace(&mut place.at.name, "wb-there-is-none".into());
    let done = place.backup();
    assert_eq!(
        done.message(),
        format!(
            "bucket wb-there-is-none at {}: plan/7/wb_s3_refused-1/attempt.json: NoSuchBucket: The specified bucket does not exist; create it, or correct spec.backup.storage.s3.bucket",
            place.at.endpoint
        )
    );
    assert_eq!((done.code, done.result["failed"]["code"].as_str()), (Some(42), Some("Bucket")));
    assert!(place.prune(&[], &[]).message().contains("NoSuchBucket"), "an empty bucket is another thing");
    place.at.name = right;
    fs::write(place.world.path("bucket/secretKey"), "not-the-secret").unwrap();
    let done = place.backup();
    assert!(
        done.message().contains("; correct secretKey in the Secret of spec.backup.storage.s3.credentials"),
        "{}",
        done.message()
    );
    assert!(!format!("{}{}", done.message(), done.output).contains("not-the-secret"));
    fs::write(place.world.path("bucket/accessKey"), "nobody").unwrap();
    let done = place.backup();
    assert!(done.message().contains("; correct accessKey in the Secret"), "{}", done.message());
    fs::remove_file(place.world.path("bucket/accessKey")).unwrap();
    assert_eq!(
        place.backup().message(),
        "credentials: the Secret of the bucket needs both accessKey and secretKey"
    );
    fs::write(place.world.path("bucket/accessKey"), minio("WHIMBREL_TEST_S3_ACCESS_KEY")).unwrap();
    fs::write(place.world.path("bucket/secretKey"), minio("WHIMBREL_TEST_S3_SECRET_KEY")).unwrap();
    let stranger = fs::read(minio("WHIMBREL_TEST_S3_STRANGER_CA")).unwrap();
    fs::write(place.world.path("bucket/ca.crt"), stranger).unwrap();
    let done = place.backup();
    assert!(done.message().contains("invalid peer certificate: UnknownIssuer"), "{}", done.message());
    assert_eq!(place.at.keys(), [""; 0]);
}
