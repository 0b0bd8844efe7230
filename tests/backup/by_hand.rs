//! The two commands that a person is shown, run as they stand. Only `kubectl` and the pod's folders are ours.

use super::world::{World, sql};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};
use whimbrel::{
    api::pod::Pod,
    backup::{ByHand, restore_by_hand},
};

/// `exec POD -- COMMAND…` runs the command; everything else is only noted.
const KUBECTL: &str = r#"#!/bin/sh
echo "$3" >>"$(dirname "$0")/verbs"
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
[ $# -eq 0 ] || { shift; exec "$@"; }
"#;

/// Runs the commands.
pub(crate) fn by_hand(world: &World, taken: &Value) {
    let port: u16 = std::env::var("WHIMBREL_TEST_POSTGRES_PORT")
        .expect("the test made it so")
        .parse()
        .expect("the test made it so");
    let postgresql =
        serde_json::from_value(json!({"host": "localhost", "port": port, "database": world.database,
        "tls": {"ca": {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}}}))
        .expect("the test made it so");
    let commands = restore_by_hand(&ByHand {
        namespace: "aether",
        storage: &serde_json::from_value(json!({"name": "backups"})).expect("the test made it so"),
        path: taken["path"].as_str().expect("the test made it so"),
        run: 7,
        tools_image: "registry/pg:15",
        pod: &Pod::default(),
        postgresql: &postgresql,
        credentials: "pg-admin",
    });
    let kubectl = world.path("private/kubectl");
    fs::write(&kubectl, KUBECTL).expect("the test made it so");
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("the test made it so");
    let path = format!(
        "{}:{}",
        world.path("private").display(),
        std::env::var("PATH").expect("the test made it so")
    );
    for command in commands {
        let command = command
            .replace("/credentials/", &format!("{}/", world.path("credentials").display()))
            .replace("/backups/", &format!("{}/", world.path("backups").display()));
        let output = Command::new("sh")
            .args(["-c", &command])
            .env("PATH", &path)
            .output()
            .expect("the test made it so");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_two_commands_bring_the_database_back_and_keep_the_broken_one() {
    let world = World::new(
        "wb_hand",
        "CREATE TABLE a (t text); INSERT INTO a VALUES ('x'), ('y');
         REVOKE CONNECT ON DATABASE wb_hand FROM PUBLIC; ALTER DATABASE wb_hand SET search_path = a, public;",
    );
    let taken = world.backup().ok("backup");
    sql(&world.database, "DROP TABLE a; CREATE TABLE half_migrated (x int)");
    by_hand(&world, &taken);
    assert_eq!(fs::read_to_string(world.path("private/verbs")).unwrap(), "run\nwait\nexec\n");
    assert_eq!(sql("wb_hand", "SELECT count(*) FROM public.a"), "2");
    assert_eq!(sql("wb_hand", "SHOW search_path"), "a, public", "settings of the database are back");
    assert_eq!(
        sql("postgres", "SELECT has_database_privilege('pg_monitor', 'wb_hand', 'CONNECT')"),
        "f",
        "grants are back"
    );
    let aside = sql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'wb\\_%\\_r7'");
    assert_eq!(sql(&aside, "SELECT count(*) FROM half_migrated"), "0", "the broken one is still there");
    sql("postgres", &format!("DROP DATABASE \"{aside}\""));
}
