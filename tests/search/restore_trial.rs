//! What keeps a restore from being automatic, said before any downtime.

use whimbrel::engine::Engine;
use whimbrel::engine::search::{Names, Search};

use crate::bed::{Bed, Product};
use crate::snapshots::lay_out;

/// What the trial meets in a target of `indices`.
async fn obstacles(bed: &Bed, indices: &[&str], repository: &str) -> Vec<String> {
    let mut settings = bed.settings();
    settings.indices = indices.iter().map(|index| (*index).to_owned()).collect();
    settings.repository = Some(repository.to_owned());
    let trial = Search::new(settings).try_restore(&bed.fence(7)).await.expect("a trial");
    let probes = bed.get("/_cat/indices/wb-verify-*?format=json&expand_wildcards=all");
    assert!(probes.as_array().is_none_or(Vec::is_empty), "nothing stays: {probes}");
    trial.obstacles
}

async fn nothing_in_the_way(product: Product) {
    let bed = Bed::of(product).await;
    let folder = tempfile::tempdir().expect("a folder");
    lay_out(&bed, product, &folder);
    bed.fill("a1", 3);
    assert_eq!(obstacles(&bed, &["a*"], "backups").await, [""; 0]);
    let mut settings = bed.settings();
    settings.names = Names::Alias;
    let trial = Search::new(settings).try_restore(&bed.fence(7)).await.expect("a trial");
    assert_eq!(
        trial.warnings,
        [
            "names: Alias: one call would exchange a1 for indices named …-wb-7, and their names become aliases of these"
        ]
    );
}

#[tokio::test]
async fn nothing_in_the_way_on_opensearch() {
    nothing_in_the_way(Product::OpenSearch).await;
}

#[tokio::test]
async fn nothing_in_the_way_on_elasticsearch() {
    nothing_in_the_way(Product::Elasticsearch).await;
}

#[tokio::test]
async fn a_repository_that_is_gone_or_takes_nothing() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    lay_out(&bed, Product::OpenSearch, &folder);
    assert_eq!(
        obstacles(&bed, &["a*"], "nowhere").await,
        [
            "the cluster has no snapshot repository nowhere: make it (PUT _snapshot/nowhere), or correct backup.repository"
        ]
    );
    let place = bed.get("/_snapshot/backups")["backups"]["settings"]["location"].clone();
    let read_only = serde_json::json!({"type": "fs", "settings": {"location": place, "readonly": true}});
    bed.put("/_snapshot/backups", &read_only.to_string());
    assert_eq!(
        obstacles(&bed, &["a*"], "backups").await,
        [
            "snapshot repository backups is read-only, so no backup can be taken into it: give backup.repository another one"
        ]
    );
}

#[tokio::test]
async fn indices_that_a_person_must_put_back() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    lay_out(&bed, Product::OpenSearch, &folder);
    bed.put(
        "/_index_template/wb-logs",
        "{\"index_patterns\":[\"logs-*\"],\"data_stream\":{},\"priority\":500}",
    );
    bed.put("/_data_stream/logs-app", "");
    assert_eq!(
        obstacles(&bed, &["logs-*"], "backups").await,
        ["index .ds-logs-app-000001 belongs to a data stream, whose indices can't be exchanged one by one"]
    );
    bed.curl("DELETE", "/_data_stream/logs-app", None);
    bed.put("/a-hidden", "{\"settings\":{\"hidden\":true}}");
    bed.put("/a-closed", "{}");
    bed.curl("POST", "/a-closed/_close", None);
    bed.put("/a-kept", "{\"settings\":{\"index.blocks.read_only\":true}}");
    assert_eq!(
        obstacles(&bed, &["a-*"], "backups").await,
        [
            "index a-closed is closed, so nothing in it can be counted. Open it, or take it out of the target's indices",
            "index a-hidden is hidden, as indices are that a feature of the server keeps",
            "index a-kept has the block index.blocks.read_only. Lift it, or restore by hand",
        ]
    );
    bed.put("/a-kept/_settings", "{\"index.blocks.read_only\":null}");
}

#[tokio::test]
async fn names_and_room() {
    let bed = Bed::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    lay_out(&bed, Product::OpenSearch, &folder);
    bed.fill("a1", 3);
    bed.put("/wb-broken-7-a1", "{}");
    assert_eq!(
        obstacles(&bed, &["a*"], "backups").await,
        [
            "index wb-broken-7-a1 is in the way, and this run did not make it: delete it, or clone it to another name first"
        ]
    );
    bed.curl("DELETE", "/wb-broken-7-a1", None);
    let disk = "cluster.routing.allocation.disk";
    bed.put(
        "/_cluster/settings",
        &format!("{{\"transient\":{{\"{disk}.threshold_enabled\":true,\"{disk}.watermark.low\":\"1%\"}}}}"),
    );
    let full = obstacles(&bed, &["a*"], "backups").await;
    bed.put(
        "/_cluster/settings",
        &format!("{{\"transient\":{{\"{disk}.threshold_enabled\":null,\"{disk}.watermark.low\":null}}}}"),
    );
    assert!(
        full.len() == 1
            && full[0].contains(
                "0 bytes of room for them below cluster.routing.allocation.disk.watermark.low (1%)"
            ),
        "{full:?}"
    );
    let long = "a".repeat(250);
    bed.put(&format!("/{long}"), "{}");
    let refused = obstacles(&bed, &["a*"], "backups").await;
    assert!(
        refused.len() == 1 && refused[0].ends_with("and a server takes at most 255 bytes"),
        "{refused:?}"
    );
}
