//! 1,000 Cypher scripts into an empty graph: Whimbrel's engine beside neo4j-migrations' own command line.
//!
//! Needs `testbed/neo4j up` and `eval "$(testbed/neo4j env)"`. `make bench-cypher` runs it; bench/README.md says what is
//! compared and how to read it. Prints, asserts nothing about time.

#[path = "../tests/neo4j/http.rs"]
mod http;
mod rounds;
#[path = "../tests/neo4j/testbed.rs"]
mod testbed;

use rounds::{Outcome, Rounds, Side, number};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use testbed::{empty, env, rows};
use whimbrel::engine::neo4j::{Format, History, Neo4j, Settings};
use whimbrel::engine::{Claim, Credentials, Engine, Fence, Session, Tls, TlsMode, fixed_credentials};
use whimbrel::script::{Dialect, Layout, read_bundle};

/// Each of the two needs about a minute for its thousand.
const ROUNDS: usize = 3;
const SCRIPTS: usize = 1000;
const HISTORY: &str = "default";

#[tokio::main]
async fn main() -> Outcome<()> {
    let (scripts, rounds) = (number("BENCH_SCRIPTS", SCRIPTS)?, number("BENCH_ROUNDS", ROUNDS)?);
    let folder = tempfile::tempdir()?;
    for n in 1..=scripts {
        std::fs::write(folder.path().join(format!("V{n:04}__change_{n}.cypher")), script(n))?;
    }
    let jars = said(Command::new("testbed/neo4j").arg("migrations"))?;
    // What neither is to pay for: a server that has not compiled its own code yet.
    empty();
    whimbrel(folder.path()).await?;
    empty();
    let begun = Instant::now();
    tool(&jars, folder.path(), "info")?;
    let start = begun.elapsed().as_secs_f64();
    println!("{scripts} scripts, {rounds} rounds; neo4j-migrations needs {:.1} s to start and look", start);
    let rounds = Rounds { peer: "neo4j-migrations", number: rounds, unit: ("s", 1.0) };
    let mut ours = Vec::new();
    let run = async |side, _| {
        empty();
        let begun = Instant::now();
        match side {
            Side::Whimbrel => ours = whimbrel(folder.path()).await?,
            Side::Peer => drop(tool(&jars, folder.path(), "apply")?),
        }
        let seconds = begun.elapsed().as_secs_f64();
        // A fast run that did half of the work is no result.
        let done = rows("MATCH (m:__Neo4jMigration) WHERE m.version <> 'BASELINE' RETURN count(m)");
        let things = rows("MATCH (t:Thing) WHERE t.price IS NOT NULL RETURN count(t)");
        let wanted = [[(scripts).into()], [(scripts.div_ceil(4) * 20).into()]];
        if [&done[0][..], &things[0][..]] != wanted.each_ref().map(|it: &[serde_json::Value; 1]| &it[..]) {
            return Err(format!("{done:?} rows, {things:?} nodes").into());
        }
        Ok(seconds)
    };
    rounds.compare(run).await?;
    for (kind, what) in ["an index", "nodes", "two updates", "relationships"].into_iter().enumerate() {
        let of_kind: Vec<f64> = ours.iter().skip(kind).step_by(4).copied().collect();
        let mean = of_kind.iter().sum::<f64>() / of_kind.len().max(1) as f64;
        println!("whimbrel, last round: {what}: {:.1} ms a script", mean * 1000.0);
    }
    Ok(())
}

/// Four kinds in turn, each about the nodes that the second of the four made.
fn script(n: usize) -> String {
    let kind = n.div_ceil(4);
    match n % 4 {
        1 => format!("// An index.\nCREATE INDEX thing_{kind} FOR (t:Thing{kind}) ON (t.id);\n"),
        2 => format!("UNWIND range(1, 20) AS n CREATE (:Thing:Thing{kind} {{id: n, name: 'thing ' + n}});\n"),
        3 => format!(
            "MATCH (t:Thing{kind}) SET t.price = t.id * 1.5;\nMATCH (t:Thing{kind}) SET t.seen = 0;\n"
        ),
        _ => {
            format!("MATCH (a:Thing{kind}), (b:Thing{kind}) WHERE b.id = a.id + 1 CREATE (a)-[:NEXT]->(b);\n")
        }
    }
}

/// As the operator does it: read and check the bundle, enter, apply, leave. The seconds that each script took.
async fn whimbrel(folder: &Path) -> Outcome<Vec<f64>> {
    let mut source = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        source.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?);
    }
    let bundle = read_bundle(source, Some(Layout::Cypher), Dialect::Cypher)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let fence = Fence {
        target: "bench/graph".to_owned(),
        run_uid: "0f5d7a1c-88aa-4a63-9b65-000000000001".to_owned(),
        run: 1,
        plan: "bench/release".to_owned(),
        cluster: "bench".to_owned(),
        token: 1,
    };
    let mut session = Neo4j::new(settings()?).enter(&fence).await?;
    let mut took = Vec::new();
    for script in &bundle.scripts {
        let begun = Instant::now();
        session.apply(HISTORY, script).await?;
        took.push(begun.elapsed().as_secs_f64());
    }
    session.leave(Claim::GiveUp).await?;
    Ok(took)
}

fn settings() -> Outcome<Settings> {
    let credentials = Credentials { user: env("USER"), password: env("PASSWORD") };
    Ok(Settings {
        target: "bench/graph".to_owned(),
        host: "localhost".to_owned(),
        port: env("PORT").parse()?,
        database: "neo4j".to_owned(),
        tls: Tls { mode: TlsMode::Disable, ca: None, client: None },
        credentials: fixed_credentials(credentials),
        histories: vec![History { name: HISTORY.to_owned(), format: Format::Neo4jMigrations }],
        identity_expect: None,
        connect_timeout: Settings::CONNECT_TIMEOUT,
        lock_timeout: Settings::LOCK_TIMEOUT,
        statement_timeout: Settings::STATEMENT_TIMEOUT,
        quiet_ignore: Vec::new(),
        diagnostics_full: false,
    })
}

/// The command line as its users start it, with the heap and the compilers that Java chooses by itself.
fn tool(jars: &str, folder: &Path, command: &str) -> Outcome<String> {
    said(
        Command::new("java")
            .args(["-cp", &format!("{jars}/*"), "ac.simons.neo4j.migrations.cli.MigrationsCli"])
            .args(["--address", &format!("bolt://localhost:{}", env("PORT"))])
            .args(["--username", &env("USER"), "--password:env", "NEO4J_BENCH_PASSWORD"])
            .args(["--location", &format!("file://{}", folder.display()), command])
            .env("NEO4J_BENCH_PASSWORD", env("PASSWORD")),
    )
}

fn said(command: &mut Command) -> Outcome<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
