//! 1,000 small scripts into an empty database: Whimbrel's engine beside one psql session that runs the same files.
//!
//! Needs `testbed/postgres up` and `eval "$(testbed/postgres env)"`. `make bench-scripts` runs it; bench/README.md says
//! what is compared and how to read it. Prints, asserts nothing about time.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use whimbrel::engine::postgresql::{
    Credentials, CredentialsSource, History, Postgresql, Settings, Tls, TlsMode,
};
use whimbrel::engine::{Claim, Engine, Fence, Session};
use whimbrel::script::{Dialect, Layout, checksum, read_bundle};

type Outcome<T> = Result<T, Box<dyn Error>>;

const HISTORY: &str = "default";
/// How often each of the two runs; odd, so that the median is one of the runs.
const ROUNDS: usize = 7;
const SCRIPTS: usize = 1000;

/// The two that are compared.
#[derive(Clone, Copy)]
enum Runner {
    Whimbrel,
    Psql,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is '{text}': it must be a number")),
        Err(_) => Ok(default),
    };
    let (scripts, rounds) = (number("BENCH_SCRIPTS", SCRIPTS)?, number("BENCH_ROUNDS", ROUNDS)?);
    let server = Server::of_the_testbed()?;
    let folder = tempfile::tempdir()?;
    let files = Files::write(folder.path(), scripts)?;
    let version = server.ask("postgres", "SHOW server_version")?;
    println!("{scripts} scripts, {rounds} rounds, PostgreSQL {version}");

    // What neither is to pay for: the server's first use of its catalogue, our binary's first page faults.
    for runner in [Runner::Whimbrel, Runner::Psql] {
        server.run(runner, &files).await?;
    }
    let (mut whimbrel, mut psql, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    println!("{:>6}  {:>11}  {:>11}  {:>6}", "round", "whimbrel", "psql", "ratio");
    for round in 1..=rounds {
        // The order alternates: a server that gets slower, or a machine that gets busy, harms both alike.
        let (ours, theirs) = if round % 2 == 1 {
            let ours = server.run(Runner::Whimbrel, &files).await?;
            (ours, server.run(Runner::Psql, &files).await?)
        } else {
            let theirs = server.run(Runner::Psql, &files).await?;
            (server.run(Runner::Whimbrel, &files).await?, theirs)
        };
        let ratio = ours / theirs;
        print_line(&round.to_string(), ours, theirs, ratio);
        whimbrel.push(ours);
        psql.push(theirs);
        ratios.push(ratio);
    }
    // The median of the rounds' own ratios: the two of one round met the same machine.
    print_line("median", median(whimbrel), median(psql), median(ratios));
    Ok(())
}

fn print_line(name: &str, ours: f64, theirs: f64, ratio: f64) {
    println!("{name:>6}  {ours:>8.0} ms  {theirs:>8.0} ms  {ratio:>6.2}");
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
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

/// The testbed's server.
struct Server {
    port: u16,
    user: String,
    password: String,
    ca: String,
}

impl Server {
    fn of_the_testbed() -> Outcome<Self> {
        let env = |name: &str| {
            let name = format!("WHIMBREL_TEST_POSTGRES{name}");
            std::env::var(&name).map_err(|_| format!("{name} is not set: eval \"$(testbed/postgres env)\""))
        };
        Ok(Self {
            port: env("_PORT")?.parse()?,
            user: env("_USER")?,
            password: env("_PASSWORD")?,
            ca: env("_CA")?,
        })
    }

    /// Milliseconds that one of the two needs from the files to its goodbye, in a database of its own.
    async fn run(&self, runner: Runner, files: &Files) -> Outcome<f64> {
        let database = format!("whimbrel_bench_{}", std::process::id());
        self.ask("postgres", &format!("CREATE DATABASE {database}"))?;
        // What the run before wrote is not this run's work.
        self.ask("postgres", "CHECKPOINT")?;
        let begun = Instant::now();
        let done = match runner {
            Runner::Whimbrel => self.whimbrel(&database, files).await,
            Runner::Psql => self.psql_files(&database, files),
        };
        let time = begun.elapsed().as_secs_f64() * 1000.0;
        let table = match runner {
            Runner::Whimbrel => "whimbrel.history",
            Runner::Psql => "history",
        };
        let rows = self.ask(&database, &format!("SELECT count(*) FROM {table}"));
        self.ask("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"))?;
        done?;
        // A fast run that did half of the work is no result.
        let rows = rows?;
        if rows == files.count.to_string() { Ok(time) } else { Err(format!("{rows} rows in {table}").into()) }
    }

    /// As the operator does it: read and check the bundle, enter, apply, leave.
    async fn whimbrel(&self, database: &str, files: &Files) -> Outcome<()> {
        let mut source = BTreeMap::new();
        for entry in std::fs::read_dir(files.folder.join("scripts"))? {
            let entry = entry?;
            source.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?);
        }
        let bundle = read_bundle(source, Some(Layout::Flyway), Dialect::Postgresql)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let mut session = Postgresql::new(self.settings(database)?).enter(&fence(database)).await?;
        for script in &bundle.scripts {
            session.apply(HISTORY, script).await?;
        }
        Ok(session.leave(Claim::GiveUp).await?)
    }

    fn psql_files(&self, database: &str, files: &Files) -> Outcome<()> {
        let all = files.psql.to_string_lossy();
        let status = self
            .psql(database)
            .args(["-f", &all])
            .current_dir(&files.folder)
            .stdout(Stdio::null())
            .status()?;
        if status.success() { Ok(()) } else { Err(format!("psql ended with {status}").into()) }
    }

    /// One value or line per row.
    fn ask(&self, database: &str, sql: &str) -> Outcome<String> {
        let output = self.psql(database).args(["-c", sql]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// With the engine's own demands: a checked certificate, and acknowledged means durable.
    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new("psql");
        command
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "localhost", "-U", &self.user, "-d", database])
            .env("PGPORT", self.port.to_string())
            .env("PGPASSWORD", &self.password)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", &self.ca)
            .env("PGOPTIONS", "-c synchronous_commit=on");
        command
    }

    fn settings(&self, database: &str) -> Outcome<Settings> {
        Ok(Settings {
            target: format!("bench/{database}"),
            host: "localhost".to_owned(),
            port: self.port,
            database: database.to_owned(),
            tls: Tls { mode: TlsMode::VerifyFull, ca: Some(std::fs::read(&self.ca)?), client: None },
            credentials: credentials(&self.user, &self.password),
            histories: vec![History { name: HISTORY.to_owned() }],
            identity_expect: None,
            connect_timeout: Settings::CONNECT_TIMEOUT,
            lock_timeout: Settings::LOCK_TIMEOUT,
            statement_timeout: Settings::STATEMENT_TIMEOUT,
            quiet_ignore: Vec::new(),
            diagnostics_full: false,
        })
    }
}

fn credentials(user: &str, password: &str) -> CredentialsSource {
    let credentials = Credentials { user: user.to_owned(), password: password.to_owned() };
    Arc::new(move || {
        let credentials = credentials.clone();
        async move { Ok(credentials) }.boxed()
    })
}

fn fence(database: &str) -> Fence {
    Fence {
        target: format!("bench/{database}"),
        run_uid: "0f5d7a1c-88aa-4a63-9b65-000000000001".to_owned(),
        run: 1,
        plan: "bench/release".to_owned(),
        cluster: "bench".to_owned(),
        token: 1,
    }
}
