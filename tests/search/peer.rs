//! Beside elasticsearch-evolution: its lock honoured and taken, its rows read and written.

use whimbrel::engine::{Claim, Engine, EngineError, ScriptFailure, Session};
use whimbrel::script::http::java_hash;

use crate::bed::{Bed, HISTORY, PEER, enter, script, scripts};

fn peer_row(version: &str, file: &str, text: &str, success: bool) -> String {
    serde_json::json!({
        "version": version, "scriptName": file, "description": "a", "checksum": java_hash(text),
        "executionTimestamp": "2024-05-01T10:00:00Z", "executionRuntimeInMillis": 5, "success": success,
        "locked": false, "indexName": null,
    })
    .to_string()
}

#[tokio::test]
async fn what_it_applied_is_applied_and_what_we_apply_it_reads() {
    let bed = Bed::new().await;
    let engine = bed.beside_peer(bed.settings());
    let all = scripts(&[("V001.00__a.http", "PUT /a\n"), ("V1.1__b.http", "PUT /b\n")]);
    bed.put(&format!("/{PEER}/_doc/1?refresh"), &peer_row("1", "V001.00__a.http", "PUT /a\n", true));
    let look = engine.look().await.expect("a look");
    assert_eq!(look.foreign_tables, Vec::<String>::new());
    let rows = &look.histories[HISTORY];
    assert!(rows.len() == 1 && all[0].has_checksum(&rows[0].checksum), "{rows:?}");

    let mut session = enter(&engine, &bed.fence(1)).await;
    // As the library looks for a lock: it sees ours.
    bed.curl("POST", &format!("/{PEER}/_refresh"), None);
    let locked = bed.curl(
        "POST",
        &format!("/{PEER}/_count"),
        Some("{\"query\":{\"term\":{\"locked\":{\"value\":true}}}}"),
    );
    assert_eq!(locked.1["count"], 1);
    session.apply(HISTORY, &all[1]).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
    let row = bed.get(&format!("/{PEER}/_doc/1.1"))["_source"].clone();
    assert_eq!(row["checksum"], java_hash("PUT /b\n"));
    assert_eq!(
        (&row["success"], &row["locked"], &row["scriptName"]),
        (&true.into(), &false.into(), &"V1.1__b.http".into())
    );
    assert_eq!(bed.count(PEER), 2, "no lock entry is left");
    assert!(!bed.has("/a") && bed.has("/b"));

    let rows = engine.look().await.expect("a look").histories.remove(HISTORY).unwrap_or_default();
    assert!(rows[1].checksum.starts_with("sha256:"), "what we wrote has our own checksum: {rows:?}");
    let edited = scripts(&[("V001.00__a.http", "PUT /edited\n")]);
    assert!(!edited[0].has_checksum(&rows[0].checksum));
}

/// A session that dies between the other tool's row, which is the truth, and our journal.
#[tokio::test]
async fn an_end_that_was_not_said_is_said_by_who_comes_next() {
    let bed = Bed::new().await;
    let engine = bed.beside_peer(bed.settings());
    let script = &scripts(&[("V1__a.http", "PUT /a/_doc/1\n\n{}\n\n###\nPUT /b/_doc/1\n\n{}\n")])[0];
    let mut session = enter(&engine, &bed.fence(1)).await;
    session.apply(HISTORY, script).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
    let journal = format!("/.whimbrel/_doc/script:{HISTORY}:1");
    let before = |state: &str| {
        let mut entry = bed.get(&journal)["_source"].clone();
        entry["state"] = state.into();
        entry["done"] = 1.into();
        entry["sent"] =
            serde_json::json!({"number": 2, "opaque": "x", "task": null, "before": null, "tries": 1});
        bed.put(&format!("{journal}?refresh"), &entry.to_string());
    };
    let said = || {
        let entry = bed.get(&journal)["_source"].clone();
        format!("{} {} {}", entry["state"], entry["done"], entry["sent"])
    };
    // Another run: what is left half done by one would keep it from beginning.
    let other = bed.fence_of("0f5d7a1c-88aa-4a63-9b65-00000000000b", 2);
    before("Started");
    let session = enter(&engine, &other).await;
    assert!(session.partial().is_empty() && session.histories()[HISTORY].len() == 1);
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(said(), "\"Applied\" 2 null");

    before("Undoing");
    bed.curl("DELETE", &format!("/{PEER}/_doc/1?refresh"), None);
    let session = enter(&engine, &other).await;
    assert!(session.partial().is_empty() && session.histories()[HISTORY].is_empty());
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(said(), "\"Undone\" 2 null");

    // The same script again, in the session that finds it: both would be written over what it has read.
    before("Undoing");
    let mut session = enter(&engine, &other).await;
    session.apply(HISTORY, script).await.expect("applies again");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(said(), "\"Applied\" 2 null");
}

