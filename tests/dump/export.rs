//! Exports by APOC, from a real server that runs and has it: `testbed/neo4j apoc`.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::http::Http;
use crate::server::World;
use crate::worker::Done;

fn env(name: &str) -> String {
    let name = format!("WHIMBREL_TEST_NEO4J_{name}");
    std::env::var(&name)
        .unwrap_or_else(|_| panic!("{name} is not set: testbed/neo4j apoc; eval \"$(testbed/neo4j env)\""))
}

/// Another way into the server that exports.
fn http() -> Http {
    let port = env("APOC_HTTP_PORT").parse().expect("a port");
    Http { host: "127.0.0.1".to_owned(), port, user: env("USER"), password: env("PASSWORD") }
}

/// Every kind of value, nodes with a key and without one, an index of each kind, and what Whimbrel keeps.
const GRAPH: &[&str] = &[
    "CREATE CONSTRAINT person_n FOR (p:Person) REQUIRE p.n IS UNIQUE",
    "CREATE INDEX thing_name FOR (t:Thing) ON (t.name)",
    "CREATE FULLTEXT INDEX person_text FOR (p:Person) ON EACH [p.text] OPTIONS {indexConfig: {`fulltext.analyzer`: 'english'}}",
    "CREATE VECTOR INDEX `thing ``vector` FOR (t:Thing) ON (t.place) OPTIONS {indexConfig: {`vector.dimensions`: 2, `vector.similarity_function`: 'euclidean'}}",
    "UNWIND range(1, 750) AS n CREATE (:Person:Known {n: n, text: 'it\\'s \"p\";\\n' + n, born: date('2001-02-03') + duration({days: n}), \
     at: point({latitude: n / 10.0, longitude: 1.5}), tags: ['x', 'b', toString(n)], real: n / 4.0, yes: n % 2 = 0})",
    "UNWIND range(1, 333) AS n CREATE (:Thing {name: 't' + n, place: [n / 2.0, 1.0]})",
    "CREATE ()",
    "MATCH (a:Person), (b:Person) WHERE b.n = a.n + 1 CREATE (a)-[:KNOWS {since: a.n}]->(b)",
    "MATCH (a:Person), (t:Thing) WHERE t.name = 't' + a.n CREATE (a)-[:HAS]->(t), (t)-[:HAS]->(t)",
    "CREATE (:__WhimbrelFence {id: 1, format: 1, token: 3, claimed: false, runUid: '', run: 0, plan: '', cluster: '', entry: '', peerLock: '', own: 0})",
];

/// The one server of these tests, filled, for as long as this is kept.
fn filled() -> MutexGuard<'static, ()> {
    static SERVER: Mutex<()> = Mutex::new(());
    let server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    http().empty();
    GRAPH.iter().for_each(|statement| drop(http().rows(statement)));
    server
}

/// All that an export must bring back, in the server's own words.
fn told() -> Vec<Vec<Value>> {
    [
        "MATCH (n) RETURN count(n)",
        "MATCH (p:Person:Known) RETURN p.n, p.text, toString(p.born), p.at.latitude, p.tags, p.real, p.yes ORDER BY p.n",
        "MATCH (t:Thing) RETURN t.name, t.place ORDER BY t.name",
        "MATCH (a)-[r:KNOWS]->(b) RETURN a.n, r.since, b.n ORDER BY a.n",
        "MATCH (a)-[:HAS]->(t:Thing) RETURN coalesce(a.n, a.name), t.name ORDER BY t.name, toString(coalesce(a.n, a.name))",
        "MATCH (n) WHERE size(labels(n)) = 0 RETURN properties(n)",
        "MATCH (f:__WhimbrelFence) RETURN f.token",
        "SHOW CONSTRAINTS YIELD createStatement RETURN createStatement ORDER BY createStatement",
        "SHOW INDEXES YIELD createStatement RETURN createStatement ORDER BY createStatement",
    ]
    .iter()
    .flat_map(|query| http().rows(query))
    .collect()
}

fn export_command(world: &World, more: &[(&str, &str)]) -> Command {
    let credentials = world.path("credentials");
    if !credentials.exists() {
        fs::create_dir(&credentials).expect("room");
        for (file, text) in [("username", env("USER")), ("password", env("PASSWORD"))] {
            fs::write(credentials.join(file), text).expect("room");
        }
        fs::copy(env("CA"), credentials.join("ca.crt")).expect("the testbed made it");
    }
    let (port, credentials) = (env("APOC_PORT"), credentials.display().to_string());
    let mut flags = vec![
        ("host", "localhost"),
        ("port", &port),
        ("database", "neo4j"),
        ("credentials", &credentials),
        ("fence-target", "aether/graph"),
        ("run-folder", "release/7"),
        ("epoch", "3"),
        ("attempt", "1"),
    ];
    flags.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    flags.extend(more);
    let mut command = world.worker("export", &flags);
    command.args(["--plan-uid=9b7f", "--run=7", "--target=graph"]).args(world.storage());
    command
}

