//! The history of neo4j-migrations: its own command line reads what we wrote and goes on, and we read what it wrote.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use whimbrel::engine::neo4j::{Neo4j, Neo4jSession};
use whimbrel::engine::{Claim, Engine, Session};

use crate::bed::{Bed, HISTORY, count, enter, env, error, scripts, texts};

const ONE: (&str, &str) =
    ("V0001__users.cypher", "// the first\nCREATE (:User {id: 1});\nCREATE (:User {id: 2});\n");
const TWO: (&str, &str) = (
    "V0002__schema.cypher",
    "CREATE CONSTRAINT user_id IF NOT EXISTS FOR (u:User) REQUIRE u.id IS UNIQUE;\n",
);
const THREE: (&str, &str) = ("V0003__more.cypher", "MATCH (u:User) SET u.n = coalesce(u.n, 0) + 1;\n");
const CHAIN: &str = "MATCH p = (:__Neo4jMigration {version: 'BASELINE'})-[:MIGRATED_TO*]->(m) RETURN m.version ORDER BY length(p)";

const VALID: &str = "All resolved migrations have been applied to the default database.";

/// The tool, with scripts of a folder: what it says.
fn tool(folder: &Path, command: &str) -> String {
    let testbed = concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/neo4j");
    let jars = Command::new(testbed).arg("migrations").output().expect("runs");
    assert!(jars.status.success(), "{}", String::from_utf8_lossy(&jars.stderr));
    let jars = String::from_utf8_lossy(&jars.stdout).trim().to_owned();
    let output = Command::new("java")
        .args(["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &format!("{jars}/*")])
        .arg("ac.simons.neo4j.migrations.cli.MigrationsCli")
        .args(["--address", &format!("bolt://localhost:{}", env("PORT"))])
        .args(["--username", &env("USER"), "--password:env", "NEO4J_TEST_PASSWORD"])
        .args(["--location", &format!("file://{}", folder.display()), command])
        .env("NEO4J_TEST_PASSWORD", env("PASSWORD"))
        .output()
        .expect("java runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() || command == "validate", "{command}: {said}");
    said
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("writes");
    }
    folder
}

async fn apply(bed: &Bed, files: &[(&str, &str)], token: u64) {
    let mut session = enter(&Neo4j::new(bed.peers()), token).await;
    let done: Vec<String> = session.histories()[HISTORY].iter().map(|row| row.key.clone()).collect();
    for script in scripts(files).iter().filter(|script| !done.contains(&script.key)) {
        session.apply(HISTORY, script).await.expect("applies");
    }
    leave_as_told(bed, session).await;
}

/// What a session says of the history after what it has done is what the next one reads.
async fn leave_as_told(bed: &Bed, session: Neo4jSession) {
    let told = session.histories().clone();
    session.leave(Claim::GiveUp).await.expect("leaves");
    assert_eq!(Neo4j::new(bed.peers()).look().await.expect("looks").histories, told);
}

#[tokio::test]
async fn the_tool_goes_on_where_we_stopped() {
    let bed = Bed::new().await;
    apply(&bed, &[ONE, TWO], 1).await;
    let all = folder(&[ONE, TWO, THREE]);
    let said = tool(all.path(), "validate");
    assert!(
        said.contains("Some versions have been resolved that are not applied to the default database."),
        "{said}"
    );
    let said = tool(all.path(), "migrate");
    assert!(said.contains("0003"), "{said}");
    assert_eq!(count("MATCH (u:User) RETURN sum(u.n)"), 2);
    assert_eq!(texts(CHAIN), ["0001", "0002", "0003"]);
    let said = tool(all.path(), "validate");
    assert!(said.contains(VALID), "{said}");
    // What it wrote is applied for us, with its checksum.
    let rows =
        Neo4j::new(bed.peers()).look().await.expect("looks").histories.remove(HISTORY).expect("declared");
    let all = scripts(&[ONE, TWO, THREE]);
    assert!(
        rows.iter()
            .zip(&all)
            .all(|(row, script)| row.key == script.key && script.has_checksum(&row.checksum)),
        "{rows:?}"
    );
}

#[tokio::test]
async fn we_go_on_where_the_tool_stopped() {
    let bed = Bed::new().await;
    let first = folder(&[ONE]);
    tool(first.path(), "migrate");
    apply(&bed, &[ONE, TWO, THREE], 1).await;
    assert_eq!(count("MATCH (u:User) RETURN count(u)"), 2);
    assert_eq!(count("MATCH (u:User) RETURN sum(u.n)"), 2);
    let all = folder(&[ONE, TWO, THREE]);
    let said = tool(all.path(), "validate");
    assert!(said.contains(VALID), "{said}");
    let properties = crate::bed::rows(
        "MATCH (m:__Neo4jMigration) WHERE m.version <> 'BASELINE' UNWIND keys(m) AS k WITH m, k ORDER BY k \
         WITH m, collect(k) AS keys RETURN DISTINCT keys",
    );
    assert_eq!(properties.len(), 1, "ours and theirs have the same properties: {properties:?}");
}

#[tokio::test]
async fn what_was_applied_out_of_order_stands_at_its_version() {
    let bed = Bed::new().await;
    apply(&bed, &[ONE, THREE], 1).await;
    apply(&bed, &[ONE, TWO, THREE], 2).await;
    assert_eq!(texts(CHAIN), ["0001", "0002", "0003"]);
    let all = folder(&[ONE, TWO, THREE]);
    let said = tool(all.path(), "validate");
    assert!(said.contains(VALID), "{said}");
}

#[tokio::test]
async fn an_undo_closes_the_chain_again() {
    let bed = Bed::new().await;
    let undo = ("U0003__more.cypher", "MATCH (u:User) REMOVE u.n;");
    apply(&bed, &[ONE, TWO, THREE], 1).await;
    let all = scripts(&[ONE, TWO, THREE, undo]);
    let mut session = enter(&Neo4j::new(bed.peers()), 2).await;
    session.undo(HISTORY, &all[2]).await.expect("undoes");
    assert_eq!(session.histories()[HISTORY].len(), 2);
    leave_as_told(&bed, session).await;
    assert_eq!(texts(CHAIN), ["0001", "0002"]);
    let said = tool(folder(&[ONE, TWO]).path(), "validate");
    assert!(said.contains(VALID), "{said}");
}

#[tokio::test]
async fn repeatable_scripts_run_again_and_are_told_as_the_tool_tells_them() {
    let bed = Bed::new().await;
    let old = ("R0005__reference.cypher", "MERGE (:Currency {code: 'CHF'});\n");
    let new = ("R0005__reference.cypher", "MERGE (:Currency {code: 'EUR'});\n");
    apply(&bed, &[ONE, old], 1).await;
    let mut session = enter(&Neo4j::new(bed.peers()), 2).await;
    let again = scripts(&[ONE, new]);
    assert!(!again[1].has_checksum(&session.histories()[HISTORY][1].checksum));
    session.apply(HISTORY, &again[1]).await.expect("applies");
    leave_as_told(&bed, session).await;
    assert_eq!(count("MATCH (:__Neo4jMigration)-[r:REPEATED]->() RETURN count(r)"), 1);
    let said = tool(folder(&[ONE, new]).path(), "migrate");
    assert!(said.contains("Skipping already applied migration 0005"), "{said}");
}

#[tokio::test]
async fn names_that_the_tool_does_not_know_do_not_go_into_its_history() {
    let bed = Bed::new().await;
    let dated = scripts(&[("2025-01-15-001-add.cypher", "CREATE (:A)")]);
    let mut session = enter(&Neo4j::new(bed.peers()), 1).await;
    let wrong = error(session.apply(HISTORY, &dated[0]).await.expect_err("refused"));
    assert_eq!(
        wrong.to_string(),
        "2025-01-15-001-add.cypher: a history of neo4j-migrations holds files of that tool's names only (HistoryFormat). \
         Name the file V001__text.cypher, or declare a history in Whimbrel's format."
    );
    session.leave(Claim::GiveUp).await.expect("leaves");
}