#[tokio::test]
async fn its_lock_is_honoured_and_ours_is_looked_at_before_every_request() {
    let bed = Bed::new().await;
    let engine = bed.beside_peer(bed.settings());
    let mut locked: serde_json::Value =
        serde_json::from_str(&peer_row("1", "V1__x.http", "PUT /x\n", true)).expect("JSON");
    locked["locked"] = true.into();
    bed.put(&format!("/{PEER}/_doc/1?refresh"), &locked.to_string());
    let busy = engine.enter(&bed.fence(1)).await.err().expect("busy");
    assert!(matches!(busy, EngineError::Busy { .. }), "{busy}");
    assert!(
        busy.to_string().contains("documents of es_evolution are locked: an application with elasticsearch-evolution migrates, or was killed while it did."),
        "{busy}"
    );
    bed.put(&format!("/{PEER}/_doc/1?refresh"), &peer_row("1", "V1__x.http", "PUT /x\n", true));

    // It frees a lock that it never had, as it does when it is interrupted: nothing more is sent.
    let mut session = enter(&engine, &bed.fence(2)).await;
    bed.curl("DELETE", &format!("/{PEER}/_doc/0.1?refresh"), None);
    let lost = session.apply(HISTORY, &scripts(&[("V2__y.http", "PUT /y\n")])[0]).await;
    assert_eq!(lost.expect_err("the lock is gone"), ScriptFailure::LockLost);
    drop(session);
    assert!(!bed.has("/y"));

    // A lock entry of a session of ours that died is ours to take over.
    let mut session = enter(&engine, &bed.fence(3)).await;
    session.apply(HISTORY, &scripts(&[("V2__y.http", "PUT /y\n")])[0]).await.expect("applies");
    drop(session);
    assert!(bed.has(&format!("/{PEER}/_doc/0.1")));
    enter(&engine, &bed.fence(4)).await.leave(Claim::GiveUp).await.expect("leaves");
    assert!(!bed.has(&format!("/{PEER}/_doc/0.1")));
}

#[tokio::test]
async fn what_it_recorded_as_failed_is_tried_again_only_where_that_is_safe() {
    let bed = Bed::new().await;
    let engine = bed.beside_peer(bed.settings());
    bed.put(&format!("/{PEER}/_doc/1?refresh"), &peer_row("1", "V1__a.http", "PUT /a\n", false));
    let look = engine.look().await.expect("a look");
    assert!(look.histories[HISTORY].is_empty());
    assert_eq!(
        look.warnings.last().map(String::as_str),
        Some("history default says that V1__a.http failed at 2024-05-01T10:00:00Z: it is applied again")
    );
    let mut session = enter(&engine, &bed.fence(1)).await;
    let outcome = session.apply(HISTORY, &script("POST /a/_doc\n\n{}\n")).await.expect_err("unknown");
    assert_eq!(
        outcome.to_string(),
        "nobody can tell what of the script is applied: elasticsearch-evolution recorded it as failed at 2024-05-01T10:00:00Z, and request 1 (POST /a/_doc) may have been done all the same. If it was not, delete document 1 of es_evolution"
    );
    session.apply(HISTORY, &script("PUT /a\n")).await.expect("safe to do twice");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(bed.get(&format!("/{PEER}/_doc/1"))["_source"]["success"], true);
}

