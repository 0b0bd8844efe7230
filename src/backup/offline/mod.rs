//! Backups of a Neo4j that is stopped: dumped from its own volume, proven by a private server, put back by rename.
//!
//! All of it runs inside Jobs in the server's own image. The server's settings are never read and never written: every tool
//! gets a folder of settings of ours that names the data folder.

mod admin;
mod data;
mod error;
mod jobs;
mod journal;
mod private;
mod prove;
mod restore;
mod swap;
mod take;

pub(in crate::backup) use admin::{folder_of, settings};
pub use error::OfflineError;
pub(in crate::backup) use jobs::SERVER;
pub use jobs::{
    DumpExpected, DumpSource, job_for_drop_put_aside, job_for_dump, job_for_dump_proof, job_for_dump_restore,
};
pub use prove::{ProveDump, prove_dump};
pub use restore::{DumpRestored, RestoreDump, restore_dump};
pub use swap::drop_put_aside;
pub use take::{Dumped, TakeDump, take_dump};
