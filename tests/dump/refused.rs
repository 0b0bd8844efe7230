//! What can't be dumped, each with its own sentence, and nothing left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use whimbrel::engine::{Claim, Engine as _, Session as _};

use crate::server::{World, fence, scripts, wait};

fn nothing_left(world: &World) {
    let left = fs::read_dir(world.path("backups/release/7"));
    assert_eq!(left.map_or(0, Iterator::count), 0);
}

#[test]
fn a_server_that_runs_or_was_killed_is_not_dumped() {
    let world = World::new();
    let server = world.server();
    let done = world.dump();
    assert_eq!(
        done.message(),
        "the server has database neo4j open: its files may be copied and moved only while it is stopped. See that no pod of it is left"
    );
    assert_eq!((done.code, &done.result["failed"]["code"]), (Some(1), &"ServerRuns".into()));
    nothing_left(&world);
    wait(async {
        let mut session = server.engine().enter(&fence(3)).await.expect("enters");
        session.apply("default", &scripts(&[("V4__x.cypher", "CREATE (:Late)")])[0]).await.expect("applies");
    });
    server.kill();
    let done = world.dump();
    assert_eq!(
        done.message(),
        "the store of database neo4j was not closed cleanly: the server was killed. Start it, stop it cleanly once, then retry"
    );
    assert_eq!((done.code, &done.result["failed"]["code"]), (Some(42), &"NotClosedCleanly".into()));
    nothing_left(&world);
    // What the sentence says helps.
    world.server().stop();
    world.dump().ok("backup");
}

#[test]
fn a_wrong_path_and_a_wrong_name_are_told_apart() {
    let world = World::new();
    let data = world.data();
    let done = world.run(world.dump_command(&data.join("databases").display().to_string(), "neo4j"));
    assert_eq!(
        done.message(),
        format!(
            "{} is no data folder of Neo4j: it has no folder databases. Correct spec.server.dataPath, the path on the volume of the folder that holds databases and transactions",
            data.join("databases").display()
        )
    );
    let done = world.run(world.dump_command(&data.display().to_string(), "Graph"));
    assert_eq!(
        done.message(),
        format!(
            "there is no database graph in {}: it has neo4j, system. Correct spec.neo4j.database, or spec.server.volumeClaim",
            data.display()
        )
    );
    assert_eq!(done.code, Some(42));
    let done = world.run(world.dump_command(&data.display().to_string(), "*"));
    assert_eq!(done.message(), "*: this is no name of a database of Neo4j");
    nothing_left(&world);
}

/// As the wrong user: only root can become another one.
#[test]
fn files_of_another_user_name_both_users() {
    if !rustix::process::geteuid().is_root() {
        // Another user's files can't be made without being root; the sentence is then that of our own closed folder.
        return;
    }
    let world = World::new();
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    };
    open(world.path("").as_path(), 0o777);
    open(&world.path("backups"), 0o777);
    open(&world.data().join("databases"), 0o700);
    let program = world.path("whimbrel");
    fs::copy(env!("CARGO_BIN_EXE_whimbrel"), &program).expect("room");
    let worker = world.dump_command(&world.data().display().to_string(), "neo4j");
    let mut command = Command::new(program);
    command.args(worker.get_args()).env("PATH", crate::server::path()).uid(7474).gid(7474);
    let done = world.run(command);
    assert_eq!(
        done.message(),
        format!(
            "{} belongs to user 0 and group 0, and this Job, user 7474, may not read it. Set spec.backup.pod.securityContext: runAsUser: 0, runAsGroup: 0",
            world.data().join("databases").display()
        )
    );
    assert_eq!(done.result["failed"]["code"], "Denied");
    nothing_left(&world);
}

/// Runs the rest on a file system of 32 KiB, and tells what it left there.
const MOUNT_AND_RUN: &str = r#"
mount -t tmpfs -o size=32k,mode=1777 full "$0"
if "$@"; then exit 0; else code=$?; fi
find "$0" -type f | sed 's/^/left: /'
exit $code"#;

#[test]
fn a_full_volume_is_said_with_numbers_and_leaves_nothing() {
    let world = World::new();
    let backups = world.path("backups");
    let worker = world.dump_command(&world.data().display().to_string(), "neo4j");
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-ec", MOUNT_AND_RUN]).arg(&backups);
    command.arg(worker.get_program()).args(worker.get_args()).env("PATH", crate::server::path());
    let done = world.run(command);
    let message = done.message();
    assert!(message.starts_with("the backup volume is full: "), "{message} {}", done.output);
    assert_eq!((done.code, &done.result["failed"]["code"]), (Some(42), &"DiskFull".into()));
    assert!(!done.output.contains("left: "), "{}", done.output);
}

#[test]
fn a_session_is_left_behind_by_nobody() {
    // The template's own claim is still there after a dump: nothing of the database was touched.
    let world = World::new();
    world.dump().ok("backup");
    let server = world.server();
    assert_eq!(server.value("MATCH (f:__WhimbrelFence) RETURN f.token"), "3");
    wait(async {
        let session = server.engine().enter(&fence(4)).await.expect("enters");
        session.leave(Claim::GiveUp).await.expect("leaves");
    });
    server.stop();
}
