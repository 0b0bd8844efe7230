//! Back by restore, on both servers and in both ways in which a restored index gets its name.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};
use whimbrel::backup::{
    BackupError, EXIT_FAILED, SearchConnection, SnapshotBackup, restore_snapshot, take_snapshot,
};
use whimbrel::engine::search::{Beside, History, Kept, Names, Search, Settings};
use whimbrel::engine::{Claim, Engine, EngineError, Fence, Proof, PutBack, Session, Stamp};
use whimbrel::script::Script;

use crate::bed::{Bed, HISTORY, PEER, Product, enter, scripts};
use crate::snapshots::{lay_out, of};

pub(crate) const RUN: u64 = 7;

/// What ruins everything that a target has: documents, mapping, settings, aliases, an index, a new one, and what is defined for
/// the whole cluster.
pub(crate) const RUIN: &str = "DELETE /a1/_doc/1?refresh=true\n###\nPUT /a1/_doc/2?refresh=true\n\n{\"n\": 99}\n###\n\
PUT /a1/_mapping\n\n{\"properties\":{\"more\":{\"type\":\"keyword\"}}}\n###\nPUT /a1/_settings\n\n{\"index\":{\"refresh_interval\":\"9s\"}}\n###\n\
DELETE /a2\n###\nPUT /a-new\n\n{\"settings\":{\"number_of_replicas\":0},\"aliases\":{\"a2\":{}}}\n###\nPUT /a-new/_doc/1?refresh=true\n\n{\"n\":1}\n###\n\
POST /_aliases\n\n{\"actions\":[{\"remove\":{\"index\":\"a1\",\"alias\":\"live\"}},{\"add\":{\"index\":\"a-new\",\"alias\":\"live\"}}]}\n\
###\nPUT /_component_template/wb-part\n\n{\"template\":{\"settings\":{\"number_of_shards\":2}}}\n###\nDELETE /_index_template/wb-gone\n\
###\nPUT /_index_template/wb-new\n\n{\"index_patterns\":[\"wb-new-*\"],\"composed_of\":[\"wb-part\"]}\n\
###\nPUT /_component_template/wb-part\n\n{\"template\":{\"settings\":{\"number_of_shards\":3}}}\n\
###\nPUT /_ingest/pipeline/wb-pipe\n\n{\"description\":\"ruined\",\"processors\":[]}\n###\nPUT /_ingest/pipeline/wb-new\n\n{\"processors\":[]}\n";

/// A target in the middle of a run whose scripts have ruined it, with the backup that was taken before.
pub(crate) struct Ruined {
    pub(crate) bed: Bed,
    pub(crate) connection: SearchConnection,
    pub(crate) settings: Settings,
    pub(crate) backup: SnapshotBackup,
    pub(crate) proof: Proof,
    pub(crate) mark: Option<String>,
    _folder: tempfile::TempDir,
}

fn bundle() -> Vec<Script> {
    scripts(&[
        ("V1__first.http", "PUT /a1/_doc/31?refresh=true\n\n{\"n\": 31}\n"),
        ("V2__ruin.http", RUIN),
        (
            "V3__fails.http",
            "PUT /a1/_doc/40?refresh=true\n\n{\"n\":1}\n###\nPUT /a1/_doc/41\n\n{\"n\":\"no number\"}\n",
        ),
    ])
}

impl Ruined {
    pub(crate) async fn new(product: Product, names: Names, peers: bool) -> Self {
        Self::of(product, names, peers, "a*").await
    }

