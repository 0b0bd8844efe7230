//! An empty cluster per test, and curl as the independent witness.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};
use whimbrel::engine::postgresql::{Tls, TlsMode};
use whimbrel::engine::search::{History, Kept, Login, Names, Search, SearchSession, Settings};
use whimbrel::engine::{Engine, EngineError, Fence};
use whimbrel::script::{Dialect, Layout, Script, read_bundle};

pub(crate) const HISTORY: &str = "default";
pub(crate) const PEER: &str = "es_evolution";

/// A cluster has one fence: one test at a time.
static ONE: Mutex<()> = Mutex::const_new(());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    OpenSearch,
    Elasticsearch,
}

/// A cluster with nothing in it.
pub(crate) struct Bed {
    product: Product,
    _alone: MutexGuard<'static, ()>,
}

pub(crate) fn env(name: &str) -> String {
    let name = format!("WHIMBREL_TEST_{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: eval \"$(testbed/search env)\""))
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::of(Product::OpenSearch).await
    }

    pub(crate) async fn of(product: Product) -> Self {
        let bed = Self { product, _alone: ONE.lock().await };
        let repositories = bed.get("/_snapshot");
        for name in repositories.as_object().into_iter().flatten().map(|(name, _)| name) {
            bed.curl("DELETE", &format!("/_snapshot/{name}/*"), None);
            bed.curl("DELETE", &format!("/_snapshot/{name}"), None);
        }
        let indices = bed.get("/_cat/indices?format=json&expand_wildcards=all&h=index");
        let names = indices.as_array().cloned().unwrap_or_default();
        let names = names.iter().filter_map(|index| index["index"].as_str());
        // The server's own users and tasks stay.
        for name in names.filter(|name| !name.starts_with(".security")) {
            bed.curl("DELETE", &format!("/{name}"), None);
        }
        for (path, list) in
            [("/_index_template", "index_templates"), ("/_component_template", "component_templates")]
        {
            let all = bed.get(path);
            for name in all[list].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()) {
                if name.starts_with("wb-") {
                    bed.curl("DELETE", &format!("{path}/{name}"), None);
                }
            }
        }
        bed
    }

    pub(crate) fn url(&self) -> String {
        match self.product {
            Product::OpenSearch => env("OPENSEARCH"),
            Product::Elasticsearch => env("ELASTICSEARCH"),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The status and body of a request, by another client than ours.
    pub(crate) fn curl(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "--config", "-"]);
        command.args(if method == "HEAD" { vec!["--head"] } else { vec!["--request", method] });
        if let Some(body) = body {
            let kind = if path.contains("_bulk") { "application/x-ndjson" } else { "application/json" };
            command.args(["--header", &format!("content-type: {kind}"), "--data-binary", body]);
        }
        let mut config = String::new();
        if self.product == Product::Elasticsearch {
            config = format!("user = \"{}:{}\"\n", env("ELASTICSEARCH_USER"), env("ELASTICSEARCH_PASSWORD"));
            command.args(["--cacert", &env("ELASTICSEARCH_CA")]);
        }
        let mut child = command
            .arg(format!("{}{path}", self.url()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is there");
        child.stdin.take().expect("piped").write_all(config.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (text, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a status"), serde_json::from_str(text).unwrap_or(Value::Null))
    }

    /// What a GET finds.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.curl("GET", path, None).1
    }

    /// A request that must succeed.
    pub(crate) fn put(&self, path: &str, body: &str) -> Value {
        let (status, answer) = self.curl("PUT", path, Some(body));
        assert!(status < 300, "{path}: {answer}");
        answer
    }

    /// How many documents an index has, seen after a refresh.
    pub(crate) fn count(&self, index: &str) -> u64 {
        self.curl("POST", &format!("/{index}/_refresh"), None);
        self.get(&format!("/{index}/_count"))["count"].as_u64().unwrap_or_default()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.curl("HEAD", path, None).0 == 200
    }

    /// `documents` documents `{"n": 1 …}`.
    pub(crate) fn fill(&self, index: &str, documents: usize) {
        let mut body = String::new();
        for n in 1..=documents {
            body.push_str(&format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n"));
        }
        let (status, answer) = self.curl("POST", &format!("/{index}/_bulk?refresh=true"), Some(&body));
        assert!(status == 200 && answer["errors"] == false, "{answer}");
    }

    pub(crate) fn settings(&self) -> Settings {
        self.at(self.url())
    }

    /// By way of a wire.
    pub(crate) fn through(&self, port: u16) -> Settings {
        self.at(format!("http://127.0.0.1:{port}"))
    }

    fn at(&self, url: String) -> Settings {
        let secure = self.product == Product::Elasticsearch;
        let login =
            || Login::Password { user: env("ELASTICSEARCH_USER"), password: env("ELASTICSEARCH_PASSWORD") };
        Settings {
            target: "aether/search".to_owned(),
            url,
            tls: Tls {
                mode: if secure { TlsMode::VerifyFull } else { TlsMode::Disable },
                ca: secure.then(|| std::fs::read(env("ELASTICSEARCH_CA")).expect("readable")),
                client: None,
            },
            credentials: secure.then(|| -> whimbrel::engine::search::CredentialsSource {
                let login = login();
                Arc::new(move || {
                    let login = login.clone();
                    Box::pin(async move { Ok(login) })
                })
            }),
            indices: Vec::new(),
            names: Names::Concrete,
            repository: None,
            histories: vec![History { name: HISTORY.to_owned(), kept: Kept::Own }],
            identity_expect: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(2),
            lease: Duration::from_secs(3),
            diagnostics_full: false,
        }
    }

    pub(crate) fn engine(&self) -> Search {
        Search::new(self.settings())
    }

    /// With the history in the other tool's index.
    pub(crate) fn beside_peer(&self, mut settings: Settings) -> Search {
        let kept = Kept::Evolution { index: PEER.to_owned() };
        settings.histories = vec![History { name: HISTORY.to_owned(), kept }];
        Search::new(settings)
    }

    pub(crate) fn fence(&self, token: u64) -> Fence {
        self.fence_of("0f5d7a1c-88aa", token)
    }

    pub(crate) fn fence_of(&self, run_uid: &str, token: u64) -> Fence {
        Fence {
            target: "aether/search".to_owned(),
            run_uid: run_uid.to_owned(),
            run: token,
            plan: "aether/platform".to_owned(),
            cluster: "c1".to_owned(),
            token,
        }
    }
}

/// Enters once nobody is in the way any more.
pub(crate) async fn enter(engine: &Search, fence: &Fence) -> SearchSession {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match engine.enter(fence).await {
            Ok(session) => return session,
            Err(error @ (EngineError::Busy { .. } | EngineError::Lost { .. })) => {
                assert!(Instant::now() < deadline, "{error}");
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Scripts from files, in order.
pub(crate) fn scripts(files: &[(&str, &str)]) -> Vec<Script> {
    let files: BTreeMap<_, _> =
        files.iter().map(|(file, text)| ((*file).to_owned(), text.as_bytes().to_vec())).collect();
    read_bundle(files, Some(Layout::Http), Dialect::Http).expect("a good bundle").scripts
}

pub(crate) fn script(text: &str) -> Script {
    scripts(&[("V1__a.http", text)]).remove(0)
}
