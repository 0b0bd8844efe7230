//! What a person runs where a run is Held: a script for each of its backups that was not put back.

use super::operator::Operator;
use crate::api::bounds::SCRIPT;
use crate::api::reference::WorkloadRef;
use crate::api::run::{BackupRecord, MigrationRunStatus};
use crate::api::target::DatabaseTargetSpec;
use crate::api::{Engine, MigrationRun, Outcome};
use crate::backup::{ByHand, Of};
use std::collections::BTreeMap;

const HEAD: &str = "# Look at it first: it puts aside what is there now. Nobody may be connected.\n";

/// What the scripts of a run need beside its record.
pub(super) struct Scripts {
    namespace: String,
    plan_uid: String,
    /// The run, and the one that took its backups: another one where that is taken back.
    run: u64,
    of_run: u64,
    whimbrel_image: String,
    /// What the targets of the plan say; empty where an end is told that another driver wrote.
    targets: BTreeMap<String, DatabaseTargetSpec>,
}

impl Scripts {
    /// Those of a run.
    pub(super) fn new(
        operator: &Operator,
        run: &MigrationRun,
        targets: BTreeMap<String, DatabaseTargetSpec>,
    ) -> Self {
        Self {
            namespace: run.metadata.namespace.clone().unwrap_or_default(),
            plan_uid: run.spec.plan.uid.clone(),
            run: run.spec.number.unsigned_abs(),
            of_run: run.spec.rolls_back.unwrap_or(run.spec.number).unsigned_abs(),
            whimbrel_image: operator.image.clone(),
            targets,
        }
    }

    /// The engine of a target.
    pub(super) fn engine(&self, target: &str) -> Option<Engine> {
        Some(self.targets.get(target)?.engine().ok()?.kind())
    }

    /// The record, with the scripts if it is that of a Held run.
    pub(super) fn with(&self, mut record: MigrationRunStatus) -> MigrationRunStatus {
        match record.outcome {
            // Who tells of an end that another driver wrote has them from that one.
            Some(Outcome::Held) if self.targets.is_empty() => {}
            Some(Outcome::Held) => record.restore_by_hand = self.all(&record),
            // It was Held and goes on, as after a loss was accepted: what to do by hand is over.
            _ => record.restore_by_hand.clear(),
        }
        record
    }

    fn all(&self, record: &MigrationRunStatus) -> String {
        let put_back = |backup: &&BackupRecord| record.restores.iter().any(|of| of.target == backup.target);
        let mut all = String::new();
        for backup in record.backups.iter().filter(|backup| !put_back(backup)) {
            let Some(script) = self.of(record, backup) else { continue };
            // Half of a script is worse than none.
            if HEAD.len() + all.len() + script.len() + 200 > SCRIPT as usize {
                all.push_str(&format!(
                    "# Target {}: no script, its spec.backup.pod is too long for this place. Restore backup {} of its storage with the engine's own tools.\n",
                    backup.target, backup.path
                ));
            } else {
                all.push_str(&script);
            }
        }
        if all.is_empty() { all } else { format!("{HEAD}{all}") }
    }

    fn of(&self, record: &MigrationRunStatus, backup: &BackupRecord) -> Option<String> {
        let spec = self.targets.get(&backup.target)?;
        let server = spec.server.as_ref().map(|server| server.workload());
        let of = Of { plan_uid: self.plan_uid.clone(), run: self.of_run, target: backup.target.clone() };
        ByHand {
            namespace: &self.namespace,
            spec,
            of: &of,
            backup,
            run: self.run,
            replicas: server.and_then(|server| self.replicas(record, &server)).unwrap_or(1),
            whimbrel_image: &self.whimbrel_image,
        }
        .script()
    }

