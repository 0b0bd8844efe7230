//! Which Job this is: its name, its labels, and whether an object of that name is ours.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Annotation that says for what a Job was made, exactly: `<plan uid>/<run>/<op>/<attempt>`.
pub const MADE_FOR: &str = "whimbrel.dev/made-for";
/// Label with the uid of the run's record; what the sweeper selects by.
pub const RUN_UID: &str = "whimbrel.dev/run-uid";

/// For what a Job is made. Two attempts of one op are two Jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobKey {
    /// Uid of the plan.
    pub plan_uid: String,
    /// Name of the plan.
    pub plan: String,
    /// Number of the run.
    pub run: u64,
    /// Uid of the run's record.
    pub run_uid: String,
    /// Name of the target.
    pub target: String,
    /// Id of the op within the run's program.
    pub op: String,
    /// The driver's epoch.
    pub epoch: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

impl JobKey {
    /// `wb-<10 hex>-<attempt>`: the same in every epoch, so that a new driver finds the Job of the one before.
    pub fn name(&self) -> String {
        let hash = Sha256::digest(format!("{}/{}/{}", self.plan_uid, self.run, self.op));
        format!("wb-{}-{}", &hex::encode(hash)[..10], self.attempt)
    }

    /// What [`MADE_FOR`] says.
    pub fn made_for(&self) -> String {
        format!("{}/{}/{}/{}", self.plan_uid, self.run, self.op, self.attempt)
    }

    /// For people and selectors. Only [`MADE_FOR`] is compared: a label can't hold every text.
    pub fn labels(&self) -> BTreeMap<String, String> {
        [
            ("app.kubernetes.io/managed-by", "whimbrel".to_owned()),
            (RUN_UID, self.run_uid.clone()),
            ("whimbrel.dev/plan", self.plan.clone()),
            ("whimbrel.dev/run", self.run.to_string()),
            ("whimbrel.dev/target", self.target.clone()),
            ("whimbrel.dev/op", self.op.clone()),
            ("whimbrel.dev/epoch", self.epoch.to_string()),
            ("whimbrel.dev/attempt", self.attempt.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), label_value(&value)))
        .collect()
    }
}

/// Whether the Job that has the name is the one that `job` would be.
pub(super) fn is_same(job: &Job, found: &Job) -> bool {
    let made_for = |it: &Job| it.annotations().get(MADE_FOR).cloned();
    made_for(found).is_some() && made_for(job) == made_for(found)
}

/// The nearest text that a label may hold: 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
fn label_value(text: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let text: String = text.chars().map(|letter| if fits(letter) { letter } else { '-' }).take(63).collect();
    text.trim_matches(|letter: char| !letter.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn key() -> JobKey {
        JobKey {
            plan_uid: "9b7f".into(),
            plan: "aether-platform".into(),
            run: 7,
            run_uid: "5c1e".into(),
            target: "tas-shared".into(),
            op: "Backup(tas-shared)".into(),
            epoch: 3,
            attempt: 2,
        }
    }

    #[test]
    fn a_name_depends_on_plan_run_op_and_attempt_and_on_nothing_else() {
        let name = key().name();
        assert_eq!(name, "wb-bc5da0bf7a-2");
        assert_eq!(JobKey { epoch: 9, run_uid: "x".into(), plan: "y".into(), ..key() }.name(), name);
        for other in [
            JobKey { plan_uid: "9b80".into(), ..key() },
            JobKey { run: 8, ..key() },
            JobKey { op: "Backup(graph)".into(), ..key() },
            JobKey { attempt: 3, ..key() },
        ] {
            assert_ne!(other.name(), name);
        }
    }

    #[test]
    fn labels_hold_what_labels_may_hold() {
        let labels = key().labels();
        assert_eq!(labels["whimbrel.dev/op"], "Backup-tas-shared");
        assert_eq!(labels["whimbrel.dev/epoch"], "3");
        assert_eq!(label_value(&"x".repeat(70)).len(), 63);
        assert_eq!(label_value("(/)"), "");
    }

    #[test]
    fn a_job_without_our_annotation_is_never_ours() {
        let job = |made_for: Option<String>| {
            let annotations = made_for.map(|it| [(MADE_FOR.to_owned(), it)].into());
            let mut job = Job::default();
            job.metadata.annotations = annotations;
            job
        };
        let ours = job(Some(key().made_for()));
        assert!(is_same(&ours, &ours));
        assert!(!is_same(&ours, &job(Some(JobKey { run: 8, ..key() }.made_for()))));
        assert!(!is_same(&ours, &job(None)));
        assert!(!is_same(&job(None), &job(None)));
    }
}
