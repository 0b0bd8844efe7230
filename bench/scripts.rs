//! 1,000 small scripts into an empty database: Whimbrel's engine beside one psql session that runs the same files.
//!
//! Needs `testbed/postgres up` and `eval "$(testbed/postgres env)"`. `make bench-scripts` runs it; bench/README.md says
//! what is compared and how to read it. Prints, asserts nothing about time.

mod rounds;
mod server;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use rounds::{Outcome, Rounds, Side, number};
use server::{HISTORY, Server, fence};
use whimbrel::engine::postgresql::Postgresql;
use whimbrel::engine::{Claim, Engine, Session};
use whimbrel::script::{Dialect, Layout, checksum, read_bundle};

/// How often each of the two runs; odd, so that the median is one of the runs.
const ROUNDS: usize = 7;
const SCRIPTS: usize = 1000;

#[tokio::main]
async fn main() -> Outcome<()> {
    let (scripts, rounds) = (number("BENCH_SCRIPTS", SCRIPTS)?, number("BENCH_ROUNDS", ROUNDS)?);
    let server = Server::of_the_testbed()?;
    let folder = tempfile::tempdir()?;
    let files = Files::write(folder.path(), scripts)?;
    let version = server.ask("postgres", "SHOW server_version")?;
    println!("{scripts} scripts, {rounds} rounds, PostgreSQL {version}");

    // What neither is to pay for: the server's first use of its catalogue, our binary's first page faults.
    for side in [Side::Whimbrel, Side::Peer] {
        run(&server, side, &files).await?;
    }
    let rounds = Rounds { peer: "psql", number: rounds, unit: ("ms", 1000.0) };
    rounds.compare(async |side, _| run(&server, side, &files).await).await
}

/// The scripts as files, and the one file that tells psql to run them.
struct Files {
    folder: PathBuf,
    psql: PathBuf,
    count: usize,
}

impl Files {
    fn write(folder: &Path, count: usize) -> Outcome<Self> {
        let scripts = folder.join("scripts");
        std::fs::create_dir(&scripts)?;
        let mut psql = PSQL_HISTORY.to_owned();
        for n in 1..=count {
            let (file, text) = (format!("V{n:04}__change_{n}.sql"), script(n));
            // What a careful shell script does: the file and its row in one transaction.
            writeln!(
                psql,
                "BEGIN;\n\\i scripts/{file}\nINSERT INTO history (rank, version, description, file, checksum) \
                 VALUES ({n}, '{n}', 'change {n}', '{file}', '{}');\nCOMMIT;",
                checksum(&text)
            )?;
            std::fs::write(scripts.join(file), text)?;
        }
        let all = folder.join("all.sql");
        std::fs::write(&all, psql)?;
        Ok(Self { folder: folder.to_owned(), psql: all, count })
    }
}

const PSQL_HISTORY: &str = "CREATE TABLE history (rank bigint PRIMARY KEY, version text NOT NULL UNIQUE, \
    description text NOT NULL, file text NOT NULL, checksum text NOT NULL, applied_by text NOT NULL DEFAULT session_user, \
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp());\n";

/// Four kinds in turn, each about the table that the first of the four made.
fn script(n: usize) -> String {
    let table = n.div_ceil(4);
    match n % 4 {
        1 => format!(
            "-- A table.\nCREATE TABLE thing_{table} (\n  id bigint PRIMARY KEY,\n  name text NOT NULL,\n  \
             made_at timestamptz NOT NULL DEFAULT now()\n);\n"
        ),
        2 => format!(
            "INSERT INTO thing_{table} (id, name)\nSELECT n, 'thing ' || n FROM generate_series(1, 20) n;\n"
        ),
        3 => format!(
            "ALTER TABLE thing_{table} ADD COLUMN price numeric(10, 2);\nUPDATE thing_{table} SET price = id * 1.5;\n"
        ),
        _ => format!("CREATE INDEX thing_{table}_name ON thing_{table} (name);\n"),
    }
}

/// Seconds that one of the two needs from the files to its goodbye, in a database of its own.
async fn run(server: &Server, side: Side, files: &Files) -> Outcome<f64> {
    let database = format!("whimbrel_bench_{}", std::process::id());
    server.ask("postgres", &format!("CREATE DATABASE {database}"))?;
    // What the run before wrote is not this run's work.
    server.ask("postgres", "CHECKPOINT")?;
    let begun = Instant::now();
    let done = match side {
        Side::Whimbrel => whimbrel(server, &database, files).await,
        Side::Peer => psql_files(server, &database, files),
    };
    let time = begun.elapsed().as_secs_f64();
    let table = match side {
        Side::Whimbrel => "whimbrel.history",
        Side::Peer => "history",
    };
    let rows = server.ask(&database, &format!("SELECT count(*) FROM {table}"));
    server.ask("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"))?;
    done?;
    // A fast run that did half of the work is no result.
    let rows = rows?;
    if rows == files.count.to_string() { Ok(time) } else { Err(format!("{rows} rows in {table}").into()) }
}

/// As the operator does it: read and check the bundle, enter, apply, leave.
async fn whimbrel(server: &Server, database: &str, files: &Files) -> Outcome<()> {
    let mut source = BTreeMap::new();
    for entry in std::fs::read_dir(files.folder.join("scripts"))? {
        let entry = entry?;
        source.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?);
    }
    let bundle = read_bundle(source, Some(Layout::Flyway), Dialect::Postgresql)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let mut session = Postgresql::new(server.settings(database)?).enter(&fence(database)).await?;
    for script in &bundle.scripts {
        session.apply(HISTORY, script).await?;
    }
    Ok(session.leave(Claim::GiveUp).await?)
}

fn psql_files(server: &Server, database: &str, files: &Files) -> Outcome<()> {
    let all = files.psql.to_string_lossy();
    let status = server
        .tool("psql", database)
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", &all])
        .current_dir(&files.folder)
        .stdout(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("psql ended with {status}").into()) }
}
