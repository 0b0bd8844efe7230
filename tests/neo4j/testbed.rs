//! The testbed's own Neo4j: `testbed/neo4j up` and `eval "$(testbed/neo4j env)"`.

use serde_json::Value;

use crate::http::Http;

/// A variable of the testbed.
pub(crate) fn env(name: &str) -> String {
    let name = format!("WHIMBREL_TEST_NEO4J_{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: eval \"$(testbed/neo4j env)\""))
}

/// The HTTP interface of its writable server.
pub(crate) fn http() -> Http {
    let port = env("HTTP_PORT").parse().expect("a port");
    Http { host: "127.0.0.1".to_owned(), port, user: env("USER"), password: env("PASSWORD") }
}

/// Rows of one statement at its writable server.
pub(crate) fn rows(statement: &str) -> Vec<Vec<Value>> {
    http().rows(statement)
}

/// Takes every node, constraint and index out of it, ours too.
pub(crate) fn empty() {
    http().empty();
}
