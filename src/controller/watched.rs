//! The runs of a plan whose driver is at work in this process: as they were listed when it began, the newest one as its
//! watch saw it last.

use crate::api::MigrationRun;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By namespace and name of the plan, oldest first.
type ByPlan = BTreeMap<(String, String), Vec<MigrationRun>>;

/// What the watch saw.
#[derive(Clone, Default)]
pub(super) struct Watched(Arc<Mutex<ByPlan>>);

impl Watched {
    /// The runs of a plan were listed live.
    pub(super) fn listed(&self, namespace: &str, plan: &str, runs: &[MigrationRun]) {
        let key = (namespace.to_owned(), plan.to_owned());
        match runs {
            [] => drop(self.lock().remove(&key)),
            runs => drop(self.lock().insert(key, runs.to_vec())),
        }
    }

    /// The watch saw a run. What it is to a plan is for a list to say: only one that was listed is kept up to date, and one
    /// that may be on its way out makes the next look a live one.
    pub(super) fn saw(&self, run: MigrationRun) {
        let key = (run.metadata.namespace.clone().unwrap_or_default(), run.spec.plan.name.clone());
        let mut all = self.lock();
        let Some(runs) = all.get_mut(&key) else { return };
        let newest = runs.last_mut().filter(|newest| newest.metadata.uid == run.metadata.uid);
        match newest {
            Some(newest) if run.metadata.deletion_timestamp.is_none() => *newest = run,
            _ => drop(all.remove(&key)),
        }
    }

    /// The runs of a plan, if the newest one has not ended and its driver is at work.
    pub(super) fn of(
        &self,
        namespace: &str,
        plan: &str,
        at_work: impl Fn(&MigrationRun) -> bool,
    ) -> Option<Vec<MigrationRun>> {
        let all = self.lock();
        let runs = all.get(&(namespace.to_owned(), plan.to_owned()))?;
        let newest = runs.last()?;
        let ended = newest.status.as_ref().is_some_and(|status| status.outcome.is_some());
        (!ended && at_work(newest)).then(|| runs.clone())
    }

    fn lock(&self) -> MutexGuard<'_, ByPlan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn run(number: i64, status: Value) -> MigrationRun {
        serde_json::from_value(json!({
            "metadata": {"name": format!("shop-{number}"), "namespace": "aether", "uid": format!("r{number}")},
            "spec": {"plan": {"name": "shop", "uid": "p", "generation": 1}, "number": number, "intentHash": "i"},
            "status": status
        }))
        .unwrap()
    }

    fn epochs(watched: &Watched) -> Option<Vec<i64>> {
        let runs = watched.of("aether", "shop", |run| run.spec.number == 2)?;
        Some(runs.iter().map(|run| run.status.as_ref().map_or(0, |status| status.epoch)).collect())
    }

    #[test]
    fn the_run_at_work_is_as_the_watch_saw_it_last() {
        let watched = Watched::default();
        watched.saw(run(2, json!({"epoch": 1})));
        assert_eq!(epochs(&watched), None, "nothing was listed");
        watched.listed("aether", "shop", &[run(1, json!({"outcome": "Aborted"})), run(2, json!({}))]);
        watched.saw(run(2, json!({"epoch": 4})));
        assert_eq!(epochs(&watched), Some(vec![0, 4]));
        assert!(watched.of("aether", "shop", |_| false).is_none(), "no driver of this process");
        watched.saw(run(2, json!({"epoch": 4, "outcome": "Succeeded"})));
        assert_eq!(epochs(&watched), None, "what follows its end is decided by a live list");
    }

    #[test]
    fn what_was_not_listed_or_goes_asks_for_a_list() {
        for strange in [run(1, json!({})), run(3, json!({}))] {
            let watched = Watched::default();
            watched.listed("aether", "shop", &[run(1, json!({})), run(2, json!({}))]);
            watched.saw(strange);
            assert_eq!(epochs(&watched), None);
        }
        let watched = Watched::default();
        watched.listed("aether", "shop", &[run(2, json!({}))]);
        let mut going = run(2, json!({}));
        going.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-11-20T02:00:00Z")).unwrap());
        watched.saw(going);
        assert_eq!(epochs(&watched), None);
    }
}
