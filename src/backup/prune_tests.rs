//! Volumes of all kinds, and what a prune leaves of them.

use super::*;
use serde_json::json;
use std::path::PathBuf;
use std::{fs, os::unix::fs::symlink};
use tempfile::TempDir;

/// A volume with backups on it.
struct Volume(TempDir);

impl Volume {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// A backup of run 7 of plan p at this path, and what proves it.
    fn backup(&self, path: &str, target: &str, plan_uid: &str) -> Told {
        let of = json!({"planUid": plan_uid, "run": 7, "target": target});
        let files = ["toc.dat", "blobs/1.gz"].map(|it| json!({"path": it, "size": 5, "sha256": "00"}));
        let manifest = json!({"format": 9, "of": of, "files": files, "engine's own": true}).to_string();
        self.write(&format!("{path}/manifest.json"), &manifest);
        self.write(&format!("{path}/data/toc.dat"), "12345");
        self.write(&format!("{path}/data/blobs/1.gz"), "12345");
        self.note(path, target, plan_uid, 7);
        Told { sha256: digest(manifest.as_bytes()), plan_uid: plan_uid.into(), run: 7, path: path.into() }
    }

    fn note(&self, path: &str, target: &str, plan_uid: &str, run: u64) {
        let of = Of { plan_uid: plan_uid.into(), run, target: target.into() };
        self.write(
            &format!("{path}/attempt.json"),
            &json!(Note { of, epoch: 1, at: jiff::Timestamp::UNIX_EPOCH, file: "dump.pgc".into() })
                .to_string(),
        );
    }

    fn prune(&self, told: &[Told], over: &[(&str, u64)]) -> Pruned {
        let input = Prune {
            storage: Storage::Folder(self.0.path().to_owned()),
            target: "tas".into(),
            told: told.to_vec(),
            over: over.iter().map(|(uid, first)| ((*uid).to_owned(), *first)).collect(),
        };
        super::prune_folder(self.0.path(), &input).unwrap()
    }

    fn one(&self, told: &Told) -> Found {
        self.prune(std::slice::from_ref(told), &[]).found.remove(0)
    }

    /// Every file, link and empty folder.
    fn all(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut open = vec![self.0.path().to_owned()];
        while let Some(folder) = open.pop() {
            let entries: Vec<_> = fs::read_dir(&folder).unwrap().map(|it| it.unwrap()).collect();
            if entries.is_empty() {
                all.push(folder);
                continue;
            }
            for entry in entries {
                match entry.file_type().unwrap().is_dir() {
                    true => open.push(entry.path()),
                    false => all.push(entry.path()),
                }
            }
        }
        let mut all: Vec<_> =
            all.iter().map(|it| it.strip_prefix(self.0.path()).unwrap().display().to_string()).collect();
        all.sort();
        all
    }

    /// Nothing may be touched, and the refusal says why.
    fn refuses(&self, told: &Told, why: &str) {
        let before = self.all();
        let Found::Refused(said) = self.one(told) else { panic!("{why}: deleted") };
        assert!(said.contains(why), "{said}");
        assert_eq!(self.all(), before);
    }
}

const PATH: &str = "shop/7/tas-1";

#[test]
fn what_it_is_told_goes_and_its_neighbours_stay() {
    let volume = Volume::new();
    let told = volume.backup(PATH, "tas", "p");
    volume.backup("shop/7/tas-2", "tas", "p");
    volume.backup("shop/8/tas-1", "tas", "p");
    let neighbours: Vec<_> = volume.all().into_iter().filter(|it| !it.starts_with("shop/7/tas-1/")).collect();
    let size = fs::metadata(volume.path("shop/7/tas-1/manifest.json")).unwrap().len()
        + fs::metadata(volume.path("shop/7/tas-1/attempt.json")).unwrap().len()
        + 10;
    assert_eq!(volume.one(&told), Found::Deleted(size));
    assert_eq!(volume.all(), neighbours);
    assert_eq!(volume.one(&told), Found::Absent, "the same again");
    assert_eq!(volume.all(), neighbours);
}

#[test]
fn a_manifest_that_was_swapped_or_changed_keeps_its_backup() {
    let volume = Volume::new();
    let told = volume.backup(PATH, "tas", "p");
    let other = volume.backup("shop/7/tas-2", "tas", "p");
    assert_eq!(other.sha256, told.sha256, "two attempts of one run may look the same");
    volume.write("shop/7/tas-1/manifest.json", "{}");
    volume.refuses(&told, "its manifest has SHA-256 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a, recorded was ");
    fs::remove_file(volume.path("shop/7/tas-1/manifest.json")).unwrap();
    volume.refuses(&told, "it has no manifest.json: nobody can say whose it is");
}

