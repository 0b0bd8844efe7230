//! The one database of a Community server, empty at the beginning of each test, and the server's HTTP interface as the
//! independent witness.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use whimbrel::engine::neo4j::{
    Credentials, CredentialsSource, Format, History, Neo4j, Neo4jSession, Settings, Tls, TlsMode,
};
use whimbrel::engine::{Engine, EngineError, Fence, ScriptError, ScriptFailure};
use whimbrel::script::{Dialect, Script, read_bundle};

pub(crate) const HISTORY: &str = "default";

/// A variable of the testbed.
pub(crate) fn env(name: &str) -> String {
    let name = format!("WHIMBREL_TEST_NEO4J_{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: eval \"$(testbed/neo4j env)\""))
}

pub(crate) fn port() -> u16 {
    env("PORT").parse().expect("a port")
}

/// One test at a time: Community has one database.
static ALONE: Mutex<()> = Mutex::const_new(());

pub(crate) struct Bed {
    _alone: MutexGuard<'static, ()>,
}

impl Bed {
    /// The database, without a node, a constraint or an index, whatever the test before it left.
    pub(crate) async fn new() -> Self {
        let alone = ALONE.lock().await;
        for row in rows(
            "SHOW TRANSACTIONS YIELD transactionId, currentQuery WHERE NOT currentQuery STARTS WITH 'SHOW' RETURN transactionId",
        ) {
            rows(&format!("TERMINATE TRANSACTIONS {}", row[0]));
        }
        rows("MATCH (n) DETACH DELETE n");
        for (what, all) in [
            ("CONSTRAINT", "SHOW CONSTRAINTS YIELD name RETURN name"),
            ("INDEX", "SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' RETURN name"),
        ] {
            for row in rows(all) {
                rows(&format!("DROP {what} `{}` IF EXISTS", row[0].as_str().expect("a name")));
            }
        }
        Self { _alone: alone }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            target: "test/graph".to_owned(),
            host: "localhost".to_owned(),
            port: port(),
            database: "neo4j".to_owned(),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca: Some(std::fs::read(env("CA")).expect("the CA is readable")),
                client: None,
            },
            credentials: credentials(&env("USER"), &env("PASSWORD")),
            histories: vec![History { name: HISTORY.to_owned(), format: Format::Whimbrel }],
            identity_expect: None,
            // The tests' own machine may be busy.
            connect_timeout: Duration::from_secs(60),
            lock_timeout: Settings::LOCK_TIMEOUT,
            statement_timeout: Settings::STATEMENT_TIMEOUT,
            quiet_ignore: Vec::new(),
            diagnostics_full: false,
        }
    }

    /// As [`Bed::settings`], without TLS, for tests that cut the stream.
    pub(crate) fn plain(&self, port: u16) -> Settings {
        let tls = Tls { mode: TlsMode::Disable, ca: None, client: None };
        Settings { tls, port, host: "127.0.0.1".to_owned(), ..self.settings() }
    }

    /// The history of neo4j-migrations.
    pub(crate) fn peers(&self) -> Settings {
        let histories = vec![History { name: HISTORY.to_owned(), format: Format::Neo4jMigrations }];
        Settings { histories, ..self.settings() }
    }

    pub(crate) fn engine(&self) -> Neo4j {
        Neo4j::new(self.settings())
    }

    pub(crate) async fn enter(&self, token: u64) -> Neo4jSession {
        enter(&self.engine(), token).await
    }
}

pub(crate) fn fence(token: u64) -> Fence {
    Fence {
        target: "test/graph".to_owned(),
        run_uid: "0f5d7a1c-88aa-4a63-9b65-000000000001".to_owned(),
        run: 1,
        plan: "test/release".to_owned(),
        cluster: "c1".to_owned(),
        token,
    }
}

/// Enters as soon as nobody is in the way.
pub(crate) async fn enter(engine: &Neo4j, token: u64) -> Neo4jSession {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match engine.enter(&fence(token)).await {
            Ok(session) => return session,
            Err(EngineError::Busy { by, .. }) => {
                assert!(tokio::time::Instant::now() < deadline, "{by}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn credentials(user: &str, password: &str) -> CredentialsSource {
    let credentials = Credentials { user: user.to_owned(), password: password.to_owned() };
    Arc::new(move || {
        let credentials = credentials.clone();
        async move { Ok(credentials) }.boxed()
    })
}

/// Scripts as the source of a user would give them.
pub(crate) fn scripts(files: &[(&str, &str)]) -> Vec<Script> {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    read_bundle(files, None, Dialect::Cypher).expect("a good bundle").scripts
}

pub(crate) fn script(body: &str) -> Script {
    scripts(&[("V1__a.cypher", body)]).remove(0)
}

/// What is wrong with a script, which must be known to be not applied.
pub(crate) fn error(failure: ScriptFailure) -> ScriptError {
    match failure {
        ScriptFailure::Failed(error) => *error,
        other => panic!("{other:?}"),
    }
}

/// Rows of one statement in a transaction of its own.
pub(crate) fn rows(statement: &str) -> Vec<Vec<Value>> {
    let answer = post("/db/neo4j/tx/commit", statement);
    assert_eq!(answer["errors"], json!([]), "{statement}");
    let data = answer["results"][0]["data"].as_array().cloned().unwrap_or_default();
    data.iter().map(|row| row["row"].as_array().cloned().unwrap_or_default()).collect()
}

/// The one number that a statement returns.
pub(crate) fn count(statement: &str) -> i64 {
    rows(statement)[0][0].as_i64().expect("a number")
}

/// All texts of the first column.
pub(crate) fn texts(statement: &str) -> Vec<String> {
    rows(statement).into_iter().map(|row| row[0].as_str().unwrap_or_default().to_owned()).collect()
}

/// A transaction that stays open, with one statement done in it.
pub(crate) struct Open(String);

impl Open {
    pub(crate) fn new(statement: &str) -> Self {
        let answer = post("/db/neo4j/tx", statement);
        assert_eq!(answer["errors"], json!([]), "{statement}");
        let commit = answer["commit"].as_str().expect("an address").to_owned();
        let path = commit.find("/db/").expect("a path");
        Self(commit[path..].to_owned())
    }

    pub(crate) fn commit(self) {
        let answer = request("POST", &self.0, &json!({"statements": []}));
        assert_eq!(answer["errors"], json!([]));
    }
}

pub(crate) fn post(path: &str, statement: &str) -> Value {
    request("POST", path, &json!({"statements": [{"statement": statement}]}))
}

/// One request on a connection of its own, so that none is left behind.
fn request(method: &str, path: &str, body: &Value) -> Value {
    let port: u16 = env("HTTP_PORT").parse().expect("a port");
    let body = body.to_string();
    let login = base64(format!("{}:{}", env("USER"), env("PASSWORD")).as_bytes());
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("HTTP answers");
    stream.write_all(request.as_bytes()).expect("takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("has a body");
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
        dechunked(body)
    } else {
        body.to_owned()
    };
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Waits until `holds`, at most half a minute; panics with `what` after that.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
