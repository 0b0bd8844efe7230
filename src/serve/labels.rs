//! The labels of the numbers and the words in them, from closed lists.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

/// A plan as a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct PlanKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub plan: String,
}

/// A target as a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct TargetKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub target: String,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum StepEnd {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Nobody can say.
    Unknown,
}

/// What a step's duration is counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabels {
    /// The engine of its target; empty for steps without one.
    pub engine: &'static str,
    /// Its stage.
    pub stage: &'static str,
    /// How it ended.
    pub outcome: StepEnd,
}

/// What a run waited for that only a person could give, or a window that a person drew. Kept apart from working time: it says nothing about speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Wait {
    /// An approval.
    Approval,
    /// A window of the plan.
    Window,
    /// The end of a pause.
    Pause,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Delivery {
    /// The webhook took it.
    Delivered,
    /// It did not, or nobody knows.
    Failed,
}

/// What a look at an object came to. Waiting is not failing: an alert on Failed must not ring while a plan queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Seen {
    /// Nothing is left to do.
    Done,
    /// Something that is not ready yet is waited for.
    Waiting,
    /// It failed and is tried again.
    Failed,
}

/// What became of a request to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Request {
    /// It was answered as asked.
    Done,
    /// The object had changed meanwhile; routine for compare-and-swap.
    Conflict,
    /// The API server said no.
    Refused,
    /// No answer.
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RunLabels {
    pub(super) namespace: String,
    pub(super) plan: String,
    pub(super) phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DeliveryLabels {
    pub(super) outcome: Delivery,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WaitLabels {
    pub(super) r#for: Wait,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BackupLabels {
    pub(super) namespace: String,
    pub(super) target: String,
    pub(super) level: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SeenLabels {
    pub(super) kind: &'static str,
    pub(super) outcome: Seen,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) verb: &'static str,
    pub(super) outcome: Request,
}
