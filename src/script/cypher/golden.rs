//! Sources in Cypher as people write them, right and wrong, and the exact answers. The checksums were computed by
//! neo4j-migrations 2.17.3 itself.

use std::collections::BTreeMap;

use super::super::{Bundle, Dialect, Kind, Layout, ScriptError, read_bundle};
use super::peer_checksum;

fn read(files: &[(&str, &str)]) -> Result<Bundle, Vec<ScriptError>> {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(file, text)| (file.to_string(), text.as_bytes().to_vec())).collect();
    read_bundle(files, None, Dialect::Cypher)
}

fn refused(files: &[(&str, &str)]) -> Vec<String> {
    read(files).expect_err("refused").iter().map(ToString::to_string).collect()
}

/// The one message for a source of one script with this body.
fn message(body: &str) -> String {
    let messages = refused(&[("V1__a.cypher", body)]);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages[0].clone()
}

#[test]
fn checksums_are_those_of_neo4j_migrations() {
    for (text, checksum) in [
        ("MATCH (n) RETURN n;\n", "2648307716"),
        ("// a comment\n\nCREATE (:A {x: 'b;\nc'});\nMATCH (n)\n  RETURN n;;\n", "2065957190"),
        (
            "CREATE CONSTRAINT c IF NOT EXISTS FOR (u:User) REQUIRE u.id IS UNIQUE;\r\nCREATE INDEX i FOR (u:User) ON (u.name);\r\n// end\r\n",
            "977724368",
        ),
        (":use neo4j;\nCREATE (:B);\n:use other\nCREATE (:C); CREATE (:D);\n", "2231291784"),
        ("CREATE (:Ä {x: '€'});\r\r  ;\rRETURN 1", "1086948872"),
        ("", "0"),
        ("// only\n", "1379918496"),
        ("RETURN ':use abc' AS x;\nRETURN 2", "4071118169"),
        ("CREATE (:A);\t\nCREATE (:B);", "2166232418"),
    ] {
        assert_eq!(peer_checksum(text), checksum, "{text:?}");
    }
}

#[test]
fn a_good_source() {
    let bundle = read(&[
        ("V001__initial_schema.cypher", "CREATE CONSTRAINT c FOR (u:User) REQUIRE u.id IS UNIQUE;"),
        ("U001__initial_schema.cypher", "DROP CONSTRAINT c IF EXISTS;"),
        ("V002__users.cypher", ":use neo4j;\nMERGE (:User {id: 1});\nMERGE (:User {id: 2});"),
        ("V010__batches.cypher", "// whimbrel: restartable\n// whimbrel: probe MATCH (n:New) RETURN count(n)\nMATCH (o:Old) CALL (o) { MERGE (n:New {id: o.id}) } IN TRANSACTIONS"),
        ("R1__reference_data.cypher", "MERGE (:Currency {code: 'CHF'});"),
    ])
    .unwrap();
    assert_eq!(bundle.layout, Layout::Cypher);
    let seen: Vec<_> = bundle
        .scripts
        .iter()
        .map(|s| (s.key.as_str(), s.kind, s.undo.is_some(), s.directives.no_transaction))
        .collect();
    assert_eq!(
        seen,
        [
            ("1", Kind::Versioned, true, true),
            ("2", Kind::Versioned, false, false),
            ("10", Kind::Versioned, false, true),
            ("R:reference data", Kind::Repeatable, false, false),
        ]
    );
    let batches = &bundle.scripts[2].directives;
    assert!(batches.restartable);
    assert_eq!(batches.probe.as_deref(), Some("MATCH (n:New) RETURN count(n)"));
    let frozen = serde_json::to_string(&bundle).unwrap();
    assert_eq!(serde_json::from_str::<Bundle>(&frozen).unwrap(), bundle);
}

#[test]
fn dated_files() {
    let bundle = read(&[
        (
            "2025-01-15-001-add-product-rating-index.cypher",
            "CREATE INDEX product_rating IF NOT EXISTS FOR (p:Product) ON (p.rating);",
        ),
        ("2025-01-15-001-add-product-rating-index-down.cypher", "DROP INDEX product_rating IF EXISTS;"),
        ("2025-01-15-002-fill.cypher", "MATCH (p:Product) WHERE p.rating IS NULL SET p.rating = 0;"),
    ])
    .unwrap();
    assert_eq!(bundle.layout, Layout::CypherDated);
    let keys: Vec<_> = bundle.scripts.iter().map(|s| (s.key.as_str(), s.undo.is_some())).collect();
    assert_eq!(keys, [("2025.1.15.1", true), ("2025.1.15.2", false)]);
}

#[test]
fn schema_and_data_in_one_script() {
    let body = "MATCH (u:User) WHERE u.t IS NULL SET u.t = 'a';\nCREATE CONSTRAINT c FOR (u:User) REQUIRE u.t IS UNIQUE;\n";
    assert_eq!(
        message(body),
        "V1__a.cypher:2:1: statement 2 changes the schema and statement 1 data: Neo4j takes them in separate transactions, so what stops between them stays half done. Cut it into two scripts, or write // whimbrel: mixed: true"
    );
    let mixed = format!("// whimbrel: mixed: true\n{body}");
    assert!(read(&[("V1__a.cypher", &mixed)]).unwrap().scripts[0].directives.no_transaction);
    assert_eq!(
        message("// whimbrel: mixed: true\nRETURN 1;"),
        "V1__a.cypher:2:1: mixed: true means something in a script with statements of two kinds only: remove it"
    );
}