    /// Of a target whose indices are like `pattern`.
    async fn of(product: Product, names: Names, peers: bool, pattern: &str) -> Self {
        let bed = Bed::of(product).await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut connection = lay_out(&bed, product, &folder);
        let mut settings = bed.settings();
        settings.indices = vec![pattern.to_owned()];
        connection.index = vec![pattern.to_owned()];
        settings.names = names;
        // A machine that is busy answers late, and a cut is seen at once whatever this is.
        settings.request_timeout = Duration::from_secs(15);
        settings.repository = Some("backups".to_owned());
        if peers {
            settings.histories =
                vec![History { name: HISTORY.to_owned(), kept: Kept::Evolution { index: PEER.to_owned() } }];
            connection.evolution = Some(PEER.to_owned());
        }
        bed.put(
            "/a1",
            "{\"settings\":{\"number_of_replicas\":0,\"refresh_interval\":\"5s\",\"analysis\":{\"analyzer\":{\"x\":{\"type\":\"custom\",\"tokenizer\":\"standard\"}}}},\
             \"mappings\":{\"dynamic\":\"strict\",\"properties\":{\"n\":{\"type\":\"long\"},\"t\":{\"type\":\"text\",\"analyzer\":\"x\"}}},\
             \"aliases\":{\"live\":{\"is_write_index\":true},\"few\":{\"filter\":{\"term\":{\"n\":1}},\"routing\":\"1\"}}}",
        );
        bed.fill("a1", 30);
        bed.put("/a2", "{\"settings\":{\"number_of_shards\":2,\"auto_expand_replicas\":\"0-1\"}}");
        bed.put("/a2/_settings", "{\"index.blocks.write\":true}");
        bed.put("/a3", "{\"settings\":{\"number_of_replicas\":0}}");
        bed.fill("other", 5);
        bed.put("/_component_template/wb-part", "{\"template\":{\"settings\":{\"number_of_shards\":1}}}");
        bed.put(
            "/_index_template/wb-gone",
            "{\"index_patterns\":[\"wb-gone-*\"],\"composed_of\":[\"wb-part\"],\"priority\":7}",
        );
        bed.put("/_ingest/pipeline/wb-pipe", "{\"description\":\"before\",\"processors\":[]}");
        let engine = Search::new(settings.clone());
        let all = bundle();
        let mut earlier = enter(&engine, &bed.fence_of("earlier", 1)).await;
        earlier.apply(HISTORY, &all[0]).await.expect("applies");
        earlier.leave(Claim::GiveUp).await.expect("leaves");

        let fence = bed.fence(RUN);
        enter(&engine, &fence).await.leave(Claim::Keep).await.expect("leaves");
        let proof = engine.proof().await.expect("a proof");
        let backup =
            take_snapshot(&connection, "backups", "wb-p-7-search-1", &of(RUN), RUN).await.expect("taken");
        let mut session = enter(&engine, &fence).await;
        session.apply(HISTORY, &all[1]).await.expect("applies");
        session.apply(HISTORY, &all[2]).await.expect_err("a number is wanted");
        session.leave(Claim::Keep).await.expect("leaves");
        let mark = engine.quiet(&fence).await.expect("a sample").mark;
        assert!(mark.is_some());
        Self { bed, connection, settings, backup, proof, mark, _folder: folder }
    }

    pub(crate) fn engine(&self) -> Search {
        Search::new(self.settings.clone())
    }

