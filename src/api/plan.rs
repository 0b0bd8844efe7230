//! `MigrationPlan`: what shall become of the platform.

mod action;
mod check;
mod job;
mod migrate;
mod policy;
mod rollout;
mod status;
mod step;
mod windows;

pub use action::Action;
pub use check::{
    Capture, Check, CheckForm, Count, HttpCheck, HttpExpect, HttpMethod, HttpRequest, IntOrString, Preflight,
    QueryCheck, QueryExpect, ValueExpect,
};
pub use job::{Job, JobCommand, OnChange, OnNextRun};
pub use migrate::{Alembic, Layout, Migrate, Missing, OciSource, OutOfOrder, ScriptSource, Scripts, Work};
pub use policy::{
    Approval, BackupWhen, Day, ImagesPolicy, Moment, Notification, OnDelete, OnFailure, OnWindowClose,
    PlanBackup, SchemaPolicy, Window, WorkloadsPolicy,
};
pub(crate) use rollout::images;
pub use rollout::{Approve, ConfigMapSettings, Configure, ImageOwner, Rollout};
pub use status::{
    BlockedBy, BlockerKind, Failure, MigrationPlanStatus, PlanBackupStatus, PlanRun, StageStatus, StepState,
    StepStatus, WorkloadState, WorkloadStatus,
};
pub use step::{Stage, StageSpec, Step, Variable, VariableSource};
pub use windows::{BadWindow, Opening, Standing, Windows};

use super::{
    Diagnostics, Duration,
    bounds::{DEPENDENTS, NAME},
    reference::WorkloadRef,
};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// What shall become of the platform, in stages and steps.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "whimbrel.dev",
    version = "v1alpha1",
    kind = "MigrationPlan",
    plural = "migrationplans",
    shortname = "mplan",
    category = "migrations",
    namespaced,
    status = "MigrationPlanStatus",
    derive = "PartialEq",
    doc = "What shall become of the platform: steps in stages, and what to do when one fails.",
    cel,
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.step"),
    printcolumn(
        name = "Backup",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="BackupVerified")].reason"#
    ),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version", priority = 1),
    printcolumn(name = "Run", type_ = "integer", json_path = ".status.run.number", priority = 1),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.run.startedAt", priority = 1),
    printcolumn(
        name = "Approved",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Approved")].status"#,
        priority = 1
    ),
    printcolumn(name = "Paused", type_ = "boolean", json_path = ".spec.paused", priority = 1),
    printcolumn(
        name = "Workloads",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="WorkloadsGivenBack")].status"#,
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.size() <= 52")
        .message("the name of a plan is at most 52 characters: its runs and their parts are named after it")
)]
pub struct MigrationPlanSpec {
    /// What the platform becomes, shown everywhere; another version says "again" to a plan that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// ServiceAccount as which everything in the cluster is done; default is the operator's `defaultServiceAccount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME))]
    pub service_account_name: Option<String>,
    /// Stops at the next boundary while true; default false.
    #[serde(default)]
    pub paused: bool,
    /// Whether a person must approve the preview; default NotRequired.
    #[serde(default)]
    pub approval: Approval,
    /// When a run may begin; default is at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// What happens when the window closes on a run; default FinishStep.
    #[serde(default)]
    pub on_window_close: OnWindowClose,
    /// How long the way forward may take, counted from Claim; default is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// How long dependents may be down, counted from the first Quiesce; default is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_downtime: Option<Duration>,
    /// How long after success the run can be rolled back; default 0s, not at all.
    #[serde(default)]
    pub rollback_window: Duration,
    /// Ended runs that are kept; default 5.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 100))]
    pub run_history_limit: u32,
    /// When backups are taken and what they must prove.
    #[serde(default)]
    pub backup: PlanBackup,
    /// Workloads that must be silent while scripts run; default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = DEPENDENTS))]
    pub dependents: Vec<WorkloadRef>,
    /// What the way back does.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What becomes of a run whose plan is deleted; default RollBack.
    #[serde(default)]
    pub on_delete: OnDelete,
    /// Whom to tell; default nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub notifications: Vec<Notification>,
    /// Checks that must hold before anything is touched; default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub preflight: Vec<Preflight>,
    /// What of a server's error is shown; default Codes.
    #[serde(default)]
    pub diagnostics: Diagnostics,
    /// The steps, by stage; always walked SharedInfra, Data, Storage, Services, Frontend, however written.
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[x_kube(validation = Rule::new("self.all(a, a.steps.all(x, self.exists_one(b, b.steps.exists(y, y.name == x.name))))")
        .message("the name of a step is unique over all stages"))]
    pub stages: Vec<StageSpec>,
}

fn five() -> u32 {
    5
}

impl MigrationPlanSpec {
    /// Every step with its stage, in the order in which they are walked.
    pub fn steps(&self) -> Vec<(Stage, &Step)> {
        let mut stages: Vec<&StageSpec> = self.stages.iter().collect();
        stages.sort_by_key(|s| s.name);
        stages.iter().flat_map(|stage| stage.steps.iter().map(|step| (stage.name, step))).collect()
    }
}
