//! Scripts applied and taken back: the state of the cluster, seen by curl.

use whimbrel::engine::{Claim, Engine, ScriptFailure, Session};
use whimbrel::script::{Value, Values};

use crate::bed::{Bed, HISTORY, enter, script, scripts};

const USERS: &str = "\
# the index, its documents and its alias
PUT /users-1

{\"settings\":{\"number_of_replicas\":0},\"mappings\":{\"dynamic\":\"strict\",\"properties\":{\"email\":{\"type\":\"keyword\"}}}}
###
POST /users-1/_bulk?refresh=true
Content-Type: application/x-ndjson

{\"index\":{\"_id\":\"1\"}}
{\"email\":\"a@b\"}
{\"index\":{\"_id\":\"2\"}}
{\"email\":\"c@d\"}

###
POST /_aliases

{\"actions\":[{\"add\":{\"index\":\"users-1\",\"alias\":\"users\"}}]}
";
const NO_USERS: &str = "# whimbrel: undo keeps-data\n# @expect 200,404\nDELETE /users-1\n";

#[tokio::test]
async fn applied_recorded_and_taken_back() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    let all =
        scripts(&[("V1__users.http", USERS), ("U1__users.http", NO_USERS), ("V2__more.http", "PUT /more\n")]);
    let before = engine.proof().await.expect("a proof");
    let mut session = enter(&engine, &bed.fence(1)).await;
    for script in &all {
        let row = session.apply(HISTORY, script).await.expect("applies");
        assert_eq!(
            (row.key.as_str(), row.checksum.as_str()),
            (script.key.as_str(), script.checksum.as_str())
        );
    }
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(bed.count("users"), 2);
    assert!(bed.has("/more"));

    let mut session = enter(&engine, &bed.fence(2)).await;
    let rows: Vec<_> =
        session.histories()[HISTORY].iter().map(|row| (row.key.clone(), row.installed_rank)).collect();
    assert_eq!(rows, [("1".to_owned(), 1), ("2".to_owned(), 2)]);
    // The older of two is not taken back before the younger.
    let refused = session.undo(HISTORY, &all[0]).await.expect_err("a younger one is there");
    assert!(refused.to_string().contains("the younger script 2 is in the history"), "{refused}");
    let refused = session.undo(HISTORY, &all[1]).await.expect_err("no undo");
    assert_eq!(
        refused.to_string(),
        "V2__more.http: the script can't be taken back: it has no undo file (NoUndo)"
    );
    bed.curl("DELETE", "/more", None);
    session.leave(Claim::GiveUp).await.expect("leaves");

    let only =
        scripts(&[("V2__more.http", "PUT /more\n"), ("U2__more.http", "# @expect 200,404\nDELETE /more\n")]);
    let mut session = enter(&engine, &bed.fence(3)).await;
    session.undo(HISTORY, &only[0]).await.expect("undone");
    session.undo(HISTORY, &all[0]).await.expect("undone");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert!(!bed.has("/users-1") && !bed.has("/_alias/users"));
    assert_eq!(engine.proof().await.expect("a proof"), before);

    // Taken back is as if it had never run: it can be applied again.
    let mut session = enter(&engine, &bed.fence(4)).await;
    assert!(session.histories()[HISTORY].is_empty() && session.partial().is_empty());
    session.apply(HISTORY, &all[0]).await.expect("applies again");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(bed.count("users"), 2);
}

#[tokio::test]
async fn a_script_goes_on_behind_what_is_done() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    bed.put("/second", "{}");
    let script = script("PUT /first\n###\nPUT /second\n###\nPUT /third\n");
    let mut session = enter(&engine, &bed.fence(1)).await;
    let failed = session.apply(HISTORY, &script).await.expect_err("it is there");
    assert_eq!(
        failed.to_string().split(" already exists").next().unwrap_or_default().split("[second/").next(),
        Some("V1__a.http:3 (statement 2): index "),
        "{failed}"
    );
    assert!(failed.to_string().ends_with("The requests before it are done (1)."), "{failed}");
    let half = session.partial()[0].clone();
    assert_eq!((half.key.as_str(), half.statement, half.undoing), ("1", 1, false));
    session.leave(Claim::Keep).await.expect("leaves");

    // Another run does not go on with it.
    bed.curl("DELETE", "/second", None);
    bed.put("/.whimbrel/_doc/fence?refresh", &unclaimed(&bed));
    let mut other = enter(&engine, &bed.fence_of("another-run", 2)).await;
    let refused = other.apply(HISTORY, &script).await.expect_err("begun by another run");
    assert!(
        refused.to_string().contains("it was begun by run 0f5d7a1c-88aa and never finished"),
        "{refused}"
    );
    other.leave(Claim::GiveUp).await.expect("leaves");

    let mut session = enter(&engine, &bed.fence(3)).await;
    session.apply(HISTORY, &script).await.expect("goes on");
    assert!(session.partial().is_empty());
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert!(["/first", "/second", "/third"].iter().all(|index| bed.has(index)));
}

/// The fence as it is, without its claim.
fn unclaimed(bed: &Bed) -> String {
    let mut row = bed.get("/.whimbrel/_doc/fence")["_source"].clone();
    row["claimed"] = false.into();
    row.to_string()
}

#[tokio::test]
async fn refused_at_its_first_request_it_is_as_if_it_had_never_begun() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    let mut session = enter(&engine, &bed.fence(1)).await;
    let failed = session.apply(HISTORY, &script("DELETE /absent\n")).await.expect_err("not there");
    assert_eq!(
        failed.to_string(),
        "V1__a.http:1 (statement 1): no such index [absent] (index_not_found_exception). If it may be absent, write # @expect 200,404 above the request."
    );
    assert!(session.partial().is_empty());
    session
        .apply(HISTORY, &script("# @expect 200,404\nDELETE /absent\n"))
        .await
        .expect("another text, and fine");
    session.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn variables_are_filled_and_never_kept() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    let mut script = script("PUT /${index}\n###\nPUT /${index}/_doc/1?refresh\n\n{\"key\":\"${key}\"}\n");
    let value = |text: &str| Value { text: text.to_owned(), secret: true };
    script.values =
        Values::new([("index".to_owned(), value("filled")), ("key".to_owned(), value("hunter2"))].into());
    let mut session = enter(&engine, &bed.fence(1)).await;
    session.apply(HISTORY, &script).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(bed.get("/filled/_doc/1")["_source"]["key"], "hunter2");
    bed.curl("POST", "/.whimbrel/_refresh", None);
    assert!(!bed.get("/.whimbrel/_search").to_string().contains("hunter2"));
}

#[tokio::test]
async fn cancelled_before_its_first_request_nothing_is_applied() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    let mut session = enter(&engine, &bed.fence(1)).await;
    session.canceller().cancel().await;
    let outcome = session.apply(HISTORY, &script("PUT /a\n")).await;
    assert_eq!(outcome, Err(ScriptFailure::Cancelled));
    drop(session);
    assert!(!bed.has("/a"));
    let session = enter(&engine, &bed.fence(2)).await;
    assert!(session.histories()[HISTORY].is_empty() && session.partial().is_empty());
    session.leave(Claim::GiveUp).await.expect("leaves");
}
