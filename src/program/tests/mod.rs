//! What the brain promises, walked through: every state of small programs, and random plans.
//!
//! A test starts from the plan a user would write; [`shop`] is the platform that it is compiled against.

mod compiled;
mod hashes;
mod laws;
mod offline;
mod random;
mod rollback;
mod shop;
mod table;
mod unbacked;
mod variables;
mod walked;
mod world;
