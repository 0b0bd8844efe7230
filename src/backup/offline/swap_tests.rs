//! The swap on plain files: from every rename on, what is in the way, what may be deleted.

use super::*;
use std::collections::BTreeMap;

fn run() -> Run {
    Run { uid: "5c1e0000-1".to_owned(), number: 7 }
}

/// Files by path, of everything that is no note of ours.
fn files(data: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![data.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_none_or(|it| it != "json") {
                let name = path.strip_prefix(data).unwrap().display().to_string();
                all.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    all
}

fn put(data: &Path, path: &str, text: &str) {
    let path = data.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A data folder with a store, its logs and a copy that is ready.
fn world(data: &Path, logs: bool) -> Journal {
    put(data, "databases/neo4j/store", "old");
    put(data, "databases/system/store", "users");
    put(data, "transactions/system/log", "users");
    if logs {
        put(data, "transactions/neo4j/log", "old");
    }
    run().make(data, &run().beside()).unwrap();
    put(data, "wb-restore-7-5c1e0000/data/databases/neo4j/store", "new");
    put(data, "wb-restore-7-5c1e0000/data/transactions/neo4j/log", "new");
    let mut journal = Journal::new(run(), 3, "neo4j", "ab12");
    journal.step = Step::Stamped;
    journal.write(data).unwrap();
    journal
}

fn expected(logs: bool) -> BTreeMap<String, String> {
    let mut all = vec![
        ("databases/neo4j/store", "new"),
        ("databases/system/store", "users"),
        ("transactions/neo4j/log", "new"),
        ("transactions/system/log", "users"),
        ("wb-aside-7-5c1e0000/databases/neo4j/store", "old"),
    ];
    if logs {
        all.push(("wb-aside-7-5c1e0000/transactions/neo4j/log", "old"));
    }
    all.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// Takes back the last renames by hand, as a crash would have left them, and goes on from there.
#[tokio::test]
async fn from_every_rename_there_is_one_continuation() {
    for logs in [true, false] {
        let aside = "wb-aside-7-5c1e0000";
        let copy = "wb-restore-7-5c1e0000/data";
        let mut renames = vec![
            ("transactions/neo4j".to_owned(), format!("{copy}/transactions/neo4j")),
            ("databases/neo4j".to_owned(), format!("{copy}/databases/neo4j")),
        ];
        if logs {
            renames.push((format!("{aside}/transactions/neo4j"), "transactions/neo4j".to_owned()));
        }
        renames.push((format!("{aside}/databases/neo4j"), "databases/neo4j".to_owned()));
        for undone in 0..=renames.len() {
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path();
            let mut journal = world(data, logs);
            swap(data, &mut journal).await.unwrap();
            for (from, to) in &renames[..undone] {
                fs::rename(data.join(from), data.join(to)).unwrap();
            }
            let mut again = Journal { step: Step::Swapping, ..journal.clone() };
            swap(data, &mut again).await.unwrap();
            assert_eq!(again, journal);
            assert_eq!(Journal::read(data).unwrap(), Some(journal));
            assert_eq!(files(data), expected(logs), "{undone} renames had not happened");
        }
    }
}

#[tokio::test]
async fn what_is_in_the_way_is_named_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut journal = world(data, true);
    put(data, "wb-aside-7-5c1e0000/x", "theirs");
    let said = swap(data, &mut journal).await.unwrap_err().to_string();
    assert!(said.contains("wb-aside-7-5c1e0000: nothing in it says that it is Whimbrel's"), "{said}");
    assert_eq!(fs::read_to_string(data.join("databases/neo4j/store")).unwrap(), "old");
    assert_eq!(Journal::read(data).unwrap().unwrap().step, Step::Stamped);
}

#[tokio::test]
async fn only_what_says_that_it_is_the_runs_is_deleted_and_not_in_the_middle_of_a_swap() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut journal = world(data, true);
    swap(data, &mut journal).await.unwrap();
    Journal { step: Step::Swapping, ..journal.clone() }.write(data).unwrap();
    let said = drop_put_aside(data, "5c1e0000-1", 7).unwrap_err().to_string();
    assert!(said.ends_with("the restore of this run is half done, and needs what is aside"), "{said}");
    journal.write(data).unwrap();
    assert_eq!(
        drop_put_aside(data, "5c1e0000-2", 7).unwrap_err().to_string(),
        format!(
            "{}: no note in it says that it is this run's; it is not deleted",
            data.join("wb-aside-7-5c1e0000").display()
        )
    );
    assert_eq!(drop_put_aside(data, "ffff0000-1", 7).unwrap(), [""; 0], "another run has nothing here");
    assert_eq!(
        drop_put_aside(data, "5c1e0000-1", 7).unwrap(),
        ["wb-aside-7-5c1e0000", "wb-restore-7-5c1e0000"]
    );
    assert_eq!(drop_put_aside(data, "5c1e0000-1", 7).unwrap(), [""; 0], "again says that nothing is left");
    assert_eq!(fs::read_to_string(data.join("databases/neo4j/store")).unwrap(), "new");
}
