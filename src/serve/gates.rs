//! What keeps the operator from being ready, by name. All gates are closed until somebody opens them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// A condition of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// The served CRDs are those that this operator was built for: an older schema drops fields of the record.
    Crds,
    /// The HMAC key for hashes of variables can be read.
    Key,
    /// The watches have delivered their first list.
    Watches,
}

impl Gate {
    const ALL: [Gate; 3] = [Gate::Crds, Gate::Key, Gate::Watches];

    /// The name that `/readyz` prints.
    pub fn name(self) -> &'static str {
        match self {
            Gate::Crds => "crds",
            Gate::Key => "key",
            Gate::Watches => "watches",
        }
    }
}

/// The gates of one operator; clones share them.
#[derive(Clone, Debug)]
pub struct Gates {
    closed: Arc<Mutex<BTreeMap<Gate, String>>>,
}

impl Default for Gates {
    fn default() -> Self {
        let closed = Gate::ALL.into_iter().map(|gate| (gate, "not checked yet".to_owned())).collect();
        Self { closed: Arc::new(Mutex::new(closed)) }
    }
}

impl Gates {
    /// Opens a gate.
    pub fn open(&self, gate: Gate) {
        self.lock().remove(&gate);
    }

    /// Closes a gate, or gives a closed one another reason: one sentence that says what to do.
    pub fn close(&self, gate: Gate, why: impl Into<String>) {
        self.lock().insert(gate, why.into());
    }

    /// The closed gates with their reasons; empty means ready.
    pub fn closed(&self) -> Vec<(Gate, String)> {
        self.lock().iter().map(|(gate, why)| (*gate, why.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Gate, String>> {
        self.closed.lock().expect("no holder of this lock can panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_every_gate_open() {
        let gates = Gates::default();
        let shared = gates.clone();
        for gate in [Gate::Crds, Gate::Key] {
            gates.open(gate);
        }
        assert_eq!(shared.closed(), [(Gate::Watches, "not checked yet".to_owned())]);
        gates.open(Gate::Watches);
        assert_eq!(shared.closed(), []);
    }

    #[test]
    fn a_gate_that_closes_again_says_why() {
        let gates = Gates::default();
        Gate::ALL.into_iter().for_each(|gate| gates.open(gate));
        gates.close(Gate::Crds, "migrationruns.whimbrel.dev is older than this operator; run helm upgrade");
        let closed = gates.closed();
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].1, "migrationruns.whimbrel.dev is older than this operator; run helm upgrade");
    }
}
