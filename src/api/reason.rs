//! The words of conditions and events: types, reasons, and which reason may stand where.

use super::words::words;

words! {
    /// The type of a condition.
    pub enum ConditionType {
        /// Applied, verified, workloads back; or nothing was pending. On a target: usable.
        Ready,
        /// Looking, waiting, working, paused, or on the way back.
        Reconciling,
        /// Nothing moves without a person, a new generation, or a change of what the message names.
        Stalled,
        /// The run ended.
        Finished,
        /// The run ended well.
        Succeeded,
        /// The plan compiles.
        Validated,
        /// A person approved, or need not.
        Approved,
        /// A window is open, or none is needed.
        WindowOpen,
        /// The backup reached its level.
        BackupVerified,
        /// Pods are gone, sessions are zero, and it stays so.
        Quiesced,
        /// Scripts and jobs are done.
        Migrated,
        /// Workloads are rolled out.
        RolledOut,
        /// Checks hold.
        Verified,
        /// Every dependent runs as before or as rolled out.
        WorkloadsGivenBack,
        /// The way back is done and verified.
        RolledBack,
        /// Paused.
        Paused,
        /// The spec is newer than the run.
        SpecDrift,
        /// A source was edited after its run ended.
        SourceChanged,
        /// Git must be reverted, for it names what was taken back.
        GitOpsRevertRequired,
        /// Background jobs have ended.
        BackgroundComplete,
        /// The target's server answers.
        Reachable,
        /// The credentials work.
        Authenticated,
        /// It is the server that it was.
        IdentityConfirmed,
        /// The history extends its watermark.
        HistoryInSync,
        /// There is a backup that is young enough.
        BackupFresh,
        /// A backup was restored for a test.
        RestoreTested,
        /// What is kept is what retention says.
        Retained,
    }
}

words! {
    /// Why a condition says what it says.
    pub enum Reason {
        /// Done.
        Done,
        /// Not wanted by this plan.
        NotRequired,
        /// Not reached yet.
        Pending,
        /// At work.
        Progressing,
        /// At work, again after an error that may pass.
        ProgressingWithRetry,
        /// A script source is absent, or not the pinned one.
        SourceNotReady,
        /// A target is absent or does not answer.
        TargetNotReady,
        /// The service account may not.
        Forbidden,
        /// Another run holds what this one needs.
        Queued,
        /// A person must approve.
        AwaitingApproval,
        /// No window is open.
        AwaitingWindow,
        /// A check can't be judged; a person must.
        AwaitingPerson,
        /// Paused.
        Paused,
        /// The run was frozen by another version of the operator.
        OperatorVersionSkew,
        /// On the way back.
        RollingBack,
        /// The spec can't be compiled.
        InvalidSpec,
        /// The spec says what this version does not build.
        NotBuilt,
        /// A guard stops it; its override is in the message.
        GuardBlocked,
        /// A history is not what it was.
        HistoryDrift,
        /// A history is gone.
        HistoryLost,
        /// The server is another one.
        TargetIdentityMismatch,
        /// The same intent failed before; `retry` runs it again.
        AlreadyFailed,
        /// Ended well.
        Succeeded,
        /// There was nothing to do.
        NothingPending,
        /// Everything is back.
        RolledBack,
        /// The way back could not complete.
        Held,
        /// Ended by a person before the first change.
        Aborted,
        /// A backup did not reach its level.
        BackupGateFailed,
        /// Quiet could not be proven or held.
        NotQuiet,
        /// The downtime budget was used up.
        BudgetExceeded,
        /// The deadline passed.
        DeadlineExceeded,
        /// Approved was another planHash.
        ApprovalStale,
        /// The window is closed.
        OutsideWindow,
        /// Complete and readable.
        Artifact,
        /// Has the database's structure.
        Structure,
        /// Restored, probes equal.
        Restored,
        /// Failed.
        Failed,
        /// Pods are still there.
        PodsTerminating,
        /// Sessions that nobody explains.
        ForeignSessions,
        /// Somebody scales dependents up again.
        ReplicasContended,
        /// A step failed.
        StepFailed,
        /// An applied script was edited.
        ChecksumMismatch,
        /// A check can't be judged.
        Inconclusive,
        /// Nobody knows whether a statement happened.
        UnknownOutcome,
        /// Another driver holds the workload.
        Fenced,
        /// By undo scripts.
        UndoApplied,
        /// By the backup.
        RestoredFromBackup,
    }
}

words! {
    /// The reason of an event: one per transition.
    pub enum EventReason {
        /// A run was made.
        RunStarted,
        /// A person is asked.
        ApprovalRequested,
        /// A person approved.
        Approved,
        /// A window opened.
        WindowOpened,
        /// A backup began.
        BackupStarted,
        /// A backup reached its level.
        BackupVerified,
        /// A backup did not.
        BackupFailed,
        /// A dependent went to zero.
        WorkloadScaledDown,
        /// Quiet is proven.
        Quiesced,
        /// Somebody scaled a dependent up again.
        ReplicaContention,
        /// A step began.
        StepStarted,
        /// A step is done.
        StepApplied,
        /// A step failed.
        StepFailed,
        /// A check holds.
        VerificationPassed,
        /// A check does not hold.
        VerificationFailed,
        /// A workload has its new image.
        ImageUpdated,
        /// A workload is ready.
        RolloutComplete,
        /// The run turned around.
        RollbackStarted,
        /// A step was taken back.
        StepUndone,
        /// A restore began.
        RestoreStarted,
        /// A restored copy is proven.
        RestoreVerified,
        /// Everything is back.
        RollbackComplete,
        /// The way back could not complete.
        RollbackFailed,
        /// A workload runs again.
        WorkloadGivenBack,
        /// Ended well.
        RunSucceeded,
        /// Ended, not well.
        RunFailed,
        /// Paused.
        Paused,
        /// A person asked to turn around.
        AbortRequested,
        /// An annotation asked for something that can't be.
        VerbIgnored,
        /// A person overrode a guard.
        GuardOverridden,
        /// A plan can't go yet.
        DeletionBlocked,
        /// The downtime budget is used up.
        BudgetExceeded,
        /// A webhook was not told.
        NotificationFailed,
        /// Retention deleted a backup.
        BackupDeleted,
        /// Retention dropped what a restore had put aside.
        AsideDropped,
        /// Something whose time was over could not be deleted.
        RetentionBlocked,
    }
}
