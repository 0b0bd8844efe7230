//! Changes of the schema: what the server lists decides, not what it answers.

use whimbrel::engine::{Claim, Engine, ScriptFailure, Session};

use crate::bed::{Bed, HISTORY, count, enter, error, rows, script, texts};

const NAMES: &str = "SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' AND NOT name STARTS WITH '__' RETURN name ORDER BY name";

async fn refused(bed: &Bed, body: &str) -> String {
    let mut session = bed.enter(1).await;
    let wrong = error(session.apply(HISTORY, &script(body)).await.expect_err("refused"));
    assert!(session.partial().is_empty(), "{:?}", session.partial());
    session.leave(Claim::GiveUp).await.expect("leaves");
    wrong.to_string()
}

#[tokio::test]
async fn constraints_and_indexes_are_there_and_online() {
    let bed = Bed::new().await;
    rows("UNWIND range(1, 2000) AS id CREATE (:User {id: id, name: 'n' + id})");
    let mut session = bed.enter(1).await;
    let body = "CREATE CONSTRAINT user_id IF NOT EXISTS FOR (u:User) REQUIRE u.id IS UNIQUE;\n\
                CREATE INDEX user_name FOR (u:User) ON (u.name);\n\
                CREATE FULLTEXT INDEX words IF NOT EXISTS FOR (u:User|Post) ON EACH [u.name, u.text];\n\
                CREATE INDEX FOR ()-[r:LIKES]-() ON (r.at);\n\
                DROP INDEX absent IF EXISTS;";
    session.apply(HISTORY, &script(body)).await.expect("applies");
    session.leave(Claim::GiveUp).await.expect("leaves");
    let states = texts(
        "SHOW INDEXES YIELD name, type, state WHERE type <> 'LOOKUP' AND NOT name STARTS WITH '__' RETURN DISTINCT state",
    );
    assert_eq!(states, ["ONLINE"]);
    assert_eq!(texts(NAMES).len(), 4);
    assert_eq!(bed.engine().look().await.expect("looks").histories[HISTORY].len(), 1);
}

#[tokio::test]
async fn a_constraint_that_data_violate_names_how_many_and_which() {
    let bed = Bed::new().await;
    rows("UNWIND ['a', 'a', 'b', 'b', 'b', 'c'] AS t CREATE (:User {tenant: t})");
    let said = refused(&bed, "CREATE CONSTRAINT tenant FOR (u:User) REQUIRE u.tenant IS UNIQUE").await;
    let begin = "V1__a.cypher:1:1 (statement 1): 2 values of tenant stand on more than one :User node, 5 nodes in all: 4:";
    assert!(said.starts_with(begin) && said.ends_with("(Duplicates)"), "{said}");
    assert!(!said.contains("'a'"), "{said}");
    assert_eq!(texts(NAMES), Vec::<String>::new());
}

#[tokio::test]
async fn the_same_name_with_another_meaning_is_an_error_also_under_if_not_exists() {
    let bed = Bed::new().await;
    rows("CREATE CONSTRAINT k FOR (a:A) REQUIRE a.x IS UNIQUE");
    assert_eq!(
        refused(&bed, "CREATE CONSTRAINT k IF NOT EXISTS FOR (b:B) REQUIRE b.y IS UNIQUE").await,
        "V1__a.cypher:1:1 (statement 1): k is the UNIQUENESS constraint on (:A {x}) already, and the script wants \
         the UNIQUENESS constraint on (:B {y}) (OtherDefinition). Drop that one first, or take another name."
    );
    assert_eq!(
        refused(&bed, "CREATE CONSTRAINT other IF NOT EXISTS FOR (a:A) REQUIRE a.x IS UNIQUE").await,
        "V1__a.cypher:1:1 (statement 1): the server lists no the UNIQUENESS constraint on (:A {x}); k does the same, so \
         the server made none (NotDone)"
    );
}

#[tokio::test]
async fn enterprise_features_on_community() {
    let bed = Bed::new().await;
    assert_eq!(
        refused(&bed, "CREATE CONSTRAINT c FOR (a:A) REQUIRE a.x IS NOT NULL").await,
        "V1__a.cypher:1:1 (statement 1): a NODE_PROPERTY_EXISTENCE constraint needs Neo4j Enterprise Edition, and this \
         server is Community Edition (EnterpriseOnly)"
    );
    assert_eq!(texts(NAMES), Vec::<String>::new());
}

