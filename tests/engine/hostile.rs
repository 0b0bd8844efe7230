//! Scripts that break what is around them (F-61): whatever a script does, history and effect agree, or it is said that
//! nobody can tell; and nothing of it leaks into the next script.

use std::path::Path;

use whimbrel::engine::{Claim, Engine, ScriptFailure, Session};

use crate::bed::{As, Bed, HISTORY, raw};

/// What the head of a file says of how its script ends.
fn expected(text: &str, who: As) -> String {
    let says = |word: &str| {
        let lines =
            text.lines().filter_map(|line| line.strip_prefix("-- ")?.strip_prefix(word)?.strip_prefix(": "));
        lines.map(str::to_owned).next()
    };
    let of_owner = if who == As::Owner { says("owner") } else { None };
    of_owner.or_else(|| says("expect")).expect("every file says what to expect")
}

/// What the session is like for a script, by a script that writes it down.
const STATE: &str = "\
CREATE TABLE state AS SELECT concat_ws(',', session_user = current_user, current_setting('search_path'), \
 current_setting('session_replication_role'), current_setting('transaction_read_only'), \
 current_setting('transaction_isolation'), current_setting('statement_timeout'), current_setting('synchronous_commit'), \
 current_setting('standard_conforming_strings'), current_setting('client_encoding'), \
 (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_prepared_statements), \
 (SELECT count(*) FROM pg_cursors WHERE name <> ''), (SELECT count(*) FROM pg_class WHERE relpersistence = 't'))";
const CLEAN: &str = "t,\"$user\", public,origin,off,read committed,0,on,on,UTF8,0,0,0,0";

async fn endure(file: &str, text: &str, who: As) {
    let bed = Bed::new(who);
    let script = raw("1", text, None);
    let mut session = bed.enter(1).await;
    let outcome = session.apply(HISTORY, &script).await;
    let said = match &outcome {
        Ok(_) => "applied".to_owned(),
        Err(ScriptFailure::Failed(error)) => format!("failed {}", error.code),
        Err(ScriptFailure::Unknown { .. }) => "unknown".to_owned(),
        Err(ScriptFailure::Lost { .. }) => "lost".to_owned(),
        Err(other) => format!("{other:?}"),
    };
    let expected = expected(text, who);
    assert_eq!(said, expected.trim_end_matches(" no effect"), "{file}: {outcome:?}");

    // The truth, read by somebody else.
    let effect = bed.psql("SELECT to_regclass('public.effect') IS NOT NULL") == "t";
    let row = bed.psql("SELECT count(*) FROM whimbrel.history") == "1";
    match said.as_str() {
        "unknown" => {
            assert!(!row, "{file}: the history has what nobody knows");
            assert_eq!(session.partial().len(), 1, "{file}: the session does not know that it is partial");
            assert_eq!(bed.psql("SELECT key, state FROM whimbrel.journal"), "1|Started", "{file}");
        }
        _ => {
            assert_eq!(row, said == "applied", "{file}: the history says otherwise");
            assert_eq!(
                effect,
                said == "applied" && !expected.ends_with("no effect"),
                "{file}: the effect says otherwise"
            );
            assert_eq!(
                bed.psql("SELECT count(*) FROM whimbrel.journal WHERE state <> 'Applied'"),
                "0",
                "{file}"
            );
        }
    }
    if said == "lost" {
        session = bed.enter(1).await;
    } else {
        let locks = "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid IN \
                     (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        assert_eq!(bed.psql(locks), "1", "{file}: the lock is gone");
    }
    session
        .apply(HISTORY, &raw("2", STATE, None))
        .await
        .unwrap_or_else(|failure| panic!("{file}: {failure}"));
    assert_eq!(
        bed.psql("SELECT * FROM public.state"),
        CLEAN,
        "{file}: something leaked into the next script"
    );
    session.leave(Claim::Keep).await.expect("leaves");

    // What a fresh session makes of it is the same.
    let session = bed.enter(2).await;
    assert_eq!(session.partial().len(), usize::from(said == "unknown"), "{file}");
    assert_eq!(session.histories()[HISTORY].iter().any(|row| row.key == "1"), said == "applied", "{file}");
}

async fn endure_all(who: As) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/hostile");
    let files = std::fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file").path());
    let mut broken = Vec::new();
    let mut endured = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let name = file.file_name().expect("named").to_string_lossy().into_owned();
        // In a task of its own: one file's failure does not hide the others'.
        if let Err(panic) = tokio::spawn(async move { endure(&name, &text, who).await }).await {
            broken.push(panic.to_string());
        }
        endured += 1;
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(endured >= 50, "{endured} hostile scripts");
}

#[tokio::test]
async fn hostile_scripts_as_superuser() {
    endure_all(As::Superuser).await;
}

#[tokio::test]
async fn hostile_scripts_as_owner() {
    endure_all(As::Owner).await;
}

#[tokio::test]
async fn a_transaction_that_was_prepared_is_unknown_and_keeps_everybody_out() {
    let bed = Bed::new(As::Superuser);
    let gid = format!("gid_{}", bed.database);
    // Without the session's lock the server lets it prepare, and keeps the transaction's own lock with it.
    let text =
        format!("CREATE TABLE effect (); SELECT pg_advisory_unlock_all(); PREPARE TRANSACTION '{gid}';");
    let mut session = bed.enter(1).await;
    let outcome = session.apply(HISTORY, &raw("1", &text, None)).await;
    assert!(matches!(outcome, Err(ScriptFailure::Unknown { .. })), "{outcome:?}");
    assert_eq!(session.apply(HISTORY, &raw("2", "SELECT 1", None)).await, Err(ScriptFailure::LockLost));
    session.leave(Claim::Keep).await.expect("leaves");
    assert!(bed.engine().enter(&bed.fence(1)).await.is_err());
    bed.psql(&format!("ROLLBACK PREPARED '{gid}'"));
    assert!(bed.enter(1).await.histories()[HISTORY].is_empty());
}