#[tokio::test]
async fn its_history_is_not_taken_for_an_empty_one() {
    let bed = Bed::new().await;
    bed.put(&format!("/{PEER}/_doc/1?refresh"), &peer_row("1", "V1__a.http", "PUT /a\n", true));
    let engine = bed.engine();
    let refused = engine.enter(&bed.fence(1)).await.err().expect("refused");
    assert_eq!(
        refused.to_string(),
        format!(
            "aether/search ({}) is not empty and carries the history of another tool: es_evolution (elasticsearch-evolution). Its format is not declared in spec histories, and scripts could be applied twice.",
            bed.url()
        )
    );
    assert!(!bed.has("/.whimbrel"), "nothing is left behind");
    let look = engine.look().await.expect("a look");
    assert_eq!(look.foreign_tables, ["es_evolution (elasticsearch-evolution)"]);
}

#[tokio::test]
async fn its_row_is_the_truth_whether_or_not_we_came_to_say_the_same() {
    let bed = Bed::new().await;
    let engine = bed.beside_peer(bed.settings());
    let all =
        scripts(&[("V1__a.http", "PUT /a\n"), ("U1__a.http", "DELETE /a\n"), ("V2__b.http", "PUT /b\n")]);
    let ours =
        |key: &str| bed.get(&format!("/.whimbrel/_doc/script:{HISTORY}:{key}"))["_source"]["state"].clone();
    let mut session = enter(&engine, &bed.fence(1)).await;
    session.apply(HISTORY, &all[0]).await.expect("applies");
    drop(session);
    assert_eq!(ours("1"), "Started", "it died before it said so");

    let mut session = enter(&engine, &bed.fence(2)).await;
    let rows = &session.histories()[HISTORY];
    assert!(rows.len() == 1 && rows[0].checksum.starts_with("sha256:"), "{rows:?}");
    assert!(session.partial().is_empty(), "{:?}", session.partial());
    session.undo(HISTORY, &all[0]).await.expect("undone");
    assert!(!bed.has("/a") && !bed.has(&format!("/{PEER}/_doc/1")));
    session.apply(HISTORY, &all[0]).await.expect("applies again");
    session.apply(HISTORY, &all[1]).await.expect("applies");
    assert_eq!(
        (ours("1"), ours("2")),
        ("Applied".into(), "Started".into()),
        "the one before is said with the next"
    );
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(ours("2"), "Applied");
}

#[tokio::test]
async fn taken_back_its_row_is_gone_too() {
    let bed = Bed::new().await;
    let engine = bed.beside_peer(bed.settings());
    let all = scripts(&[("V1__a.http", "PUT /a\n"), ("U1__a.http", "# @expect 200,404\nDELETE /a\n")]);
    let mut session = enter(&engine, &bed.fence(1)).await;
    session.apply(HISTORY, &all[0]).await.expect("applies");
    session.undo(HISTORY, &all[0]).await.expect("undone");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert!(!bed.has("/a") && !bed.has(&format!("/{PEER}/_doc/1")));
    // What the other tool applied can be taken back as well.
    bed.put("/a", "{}");
    bed.put(&format!("/{PEER}/_doc/1?refresh"), &peer_row("1", "V1__a.http", "PUT /a\n", true));
    let mut session = enter(&engine, &bed.fence(2)).await;
    session.undo(HISTORY, &all[0]).await.expect("undone");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert!(!bed.has("/a") && !bed.has(&format!("/{PEER}/_doc/1")));
}
