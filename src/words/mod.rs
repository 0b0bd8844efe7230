//! The sentences: facts in, what people read out. Pure.
//!
//! - [`PlanFacts`], [`RunFacts`]: what is known besides the run's own report;
//! - [`plan_status`], [`waiting`], [`stalled`], [`nothing_pending`]: `MigrationPlan.status`, made anew from the facts;
//! - [`run_status`]: what people read in the run's record;
//! - [`target_left`]: what runs left behind on a target; [`what`], [`gone`]: what retention says of it;
//! - [`transitions`]: what is told once, when it happens; [`notice`]: what a webhook is sent of it; [`measures`]: what is
//!   counted;
//! - [`ignored_on_plan`], [`ignored_on_target`]: what people asked for and do not get;
//! - [`message`]: every sentence, in one place. The same sentence stands in status, event and terminal;
//! - [`text`]: how instants and the texts of others stand in a sentence.
//!
//! Nothing here decides anything: a status that is lost is made again from the record.

mod before_run;
mod conditions;
mod events;
#[cfg(test)]
mod events_tests;
mod facts;
#[cfg(test)]
mod fixture;
mod measures;
pub mod message;
mod notice;
mod phase;
mod preview;
#[cfg(test)]
mod preview_tests;
#[cfg(test)]
mod reasons_tests;
mod retained;
mod run_status;
mod status;
mod steps;
mod target;
#[cfg(test)]
mod tests;
pub mod text;
mod verbs;
mod view;

pub use before_run::{nothing_pending, source_changed, stalled, waiting};
pub use events::{Related, Told, Transition, transitions};
pub use facts::{PlanFacts, RunFacts};
pub use measures::{Measure, Person, measures};
pub use notice::{is_old, notice};
pub use phase::phase_of;
pub use retained::{gone, what};
pub use run_status::run_status;
pub use status::{differs, plan_status};
pub use target::{
    BACKUPS_KEPT, FAILED_KEPT, TargetFacts, is_live, is_refused_rollback, target_left, touches,
};
pub use verbs::{ignored_on_plan, ignored_on_target, no_rollback};
