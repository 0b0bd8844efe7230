//! Backups that prove themselves: taken from one snapshot, finished by a manifest, verified before any data is changed.
//!
//! [`take`], [`verify`], [`restore`] and [`prune`] run inside Jobs with nothing but the engine's own tools;
//! [`job_for_backup`] and its neighbours make those Jobs. [`fates`] says which backups stay, and why.

mod attempt;
mod beside;
mod bucket;
mod by_hand;
mod connection;
mod error;
mod export;
mod fetch;
mod files;
mod jobs;
mod keep;
mod kept;
mod level;
mod manifest;
mod mounted;
mod offline;
mod probe;
mod prune;
mod prune_bucket;
mod restore;
mod retain;
mod roles;
mod scratch;
mod session;
mod snapshot;
mod storage;
mod take;
mod tool;
mod tree;
mod verify;

pub use bucket::{Bucket, BucketArgs};
pub use by_hand::ByHand;
pub use connection::{Connection, TlsMode};
pub use error::{BackupError, EXIT_FAILED, EXIT_NEVER_AGAIN, EXIT_OVERTAKEN};
pub use export::{
    ExportSource, ExportTaken, GraphConnection, ProveExport, TakeExport, job_for_export,
    job_for_export_proof, prove_export, take_export,
};
pub use fetch::{Fetch, Fetched, fetch};
pub use files::FileDigest;
pub use jobs::{
    BackupJob, BackupSource, BackupToRestore, job_for_backup, job_for_prune, job_for_restore, job_for_verify,
};
pub use keep::{Fate, aside_until, fates};
pub use kept::Kept;
pub use level::Level;
pub use manifest::{Manifest, Of, Source};
pub use offline::{
    DumpExpected, DumpRestored, DumpSource, Dumped, OfflineError, ProveDump, RestoreDump, TakeDump,
    drop_put_aside, job_for_drop_put_aside, job_for_dump, job_for_dump_proof, job_for_dump_restore,
    prove_dump, restore_dump, take_dump,
};
pub use probe::{Probes, TableProbe};
pub use prune::{Found, Prune, Pruned, Told, prune};
pub use restore::{Restore, Restored, restore};
pub use retain::{Summary, summary};
pub use roles::{Membership, Role};
pub use snapshot::{
    SearchConnection, SnapshotBackup, SnapshotProven, SnapshotRestored, SnapshotSource, job_for_snapshot,
    job_for_snapshot_proof, job_for_snapshot_prune, job_for_snapshot_restore, prove_snapshot,
    prune_snapshots, restore_snapshot, take_snapshot,
};
pub use storage::{Storage, StorageArgs};
pub use take::{Take, Taken, take};
pub use verify::{Verified, Verify, verify};
