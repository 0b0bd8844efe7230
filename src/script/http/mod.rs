//! `.http` scripts: requests as elasticsearch-evolution reads them, and beyond it several of them in a file.
//!
//! A file is one request: `METHOD path`, headers, a blank line, a body; lines that begin with `#` or `//` are comments,
//! inside a body too. What is ours stands in comments, so that the other tool reads past it: `###` between requests,
//! `# @expect 200,404`, `# @await task`, `# @probe GET path -> 200`.
//!
//! A search server has no transactions: what may be sent again after a lost answer is decided here ([`Class`]), from the
//! request alone, before anything is sent.

mod body;
mod checksum;
mod class;
mod directives;
mod fault;
mod lint;
mod path;
mod read;
mod refuse;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod property;

pub use checksum::{JAVA, java_hash};
pub use class::Class;
pub use fault::HttpFault;
pub use path::Path;
pub use read::{Expected, Method, Probe, Request, requests};

pub(super) use lint::lint;
pub(super) use refuse::examine;
