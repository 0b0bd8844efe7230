//! The engine of Neo4j against a real server. Needs `testbed/neo4j reader` and `eval "$(testbed/neo4j env)"`.

mod apply;
mod batches;
mod bed;
mod enter;
mod http;
mod look;
mod lost;
mod peer;
#[path = "../engine/proxy.rs"]
mod proxy;
mod quiet;
mod schema;
mod seeds;
mod undo;
