//! Servers, disks and signals that do not play along.

use super::world::{World, files, is_root, psql, sql, until};
use std::{
    fs,
    io::Write as _,
    process::{Child, Command, Stdio},
};

const SCHEMA: &str = "CREATE TABLE a (t text); INSERT INTO a VALUES ('x')";

#[test]
fn a_wrong_password_is_said_and_leaves_nothing() {
    let world = World::new("wb_password", SCHEMA);
    fs::write(world.path("credentials/password"), "not-the-password").unwrap();
    let done = world.backup();
    let message = done.message();
    assert!(message.starts_with("no connection to localhost:"), "{message}");
    assert!(message.contains("password authentication failed"), "{message}");
    assert!(!format!("{message}{}", done.output).contains("not-the-password"));
    assert_eq!(done.code, Some(1), "the Secret may have been rotated a moment ago");
    assert_eq!(files(&world.path("backups")), [""; 0]);
}

#[test]
fn a_certificate_of_a_stranger_is_refused() {
    let world = World::new("wb_stranger", SCHEMA);
    let stranger = fs::read(std::env::var("WHIMBREL_TEST_POSTGRES_STRANGER_CA").unwrap()).unwrap();
    fs::write(world.path("credentials/ca.crt"), stranger).unwrap();
    let done = world.backup();
    assert!(done.message().contains("certificate verify failed"), "{}", done.message());
}

#[test]
fn a_target_that_a_newer_driver_owns_is_left_alone() {
    let world = World::new(
        "wb_overtaken",
        "CREATE SCHEMA whimbrel; CREATE TABLE whimbrel.fence (token bigint); INSERT INTO whimbrel.fence VALUES (3)",
    );
    world.backup().ok("backup");
    sql(&world.database, "UPDATE whimbrel.fence SET token = 4");
    let done = world.backup();
    assert_eq!(
        done.message(),
        "the target's token is 4, this Job has epoch 3: a newer driver owns the target"
    );
    assert_eq!(done.code, Some(43));
    assert_eq!(fs::read_dir(world.path("backups/plan/7")).unwrap().count(), 1, "only the first one");
}

/// Runs the rest on a file system of 1 MiB, and tells what it left there.
const MOUNT_AND_RUN: &str = r#"
mount -t tmpfs -o size=1m,mode=1777 full "$0"
if "$@"; then exit 0; else code=$?; fi
find "$0" -type f | sed 's/^/left: /'
exit $code"#;

/// A mount of its own for the worker alone: `unshare` gives it a mount namespace that ends with it.
#[test]
fn a_full_volume_is_said_with_numbers_and_leaves_nothing() {
    let world = World::new(
        "wb_full",
        "CREATE TABLE a AS SELECT g, md5(g::text) || md5((g * 7)::text) AS t FROM generate_series(1, 60000) g",
    );
    let backups = world.path("backups");
    let worker = world.backup_command();
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-ec", MOUNT_AND_RUN]).arg(&backups);
    command.arg(worker.get_program()).args(worker.get_args());
    let done = world.run(command);
    let message = done.message();
    assert!(message.starts_with("the backup volume is full: "), "{message}");
    assert!(
        message.ends_with(&format!(
            ". Enlarge the claim, or remove backups that are not needed from {}",
            backups.display()
        )),
        "{message}"
    );
    assert_eq!(done.result["failed"]["code"], "DiskFull");
    assert_eq!(done.code, Some(42));
    assert!(!done.output.contains("left: "), "{}", done.output);
}

/// The same on one that others have filled.
const FILL_AND_RUN: &str = r#"
mount -t tmpfs -o size=1m,mode=1777 full "$0"
cat /dev/zero >"$0/filler" 2>/dev/null || true
if "$@"; then exit 0; else code=$?; fi
find "$0" -type f | sed 's/^/left: /'
exit $code"#;

#[test]
fn a_volume_that_is_full_before_the_backup_is_said_the_same() {
    let world = World::new("wb_full_before", SCHEMA);
    let backups = world.path("backups");
    let worker = world.backup_command();
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-ec", FILL_AND_RUN]).arg(&backups);
    command.arg(worker.get_program()).args(worker.get_args());
    let done = world.run(command);
    let place = backups.display();
    assert_eq!(
        done.message(),
        format!(
            "the backup volume is full: 0 bytes free, and no backup was begun. Enlarge the claim, or remove backups that are not needed from {place}"
        )
    );
    assert_eq!((done.code, &done.result["failed"]["code"]), (Some(42), &"DiskFull".into()));
    let left: Vec<&str> = done.output.lines().filter(|line| line.starts_with("left: ")).collect();
    assert_eq!(left, [format!("left: {place}/filler")]);
}

/// Somebody who holds a table, so that a dump stands still in the middle.
pub(crate) struct Holder(Child);

impl Holder {
    pub(crate) fn of(database: &str, table: &str) -> Self {
        let mut child = psql(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let text = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n");
        child.stdin.as_mut().expect("it was asked for").write_all(text.as_bytes()).expect("it listens");
        until("the lock is held", || {
            sql(
                database,
                &format!(
                    "SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND mode = 'AccessExclusiveLock' AND granted"
                ),
            ) == "1"
        });
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn waiting_dumps(world: &World) -> String {
    let name = &world.database;
    sql(
        "postgres",
        &format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wb/{name}' AND wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
        ),
    )
}

pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .expect("the program can be started");
    assert!(status.success());
}

#[test]
fn a_kill_in_the_middle_leaves_no_manifest() {
    let world = World::new("wb_kill", SCHEMA);
    let holder = Holder::of(&world.database, "a");
    let child = world.backup_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the dump waits", || waiting_dumps(&world) == "1");
    signal(&child, "-KILL");
    drop(holder);
    // In a pod the dump dies with its process 1; here it may run to its end, and still makes no backup.
    assert_eq!(world.done(child).code, None);
    let folder = world.path("backups/plan/7/wb_kill-1");
    assert!(folder.is_dir() && !folder.join("manifest.json").exists());
    let taken = world.backup().ok("backup");
    assert_eq!(taken["path"], "plan/7/wb_kill-1-2");
    assert_eq!((&taken["kept"]["count"], &taken["kept"]["unfinished"]), (&1.into(), &1.into()));
}

#[test]
fn a_signal_ends_the_dump_at_the_server_too() {
    let world = World::new("wb_term", SCHEMA);
    let _holder = Holder::of(&world.database, "a");
    let child = world.backup_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the dump waits", || waiting_dumps(&world) == "1");
    signal(&child, "-TERM");
    let done = world.done(child);
    assert_eq!(done.message(), "stopped by a signal before it was done");
    assert_eq!(done.code, Some(1));
    assert_eq!(fs::read_dir(world.path("backups/plan/7")).unwrap().count(), 0);
    until("its sessions are gone", || {
        sql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wb/wb_term'") == "0"
    });
}
