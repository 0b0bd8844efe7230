//! The engine of Neo4j against a real server. Needs `testbed/neo4j reader` and `eval "$(testbed/neo4j env)"`.

mod apply;
mod batches;
mod bed;
#[path = "../tools/bundle.rs"]
mod bundle;
mod enter;
#[path = "../tools/entering.rs"]
mod entering;
mod http;
mod look;
mod lost;
mod peer;
#[path = "../tools/proxy.rs"]
mod proxy;
mod quiet;
mod schema;
mod seeds;
mod testbed;
mod undo;
#[path = "../tools/until.rs"]
mod until;
