//! A database of 2 GiB put back from its backup: Whimbrel beside pg_restore alone.
//!
//! Needs `testbed/postgres up` and `eval "$(testbed/postgres env)"`. `make bench-restore` runs it; bench/README.md says
//! what is compared and how to read it. Prints, asserts nothing about time.

mod rounds;
mod server;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rounds::{Outcome, Rounds, Side, number};
use server::{Server, fence};
use whimbrel::backup::{self, Connection, Of, Restore, Storage, Take, Taken, TlsMode};
use whimbrel::engine::postgresql::{Postgresql, tool_name};
use whimbrel::engine::{Claim, Engine, Session, Stamp};

/// How often each of the two runs; odd, so that the median is one of the runs.
const ROUNDS: usize = 3;
const GIB: usize = 2;
/// Tables that a Job of Whimbrel's restores at the same time; pg_restore gets as many.
const JOBS: u32 = 2;
const TABLES: usize = 4;

#[tokio::main]
async fn main() -> Outcome<()> {
    let (gib, rounds) = (number("BENCH_GIB", GIB)?, number("BENCH_ROUNDS", ROUNDS)?);
    let bed = Bed::make(gib).await?;
    let rounds = Rounds { peer: "pg_restore", number: rounds, unit: ("s", 1.0) };
    let done = rounds.compare(async |side, round| match side {
        Side::Whimbrel => bed.whimbrel(round).await,
        Side::Peer => bed.pg_restore(),
    });
    done.await?;
    bed.drop()
}

/// The database, and the backup of it.
struct Bed {
    server: Server,
    database: String,
    folder: tempfile::TempDir,
    taken: Taken,
    stamp: Stamp,
}

impl Bed {
    async fn make(gib: usize) -> Outcome<Self> {
        let server = Server::of_the_testbed()?;
        let database = format!("whimbrel_bench_{}", std::process::id());
        let folder = tempfile::tempdir()?;
        for name in ["credentials", "private", "backups"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let secret = |name: &str, text: &[u8]| -> Outcome<()> {
            let path = folder.path().join("credentials").join(name);
            fs::File::create(&path)?.write_all(text)?;
            Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?)
        };
        secret("username", server.user.as_bytes())?;
        secret("password", server.password.as_bytes())?;
        secret("ca.crt", &fs::read(&server.ca)?)?;
        server.ask("postgres", &format!("CREATE DATABASE {database}"))?;
        println!("filling {gib} GiB in {TABLES} tables");
        for table in 1..=TABLES {
            fill(&server, &database, table, gib)?;
        }
        let engine = Postgresql::new(server.settings(&database)?);
        engine.enter(&fence(&database)).await?.leave(Claim::Keep).await?;
        let proof = engine.proof().await?;
        let stamp = Stamp { histories: proof.histories, structure: Some(proof.structure), mark: None };
        let take = Take {
            connection: connection(&server, &database, folder.path(), "pgdump"),
            of: of(),
            epoch: 1,
            attempt: 1,
            storage: Storage::Folder(folder.path().join("backups")),
            run_folder: PathBuf::from("bench/1"),
            jobs: JOBS,
        };
        let begun = Instant::now();
        let taken = backup::take(&take, std::future::pending(), |_, _, _| {}).await?;
        let size = server.ask(&database, "SELECT pg_size_pretty(pg_database_size(current_database()))")?;
        let mib = taken.bytes >> 20;
        println!(
            "{size} in the database, {mib} MiB in the backup, taken in {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        Ok(Self { server, database, folder, taken, stamp })
    }

    /// Seconds from the verified backup to the database in its place: files checked, copy made, compared, analysed,
    /// stamped, swapped in.
    async fn whimbrel(&self, round: usize) -> Outcome<f64> {
        self.server.ask("postgres", "CHECKPOINT")?;
        let mut fence = fence(&self.database);
        // Each round is a run of its own, or the second would find the copy of the first.
        fence.run = round as u64;
        let begun = Instant::now();
        let restore = Restore {
            connection: connection(&self.server, &self.database, self.folder.path(), "pgrestore"),
            of: of(),
            run: fence.run,
            run_uid: fence.run_uid.clone(),
            epoch: fence.token,
            storage: Storage::Folder(self.folder.path().join("backups")),
            path: PathBuf::from(&self.taken.path),
            sha256: self.taken.sha256.clone(),
            jobs: JOBS,
        };
        backup::restore(&restore, |_, _, _| {}).await?;
        let engine = Postgresql::new(self.server.settings(&self.database)?);
        let put = engine.put_back(&fence, &self.stamp).await?;
        let time = begun.elapsed().as_secs_f64();
        self.complete(&self.database)?;
        self.server.ask("postgres", &format!("DROP DATABASE {} WITH (FORCE)", put.aside))?;
        Ok(time)
    }

    /// Seconds of `createdb` and `pg_restore`, with as many tables at a time.
    fn pg_restore(&self) -> Outcome<f64> {
        let name = format!("{}_alone", self.database);
        self.server.ask("postgres", "CHECKPOINT")?;
        let begun = Instant::now();
        self.server.ask("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        let data = self.folder.path().join("backups").join(&self.taken.path).join("data");
        let status = self
            .server
            .tool("pg_restore", &name)
            .args(["--exit-on-error", &format!("--jobs={JOBS}")])
            .arg(data)
            .status()?;
        let time = begun.elapsed().as_secs_f64();
        if !status.success() {
            return Err(format!("pg_restore ended with {status}").into());
        }
        self.complete(&name)?;
        self.server.ask("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"))?;
        Ok(time)
    }

    /// A fast run that did half of the work is no result.
    fn complete(&self, database: &str) -> Outcome<()> {
        let tables = self
            .server
            .ask(database, "SELECT count(*) FROM pg_stat_user_indexes WHERE schemaname = 'public'")?;
        let expected = (2 * TABLES).to_string();
        if tables == expected {
            Ok(())
        } else {
            Err(format!("{tables} indexes in {database}, not {expected}").into())
        }
    }

    fn drop(self) -> Outcome<()> {
        self.server.ask("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.database)).map(|_| ())
    }
}

/// A table of its share: rows of some 400 bytes that hardly compress, a primary key and one more index.
fn fill(server: &Server, database: &str, table: usize, gib: usize) -> Outcome<()> {
    const ROW: usize = 460;
    let rows = (gib << 30) / TABLES / ROW;
    server.ask(
        database,
        &format!(
            "CREATE TABLE thing_{table} AS SELECT n::bigint AS id, md5(n::text) AS name,
               (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 10) WHERE n > 0) AS body
               FROM generate_series(1, {rows}) n;
             ALTER TABLE thing_{table} ADD PRIMARY KEY (id); CREATE INDEX ON thing_{table} (name)"
        ),
    )?;
    Ok(())
}

fn connection(server: &Server, database: &str, folder: &Path, tool: &str) -> Connection {
    Connection {
        host: "localhost".to_owned(),
        port: server.port,
        database: database.to_owned(),
        tls: TlsMode::VerifyFull,
        credentials: folder.join("credentials"),
        private: folder.join("private"),
        application_name: tool_name(&fence(database), tool),
    }
}

fn of() -> Of {
    Of { plan_uid: "bench".to_owned(), run: 1, target: "bench".to_owned() }
}
