//! Telling people of verbs that do nothing, once each and not at every look.

use super::operator::Operator;
use crate::cluster::events::{Severity, Transition};
use crate::words;
use k8s_openapi::api::core::v1::ObjectReference;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// What was told of the verbs of each object, by its uid. Forgotten with the process: an event of the same name is
/// then made a second time, which the API server refuses for as long as it keeps the first.
#[derive(Debug, Default)]
pub(super) struct ToldVerbs(Mutex<BTreeMap<String, BTreeSet<String>>>);

impl ToldVerbs {
    /// Those that were not told yet; what an object does not say any more is forgotten.
    fn untold(&self, uid: &str, all: Vec<words::Transition>) -> Vec<words::Transition> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<String> = all.iter().map(|transition| transition.once.clone()).collect();
        let before = if now.is_empty() { told.remove(uid) } else { told.insert(uid.to_owned(), now) };
        let before = before.unwrap_or_default();
        all.into_iter().filter(|transition| !before.contains(&transition.once)).collect()
    }
}

/// Tells what is not told yet.
pub(super) async fn tell_ignored(
    operator: &Operator,
    regarding: &ObjectReference,
    ignored: Vec<words::Transition>,
) {
    let uid = regarding.uid.as_deref().unwrap_or_default();
    for transition in operator.told_verbs.untold(uid, ignored) {
        operator
            .recorder
            .publish(&Transition {
                regarding,
                related: None,
                severity: Severity::Warning,
                reason: transition.reason.as_str(),
                note: &transition.note,
                once: &transition.once,
            })
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::EventReason;

    fn ignored(once: &str) -> Vec<words::Transition> {
        let note = "why".to_owned();
        let (reason, warning, related) = (EventReason::VerbIgnored, true, None);
        vec![words::Transition { reason, warning, note, related, once: once.to_owned() }]
    }

    #[test]
    fn a_verb_is_told_once_for_as_long_as_it_stands_there() {
        let told = ToldVerbs::default();
        assert_eq!(told.untold("u", ignored("a")).len(), 1);
        assert_eq!(told.untold("u", ignored("a")), []);
        assert_eq!(told.untold("other", ignored("a")).len(), 1);
        assert_eq!(told.untold("u", ignored("b")).len(), 1, "it says something else now");
        assert_eq!(told.untold("u", Vec::new()), []);
        assert_eq!(told.untold("u", ignored("b")).len(), 1, "it was taken away and came back");
    }
}
