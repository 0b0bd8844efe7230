//! A restore of which any request is cut off, or which is gone on with by another epoch.

use whimbrel::engine::search::{Names, Search};
use whimbrel::engine::{Claim, Engine, EngineError, Session};

use crate::bed::{Product, enter};
use crate::restore::{RUN, Ruined, until_put, until_restored};
use crate::wire::{Cut, Wire};

async fn every_request_cut(names: Names, peers: bool, cut: Cut) {
    let ruined = Ruined::new(Product::OpenSearch, names, peers).await;
    let wire = Wire::new(ruined.bed.port()).await;
    let url = format!("http://127.0.0.1:{}", wire.port);
    wire.cut_each_once(cut);
    let mut connection = ruined.connection.clone();
    connection.url.clone_from(&url);
    until_restored(&ruined, &connection).await;
    let of_job = wire.cut_once();
    assert!(of_job > 15, "{of_job} requests were cut");

    let mut settings = ruined.settings.clone();
    settings.url = url;
    until_put(&Search::new(settings), &ruined.fence(), &ruined.stamp()).await;
    assert!(wire.cut_once() > of_job + 40, "{} requests were cut", wire.cut_once() - of_job);
    ruined.assert_back().await;
}

#[tokio::test]
async fn every_request_cut_before_by_their_own_names() {
    every_request_cut(Names::Concrete, false, Cut::Before).await;
}

#[tokio::test]
async fn every_request_cut_after_by_their_own_names() {
    every_request_cut(Names::Concrete, true, Cut::After).await;
}

#[tokio::test]
async fn every_request_cut_before_by_alias() {
    every_request_cut(Names::Alias, true, Cut::Before).await;
}

#[tokio::test]
async fn every_request_cut_after_by_alias() {
    every_request_cut(Names::Alias, false, Cut::After).await;
}

/// The effects of an exchange, by how their requests begin; the note is that of the next step.
const EFFECTS: [&str; 13] = [
    "PUT /.whimbrel/_doc/restore:",
    "PUT /a1/_settings",
    "PUT /a1/_clone/wb-broken-7-a1",
    "PUT /.whimbrel/_doc/restore:",
    "DELETE /a1",
    "PUT /wb-restore-7-a1/_clone/a1",
    "PUT /wb-restore-7-a3/_clone/a3",
    "PUT /.whimbrel/_doc/restore:",
    "DELETE /.whimbrel/_doc/script:default:2",
    "PUT /.whimbrel/_doc/restore:",
    "DELETE /wb-restore-7-a1",
    "DELETE /wb-restore-7-.whimbrel",
    "PUT /.whimbrel/_doc/restore:",
];

/// Each driver dies where its effect's answer would have come; the next has a higher epoch and knows nothing of it.
#[tokio::test]
async fn another_epoch_goes_on_from_every_effect() {
    let ruined = Ruined::new(Product::OpenSearch, Names::Concrete, false).await;
    ruined.whole_job().await;
    let wire = Wire::new(ruined.bed.port()).await;
    let mut settings = ruined.settings.clone();
    settings.url = format!("http://127.0.0.1:{}", wire.port);
    let mut fence = ruined.fence();
    for effect in EFFECTS {
        wire.cut_like(effect, Cut::After);
        let engine = Search::new(settings.clone());
        let error = loop {
            match engine.put_back(&fence, &ruined.stamp()).await {
                // The lease of the one before runs out.
                Err(EngineError::Busy { .. }) => {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await
                }
                Err(error) => break error,
                Ok(_) => panic!("{effect} was not cut"),
            }
        };
        assert!(matches!(error, EngineError::Lost { .. }), "{effect}: {error}");
        fence.token += 1;
    }
    wire.mend();
    let put = until_put(&Search::new(settings), &fence, &ruined.stamp()).await;
    assert_eq!(put.aside, "wb-broken-7-*");
    let late = ruined.engine().put_back(&ruined.fence(), &ruined.stamp()).await.expect_err("it is late");
    assert_eq!(
        late,
        EngineError::Overtaken { at: format!("aether/search ({})", ruined.bed.url()), token: fence.token }
    );
    let mut whole = ruined.engine().proof().await.expect("a proof");
    assert_eq!(std::mem::take(&mut whole.structure), ruined.proof.structure);
    assert_eq!(whole.histories, ruined.proof.histories);
    assert_eq!(ruined.bed.count("wb-broken-7-a1"), 31);
}

