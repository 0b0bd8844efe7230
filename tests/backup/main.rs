//! Backups of a real PostgreSQL, by the very program that the Jobs run: `testbed/postgres up`, then with its `env`
//! `cargo test --features server-tests --test backup`.

mod beside;
mod by_hand;
mod hostile;
mod ladder;
mod prune;
mod put_back;
mod world;