#[test]
fn in_transactions_inside_a_transaction() {
    let batches = "MATCH (u:User) CALL (u) { SET u.x = 1 } IN TRANSACTIONS;";
    assert_eq!(
        message(&format!("CREATE (:A);\n{batches}")),
        "V1__a.cypher:2:1: statement 2 runs in transactions of its own and statement 1 in another one: what stops between them stays half done. Cut it into two scripts, or write // whimbrel: mixed: true"
    );
    let inside = "statement 1 is CALL { … } IN TRANSACTIONS, which can't run inside a transaction, and undo files and repeatable scripts are one: leave IN TRANSACTIONS out, or write a versioned script";
    assert_eq!(
        refused(&[("V1__a.cypher", "RETURN 1"), ("U1__a.cypher", batches), ("R2__b.cypher", batches)]),
        [format!("R2__b.cypher:1:1: {inside}"), format!("U1__a.cypher:1:1: {inside}")]
    );
    assert_eq!(
        message("MATCH (u) CALL (u) { SET u.x = 1 } IN TRANSACTIONS ON ERROR CONTINUE"),
        "V1__a.cypher:1:1: statement 1 has ON ERROR CONTINUE: batches that fail would be left out in silence, and the script would count as applied. Leave it out; the default stops at the first error"
    );
    assert_eq!(
        message("USING PERIODIC COMMIT 500 LOAD CSV FROM 'x' AS l CREATE (:A)"),
        "V1__a.cypher:1:1: statement 1 has USING PERIODIC COMMIT, which Neo4j 5 has no more: write CALL { … } IN TRANSACTIONS"
    );
}

#[test]
fn an_undo_is_schema_first() {
    let undo = |body: &str| read(&[("V1__a.cypher", "RETURN 1"), ("U1__a.cypher", body)]);
    assert!(undo("DROP INDEX i IF EXISTS; MATCH (n:A) WHERE n.x = 1 REMOVE n.x").is_ok());
    let late = undo("MATCH (n:A) WHERE n.x = 1 REMOVE n.x;\nDROP INDEX i").unwrap_err();
    assert_eq!(
        late[0].to_string(),
        "U1__a.cypher:2:1: statement 2 changes the schema behind a change of data: in an undo file, schema comes first, so that an undo that was cut can go on without doing the data twice"
    );
}

#[test]
fn what_is_not_about_this_database() {
    for (body, said) in [
        (
            "CREATE DATABASE x",
            "statement 1: CREATE DATABASE is about the whole server, not about this database: take it out of the script, and run it by hand",
        ),
        (
            "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'b'",
            "statement 1: ALTER CURRENT is about the whole server, not about this database: take it out of the script, and run it by hand",
        ),
        (
            "USE other MATCH (n) RETURN n",
            "statement 1 begins with USE: a script is about its target's database. Make another target for another one",
        ),
        (
            "EXPLAIN MATCH (n) DELETE n",
            "statement 1 begins with EXPLAIN, which runs nothing: the script would count as applied. Remove EXPLAIN",
        ),
        (
            ":param x => 1",
            ":param is a command of cypher-shell, not Cypher: remove it (only :use with the target's own database may stay)",
        ),
        (":use a b", ":use a b names no database: write :use <name>, on a line of its own"),
        (
            "MATCH (l:__Neo4jMigrationsLock) DELETE l",
            "statement 1 names __Neo4jMigrationsLock, where histories and locks are kept: leave those alone",
        ),
        (
            "CREATE (:A {x: ${v:literal}})",
            "${v:literal} quotes as SQL does, and Cypher reads that as something else: write :cypher for a string, :label for a name",
        ),
        (
            "// whimbrel: no-transaction\nRETURN 1",
            "unknown directive \"no-transaction\": known are mixed: true, restartable, probe <query>, undo keeps-data, undo partial-ok",
        ),
        (
            "// whimbrel: undo keeps-data\nRETURN 1",
            "the directive \"undo keeps-data\" belongs in the undo file: move it there",
        ),
        ("CREATE (:A {x: 'b})", "a string (') is never closed"),
        ("MATCH (n:`A) RETURN n", "a name in backticks is never closed"),
    ] {
        let message = message(body);
        assert!(message.ends_with(&format!(": {said}")), "{message}");
    }
}

#[test]
fn names_that_are_no_scripts() {
    assert_eq!(
        refused(&[("afterMigrate.cypher", "RETURN 1"), ("V1__a.cypher", "RETURN 1")]),
        [
            "afterMigrate.cypher is a callback of neo4j-migrations, which nothing here would run: make a script or a step of the plan of it, and take it out of the source"
        ]
    );
    assert_eq!(
        refused(&[("README.md", "x"), ("V1__a.cypher", "RETURN 1")]),
        [
            "README.md: no layout knows this file name: rename it to V001__text.cypher, U001__text.cypher, R1__text.cypher (Cypher) or 2025-01-15-001-text.cypher, 2025-01-15-001-text-down.cypher (CypherDated), or take it out of the source"
        ]
    );
    assert_eq!(
        refused(&[("V1__a.sql", "SELECT 1")]),
        [
            "the files are named as Flyway, which is SQL, and the target takes Cypher: name them V001__text.cypher, U001__text.cypher, R1__text.cypher (Cypher) or 2025-01-15-001-text.cypher, 2025-01-15-001-text-down.cypher (CypherDated)"
        ]
    );
}
