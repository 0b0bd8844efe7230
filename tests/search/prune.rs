//! Snapshots whose time is over, deleted by the Job that retention makes.

use whimbrel::backup::{EXIT_FAILED, Found, Told, prune_snapshots, take_snapshot};

use crate::bed::{Bed, Product};
use crate::snapshots::{lay_out, of};
use crate::wire::{Cut, Wire};

fn told(sha256: &str, run: u64, name: &str) -> Told {
    Told { sha256: sha256.to_owned(), plan_uid: "9b7f".to_owned(), run, path: format!("backups/{name}") }
}

async fn only_what_is_meant(product: Product) {
    let bed = Bed::of(product).await;
    let folder = tempfile::tempdir().expect("a folder");
    let connection = lay_out(&bed, product, &folder);
    bed.fill("a1", 30);
    let first = take_snapshot(&connection, "backups", "wb-p-1-search-1", &of(1), 1).await.expect("taken");
    let second = take_snapshot(&connection, "backups", "wb-p-2-search-1", &of(2), 2).await.expect("taken");
    // Somebody else's, under a name of ours, and one with a name of its own.
    bed.put("/_snapshot/backups/wb-foreign?wait_for_completion=true", "{\"indices\":\"a1\"}");
    bed.put("/_snapshot/backups/nightly?wait_for_completion=true", "{\"indices\":\"a1\"}");
    let all = [
        told(&first.sha256, 1, "wb-p-1-search-1"),
        told(&first.sha256, 2, "wb-p-2-search-1"),
        told(&second.sha256, 3, "wb-p-2-search-1"),
        told(&first.sha256, 1, "wb-foreign"),
        told(&first.sha256, 1, "nightly"),
        told(&first.sha256, 1, "wb-never"),
        Told { path: "gone/wb-p-1-search-1".to_owned(), ..told(&first.sha256, 1, "") },
    ];
    let pruned = prune_snapshots(&connection, "search", &all).await.expect("pruned");
    assert!(matches!(pruned.found[0], Found::Deleted(bytes) if bytes > 0), "{:?}", pruned.found[0]);
    let refused = |at: usize| match &pruned.found[at] {
        Found::Refused(why) => why.clone(),
        other => panic!("{at}: {other:?}"),
    };
    assert!(refused(1).contains("it is another one of the same name"), "{}", refused(1));
    assert_eq!(
        refused(2),
        "it is the backup of target search in run 2 of plan 9b7f, not of target search in run 3"
    );
    assert_eq!(refused(3), "its metadata does not say that Whimbrel took it");
    assert_eq!(refused(4), "nightly is no name that Whimbrel gives a snapshot");
    assert_eq!(pruned.found[5], Found::Absent);
    assert_eq!(refused(6), "the cluster has no snapshot repository gone any more");

    let left = bed.get("/_snapshot/backups/_all");
    let mut left: Vec<_> =
        left["snapshots"].as_array().into_iter().flatten().filter_map(|it| it["snapshot"].as_str()).collect();
    left.sort_unstable();
    assert_eq!(left, ["nightly", "wb-foreign", "wb-p-2-search-1"]);
    assert!(
        !bed.has("/.whimbrel/_doc/backup:wb-p-1-search-1")
            && bed.has("/.whimbrel/_doc/backup:wb-p-2-search-1")
    );
    // Another target's Job deletes nothing of this one.
    let others = [told(&second.sha256, 2, "wb-p-2-search-1")];
    let pruned = prune_snapshots(&connection, "another", &others).await.expect("pruned");
    assert!(matches!(&pruned.found[0], Found::Refused(why) if why.contains("not of target another")));
}

#[tokio::test]
async fn only_what_is_meant_is_deleted_on_opensearch() {
    only_what_is_meant(Product::OpenSearch).await;
}

#[tokio::test]
async fn only_what_is_meant_is_deleted_on_elasticsearch() {
    only_what_is_meant(Product::Elasticsearch).await;
}

#[tokio::test]
async fn a_deletion_of_which_any_request_is_cut() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut connection = lay_out(&bed, Product::OpenSearch, &folder);
    bed.fill("a1", 3);
    for (run, cut) in [(1, Cut::Before), (2, Cut::After)] {
        let name = format!("wb-p-{run}-search-1");
        let backup = take_snapshot(&connection, "backups", &name, &of(run), run).await.expect("taken");
        let direct = connection.url.clone();
        let wire = Wire::new(bed.port()).await;
        connection.url = format!("http://127.0.0.1:{}", wire.port);
        wire.cut_each_once(cut);
        let all = [told(&backup.sha256, run, &name)];
        let found = loop {
            match prune_snapshots(&connection, "search", &all).await {
                Ok(pruned) => break pruned.found,
                Err(error) => assert_eq!(error.exit_code(), EXIT_FAILED, "{error}"),
            }
        };
        assert!(matches!(found[0], Found::Deleted(_) | Found::Absent), "{found:?}");
        assert!(wire.cut_once() >= 5, "{} requests were cut", wire.cut_once());
        assert!(!bed.has(&format!("/_snapshot/backups/{name}")));
        connection.url = direct;
    }
}
