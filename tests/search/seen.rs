//! What is seen from outside: the look, silence, the proof, a check's query.

use std::time::Duration;

use whimbrel::engine::{Claim, Engine, Session};

use crate::bed::{Bed, HISTORY, enter, script};

#[tokio::test]
async fn a_look_at_an_empty_cluster_and_at_one_with_data() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    let look = engine.look().await.expect("a look");
    assert!(look.version.starts_with("OpenSearch 2.19"), "{}", look.version);
    assert_eq!(look.identity, bed.get("/")["cluster_uuid"].as_str().unwrap_or_default());
    assert!(look.empty && look.bytes == 0 && look.claim.is_none() && look.quiet_provable == Ok(()));
    assert!(!bed.has("/.whimbrel"), "a look makes nothing");
    bed.fill("users", 3);
    let look = engine.look().await.expect("a look");
    assert!(!look.empty && look.bytes > 0);
    assert_eq!(
        look.warnings,
        ["the cluster is yellow: copies of shards of users are not assigned, so one lost node may lose data"]
    );
}

#[tokio::test]
async fn every_write_moves_the_mark_and_nothing_of_ours_does() {
    let bed = Bed::new().await;
    bed.put("/users", "{\"settings\":{\"number_of_replicas\":0}}");
    bed.fill("users", 3);
    let engine = bed.engine();
    let fence = bed.fence(1);
    let mark = async || {
        let quiet = engine.quiet(&fence).await.expect("a sample");
        assert!(quiet.foreign.is_empty() && quiet.obstacles.is_empty(), "{quiet:?}");
        quiet.mark.expect("a mark")
    };
    let first = mark().await;
    assert_eq!(mark().await, first);
    bed.get("/users/_search");
    bed.curl("POST", "/users/_refresh", None);
    bed.curl("POST", "/users/_flush", None);
    let session = enter(&engine, &bed.fence(1)).await;
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(mark().await, first, "reads, refreshes and our own index are no writes");

    let mut last = first;
    for (method, path, body) in [
        ("PUT", "/users/_doc/9", Some("{\"n\":9}")),
        ("PUT", "/users/_doc/9", Some("{\"n\":9}")),
        ("DELETE", "/users/_doc/9", None),
        ("POST", "/users/_delete_by_query?refresh=true", Some("{\"query\":{\"term\":{\"n\":1}}}")),
        ("PUT", "/users/_mapping", Some("{\"properties\":{\"m\":{\"type\":\"keyword\"}}}")),
        ("PUT", "/users/_settings", Some("{\"index.refresh_interval\":\"7s\"}")),
        ("POST", "/_aliases", Some("{\"actions\":[{\"add\":{\"index\":\"users\",\"alias\":\"u\"}}]}")),
        ("PUT", "/other", None),
        ("DELETE", "/other", None),
    ] {
        let (status, answer) = bed.curl(method, path, body);
        assert!(status < 300, "{answer}");
        let now = mark().await;
        if (method, path) == ("DELETE", "/other") {
            continue;
        }
        assert_ne!(now, last, "{method} {path}");
        last = now;
    }
}

#[tokio::test]
async fn the_proof_is_of_what_a_script_can_change() {
    let bed = Bed::new().await;
    bed.put("/users", "{\"settings\":{\"number_of_replicas\":0}}");
    bed.fill("users", 3);
    let engine = bed.engine();
    let first = engine.proof().await.expect("a proof");
    let session = enter(&engine, &bed.fence(1)).await;
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(engine.proof().await.expect("a proof"), first, "our own index is no part of it");
    let part = |structure: &str, name: &str| -> String {
        let found = structure.split(' ').find(|part| part.starts_with(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("{structure}")).to_owned()
    };
    for (name, path, body) in [
        ("counts", "/users/_doc/9", "{\"n\":9}"),
        ("mappings", "/users/_mapping", "{\"properties\":{\"m\":{\"type\":\"keyword\"}}}"),
        ("settings", "/users/_settings", "{\"index.refresh_interval\":\"7s\"}"),
        ("aliases", "/users/_alias/u", "{}"),
        ("templates", "/_index_template/wb-t", "{\"index_patterns\":[\"wb-t*\"]}"),
        ("components", "/_component_template/wb-c", "{\"template\":{}}"),
    ] {
        let before = engine.proof().await.expect("a proof").structure;
        bed.put(path, body);
        let after = engine.proof().await.expect("a proof").structure;
        assert_ne!(part(&before, name), part(&after, name), "{name}");
    }
}

#[tokio::test]
async fn a_check_asks() {
    let bed = Bed::new().await;
    bed.fill("users", 3);
    let engine = bed.engine();
    let ask = async |statement: &str| {
        let rows =
            engine.query(statement, Duration::from_secs(5)).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(
            rows.rows
                .into_iter()
                .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(","))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(ask("GET /users/_count?q=n:%3E1").await.unwrap(), ["2"]);
    assert_eq!(
        ask("POST /users/_search\n{\"sort\":[{\"n\":\"desc\"}],\"size\":2}").await.unwrap(),
        ["3,3", "2,2"]
    );
    assert_eq!(ask("HEAD /users").await.unwrap(), ["200"]);
    assert_eq!(ask("HEAD /absent").await.unwrap(), ["404"]);
    assert_eq!(ask("GET /_cat/indices/users?h=docs.count").await.unwrap(), ["3"]);
    assert_eq!(ask("GET /users/_settings -> /users/settings/index/number_of_shards").await.unwrap(), ["1"]);
    let absent = ask("GET /absent/_count").await.unwrap_err();
    assert!(
        absent.ends_with("the server says: no such index [absent] (index_not_found_exception)"),
        "{absent}"
    );
    let refused = ask("DELETE /users").await.unwrap_err();
    assert!(
        refused.ends_with(
            "DELETE /users does not only read: a query is GET, HEAD, or a POST of _search or _count"
        ),
        "{refused}"
    );
    assert_eq!(bed.count("users"), 3);
    let script = script("PUT /x\n");
    let mut session = enter(&engine, &bed.fence(1)).await;
    session.apply(HISTORY, &script).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
}
