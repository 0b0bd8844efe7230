//! Bad input and clusters in trouble: where, what, and the way out; and nothing is lost.

use whimbrel::engine::search::Search;
use whimbrel::engine::{Claim, Engine, EngineError, ScriptFailure, Session};

use crate::bed::{Bed, HISTORY, enter, script};

/// The message of a script that fails.
async fn message(bed: &Bed, text: &str) -> String {
    let engine = bed.engine();
    let mut session = enter(&engine, &bed.fence(1)).await;
    let failed = session.apply(HISTORY, &script(text)).await.expect_err("fails");
    session.leave(Claim::GiveUp).await.expect("leaves");
    failed.to_string()
}

#[tokio::test]
async fn an_index_that_exists() {
    let bed = Bed::new().await;
    bed.fill("users", 1);
    let said = message(&bed, "PUT /users\n").await;
    assert!(said.starts_with("V1__a.http:1 (statement 1): index [users/") && said.contains("] already exists (resource_already_exists_exception). It was there before this run. If that is fine, write # @expect 200,400 above the request; else delete or rename one of them."), "{said}");
    assert_eq!(bed.count("users"), 1);
}

#[tokio::test]
async fn a_strict_mapping_in_a_bulk() {
    let bed = Bed::new().await;
    bed.put("/users", "{\"mappings\":{\"dynamic\":\"strict\",\"properties\":{\"n\":{\"type\":\"long\"}}}}");
    let text = "POST /users/_bulk\n\n{\"index\":{\"_id\":\"1\"}}\n{\"n\":1}\n{\"index\":{\"_id\":\"2\"}}\n{\"x\":\"hunter2\"}\n";
    let said = message(&bed, text).await;
    assert_eq!(
        said,
        "V1__a.http:1 (statement 1): 1 of 2 items failed, the others are in; the first is item 2 (index of 2): mapping set to strict, dynamic introduction of [x] within [_doc] is not allowed (strict_dynamic_mapping_exception). The mapping is strict: add the field to it before (PUT /index/_mapping), or take it out of the document. What it did before that stays."
    );
    assert_eq!(bed.count("users"), 1);
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_not_quoted() {
    let bed = Bed::new().await;
    bed.put("/users", "{\"mappings\":{\"properties\":{\"n\":{\"type\":\"long\"}}}}");
    let said = message(&bed, "PUT /users/_doc/1\n\n{\"n\":\"hunter2\"}\n").await;
    assert!(
        said.contains(
            "failed to parse field [n] of type [long] in document with id '1' (mapper_parsing_exception)"
        ),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_wrong_content_type_and_a_body_that_is_too_large() {
    let bed = Bed::new().await;
    let said = message(&bed, "PUT /users/_doc/1\nContent-Type: text/plain\n\n{}\n").await;
    assert!(said.contains("Content-Type") && said.contains("is not supported (HTTP 406). Set Content-Type: application/json, or application/x-ndjson for _bulk and _msearch."), "{said}");
    let large = format!("PUT /users/_doc/1\n\n{{\"t\":\"{}\"}}\n", "x".repeat(3 << 20));
    let said = message(&bed, &large).await;
    assert!(said.contains("(statement 1)") && said.contains("(HTTP 413). The server takes at most http.max_content_length in one request (100mb unless it is set): cut it into several, separated by ###."), "{said}");
    assert!(!bed.has("/users"));
}

#[tokio::test]
async fn bad_json_says_where() {
    let bed = Bed::new().await;
    let said = message(&bed, "PUT /users\n\n{\"settings\":\n").await;
    assert!(said.starts_with("V1__a.http:1 (statement 1): ") && said.contains("exception"), "{said}");
}

#[tokio::test]
async fn a_disk_that_is_full_is_waited_for() {
    let bed = Bed::new().await;
    bed.fill("users", 1);
    // What a server sets on the indices of a node whose disk is over the flood stage.
    bed.put("/users/_settings", "{\"index.blocks.read_only_allow_delete\":true}");
    let engine = bed.engine();
    let script = script("PUT /users/_doc/2\n\n{\"n\":2}\n");
    let mut session = enter(&engine, &bed.fence(1)).await;
    let blocked = session.apply(HISTORY, &script).await.expect_err("not now");
    let ScriptFailure::Blocked(by) = &blocked else { panic!("{blocked}") };
    assert!(
        by.what.starts_with("request 1 (PUT /users/_doc/2) was not taken: index [users] blocked by"),
        "{}",
        by.what
    );
    bed.put("/users/_settings", "{\"index.blocks.read_only_allow_delete\":null}");
    session.apply(HISTORY, &script).await.expect("now it is");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(bed.count("users"), 2);
}

#[tokio::test]
async fn a_server_that_is_too_busy_is_waited_for() {
    let bed = Bed::new().await;
    bed.fill("users", 1);
    // What a server has room for in all requests that are on their way: the script's body does not fit, the journal's do.
    let room = |bytes: &str| {
        let body = format!("{{\"transient\":{{\"network.breaker.inflight_requests.limit\":{bytes}}}}}");
        bed.put("/_cluster/settings", &body);
    };
    let engine = bed.engine();
    let script = script(&format!("PUT /users/_doc/2\n\n{{\"t\":\"{}\"}}\n", "x".repeat(256 << 10)));
    let mut session = enter(&engine, &bed.fence(1)).await;
    room("\"64kb\"");
    let applied = session.apply(HISTORY, &script).await;
    room("null");
    let blocked = applied.expect_err("not now");
    let ScriptFailure::Blocked(by) = &blocked else { panic!("{blocked}") };
    assert!(
        by.what
            .starts_with("request 1 (PUT /users/_doc/2) was not taken: [in_flight_requests] Data too large")
            && by.what.ends_with("(circuit_breaking_exception)"),
        "{}",
        by.what
    );
    assert_eq!(bed.count("users"), 1);
    session.apply(HISTORY, &script).await.expect("now it has room");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(bed.count("users"), 2);
}

#[tokio::test]
async fn a_red_cluster() {
    let bed = Bed::new().await;
    let settings =
        "{\"settings\":{\"number_of_replicas\":0,\"index.routing.allocation.require._name\":\"nobody\"}}";
    bed.put("/lost?wait_for_active_shards=0&timeout=1s", settings);
    let engine = bed.engine();
    let expected = format!(
        "aether/search ({}): the cluster is red: primary shards of lost are not assigned. Bring the nodes that hold them back, or see GET _cluster/allocation/explain",
        bed.url()
    );
    assert_eq!(engine.look().await.expect_err("red").to_string(), expected);
    assert_eq!(engine.enter(&bed.fence(1)).await.err().expect("red").to_string(), expected);
    bed.curl("DELETE", "/lost", None);
    engine.look().await.expect("whole again");
}

#[tokio::test]
async fn nobody_there_or_no_search_server() {
    let bed = Bed::new().await;
    let mut settings = bed.settings();
    settings.url = "http://127.0.0.1:1".to_owned();
    let refused = Search::new(settings.clone()).look().await.expect_err("nobody listens");
    assert!(matches!(refused, EngineError::Unreachable { .. }), "{refused}");
    assert!(
        refused.to_string().starts_with("aether/search (http://127.0.0.1:1) is not reachable: ")
            && refused
                .to_string()
                .ends_with("Check host, port and network policies, and that the server runs."),
        "{refused}"
    );
    settings.url = "http://no-such-host.invalid:9200".to_owned();
    let refused = Search::new(settings).look().await.expect_err("no such host");
    assert!(matches!(refused, EngineError::Unreachable { .. }), "{refused}");
    let mut settings = bed.settings();
    settings.url = bed.url().replace("http://", "https://");
    settings.tls.mode = whimbrel::engine::TlsMode::VerifyFull;
    let refused = Search::new(settings).look().await.expect_err("no TLS there");
    assert!(matches!(refused, EngineError::Tls { .. } | EngineError::Unreachable { .. }), "{refused}");
}
