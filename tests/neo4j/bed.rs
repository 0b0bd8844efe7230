//! The one database of a Community server, empty at the beginning of each test, and the server's HTTP interface as the
//! independent witness.

use std::time::Duration;

use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};
use whimbrel::engine::neo4j::{
    Credentials, CredentialsSource, Format, History, Neo4j, Neo4jSession, Settings, Tls, TlsMode,
};
use whimbrel::engine::{Fence, ScriptError, ScriptFailure, fixed_credentials};
use whimbrel::script::{Dialect, Script};

pub(crate) use crate::testbed::{env, rows};
pub(crate) use crate::until::until;
use crate::{bundle, entering};

pub(crate) const HISTORY: &str = "default";

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
        crate::testbed::empty();
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
    entering::fence("test/graph", token)
}

/// Enters as soon as nobody is in the way.
pub(crate) async fn enter(engine: &Neo4j, token: u64) -> Neo4jSession {
    entering::enter(engine, &fence(token)).await
}

pub(crate) fn credentials(user: &str, password: &str) -> CredentialsSource {
    fixed_credentials(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// Scripts as the source of a user would give them.
pub(crate) fn scripts(files: &[(&str, &str)]) -> Vec<Script> {
    bundle::scripts(files, None, Dialect::Cypher)
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
        let answer = crate::testbed::http()
            .request("/db/neo4j/tx", &json!({"statements": [{"statement": statement}]}));
        assert_eq!(answer["errors"], json!([]), "{statement}");
        let commit = answer["commit"].as_str().expect("an address").to_owned();
        let path = commit.find("/db/").expect("a path");
        Self(commit[path..].to_owned())
    }

    pub(crate) fn commit(self) {
        let answer = crate::testbed::http().request(&self.0, &json!({"statements": []}));
        assert_eq!(answer["errors"], json!([]));
    }
}
