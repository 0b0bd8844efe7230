//! Cypher in scripts: cut into statements, what each of them does, what may not stand in a script, and the checksum that
//! neo4j-migrations gives the same file.
//!
//! Neo4j takes schema and data in separate transactions, and `CALL { … } IN TRANSACTIONS` in none but its own. So it
//! matters, before anything is sent, which statement is which.

mod checksum;
mod directives;
mod fault;
mod kinds;
mod lexer;
mod lint;
mod precondition;
mod refuse;
mod schema;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod property;

pub use checksum::{checksum as peer_checksum, raw_version};
pub use fault::CypherFault;
pub use kinds::{Does, Step, steps};
pub use precondition::{Edition, Precondition, preconditions};
pub use schema::{Change, Object};

pub(super) use lint::lint;
pub(super) use refuse::examine;
