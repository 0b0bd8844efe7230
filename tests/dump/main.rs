//! Offline backups of a real Neo4j, by the very program that the Jobs run, with the tools of its own distribution:
//! `eval "$(testbed/neo4j env)"`, then `cargo test --features server-tests,fault-points --test dump`.

mod bucket;
mod by_hand;
mod crash;
#[path = "../tools/exec_kubectl.rs"]
mod exec_kubectl;
mod export;
#[path = "../neo4j/http.rs"]
mod http;
mod ladder;
mod put_back;
mod refused;
#[path = "../tools/s3.rs"]
mod s3;
mod server;
mod worker;
