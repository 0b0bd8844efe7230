//! Backups that go: the program as the Job of a prune runs it, on backups that it took itself.

use super::hostile::{Holder, signal, waiting_dumps};
use super::world::{Done, World, files, until, worker};
use serde_json::{Value, json};
use std::{fs, process::Stdio};

const SCHEMA: &str = "CREATE TABLE a (t text); INSERT INTO a VALUES ('x')";

/// `whimbrel worker prune`, told of these.
fn prune(world: &World, told: &[&Value], more: &[&str]) -> Done {
    let mut command = worker();
    command.args(["worker", "prune", "--target", &world.database]).args(more);
    command.arg("--backups").arg(world.path("backups")).arg("--result").arg(world.path("private/result"));
    for taken in told {
        let of = |key: &str| taken[key].as_str().expect("it has one");
        command.arg(format!("--delete={}/u-1/7/{}", of("sha256"), of("path")));
    }
    world.run(command)
}

fn bytes(folder: &std::path::Path) -> u64 {
    files(folder).iter().map(|it| fs::metadata(folder.join(it)).expect("it is there").len()).sum()
}

#[test]
fn a_backup_goes_with_all_its_files_and_the_one_beside_it_can_still_be_restored() {
    let world = World::new("wb_prune", SCHEMA);
    let (first, second) = (world.backup().ok("backup"), world.backup().ok("backup"));
    assert_eq!(second["path"], "plan/7/wb_prune-1-2");
    let size = bytes(&world.backup_folder(&first));
    let pruned = prune(&world, &[&first], &[]).ok("prune");
    assert_eq!(pruned["found"], json!([{ "deleted": size }]));
    assert!(!world.backup_folder(&first).exists());
    let verified = world.verify("plan/7/wb_prune-1-2", "Restored").ok("verify");
    assert_eq!(verified["level"], "Restored");
    assert_eq!(prune(&world, &[&first], &[]).ok("prune")["found"], json!(["absent"]), "the same again");
    // The path is free again; what is there now is another backup.
    let third = world.backup().ok("backup");
    assert_eq!(third["path"], first["path"]);
    assert_eq!((&third["kept"]["count"], &third["kept"]["unfinished"]), (&2.into(), &0.into()));
    let pruned = prune(&world, &[&first], &[]).ok("prune");
    assert!(
        pruned["found"][0]["refused"].as_str().expect("it is another one").contains("recorded was"),
        "{pruned}"
    );
}

#[test]
fn a_backup_that_was_told_with_the_proof_of_another_stays() {
    let world = World::new("wb_prune_other", SCHEMA);
    let (first, second) = (world.backup().ok("backup"), world.backup().ok("backup"));
    let mixed = json!({"path": first["path"], "sha256": second["sha256"]});
    let before = files(&world.path("backups"));
    let pruned = prune(&world, &[&mixed], &[]).ok("prune");
    let refused = pruned["found"][0]["refused"].as_str().expect("it is refused");
    assert!(refused.starts_with("its manifest has SHA-256 "), "{refused}");
    assert_eq!(files(&world.path("backups")), before);
    let done = prune(&world, &[], &["--delete=x"]);
    assert_eq!(done.code, Some(2));
    assert!(done.output.contains("it is <sha256>/<plan uid>/<run>/<path>"), "{}", done.output);
}

#[test]
fn what_a_killed_backup_has_left_goes_when_its_run_is_over() {
    let world = World::new("wb_prune_kill", SCHEMA);
    let holder = Holder::of(&world.database, "a");
    let child = world.backup_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the dump waits", || waiting_dumps(&world) == "1");
    signal(&child, "-KILL");
    drop(holder);
    assert_eq!(world.done(child).code, None);
    until("the dump has ended with it", || waiting_dumps(&world) == "0");
    let left = world.path("backups/plan/7/wb_prune_kill-1");
    assert!(left.join("attempt.json").is_file() && !left.join("manifest.json").exists());
    let taken = world.backup().ok("backup");
    for over in ["--over=u-1/7", "--over=u-2/9"] {
        assert_eq!(prune(&world, &[], &[over]).ok("prune")["attempts"], 0, "{over}");
        assert!(left.is_dir());
    }
    assert_eq!(prune(&world, &[], &["--over=u-1/8"]).ok("prune")["attempts"], 1);
    assert!(!left.exists() && world.backup_folder(&taken).join("manifest.json").is_file());
}

#[test]
fn a_storage_that_is_not_there_is_an_error_with_its_path() {
    let world = World::new("wb_prune_none", SCHEMA);
    fs::remove_dir(world.path("backups")).unwrap();
    let done = prune(&world, &[], &[]);
    assert_eq!((done.code, done.result["failed"]["code"].as_str()), (Some(1), Some("File")));
    let path = world.path("backups").display().to_string();
    assert_eq!(done.message(), format!("{path}: No such file or directory (os error 2)"));
}
