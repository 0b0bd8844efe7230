//! The worker dies before and after every effect of a restore; what is started after it goes on and ends the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::put_back::{dumped_and_changed, is_put_back};
use crate::server::{RUN, World};
use crate::worker::Done;

/// Until the copy is complete: the one message that stamps it, and the note that says so.
const MAKING: &[&str] = &["stamp the copy", "journal of the restore: Stamped"];
/// From there on, in their order.
const SWAPPING: &[&str] = &[
    "journal of the restore: Swapping",
    "databases put aside",
    "transactions put aside",
    "databases put in place",
    "transactions put in place",
    "journal of the restore: Done",
];
const MODES: [&str; 2] = ["abort-before", "abort-after"];

impl World {
    /// A restore that is struck as `fault` says, if it is. Names of the points it passed are noted.
    fn strike(&self, backup: &Value, fault: Option<&str>) -> Done {
        let notes = self.path("notes");
        let _ = fs::remove_dir_all(&notes);
        fs::create_dir(&notes).expect("a folder");
        let mut command = self.restore_command(backup, RUN, 5, &self.proof);
        command.env("WHIMBREL_FAULT_NOTES", &notes);
        if let Some(fault) = fault {
            command.env("WHIMBREL_FAULT", fault);
        }
        self.run(command)
    }

    fn points(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("notes/points")).unwrap_or_default();
        text.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
    }

    fn copy(&self, from: &str, to: &str) {
        let _ = fs::remove_dir_all(self.path(to));
        let copied = Command::new("cp").arg("-a").arg(self.path(from)).arg(self.path(to)).status();
        assert!(copied.expect("cp is there").success());
    }
}

/// Every file of the two folders of the database and of what is aside, with its bytes.
fn stores(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![data.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("is there").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(data).expect("below").display().to_string();
                all.insert(name, fs::read(entry.path()).expect("is there"));
            }
        }
    }
    all
}

#[test]
fn a_restore_that_dies_while_it_makes_the_copy_makes_it_again() {
    for (number, point) in MAKING.iter().enumerate() {
        for mode in MODES {
            let world = World::new();
            let backup = dumped_and_changed(&world);
            let struck = world.strike(&backup, Some(&format!("{mode}@{}", number + 1)));
            assert_eq!(struck.code, None, "{mode} {point}: it died: {}", struck.output);
            assert_eq!(world.points().last().map(String::as_str), Some(*point));
            world.end_orphans();
            let done = world.strike(&backup, None).ok("restore");
            assert_eq!(done["aside"], "wb-aside-7-5c1e0000", "{mode} {point}");
            is_put_back(&world, "wb-aside-7-5c1e0000", 5);
        }
    }
}

#[test]
fn a_swap_that_dies_anywhere_goes_on_and_ends_the_same() {
    let world = World::new();
    let backup = dumped_and_changed(&world);
    // The copy is complete, and nothing was renamed: from here on no server is needed until the end.
    let after_making = format!("abort-after@{}", MAKING.len());
    assert_eq!(world.strike(&backup, Some(&after_making)).code, None);
    world.copy("data", "made");
    world.strike(&backup, None).ok("restore");
    assert_eq!(world.points(), SWAPPING, "all of them are visited below");
    let undisturbed = stores(&world.data());
    assert!(undisturbed.keys().any(|name| name.starts_with("wb-aside-7-5c1e0000/databases/neo4j/")));
    for (number, point) in SWAPPING.iter().enumerate() {
        for mode in MODES {
            world.copy("made", "data");
            let struck = world.strike(&backup, Some(&format!("{mode}@{}", number + 1)));
            assert_eq!(struck.code, None, "{mode} {point}: it died: {}", struck.output);
            // An older driver's Job that is late changes nothing of it.
            let before = stores(&world.data());
            assert_eq!(world.restore(&backup, 4).code, Some(43), "{mode} {point}");
            assert!(before == stores(&world.data()), "{mode} {point}: the late one changed something");
            world.strike(&backup, None).ok("restore");
            assert!(undisturbed == stores(&world.data()), "{mode} {point}: another end than undisturbed");
        }
    }
    is_put_back(&world, "wb-aside-7-5c1e0000", 5);
}

impl World {
    /// In a pod the private server ends with the worker; here nobody ends it.
    fn end_orphans(&self) {
        let marker = format!("--config-dir={}", self.data().join("wb-restore-7-5c1e0000").display());
        for entry in fs::read_dir("/proc").expect("is there").flatten() {
            let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
            let number = entry.file_name().to_string_lossy().parse::<i32>().ok();
            let pid = number.and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid.filter(|_| String::from_utf8_lossy(&line).contains(&marker)) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                crate::server::until("it is gone", || rustix::process::test_kill_process(pid).is_err());
            }
        }
    }
}