    pub(crate) fn fence(&self) -> Fence {
        self.bed.fence(RUN)
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            histories: self.proof.histories.clone(),
            structure: Some(self.proof.structure.clone()),
            mark: self.mark.clone(),
        }
    }

    /// What the Job does, from wherever a pod before has ended.
    pub(crate) async fn job(&self, connection: &SearchConnection) -> Result<(u64, u64), BackupError> {
        let taken = of(RUN);
        let beside = Beside {
            path: &self.backup.path,
            sha256: &self.backup.sha256,
            of: &taken,
            run: RUN,
            run_uid: &self.fence().run_uid,
            epoch: RUN,
        };
        let restored = restore_snapshot(connection, &beside).await?;
        Ok((restored.indices, restored.documents))
    }

    pub(crate) async fn whole_job(&self) {
        assert_eq!(self.job(&self.connection).await.expect("restored"), (3, 31));
    }

    /// Everything is what it was before the run's scripts, whatever an index is called.
    pub(crate) async fn assert_back(&self) {
        let engine = self.engine();
        let proof = engine.proof().await.expect("a proof");
        assert_eq!((&proof.structure, &proof.histories), (&self.proof.structure, &self.proof.histories));
        assert_eq!((self.bed.count("a1"), self.bed.count("live"), self.bed.count("few")), (31, 31, 1));
        assert_eq!(self.bed.get("/a1/_doc/2")["_source"]["n"], 2);
        assert_eq!((self.bed.count("a2"), self.bed.count("a3"), self.bed.count("other")), (0, 0, 5));
        assert!(!self.bed.has("/a-new"));
        let (open, _) = self.bed.curl("PUT", "/live/_doc/31?refresh=true", Some("{\"n\":31}"));
        let (blocked, _) = self.bed.curl("PUT", "/a2/_doc/1", Some("{}"));
        assert_eq!((open, blocked), (200, 403), "as open to writes as they were");
        // What was there is kept.
        assert_eq!((self.bed.count("wb-broken-7-a1"), self.bed.count("wb-broken-7-a-new")), (31, 1));
        assert_eq!(self.bed.get("/wb-broken-7-a1/_doc/2")["_source"]["n"], 99);
        assert_eq!(self.beside("wb-restore-"), [""; 0], "the copies are taken away");
        let session = enter(&engine, &self.fence()).await;
        let keys: Vec<_> = session.histories()[HISTORY].iter().map(|row| row.key.clone()).collect();
        assert_eq!((keys, session.partial().len()), (vec!["1".to_owned()], 0));
        session.leave(Claim::Keep).await.expect("leaves");
    }

    pub(crate) fn beside(&self, before: &str) -> Vec<String> {
        let all = self.bed.get(&format!("/_cat/indices/{before}*?format=json&expand_wildcards=all&h=index"));
        let mut names: Vec<String> = all
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it["index"].as_str())
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }
}

