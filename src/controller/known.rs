//! What a driver need not ask twice: what it has just read or written, and what is only said to people.
//!
//! Nothing destructive is decided by it alone. A write is bound to the version that is kept here, and the API server
//! refuses it when that is old; who still runs is asked live each time.

use crate::program::WorkloadRef;
use crate::workload::{Workload, WorkloadKey};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the answer to a write counts as a look: the look that follows it at once, and no other.
const ANSWER_IS_FRESH: Duration = Duration::from_millis(250);

/// How often what is only said to people is asked.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// What one driver knows.
#[derive(Default)]
pub(super) struct Known {
    workloads: Mutex<BTreeMap<WorkloadRef, Workload>>,
    answers: Mutex<BTreeMap<WorkloadRef, Instant>>,
    pods: Mutex<BTreeMap<WorkloadKey, Said>>,
    jobs: Mutex<BTreeMap<String, Said>>,
    /// The version of the record that Freeze wrote its spec over, and the one that came of it.
    froze: Mutex<Option<(String, String)>>,
}

/// A sentence, and when it was asked for.
struct Said {
    asked: Instant,
    text: Option<String>,
}

impl Known {
    /// Freeze wrote the record's spec over one version, and made it another.
    pub(super) fn froze(&self, version: &str, became: &str) {
        *lock(&self.froze) = Some((version.to_owned(), became.to_owned()));
    }

    /// The version that the next write of the record's status is bound to: what was read or written last, or what our own
    /// Freeze made of exactly that.
    pub(super) fn version_of_record(&self, version: &str) -> String {
        let froze = lock(&self.froze);
        let became = froze.as_ref().filter(|(before, _)| before == version).map(|(_, became)| became.clone());
        became.unwrap_or_else(|| version.to_owned())
    }

    /// A workload was read live.
    pub(super) fn saw(&self, of: &WorkloadRef, found: &Workload) {
        lock(&self.workloads).insert(of.clone(), found.clone());
    }

    /// A workload was written: the answer is how it is now.
    pub(super) fn wrote(&self, of: &WorkloadRef, answered: Workload) {
        lock(&self.workloads).insert(of.clone(), answered);
        lock(&self.answers).insert(of.clone(), Instant::now());
    }

    /// What a write was answered a moment ago; once.
    pub(super) fn answered(&self, of: &WorkloadRef) -> Option<Workload> {
        let at = lock(&self.answers).remove(of)?;
        (at.elapsed() < ANSWER_IS_FRESH).then(|| self.last(of)).flatten()
    }

    /// A workload as it was read or written last.
    pub(super) fn last(&self, of: &WorkloadRef) -> Option<Workload> {
        lock(&self.workloads).get(of).cloned()
    }

    /// The same, if it is this version.
    pub(super) fn version(&self, of: &WorkloadRef, version: &str) -> Option<Workload> {
        self.last(of).filter(|known| known.resource_version == version)
    }

    /// Whether it is time to ask the pods of a workload that is not ready what is wrong; not at the first look.
    pub(super) fn may_ask_pods(&self, of: &WorkloadKey) -> bool {
        let mut pods = lock(&self.pods);
        match pods.get(of) {
            Some(said) => said.asked.elapsed() >= SAY_EVERY,
            None => {
                pods.insert(of.clone(), Said { asked: Instant::now(), text: None });
                false
            }
        }
    }

    /// What they said.
    pub(super) fn keep_said(&self, of: &WorkloadKey, text: Option<String>) {
        lock(&self.pods).insert(of.clone(), Said { asked: Instant::now(), text });
    }

    /// What they said last.
    pub(super) fn pods_said(&self, of: &WorkloadKey) -> Option<String> {
        lock(&self.pods).get(of)?.text.clone()
    }

    /// A workload is ready: the next time that it is not, nothing is wrong yet.
    pub(super) fn is_ready(&self, of: &WorkloadKey) {
        lock(&self.pods).remove(of);
    }

    /// Whether it is time to ask why a Job's pod does not start, or how far it is; not at the first look.
    pub(super) fn may_ask_job(&self, name: &str) -> bool {
        let mut jobs = lock(&self.jobs);
        let first = !jobs.contains_key(name);
        let said = jobs.entry(name.to_owned()).or_insert(Said { asked: Instant::now(), text: None });
        let may = !first && said.asked.elapsed() >= SAY_EVERY;
        if may {
            said.asked = Instant::now();
        }
        may
    }

    /// How far a Job is: what it says, else what it said last.
    pub(super) fn progress(&self, name: &str, says: Option<String>) -> String {
        let mut jobs = lock(&self.jobs);
        let said = jobs.entry(name.to_owned()).or_insert(Said { asked: Instant::now(), text: None });
        if says.is_some() {
            said.text = says;
        }
        said.text.clone().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WorkloadKind;
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::json;

    fn web(version: &str) -> Workload {
        let live = json!({
            "metadata": {"name": "web", "namespace": "be", "resourceVersion": version},
            "spec": {"replicas": 3, "selector": {}, "template": {}}
        });
        Workload::from(serde_json::from_value::<Deployment>(live).unwrap())
    }

    #[test]
    fn an_answer_stands_for_one_look_and_a_version_for_one_write() {
        let of = WorkloadRef { kind: WorkloadKind::Deployment, namespace: "be".into(), name: "web".into() };
        let known = Known::default();
        known.saw(&of, &web("5"));
        assert_eq!(known.answered(&of), None, "a read is no answer");
        known.wrote(&of, web("6"));
        assert_eq!(known.version(&of, "5"), None, "it is old");
        assert_eq!(known.version(&of, "6"), Some(web("6")));
        assert_eq!((known.answered(&of), known.answered(&of)), (Some(web("6")), None));
        known.wrote(&of, web("7"));
        lock(&known.answers).insert(of.clone(), Instant::now() - ANSWER_IS_FRESH);
        assert_eq!(known.answered(&of), None, "too long ago");
    }

    #[test]
    fn only_our_own_freeze_makes_one_version_into_another() {
        let known = Known::default();
        assert_eq!(known.version_of_record("5"), "5");
        known.froze("5", "6");
        assert_eq!(known.version_of_record("5"), "6");
        assert_eq!(known.version_of_record("4"), "4", "somebody wrote before: that is a conflict");
        assert_eq!(known.version_of_record("7"), "7");
    }

    #[test]
    fn sentences_for_people_are_asked_for_from_time_to_time() {
        let (known, key) = (Known::default(), web("5").key);
        assert!(!known.may_ask_pods(&key) && !known.may_ask_job("wb-1"), "not at the first look");
        let ago = Instant::now() - SAY_EVERY;
        known.pods.lock().unwrap().get_mut(&key).unwrap().asked = ago;
        known.jobs.lock().unwrap().get_mut("wb-1").unwrap().asked = ago;
        assert!(known.may_ask_pods(&key) && known.may_ask_job("wb-1"));
        assert!(!known.may_ask_job("wb-1"));
        known.keep_said(&key, Some("pod web-1: CrashLoopBackOff".into()));
        assert_eq!(known.pods_said(&key).as_deref(), Some("pod web-1: CrashLoopBackOff"));
        known.is_ready(&key);
        assert!(!known.may_ask_pods(&key));
        assert_eq!(known.progress("wb-1", Some("1/4".into())), "1/4");
        assert_eq!(known.progress("wb-1", None), "1/4", "nothing new");
    }
}
