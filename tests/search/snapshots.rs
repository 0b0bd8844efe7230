//! Backups that the cluster takes itself, as the Jobs ask for them.

use std::path::PathBuf;

use whimbrel::backup::{Level, SearchConnection, TlsMode, prove_snapshot, take_snapshot};
use whimbrel::engine::search::SnapshotOf;
use whimbrel::engine::{Claim, Engine, Session};

use crate::bed::{Bed, PEER, Product, enter, env};

pub(crate) fn of(run: u64) -> SnapshotOf {
    SnapshotOf { plan_uid: "9b7f".to_owned(), run, target: "search".to_owned() }
}

/// A repository of its own, and how a Job reaches the cluster.
pub(crate) fn lay_out(bed: &Bed, product: Product, folder: &tempfile::TempDir) -> SearchConnection {
    let (name, secure) = match product {
        Product::OpenSearch => ("OPENSEARCH", false),
        Product::Elasticsearch => ("ELASTICSEARCH", true),
    };
    let place =
        format!("{}/{}-{}", env(&format!("{name}_SNAPSHOTS")), std::process::id(), rand::random::<u32>());
    bed.put("/_snapshot/backups", &format!("{{\"type\":\"fs\",\"settings\":{{\"location\":\"{place}\"}}}}"));
    let credentials = PathBuf::from(folder.path());
    if secure {
        std::fs::write(credentials.join("username"), env("ELASTICSEARCH_USER")).expect("written");
        std::fs::write(credentials.join("password"), env("ELASTICSEARCH_PASSWORD") + "\n").expect("written");
        std::fs::copy(env("ELASTICSEARCH_CA"), credentials.join("ca.crt")).expect("copied");
    }
    SearchConnection {
        url: bed.url(),
        tls: if secure { TlsMode::VerifyFull } else { TlsMode::Disable },
        credentials,
        index: vec!["a*".to_owned()],
        evolution: None,
    }
}

async fn taken_and_proven(product: Product) {
    let bed = Bed::of(product).await;
    let folder = tempfile::tempdir().expect("a folder");
    let connection = lay_out(&bed, product, &folder);
    bed.put("/a1", "{\"settings\":{\"number_of_replicas\":0},\"mappings\":{\"properties\":{\"n\":{\"type\":\"long\"}}},\"aliases\":{\"live\":{}}}");
    bed.fill("a1", 30);
    bed.put("/a2", "{}");
    bed.fill("other", 5);
    let engine = bed.engine();
    enter(&engine, &bed.fence(3)).await.leave(Claim::Keep).await.expect("leaves");

    let backup = take_snapshot(&connection, "backups", "wb-p-3-search-1", &of(3), 3).await.expect("taken");
    assert_eq!((backup.path.as_str(), backup.documents), ("backups/wb-p-3-search-1", 30));
    assert!(backup.bytes > 0 && backup.sha256.len() == 64);
    let snapshot = bed.get("/_snapshot/backups/wb-p-3-search-1");
    let mut indices: Vec<_> = snapshot["snapshots"][0]["indices"].as_array().cloned().unwrap_or_default();
    indices.sort_by_key(|index| index.to_string());
    assert_eq!(indices, [".whimbrel", "a1", "a2"]);
    // A pod that was here before, of which nobody heard.
    let second = take_snapshot(&connection, "backups", "wb-p-3-search-1", &of(3), 3).await.expect("taken");
    assert_eq!(second.path, "backups/wb-p-3-search-1-2");

    let mark = engine.quiet(&bed.fence(3)).await.expect("a sample").mark;
    for level in [Level::Artifact, Level::Structure, Level::Restored] {
        let proven = prove_snapshot(&connection, &backup.path, &of(3), level).await.expect("proven");
        assert_eq!((proven.level, proven.sha256.as_str()), (level, backup.sha256.as_str()));
    }
    assert!(
        bed.get("/_cat/indices/wb-verify-*?format=json").as_array().is_none_or(Vec::is_empty),
        "taken away again"
    );
    assert_eq!(
        engine.quiet(&bed.fence(3)).await.expect("a sample").mark,
        mark,
        "a proof is no write of anybody's"
    );
    assert_eq!(bed.count("live"), 30);
}

#[tokio::test]
async fn taken_and_proven_on_opensearch() {
    taken_and_proven(Product::OpenSearch).await;
}

#[tokio::test]
async fn taken_and_proven_on_elasticsearch() {
    taken_and_proven(Product::Elasticsearch).await;
}

