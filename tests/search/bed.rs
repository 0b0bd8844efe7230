//! An empty cluster per test, and curl as the independent witness.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use whimbrel::engine::search::{History, Kept, Login, Names, Search, Settings};
use whimbrel::engine::{Fence, Tls, TlsMode, fixed_credentials};
use whimbrel::script::{Dialect, Layout, Script};

use crate::bundle;
use crate::curl::{Curl, Secure};
pub(crate) use crate::entering::enter;
use crate::entering::fence;

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
        for name in bed.server().indices() {
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
        let pipelines = bed.get("/_ingest/pipeline");
        for name in pipelines.as_object().into_iter().flatten().map(|(name, _)| name) {
            if name.starts_with("wb-") {
                bed.curl("DELETE", &format!("/_ingest/pipeline/{name}"), None);
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
        self.server().request(method, path, body)
    }

    fn server(&self) -> Curl {
        let secure = (self.product == Product::Elasticsearch).then(|| Secure {
            ca: env("ELASTICSEARCH_CA"),
            user: env("ELASTICSEARCH_USER"),
            password: env("ELASTICSEARCH_PASSWORD"),
        });
        Curl { url: self.url(), secure }
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
            credentials: secure.then(|| fixed_credentials(login())),
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
        let run_uid = run_uid.to_owned();
        Fence { run_uid, run: token, plan: "aether/platform".to_owned(), ..fence("aether/search", token) }
    }
}

/// Scripts from files, in order.
pub(crate) fn scripts(files: &[(&str, &str)]) -> Vec<Script> {
    bundle::scripts(files, Some(Layout::Http), Dialect::Http)
}

pub(crate) fn script(text: &str) -> Script {
    scripts(&[("V1__a.http", text)]).remove(0)
}
