//! The worker dies before and after every effect of a restore; what is started after it goes on and ends the same.

use std::fs;

use crate::put_back::{dumped_and_changed, is_put_back};
use crate::server::{RUN, World};

/// The effects in their order. The stamp's are messages to the private server.
const POINTS: &[&str] = &[
    "journal of the restore: Stamped",
    "journal of the restore: Swapping",
    "databases put aside",
    "transactions put aside",
    "databases put in place",
    "transactions put in place",
    "journal of the restore: Done",
];

/// Numbers and names of the points that a restore passes.
fn points(notes: &std::path::Path) -> Vec<(u64, String)> {
    let text = fs::read_to_string(notes.join("points")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(number, name)| (number.parse().expect("a number"), name.to_owned())).collect()
}

#[test]
fn a_restore_that_dies_anywhere_goes_on() {
    let learned = {
        let world = World::new();
        let backup = dumped_and_changed(&world);
        let notes = world.path("notes");
        fs::create_dir(&notes).expect("a folder");
        let mut command = world.restore_command(&backup, RUN, 5, &world.proof);
        world.run({
            command.env("WHIMBREL_FAULT_NOTES", &notes);
            command
        });
        points(&notes)
    };
    let names: Vec<&str> = learned.iter().map(|(_, name)| name.as_str()).collect();
    for point in POINTS {
        assert!(names.contains(point), "{point} is in {names:?}");
    }
    for (number, name) in learned {
        for mode in ["abort-before", "abort-after"] {
            let world = World::new();
            let backup = dumped_and_changed(&world);
            let notes = world.path("notes");
            fs::create_dir(&notes).expect("a folder");
            let strike = || {
                let mut command = world.restore_command(&backup, RUN, 5, &world.proof);
                command.env("WHIMBREL_FAULT_NOTES", &notes).env("WHIMBREL_FAULT", format!("{mode}@{number}"));
                world.run(command)
            };
            let struck = strike();
            assert_eq!(struck.code, None, "{mode} {name}: it died: {}", struck.output);
            world.end_orphans();
            let done = strike().ok("restore");
            assert_eq!(done["aside"], "wb-aside-7-5c1e0000", "{mode} {name}");
            is_put_back(&world, "wb-aside-7-5c1e0000", 5);
        }
    }
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
