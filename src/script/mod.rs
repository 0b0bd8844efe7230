//! Text in, scripts out: names, splitting, checksums, lint, order. Pure.
//!
//! A source (a ConfigMap, say) is a map of file names to bytes. [`read_bundle`] makes a [`Bundle`] of it, or says
//! everything that is wrong with it at once. [`pending`] holds a bundle against the rows of a history and says which
//! scripts are left to apply.

#[cfg(test)]
mod bad_input;
mod bundle;
mod checksum;
pub mod cypher;
mod directives;
mod error;
mod executable;
mod history;
pub mod http;
mod layout;
mod lint;
mod order;
mod outside;
mod pattern;
mod psql;
mod read;
mod refuse;
pub mod split;
mod transaction;
mod variables;
mod version;

pub use bundle::{Bundle, Dialect, Directives, Isolation, Kind, Script, Undo};
pub use checksum::checksum;
pub use error::{Place, ScriptError};
pub use executable::Executable;
pub use history::HistoryRow;
pub use layout::Layout;
pub use lint::{Class, Finding};
pub use order::{Missing, OrderError, OutOfOrder, Pending, Policy, pending};
pub use outside::{How, Name, Outside, Step};
pub use read::{MAX_FILE_BYTES, read_bundle};
pub use refuse::Refusal;
pub use variables::{PlaceholderError, Value, Values};
pub use version::{Version, VersionError};