/// As the driver does: what passes by itself is waited out.
pub(crate) async fn until_put(engine: &Search, fence: &Fence, stamp: &Stamp) -> PutBack {
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        match engine.put_back(fence, stamp).await {
            Ok(put) => return put,
            Err(
                error @ (EngineError::Busy { .. }
                | EngineError::Lost { .. }
                | EngineError::Unreachable { .. }),
            ) => {
                assert!(Instant::now() < deadline, "{error}");
                sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A pod after another, as the Job does.
pub(crate) async fn until_restored(ruined: &Ruined, connection: &SearchConnection) {
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        match ruined.job(connection).await {
            Ok(counted) => return assert_eq!(counted, (3, 31)),
            Err(error) => {
                assert_eq!(error.exit_code(), EXIT_FAILED, "{error}");
                assert!(Instant::now() < deadline, "{error}");
            }
        }
    }
}

async fn there_and_back(product: Product, names: Names, peers: bool) {
    let ruined = Ruined::new(product, names, peers).await;
    let (engine, fence) = (ruined.engine(), ruined.fence());
    ruined.whole_job().await;
    ruined.whole_job().await;
    assert_eq!(
        engine.quiet(&fence).await.expect("a sample").mark,
        ruined.mark,
        "copies are no write of anybody's"
    );
    assert_eq!(ruined.bed.count("a1"), 31, "the originals are only looked at");

    let put = engine.put_back(&fence, &ruined.stamp()).await.expect("put back");
    assert_eq!((put.aside.as_str(), &put.identity), ("wb-broken-7-*", &put.replaced));
    ruined.assert_back().await;
    let stands = match names {
        Names::Concrete => ["a1", "a2", "a3"],
        Names::Alias => ["a1-wb-7", "a2-wb-7", "a3-wb-7"],
    };
    assert_eq!(ruined.beside("a"), stands);
    assert_eq!(ruined.bed.get("/_alias/live"), {
        let alias = serde_json::json!({"aliases": {"live": {"is_write_index": true}}});
        Value::Object([(stands[0].to_owned(), alias)].into_iter().collect())
    });
    // Said again it is the same.
    assert_eq!(engine.put_back(&fence, &ruined.stamp()).await.expect("put back"), put);
    ruined.whole_job().await;

    // The next run can work in it, and be put back itself.
    enter(&engine, &fence).await.leave(Claim::GiveUp).await.expect("leaves");
    let mut next = enter(&engine, &ruined.bed.fence_of("next", 9)).await;
    next.apply(HISTORY, &scripts(&[("V2__fine.http", "PUT /a3/_doc/1?refresh=true\n\n{}\n")])[0])
        .await
        .expect("applies");
    next.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(ruined.bed.count("a3"), 1);

    let dropped = engine.drop_aside(&fence, RUN).await.expect("dropped");
    assert_eq!(dropped, ["wb-broken-7-a-new", "wb-broken-7-a1", "wb-broken-7-a3"]);
    assert_eq!(ruined.beside("wb-"), [""; 0]);
    assert_eq!(engine.drop_aside(&fence, RUN).await.expect("nothing is there"), [""; 0]);
    assert_eq!(ruined.bed.count("a1"), 31);
}

#[tokio::test]
async fn by_their_own_names_on_opensearch() {
    there_and_back(Product::OpenSearch, Names::Concrete, false).await;
}

#[tokio::test]
async fn by_alias_on_opensearch() {
    there_and_back(Product::OpenSearch, Names::Alias, true).await;
}

#[tokio::test]
async fn by_their_own_names_on_elasticsearch() {
    there_and_back(Product::Elasticsearch, Names::Concrete, true).await;
}

#[tokio::test]
async fn by_alias_on_elasticsearch() {
    there_and_back(Product::Elasticsearch, Names::Alias, false).await;
}

#[tokio::test]
async fn what_came_back_by_alias_is_backed_up_and_put_back_again() {
    let mut ruined = Ruined::new(Product::OpenSearch, Names::Alias, false).await;
    let engine = ruined.engine();
    ruined.whole_job().await;
    until_put(&engine, &ruined.fence(), &ruined.stamp()).await;
    enter(&engine, &ruined.fence()).await.leave(Claim::GiveUp).await.expect("leaves");

    let fence = ruined.bed.fence_of("next", 9);
    enter(&engine, &fence).await.leave(Claim::Keep).await.expect("leaves");
    ruined.proof = engine.proof().await.expect("a proof");
    let backup =
        take_snapshot(&ruined.connection, "backups", "wb-p-9-search-1", &of(9), 9).await.expect("taken");
    ruined.bed.curl("DELETE", "/a1-wb-7/_doc/5?refresh=true", None);
    let (run_uid, taken) = (fence.run_uid.clone(), of(9));
    let beside = Beside {
        path: &backup.path,
        sha256: &backup.sha256,
        of: &taken,
        run: 9,
        run_uid: &run_uid,
        epoch: 9,
    };
    restore_snapshot(&ruined.connection, &beside).await.expect("restored");
    let stamp = Stamp { mark: None, ..ruined.stamp() };
    until_put(&engine, &fence, &stamp).await;
    assert_eq!(ruined.beside("a"), ["a1-wb-9", "a2-wb-9", "a3-wb-9"], "names do not grow");
    assert_eq!((ruined.bed.count("a1"), ruined.bed.count("wb-broken-9-a1-wb-7")), (31, 30));
}

/// The target is whatever is behind an alias, which a script has moved to an index that it made.
#[tokio::test]
async fn a_target_behind_an_alias_that_was_moved() {
    for names in [Names::Concrete, Names::Alias] {
        let ruined = Ruined::of(Product::OpenSearch, names, false, "live").await;
        let engine = ruined.engine();
        assert_eq!(ruined.job(&ruined.connection).await.expect("restored"), (1, 31));
        until_put(&engine, &ruined.fence(), &ruined.stamp()).await;
        assert_eq!(engine.proof().await.expect("a proof"), ruined.proof);
        assert_eq!((ruined.bed.count("a1"), ruined.bed.count("live")), (31, 31));
        assert_eq!(ruined.bed.get("/a1/_doc/2")["_source"]["n"], 2);
        assert_eq!(ruined.beside("wb-"), ["wb-broken-7-a-new", "wb-broken-7-a1"]);
        assert!(
            ruined.bed.has("/a3") && !ruined.bed.has("/a-new"),
            "what is not the target's is not touched"
        );
    }
}