#[test]
fn the_backup_of_another_target_or_cluster_stays_whatever_its_name_is() {
    let volume = Volume::new();
    // Another cluster has a plan of the same name and writes to the same volume.
    let theirs = volume.backup(PATH, "tas", "their-plan");
    let told = Told { plan_uid: "p".into(), ..theirs.clone() };
    volume.refuses(
        &told,
        "it is the backup of target tas in run 7 of plan their-plan, not of target tas in run 7 of plan p",
    );
    let shared = volume.backup("shop/7/tas-shared-1", "tas-shared", "p");
    volume.refuses(&shared, "is not <plan>/7/tas-<attempt>");
    let lies = volume.backup("shop/7/tas-3", "tas-shared", "p");
    volume.refuses(&lies, "it is the backup of target tas-shared in run 7 of plan p");
}

#[test]
fn no_path_leads_outside_or_to_a_whole_run() {
    let volume = Volume::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("keep"), "x").unwrap();
    let told = volume.backup(PATH, "tas", "p");
    for path in [
        "../7/tas-1",
        "shop/../../tas-1",
        "/etc/7/tas-1",
        "shop/7",
        "shop/7/tas-1/data",
        "shop/7/tas-1/..",
        "shop//7/tas-1",
        "./shop/7/tas-1",
        "shop/7/tas-1/",
        "shop/8/tas-1",
        "shop/7/tas",
        "shop/7/tas-x",
        "",
    ] {
        volume.refuses(
            &Told { path: path.into(), ..told.clone() },
            "nothing of that kind was ever written here",
        );
    }
    let outside_path = outside.path().display().to_string();
    volume.refuses(&Told { path: outside_path, ..told }, "nothing of that kind");
    assert!(outside.path().join("keep").exists());
}

#[test]
fn no_link_is_followed_wherever_it_stands() {
    let victim = Volume::new();
    let told = victim.backup(PATH, "tas", "p");
    let before = victim.all();
    for (link, to) in [("shop", "shop"), ("shop/7", "shop/7"), (PATH, PATH)] {
        let volume = Volume::new();
        fs::create_dir_all(volume.path(link).parent().unwrap()).unwrap();
        symlink(victim.path(to), volume.path(link)).unwrap();
        volume.refuses(&told, "is no folder of ours");
    }
    for (link, to, why) in [
        ("manifest.json", "manifest.json", "manifest.json: "),
        ("data", "data", "data in it is neither file nor folder: no backup has such a thing"),
        ("data/blobs", "data/blobs", "data/blobs in it is neither file nor folder"),
        ("data/toc.dat", "data/toc.dat", "data/toc.dat in it is neither file nor folder"),
    ] {
        let volume = Volume::new();
        let told = volume.backup(PATH, "tas", "p");
        let place = volume.path(&format!("{PATH}/{link}"));
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap();
        } else {
            fs::remove_file(&place).unwrap();
        }
        symlink(victim.path(&format!("{PATH}/{to}")), &place).unwrap();
        volume.refuses(&told, why);
    }
    assert_eq!(victim.all(), before);
}

#[test]
fn what_somebody_laid_beside_it_keeps_it() {
    for foreign in ["notes.txt", "data/notes.txt", "data/blobs/2.gz", "mine/x"] {
        let volume = Volume::new();
        let told = volume.backup(PATH, "tas", "p");
        volume.write(&format!("{PATH}/{foreign}"), "do not delete");
        volume.refuses(&told, " in it does not belong to it");
    }
    let volume = Volume::new();
    let told = volume.backup(PATH, "tas", "p");
    fs::create_dir(volume.path(&format!("{PATH}/mine"))).unwrap();
    volume.refuses(&told, "mine in it does not belong to it");
}

#[test]
fn what_a_killed_try_left_is_no_backup_and_goes_with_the_next() {
    let states: [&dyn Fn(&Volume); 5] = [
        &|_| (),
        &|volume| fs::remove_file(volume.path(&format!("{PATH}/data/toc.dat"))).unwrap(),
        &|volume| fs::remove_dir_all(volume.path(&format!("{PATH}/data"))).unwrap(),
        &|volume| {
            fs::remove_dir_all(volume.path(&format!("{PATH}/data"))).unwrap();
            fs::remove_file(volume.path(&format!("{PATH}/attempt.json"))).unwrap();
        },
        &|volume| {
            fs::remove_dir_all(volume.path(PATH)).unwrap();
            fs::create_dir(volume.path(PATH)).unwrap();
        },
    ];
    for state in states {
        let volume = Volume::new();
        let told = volume.backup(PATH, "tas", "p");
        let (from, to) = (format!("{PATH}/manifest.json"), format!("{PATH}/{DELETED}"));
        fs::rename(volume.path(&from), volume.path(&to)).unwrap();
        state(&volume);
        let kept = crate::backup::summary(volume.0.path());
        assert_eq!((kept.count, kept.unfinished), (0, 1), "no reader takes it for a backup");
        // It is for whoever is told of it: a sweep alone leaves it.
        let before = volume.all();
        volume.prune(&[], &[("p", 9)]);
        assert_eq!(volume.all().len(), before.len(), "{before:?}");
        assert!(matches!(volume.one(&told), Found::Deleted(_)));
        assert!(!volume.path(PATH).exists());
    }
    let volume = Volume::new();
    let told = volume.backup(PATH, "tas", "p");
    fs::copy(volume.path(&format!("{PATH}/manifest.json")), volume.path(&format!("{PATH}/{DELETED}")))
        .unwrap();
    volume.refuses(&told, "it has both manifest.json and manifest.json.deleted");
}

