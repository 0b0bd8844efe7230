//! How runs stand and how they end: the words that several kinds share.

use super::words::words;

/// An instant in RFC 3339, whole seconds.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

words! {
    /// How a run ended.
    pub enum Outcome {
        /// All done, the final verification passed.
        Succeeded,
        /// Ended before anything of data, images or configuration was changed; everything is given back.
        Aborted,
        /// Something was changed and is provably back.
        RolledBack,
        /// The way back could not complete: fenced, claimed, waiting for a person.
        Held,
        /// The plan was edited before Freeze; the run is removed.
        Superseded,
    }
}

words! {
    /// Where a plan or run stands; for display only, conditions are the contract.
    #[derive(Default)]
    pub enum Phase {
        /// Looked at, not yet compiled.
        #[default]
        Pending,
        /// Waits for a person.
        AwaitingApproval,
        /// Waits for a window to open.
        AwaitingWindow,
        /// Waits for another run's Release.
        Queued,
        /// Backups are taken or proven.
        BackingUp,
        /// Dependents go to zero and quiet is proven.
        Quiescing,
        /// Scripts or jobs run.
        Migrating,
        /// Images roll out, workloads come back.
        RollingOut,
        /// Checks run.
        Verifying,
        /// On the way back.
        RollingBack,
        /// Paused by a person, or by a window that closed.
        Paused,
        /// Ended well, or nothing was pending.
        Succeeded,
        /// Ended, everything is back.
        RolledBack,
        /// Ended before the first change.
        Aborted,
        /// Ended, waiting for a person.
        Held,
        /// Can't begin without a change of what its message names.
        Stalled,
    }
}

words! {
    /// What of a server's error is shown in status, events and logs.
    #[derive(Default)]
    pub enum Diagnostics {
        /// Code, position and object names: nothing that came from a row.
        #[default]
        Codes,
        /// Also DETAIL and CONTEXT, which may hold row data.
        Full,
    }
}
