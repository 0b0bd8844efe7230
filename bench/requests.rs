//! 200 `.http` scripts against an empty search server: Whimbrel's engine beside elasticsearch-evolution.
//!
//! Needs `testbed/search up`, `eval "$(testbed/search env)"` and the library's folder in `WHIMBREL_TEST_EVOLUTION`.
//! `make bench-requests` runs it; bench/README.md says what is compared and how to read it. Prints, asserts nothing about
//! time.

mod rounds;

use rounds::{Outcome, Rounds, Side, number};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use whimbrel::engine::search::{History, Kept, Names, Search, Settings};
use whimbrel::engine::{Claim, Engine, Fence, Session, Tls, TlsMode};
use whimbrel::script::{Dialect, Layout, read_bundle};

const ROUNDS: usize = 3;
const SCRIPTS: usize = 200;
const HISTORY: &str = "default";
const PEER: &str = "es_evolution";

#[tokio::main]
async fn main() -> Outcome<()> {
    let (scripts, rounds) = (number("BENCH_SCRIPTS", SCRIPTS)?, number("BENCH_ROUNDS", ROUNDS)?);
    let bed = Bed { url: env("WHIMBREL_TEST_OPENSEARCH")?, library: env("WHIMBREL_TEST_EVOLUTION")? };
    let (folder, none) = (tempfile::tempdir()?, tempfile::tempdir()?);
    for n in 1..=scripts {
        std::fs::write(folder.path().join(format!("V{n:04}__change_{n}.http")), script(n))?;
    }
    // What neither is to pay for: a server that has not compiled its own code yet.
    bed.empty()?;
    bed.whimbrel(folder.path()).await?;
    bed.empty()?;
    let begun = Instant::now();
    bed.evolution(none.path())?;
    let start = begun.elapsed().as_secs_f64();
    println!(
        "{scripts} scripts, {rounds} rounds; elasticsearch-evolution needs {start:.1} s to start and look"
    );
    let rounds = Rounds { peer: "evolution", number: rounds, unit: ("s", 1.0) };
    let run = async |side, _| {
        bed.empty()?;
        let begun = Instant::now();
        match side {
            Side::Whimbrel => bed.whimbrel(folder.path()).await?,
            Side::Peer => bed.evolution(folder.path())?,
        }
        let seconds = begun.elapsed().as_secs_f64();
        // A fast run that did half of the work is no result.
        bed.ask("POST", "/_refresh", "")?;
        let done = bed.ask("GET", &format!("/{PEER}/_count?q=success:true"), "")?["count"].clone();
        let documents = bed.ask("GET", "/things/_count", "")?["count"].clone();
        if done != scripts || documents != scripts - 1 {
            return Err(format!("{done} rows, {documents} documents").into());
        }
        Ok(seconds)
    };
    rounds.compare(run).await
}

/// An index, then a document each.
fn script(n: usize) -> String {
    match n {
        1 => "PUT /things\nContent-Type: application/json\n\n{\"settings\": {\"number_of_replicas\": 0, \"number_of_shards\": 1}}\n".to_owned(),
        n => format!("PUT /things/_doc/{n}\nContent-Type: application/json\n\n{{\"n\": {n}, \"name\": \"thing {n}\"}}\n"),
    }
}

struct Bed {
    url: String,
    library: String,
}

impl Bed {
    /// Without an index: what the run before wrote is not this run's work.
    fn empty(&self) -> Outcome<()> {
        let all = self.ask("GET", "/_cat/indices?format=json&h=index&expand_wildcards=all", "")?;
        let names = all.as_array().into_iter().flatten().filter_map(|it| it["index"].as_str());
        for name in names.filter(|name| !name.starts_with('.') || name.contains("whimbrel")) {
            self.ask("DELETE", &format!("/{name}"), "")?;
        }
        Ok(())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Outcome<Value> {
        let output = Command::new("curl")
            .args(["--silent", "--request", method, "--header", "content-type: application/json"])
            .args(["--data-binary", body, &format!("{}{path}", self.url)])
            .output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// As the operator does it: read and check the bundle, enter, apply, leave.
    async fn whimbrel(&self, folder: &Path) -> Outcome<()> {
        let mut source = BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            source.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?);
        }
        let bundle = read_bundle(source, Some(Layout::Http), Dialect::Http)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let fence = Fence {
            target: "bench/search".to_owned(),
            run_uid: "0f5d7a1c-88aa-4a63-9b65-000000000001".to_owned(),
            run: 1,
            plan: "bench/release".to_owned(),
            cluster: "bench".to_owned(),
            token: 1,
        };
        let mut session = Search::new(self.settings()).enter(&fence).await?;
        for script in &bundle.scripts {
            session.apply(HISTORY, script).await?;
        }
        Ok(session.leave(Claim::GiveUp).await?)
    }

    fn settings(&self) -> Settings {
        Settings {
            target: "bench/search".to_owned(),
            url: self.url.clone(),
            tls: Tls { mode: TlsMode::Disable, ca: None, client: None },
            credentials: None,
            indices: vec!["things".to_owned()],
            names: Names::Concrete,
            repository: None,
            histories: vec![History {
                name: HISTORY.to_owned(),
                kept: Kept::Evolution { index: PEER.to_owned() },
            }],
            identity_expect: None,
            connect_timeout: Settings::CONNECT_TIMEOUT,
            request_timeout: Settings::REQUEST_TIMEOUT,
            lease: Settings::LEASE,
            diagnostics_full: false,
        }
    }

    /// The library as an application would use it.
    fn evolution(&self, folder: &Path) -> Outcome<()> {
        let output = Command::new("java")
            .args(["-cp", &format!("{0}:{0}/lib/*", self.library), "Evolve", &self.url])
            .arg(folder)
            .output()?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    }
}

fn env(name: &str) -> Outcome<String> {
    Ok(std::env::var(name).map_err(|_| format!("{name} is not set: `make bench-requests` sets it"))?)
}
