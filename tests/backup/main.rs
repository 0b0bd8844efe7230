//! Backups of a real PostgreSQL, by the very program that the Jobs run: `testbed/postgres up`, `testbed/minio up`, then with
//! their `env` `cargo test --features server-tests --test backup`.

mod beside;
mod bucket;
mod by_hand;
#[path = "../tools/exec_kubectl.rs"]
mod exec_kubectl;
mod hostile;
mod ladder;
mod prune;
mod put_back;
#[path = "../tools/s3.rs"]
mod s3;
mod world;
