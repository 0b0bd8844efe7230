//! What a look tells.

use whimbrel::engine::{Claim, Engine, Session};

use crate::bed::{Bed, HISTORY, rows, script};

#[tokio::test]
async fn an_empty_database_and_one_in_use() {
    let bed = Bed::new().await;
    let engine = bed.engine();
    let look = engine.look().await.expect("looks");
    assert_eq!(look.version, "5.26.30");
    assert!(
        look.empty && look.claim.is_none() && look.sessions.is_empty() && look.warnings.is_empty(),
        "{look:?}"
    );
    assert_eq!(look.quiet_provable, Ok(()));
    assert!(look.lineage.starts_with(&format!("{}/2", look.identity)), "{}", look.lineage);
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &script("CREATE (:A)-[:R]->(:B)")).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
    let look = engine.look().await.expect("looks");
    assert!(!look.empty && look.bytes > 0, "{look:?}");
    assert_eq!(look.foreign_tables, Vec::<String>::new());
    rows("CREATE (:Doc {text: reduce(t = '', x IN range(1, 9000) | t + 'x')})");
    rows("CREATE INDEX doc_text FOR (d:Doc) ON (d.text)");
    crate::bed::until("the index fails", || {
        crate::bed::texts("SHOW INDEXES YIELD name, state WHERE name = 'doc_text' RETURN state") == ["FAILED"]
    })
    .await;
    let look = engine.look().await.expect("looks");
    assert_eq!(look.warnings, ["index doc_text is FAILED: queries do not use it"]);
}
