//! How a plan is run: approval, windows, backups, what the way back does, whom to tell.

use crate::api::{bounds::NAME, reference::FromSecret, target::VerificationLevel, words::words};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    /// Whether a person must approve.
    #[derive(Default)]
    pub enum Approval {
        /// A run starts by itself.
        #[default]
        NotRequired,
        /// Waits for `whimbrel.dev/approve`.
        Required,
    }
}

words! {
    /// A day of the week.
    pub enum Day {
        /// Monday
        Mon,
        /// Tuesday
        Tue,
        /// Wednesday
        Wed,
        /// Thursday
        Thu,
        /// Friday
        Fri,
        /// Saturday
        Sat,
        /// Sunday
        Sun,
    }
}

/// When a run may begin; a window past midnight belongs to the day on which it opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Days on which it opens; default every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub days: Vec<Day>,
    /// Opens at, `HH:MM`.
    #[schemars(length(max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// Closes at, `HH:MM`; not after `from` means on the next day.
    #[schemars(length(max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub to: String,
    /// Name in the time zone database, such as `Europe/Berlin`.
    #[schemars(length(min = 1, max = NAME))]
    pub time_zone: String,
}

words! {
    /// What happens to a run whose window closes.
    #[derive(Default)]
    pub enum OnWindowClose {
        /// The step ends, and what belongs to it: dependents that only wait for it are given back. Then the run pauses.
        #[default]
        FinishStep,
        /// Pauses before the next op or script.
        Pause,
        /// Goes on, once the run has frozen its program; until then it goes back to the window.
        Continue,
    }
}

/// When backups are taken and what they must prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanBackup {
    /// Quiesced, one consistency cut over all targets, or Online; default Quiesced.
    pub when: BackupWhen,
    /// What they must prove at least; default is what each target says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationLevel>,
}

words! {
    /// When backups are taken.
    #[derive(Default)]
    pub enum BackupWhen {
        /// After quiet is proven.
        #[default]
        Quiesced,
        /// Before services go down; a restore is then never automatic.
        Online,
    }
}

/// What the way back does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OnFailure {
    /// Auto, Undo, Restore or Hold; default Auto.
    pub schema: SchemaPolicy,
    /// Revert or Hold; default Revert.
    pub images: ImagesPolicy,
    /// GiveBack or KeepDown; default GiveBack.
    pub workloads: WorkloadsPolicy,
}

words! {
    /// What becomes of the data on the way back.
    #[derive(Default)]
    pub enum SchemaPolicy {
        /// Undo when every applied script has one, else restore if that loses nothing, else hold.
        #[default]
        Auto,
        /// Undo, else hold.
        Undo,
        /// Restore if that loses nothing, else hold.
        Restore,
        /// Hold.
        Hold,
    }
}

words! {
    /// What becomes of the images on the way back.
    #[derive(Default)]
    pub enum ImagesPolicy {
        /// The old ones come back.
        #[default]
        Revert,
        /// They stay.
        Hold,
    }
}

words! {
    /// What becomes of the dependents on the way back.
    #[derive(Default)]
    pub enum WorkloadsPolicy {
        /// They come back as they were.
        #[default]
        GiveBack,
        /// They stay down.
        KeepDown,
    }
}

words! {
    /// What becomes of a run whose plan is deleted.
    #[derive(Default)]
    pub enum OnDelete {
        /// It walks the way back, then the plan goes.
        #[default]
        RollBack,
        /// It stops where it is, gives back what it may, then the plan goes.
        Stop,
    }
}

/// Whom to tell of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Name.
    #[schemars(length(min = 1, max = NAME))]
    pub name: String,
    /// URL of the webhook, from a Secret.
    pub url: FromSecret,
    /// Which moments are told.
    #[schemars(length(min = 1))]
    pub on: Vec<Moment>,
}

words! {
    /// A moment that a notification can tell; the words are those of the events.
    pub enum Moment {
        /// A run began.
        RunStarted,
        /// A person is waited for.
        ApprovalRequested,
        /// A run turned around.
        RollbackStarted,
        /// Everything is back.
        RollbackComplete,
        /// The way back could not complete.
        RollbackFailed,
        /// Ended, not well.
        RunFailed,
        /// Ended well.
        RunSucceeded,
    }
}