#[tokio::test]
async fn nobody_works_in_a_target_of_which_half_is_put_back() {
    let ruined = Ruined::new(Product::OpenSearch, Names::Concrete, false).await;
    ruined.whole_job().await;
    let wire = Wire::new(ruined.bed.port()).await;
    let mut settings = ruined.settings.clone();
    settings.url = format!("http://127.0.0.1:{}", wire.port);
    let engine = Search::new(settings);
    wire.cut_like("PUT /wb-restore-7-a1/_clone/a1", Cut::Before);
    let lost = engine.put_back(&ruined.fence(), &ruined.stamp()).await.expect_err("cut");
    assert!(matches!(lost, EngineError::Lost { .. }), "{lost}");
    assert!(!ruined.bed.has("/a1"), "in the middle of it");
    // A person has given the run up.
    enter(&engine, &ruined.fence()).await.leave(Claim::GiveUp).await.expect("leaves");
    let refused = match engine.enter(&ruined.bed.fence_of("next", 9)).await {
        Ok(_) => panic!("it went in"),
        Err(error) => error,
    };
    let uid = ruined.fence().run_uid;
    assert!(
        refused.to_string().ends_with(&format!(
            "run 7 has begun to put snapshot backups/wb-p-7-search-1 back and did not end. Put it back by hand \
             (docs/engines/elasticsearch.md), then delete document restore:{uid} of .whimbrel"
        )),
        "{refused}"
    );
    let dropped = engine.drop_aside(&ruined.fence(), RUN).await.expect_err("it is needed");
    assert!(
        dropped.to_string().ends_with(
            "nothing is dropped: run 7 did not end putting snapshot backups/wb-p-7-search-1 back, and what it kept is needed"
        ),
        "{dropped}"
    );
    until_put(&engine, &ruined.fence(), &ruined.stamp()).await;
    ruined.assert_back().await;
}

#[tokio::test]
async fn a_write_that_would_be_lost_keeps_it_from_beginning() {
    let ruined = Ruined::new(Product::OpenSearch, Names::Concrete, false).await;
    ruined.whole_job().await;
    let engine = ruined.engine();
    let wire = Wire::new(ruined.bed.port()).await;
    let mut settings = ruined.settings.clone();
    settings.url = format!("http://127.0.0.1:{}", wire.port);
    // Between the look at the mark and the closing.
    wire.cut_like("PUT /a1/_settings", Cut::Before);
    Search::new(settings).put_back(&ruined.fence(), &ruined.stamp()).await.expect_err("cut");
    ruined.bed.put("/a1/_doc/50?refresh=true", "{\"n\":50}");
    let refused = loop {
        match engine.put_back(&ruined.fence(), &ruined.stamp()).await {
            Err(EngineError::Busy { .. }) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            Err(error) => break error,
            Ok(_) => panic!("the write is lost"),
        }
    };
    assert!(
        refused.to_string().ends_with(
            "somebody wrote to it when it was to be replaced, and that would be lost; it is as it was. See who still writes; \
             then restore by hand, or give it up"
        ),
        "{refused}"
    );
    ruined.bed.put("/a1/_doc/51?refresh=true", "{\"n\":51}");
    assert_eq!((ruined.bed.count("a1"), ruined.beside("wb-broken-")), (33, Vec::new()));
    // From the beginning on, it is seen by the mark.
    let refused = engine.put_back(&ruined.fence(), &ruined.stamp()).await.expect_err("written");
    assert!(refused.to_string().contains("somebody wrote to it while the copies were made"), "{refused}");
    // What was not swapped in goes when its time is over.
    let dropped = engine.drop_aside(&ruined.fence(), RUN).await.expect("dropped");
    assert_eq!(dropped, ["wb-restore-7-.whimbrel", "wb-restore-7-a1", "wb-restore-7-a2", "wb-restore-7-a3"]);
}

#[tokio::test]
async fn what_a_snapshot_does_not_hold_is_said_before_anything_is_changed() {
    let ruined = Ruined::new(Product::OpenSearch, Names::Concrete, false).await;
    ruined.whole_job().await;
    let engine = ruined.engine();
    ruined.bed.put("/_index_template/wb-changed", "{\"index_patterns\":[\"a-*\"],\"template\":{}}");
    let refused = engine.put_back(&ruined.fence(), &ruined.stamp()).await.expect_err("a template differs");
    assert!(
        refused.to_string().ends_with(
            "with the copies in their place it would not be what the run began with: templates differ. A snapshot of indices \
             does not hold templates, and no script of the run has changed those that differ: put them back, then retry"
        ),
        "{refused}"
    );
    ruined.bed.curl("DELETE", "/_index_template/wb-changed", None);
    // Somebody else's index has the name by now, as an alias.
    let moved = "{\"actions\":[{\"remove\":{\"index\":\"a-new\",\"alias\":\"a2\"}},{\"add\":{\"index\":\"other\",\"alias\":\"a2\"}}]}";
    assert_eq!(ruined.bed.curl("POST", "/_aliases", Some(moved)).0, 200);
    let stamp = whimbrel::engine::Stamp { mark: None, ..ruined.stamp() };
    let refused = engine.put_back(&ruined.fence(), &stamp).await.expect_err("it is not ours");
    assert!(
        refused.to_string().ends_with(
            "index other belongs to it only by an alias that came after its snapshot: take the alias off, then retry"
        ),
        "{refused}"
    );
    assert_eq!((ruined.bed.count("a1"), ruined.beside("wb-broken-")), (31, Vec::new()));
    ruined.bed.curl(
        "POST",
        "/_aliases",
        Some("{\"actions\":[{\"remove\":{\"index\":\"other\",\"alias\":\"a2\"}}]}"),
    );
    until_put(&engine, &ruined.fence(), &stamp).await;
    ruined.assert_back().await;
}