fn export(world: &World, more: &[(&str, &str)]) -> Done {
    world.run(export_command(world, more))
}

fn prove(world: &World, taken: &Value) -> Done {
    let mut command = world.worker("prove-export", &[("path", taken["path"].as_str().expect("a text"))]);
    command.args(["--plan-uid=9b7f", "--run=7", "--target=graph"]).args(world.storage());
    world.run(command)
}

#[test]
fn an_export_is_the_whole_graph_and_makes_it_again() {
    let world = World::new();
    let _server = filled();
    let before = told();
    let done = export(&world, &[]);
    assert!(done.output.contains("nodes and relationships written"), "{}", done.output);
    let taken = done.ok("backup");
    assert_eq!(
        (&taken["path"], &taken["nodes"], &taken["relationships"]),
        (&json!("release/7/graph-1"), &json!(1085), &json!(1415))
    );
    assert_eq!(prove(&world, &taken).ok("verify")["level"], "Artifact");
    let folder = world.path("backups/release/7/graph-1");
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("is there")).expect("JSON");
    assert_eq!(
        manifest["source"],
        json!({"database": "neo4j", "version": "5.26.30", "nodes": 1085, "relationships": 1415})
    );
    assert_eq!(manifest["tool"], "APOC 5.26.19");
    // Taking it changed nothing, and what docs/engines/neo4j.md says brings it back.
    assert_eq!(told(), before);
    http().empty();
    let text = fs::read_to_string(folder.join("data/neo4j.cypher")).expect("is there");
    for statement in text.split(";\n").filter(|it| !it.trim().is_empty()) {
        http().rows(statement);
    }
    assert_eq!(told(), before);
    let dump = folder.join("data/neo4j.cypher");
    fs::write(&dump, &text[1..]).expect("room");
    assert!(prove(&world, &taken).message().contains("neo4j.cypher has"), "damaged");
}

#[test]
fn as_graphml_and_into_a_bucket() {
    let world = World::in_bucket("neo4j-export");
    let _server = filled();
    let taken = export(&world, &[("format", "Graphml")]).ok("backup");
    let bucket = world.bucket.as_ref().expect("this world has one");
    let key = "some/where/release/7/graph-1/data/neo4j.graphml";
    assert!(bucket.keys().contains(&key.to_owned()));
    let text = String::from_utf8(bucket.get(key)).expect("text");
    let all = |of: &str| text.matches(of).count();
    assert_eq!((all("<node "), all("<edge "), all("</graphml>")), (1085, 1415, 1));
    assert_eq!(prove(&world, &taken).ok("verify")["sha256"], taken["sha256"]);
    let taken = export(&world, &[]).ok("backup");
    assert_eq!(taken["path"], "release/7/graph-1-2", "a place of its own");
    bucket.put("some/where/release/7/graph-1-2/data/neo4j.cypher", b"CREATE ()");
    assert!(prove(&world, &taken).message().contains("has 9 bytes, not"), "damaged");
}

#[test]
fn what_is_no_export_leaves_nothing_behind() {
    let world = World::new();
    let _server = filled();
    let nothing_left = || {
        let left = fs::read_dir(world.path("backups/release/7"));
        assert_eq!(left.map_or(0, Iterator::count), 0);
    };
    // A driver that was slow: a newer one owns the graph.
    let late = export(&world, &[("epoch", "2")]);
    assert_eq!((late.code, late.result["failed"]["code"].as_str()), (Some(43), Some("Overtaken")));
    nothing_left();
    let without = export(&world, &[("port", &env("PORT"))]);
    assert_eq!(without.code, Some(42));
    assert!(
        without.message().contains("there is no procedure apoc.export.cypher.all for this user"),
        "{}",
        without.message()
    );
    nothing_left();
    // Somebody who writes meanwhile.
    let stop = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                http().rows("CREATE (:Busy)");
            }
        });
        let done = export(&world, &[]);
        stop.store(true, Ordering::Relaxed);
        done
    });
    assert!(done.message().starts_with("the export is not whole: "), "{}", done.message());
    assert_eq!((done.code, done.result["failed"]["code"].as_str()), (Some(1), Some("NotWhole")));
    nothing_left();
    let odd = export(&world, &[("database", "../../neo4j")]);
    assert!(odd.message().contains("this is no name of a database of Neo4j"), "{}", odd.message());
    nothing_left();
    fs::write(world.path("credentials/password"), "not-the-password").expect("room");
    assert!(export(&world, &[]).message().contains("no login"), "a wrong password");
    nothing_left();
}