#[tokio::test]
async fn an_index_that_never_comes_online_is_dropped_and_the_script_fails() {
    let bed = Bed::new().await;
    // Longer than a key of an index may be.
    rows("CREATE (:Doc {text: reduce(t = '', x IN range(1, 9000) | t + 'x')})");
    let said = refused(&bed, "CREATE INDEX doc_text FOR (d:Doc) ON (d.text)").await;
    assert!(
        said.starts_with("V1__a.cypher:1:1 (statement 1): doc_text is no use: its population failed: "),
        "{said}"
    );
    assert!(said.ends_with("; it was dropped again (NotDone)"), "{said}");
    assert_eq!(texts(NAMES), Vec::<String>::new());
}

#[tokio::test]
async fn what_failed_before_us_is_not_dropped_and_not_believed() {
    let bed = Bed::new().await;
    rows("CREATE (:Doc {text: reduce(t = '', x IN range(1, 9000) | t + 'x')})");
    rows("CREATE INDEX doc_text FOR (d:Doc) ON (d.text)");
    crate::bed::until("the index fails", || {
        texts("SHOW INDEXES YIELD name, state WHERE name = 'doc_text' RETURN state") == ["FAILED"]
    })
    .await;
    let said = refused(&bed, "CREATE INDEX doc_text IF NOT EXISTS FOR (d:Doc) ON (d.text)").await;
    assert!(
        said.contains("doc_text is no use: its population failed")
            && said.ends_with("and was there before (NotDone)"),
        "{said}"
    );
    assert_eq!(texts(NAMES), ["doc_text"]);
}

#[tokio::test]
async fn a_mixed_script_goes_on_where_it_stopped() {
    let bed = Bed::new().await;
    let body = "// whimbrel: mixed: true\nCREATE (:User {id: 1, n: 1});\nMATCH (u:User) SET u.n = u.n + 1;\n\
                CREATE CONSTRAINT user_id FOR (u:User) REQUIRE u.id IS UNIQUE;\nMATCH (u:User) SET u.n = u.n + 1;";
    // Something in the way of the third statement.
    rows("CREATE INDEX user_id FOR (x:X) ON (x.y)");
    let mut session = bed.enter(1).await;
    let wrong = error(session.apply(HISTORY, &script(body)).await.expect_err("refused"));
    assert_eq!(
        wrong.to_string(),
        "V1__a.cypher:4:1 (statement 3): user_id is the RANGE index on (:X {y}) already, and the script wants the \
         UNIQUENESS constraint on (:User {id}) (OtherDefinition). Drop that one first, or take another name. Statements 1 to 2 \
         of it are applied and stay."
    );
    assert_eq!(session.partial()[0].statement, 2);
    session.leave(Claim::Keep).await.expect("leaves");
    rows("DROP INDEX user_id");
    let mut session = bed.enter(1).await;
    assert_eq!(session.partial()[0].statement, 2);
    session.apply(HISTORY, &script(body)).await.expect("goes on");
    assert!(session.partial().is_empty());
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(count("MATCH (u:User) RETURN sum(u.n)"), 3);
}

#[tokio::test]
async fn another_run_does_not_go_on_with_it() {
    let bed = Bed::new().await;
    rows("CREATE INDEX i FOR (x:X) ON (x.y)");
    let body = "// whimbrel: mixed: true\nCREATE (:A);\nCREATE INDEX i FOR (a:A) ON (a.x);";
    let mut session = bed.enter(1).await;
    session.apply(HISTORY, &script(body)).await.expect_err("refused");
    session.leave(Claim::GiveUp).await.expect("leaves");
    let mut other = crate::bed::fence(2);
    other.run_uid = "99999999-88aa-4a63-9b65-000000000001".to_owned();
    let mut session = bed.engine().enter(&other).await.expect("enters");
    let wrong = error(session.apply(HISTORY, &script(body)).await.expect_err("refused"));
    assert_eq!(
        wrong.to_string(),
        "V1__a.cypher: it was begun by run 0f5d7a1c-88aa-4a63-9b65-000000000001 and never finished (HistoryDrift)"
    );
    session.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn two_epochs_apply_a_change_of_the_schema_once() {
    let bed = Bed::new().await;
    let mut older = bed.enter(1).await;
    let newer = enter(&bed.engine(), 2).await;
    let outcome = older.apply(HISTORY, &script("CREATE INDEX i FOR (a:A) ON (a.x)")).await;
    assert!(
        matches!(outcome, Err(ScriptFailure::Lost { .. } | ScriptFailure::Overtaken { token: 2 })),
        "{outcome:?}"
    );
    newer.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(texts(NAMES), Vec::<String>::new());
}
