//! Exports of a Neo4j that runs, by APOC: a text that a person can load. No run restores one by itself, and nothing proves
//! more of it than that its bytes are those that were written.

mod jobs;
mod take;

pub use jobs::{ExportSource, job_for_export, job_for_export_proof};
pub use take::{ExportTaken, GraphConnection, ProveExport, TakeExport, prove_export, take_export};