#[test]
fn an_aborted_attempt_goes_only_when_its_run_is_over_and_it_is_surely_ours() {
    let volume = Volume::new();
    let attempt = |path: &str, target: &str, uid: &str, run: u64| {
        volume.note(path, target, uid, run);
        volume.write(&format!("{path}/data/1.gz"), "12345");
        volume.write(&format!("{path}/manifest.json.unfinished"), "{");
    };
    attempt("shop/7/tas-1", "tas", "p", 7);
    attempt("shop/7/tas-1-2", "tas", "p", 7);
    let stay = [
        ("shop/8/tas-1", "tas", "p", 8),
        ("shop/6/tas-1", "tas", "their-plan", 6),
        ("shop/6/tas-shared-1", "tas-shared", "p", 6),
    ];
    for (path, target, uid, run) in stay {
        attempt(path, target, uid, run);
    }
    volume.write("shop/5/tas-1/data/1.gz", "by an earlier version: it has no note");
    volume.write("shop/5/tas-2/attempt.json", "{\"of\": 1}");
    volume.backup("shop/4/tas-1", "tas", "p");
    let pruned = volume.prune(&[], &[("p", 8)]);
    assert_eq!((pruned.attempts, &pruned.left), (2, &Vec::new()));
    let left: BTreeSet<String> =
        volume.all().iter().map(|it| it.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")).collect();
    let expected = [
        "shop/4/tas-1",
        "shop/5/tas-1",
        "shop/5/tas-2",
        "shop/6/tas-1",
        "shop/6/tas-shared-1",
        "shop/8/tas-1",
    ];
    assert_eq!(left.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn an_attempt_that_holds_more_than_ours_is_left_and_named() {
    let volume = Volume::new();
    volume.note("shop/7/tas-1", "tas", "p", 7);
    volume.write("shop/7/tas-1/notes.txt", "x");
    volume.note("shop/7/tas-2", "tas", "p", 7);
    symlink("/etc", volume.path("shop/7/tas-2/data")).unwrap();
    let before = volume.all();
    let pruned = volume.prune(&[], &[("p", 8)]);
    assert_eq!(
        pruned.left,
        [
            "shop/7/tas-1: notes.txt in it does not belong to it",
            "shop/7/tas-2: data in it is neither file nor folder"
        ]
    );
    assert_eq!(volume.all(), before);
}

#[test]
fn another_volume_than_the_one_that_is_meant_is_an_error() {
    let volume = Volume::new();
    let elsewhere = volume.path("tas-shared");
    let storage = Storage::Folder(elsewhere.clone());
    let input = Prune { storage, target: "tas".into(), told: vec![], over: BTreeMap::new() };
    let error = super::prune_folder(&elsewhere, &input).unwrap_err().to_string();
    assert!(error.ends_with("tas-shared: No such file or directory (os error 2)"), "{error}");
}

#[test]
fn what_is_told_is_read_as_it_was_written() {
    let told = Told { sha256: "ab".into(), plan_uid: "9b7f".into(), run: 7, path: PATH.into() };
    assert_eq!(told.to_string(), "ab/9b7f/7/shop/7/tas-1");
    assert_eq!(told.to_string().parse::<Told>().unwrap(), told);
    for wrong in ["", "ab", "ab/p/7", "ab/p/x/shop/7/tas-1", "/p/7/shop/7/tas-1"] {
        wrong.parse::<Told>().unwrap_err();
    }
}

#[test]
fn the_longest_result_fits_into_a_termination_message() {
    let found = vec![Found::Refused("x".repeat(SENTENCE as usize)); 10];
    let left = vec!["x".repeat(SENTENCE as usize); NAMED];
    let longest = Pruned { found, attempts: u64::MAX, attempts_bytes: u64::MAX, left };
    assert!(json!({"prune": longest}).to_string().len() < 4096);
}