    fn replicas(&self, record: &MigrationRunStatus, server: &WorkloadRef) -> Option<i32> {
        let namespace = server.namespace.as_deref().unwrap_or(&self.namespace);
        let same = |kind, of: &str, name: &str| kind == server.kind && of == namespace && name == server.name;
        record.originals.iter().find(|it| same(it.kind, &it.namespace, &it.name))?.replicas
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn scripts(targets: Value) -> Scripts {
        Scripts {
            namespace: "aether".into(),
            plan_uid: "9b7f".into(),
            run: 8,
            of_run: 7,
            whimbrel_image: "registry/whimbrel:0.1".into(),
            targets: serde_json::from_value(targets).unwrap(),
        }
    }

    fn shop(pod: Value) -> Value {
        json!({"postgresql": {"host": "db", "database": "shop"}, "credentials": {"secretRef": {"name": "pg"}},
            "backup": {"image": "pg:15", "storage": {"volumeClaim": {"name": "backups"}}, "pod": pod}})
    }

    fn graph() -> Value {
        json!({"neo4j": {"uri": "neo4j://graph:7687"}, "credentials": {"secretRef": {"name": "graph"}},
            "server": {"kind": "StatefulSet", "name": "graph", "volumeClaim": "data-graph-0"},
            "backup": {"image": "neo4j:5", "storage": {"volumeClaim": {"name": "backups"}}}})
    }

    fn record(outcome: &str) -> MigrationRunStatus {
        let backup = |target: &str| {
            json!({"target": target, "path": format!("plan/7/{target}-1"), "at": "2026-11-20T02:14:00Z",
                "level": "Restored", "bytes": 5, "sha256": "ab12"})
        };
        let original =
            json!({"kind": "StatefulSet", "namespace": "aether", "name": "graph", "uid": "1", "replicas": 3});
        let status = json!({"outcome": outcome, "backups": [backup("shop"), backup("graph")], "originals": [original]});
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_held_run_has_a_script_for_each_backup_and_no_other_has_one() {
        let scripts = scripts(json!({"shop": shop(json!({})), "graph": graph()}));
        let held = scripts.with(record("Held")).restore_by_hand;
        let head = |target: &str| {
            format!(
                "# Target {target}: its backup of 2026-11-20 02:14:00Z, taken by run 7 and proven to level Restored.\n"
            )
        };
        assert!(held.starts_with(&format!("{HEAD}{}", head("shop"))), "{held}");
        assert!(held.contains(&head("graph")), "{held}");
        assert!(held.ends_with("scale statefulset/graph --replicas=3\n"), "{held}");
        assert!(held.contains("_r8"), "what is put aside is named by the run that is Held: {held}");
        assert_eq!(scripts.with(record("RolledBack")).restore_by_hand, "");
    }

    #[test]
    fn what_was_put_back_is_left_out() {
        let scripts = scripts(json!({"shop": shop(json!({})), "graph": graph()}));
        let restore = json!({"target": "shop", "aside": "wb_1_r8", "replaced": "a", "identity": "b", "at": "2026-11-20T02:20:00Z"});
        let mut record = record("Held");
        record.restores = vec![serde_json::from_value(restore).unwrap()];
        let held = scripts.with(record).restore_by_hand;
        assert!(!held.contains("# Target shop") && held.contains("# Target graph"), "{held}");
    }

    #[test]
    fn a_script_is_whole_or_not_there() {
        let long = json!({"annotations": {"a": "x".repeat(SCRIPT as usize)}, "nodeSelector": {"a": "y".repeat(SCRIPT as usize)}});
        let held =
            scripts(json!({"shop": shop(long), "graph": graph()})).with(record("Held")).restore_by_hand;
        assert!(
            held.contains("# Target shop: no script, its spec.backup.pod is too long for this place. Restore backup plan/7/shop-1 of"),
            "{held}"
        );
        assert!(held.contains("statefulset/graph") && held.len() < SCRIPT as usize, "{held}");
    }

    #[test]
    fn who_knows_no_targets_leaves_what_is_there() {
        let mut record = record("Held");
        record.restore_by_hand = "kubectl a\n".into();
        let mut record = scripts(json!({})).with(record);
        assert_eq!(record.restore_by_hand, "kubectl a\n");
        record.outcome = None;
        assert_eq!(scripts(json!({})).with(record).restore_by_hand, "", "it goes on");
    }
}