#[tokio::test]
async fn what_does_not_count() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let connection = lay_out(&bed, Product::OpenSearch, &folder);
    bed.fill("a1", 3);
    let said = async |error: Result<_, whimbrel::backup::BackupError>| -> String {
        let error: whimbrel::backup::BackupError = match error {
            Ok(()) => panic!("it counts"),
            Err(error) => error,
        };
        error.to_string()
    };
    let missing = take_snapshot(&connection, "nowhere", "wb-1", &of(1), 1).await.map(drop);
    assert_eq!(
        said(missing).await,
        format!(
            "search ({}): the cluster has no snapshot repository nowhere: make it (PUT _snapshot/nowhere), or correct backup.repository",
            bed.url()
        )
    );
    // A snapshot of somebody else's, and one of another run.
    bed.put("/_snapshot/backups/nightly?wait_for_completion=true", "{}");
    let foreign = prove_snapshot(&connection, "backups/nightly", &of(1), Level::Artifact).await.map(drop);
    assert!(
        said(foreign)
            .await
            .ends_with("snapshot nightly is none of this version of Whimbrel: its metadata does not say so")
    );
    let backup = take_snapshot(&connection, "backups", "wb-1", &of(1), 1).await.expect("taken");
    let other = prove_snapshot(&connection, &backup.path, &of(2), Level::Artifact).await.map(drop);
    assert!(said(other).await.ends_with(
        "snapshot wb-1 is the backup of target search in run 1 of plan 9b7f, not of target search in run 2"
    ));

    // A shard that is not there when a snapshot of all that is left is asked for: the server calls it PARTIAL.
    let settings =
        "{\"settings\":{\"number_of_replicas\":0,\"index.routing.allocation.require._name\":\"nobody\"}}";
    bed.put("/a-lost?wait_for_active_shards=0&timeout=1s", settings);
    let metadata = bed.get("/_snapshot/backups/wb-1")["snapshots"][0]["metadata"].clone();
    let body = serde_json::json!({"indices": "a*", "partial": true, "metadata": metadata});
    bed.put("/_snapshot/backups/partial?wait_for_completion=true", &body.to_string());
    let partial = prove_snapshot(&connection, "backups/partial", &of(1), Level::Artifact).await.map(drop);
    let said_of_it = said(partial).await;
    assert!(
        said_of_it.contains("snapshot partial ended PARTIAL, without 1 of 2 shards, and counts for nothing"),
        "{said_of_it}"
    );
    bed.curl("DELETE", "/a-lost", None);

    // A newer driver owns the target.
    let engine = bed.engine();
    enter(&engine, &bed.fence(5)).await.leave(Claim::Keep).await.expect("leaves");
    let late = take_snapshot(&connection, "backups", "wb-late", &of(1), 4).await.expect_err("late");
    assert_eq!((late.code(), late.exit_code()), ("Overtaken", 43));
    assert!(!bed.has("/_snapshot/backups/wb-late"));
}

#[tokio::test]
async fn a_snapshot_that_lost_documents_is_found_out_by_restoring_it() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut connection = lay_out(&bed, Product::OpenSearch, &folder);
    connection.evolution = Some(PEER.to_owned());
    bed.fill("a1", 3);
    let backup = take_snapshot(&connection, "backups", "wb-1", &of(1), 1).await.expect("taken");
    // The same metadata, and fewer documents: as if files had been put back from elsewhere.
    let metadata = bed.get("/_snapshot/backups/wb-1")["snapshots"][0]["metadata"].clone();
    bed.curl("DELETE", "/a1/_doc/1?refresh=true", None);
    let body = serde_json::json!({"indices": "a*", "include_global_state": false, "metadata": metadata});
    bed.put("/_snapshot/backups/less?wait_for_completion=true", &body.to_string());
    prove_snapshot(&connection, "backups/less", &of(1), Level::Artifact)
        .await
        .expect("complete as far as anybody sees");
    let less = prove_snapshot(&connection, "backups/less", &of(1), Level::Structure).await.expect_err("less");
    assert!(
        less.to_string().ends_with(
            "the snapshot does not give back what was in the indices: 2 documents in 1 indices, there were 3"
        ),
        "{less}"
    );
    assert!(
        bed.get("/_cat/indices/wb-verify-*?format=json").as_array().is_none_or(Vec::is_empty),
        "taken away all the same"
    );
    prove_snapshot(&connection, &backup.path, &of(1), Level::Restored).await.expect("the other one does");
}
