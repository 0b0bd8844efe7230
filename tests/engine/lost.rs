//! The connection cut after any byte of the one message or of its answer: never half, never twice.

use whimbrel::engine::postgresql::Postgresql;
use whimbrel::engine::{Claim, Engine, ScriptFailure, Session};

use crate::bed::{As, Bed, HISTORY, port, raw};
use crate::proxy::{Proxy, Way};

const SCRIPT: &str = "INSERT INTO effect VALUES (1)";

/// Cuts after `bytes`, sees that the outcome is read rightly, and finishes the script.
async fn cut(bed: &Bed, proxy: &Proxy, way: Way, bytes: usize) {
    bed.psql("TRUNCATE effect; DO $$ BEGIN IF to_regclass('whimbrel.history') IS NOT NULL THEN DELETE FROM whimbrel.history; DELETE FROM whimbrel.journal; END IF; END $$");
    let engine = Postgresql::new(bed.plain(proxy.port));
    let script = raw("1", SCRIPT, None);
    let mut session = engine.enter(&bed.fence(1)).await.expect("enters");
    proxy.only_the_newest();
    proxy.cut_after(way, bytes);
    let outcome = session.apply(HISTORY, &script).await;
    proxy.mend();
    if !matches!(outcome, Ok(_) | Err(ScriptFailure::Lost { .. })) {
        panic!("{way:?} {bytes}: {outcome:?}");
    }
    drop(session);
    let mut session = loop {
        match engine.enter(&bed.fence(1)).await {
            Ok(session) => break session,
            Err(whimbrel::engine::EngineError::Busy { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{way:?} {bytes}: {error}"),
        }
    };
    let row = !session.histories()[HISTORY].is_empty();
    assert_eq!(
        bed.psql("SELECT count(*) FROM effect") == "1",
        row,
        "{way:?} {bytes}: effect and history differ"
    );
    assert!(session.partial().is_empty(), "{way:?} {bytes}");
    assert!(row || outcome.is_err(), "{way:?} {bytes}: said to be applied, and is not");
    if !row {
        session.apply(HISTORY, &script).await.expect("applies");
    }
    session.leave(Claim::Keep).await.expect("leaves");
    assert_eq!(bed.psql("SELECT count(*) FROM effect"), "1", "{way:?} {bytes}");
}

#[tokio::test]
async fn cut_anywhere_a_script_is_in_once() {
    let bed = Bed::new(As::Superuser);
    bed.psql("CREATE TABLE effect (n int)");
    let proxy = Proxy::new("127.0.0.1", port()).await;
    // How long message and answer are.
    let engine = Postgresql::new(bed.plain(proxy.port));
    let mut session = engine.enter(&bed.fence(1)).await.expect("enters");
    proxy.only_the_newest();
    proxy.count();
    session.apply(HISTORY, &raw("1", SCRIPT, None)).await.expect("applies");
    let (message, answer) = (proxy.passed(Way::ToServer), proxy.passed(Way::ToClient));
    session.leave(Claim::Keep).await.expect("leaves");
    assert!(message > 100 && answer > 100, "{message} {answer}");

    // The message is executed once its last byte is there: what came before makes no difference but at the ends.
    for bytes in [0, 1, 5, message / 2, message - 1, message] {
        cut(&bed, &proxy, Way::ToServer, bytes).await;
    }
    // The answer is a row of short messages: every boundary between them, and every byte of the last ones, which say
    // COMMIT and idle.
    for bytes in (0..answer - 24).step_by(13).chain(answer - 24..=answer) {
        cut(&bed, &proxy, Way::ToClient, bytes).await;
    }
}
