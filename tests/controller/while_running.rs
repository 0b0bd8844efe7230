//! What people do to plans and targets while a run is under way.
//!
//! Every run here stops at an `approve` step behind its scripts: scripts applied, dependents down, claims held.

use crate::lane::Platform;
use crate::{annotate, every_dependent};
use serde_json::{Value, json};

/// A plan that creates one table, asks a person, and sets a flag.
struct Plan {
    name: &'static str,
    target: &'static str,
    version: &'static str,
    dependents: Value,
}

impl Plan {
    fn objects(&self, lane: &Platform) -> String {
        let (name, namespace) = (self.name, &lane.name);
        let metadata = |name: &str| json!({"name": name, "namespace": namespace});
        let file = format!("V001__{}.sql", name.replace('-', "_"));
        let undo = file.replacen('V', "U", 1);
        let table = format!("made_by_{}", name.replace('-', "_"));
        let migrate =
            json!({"target": self.target, "history": name, "scripts": {"configMap": {"name": name}}});
        let steps = json!([
            {"name": "entities", "migrate": migrate},
            {"name": "look", "approve": {"message": "Shall it go on?"}},
        ]);
        let target = json!({
            "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": metadata(self.target),
            "spec": {
                "postgresql": {
                    "host": lane.database.address, "database": "shop", "tls": {"mode": "Disable"},
                    "histories": [{"name": "edited"}, {"name": "deleted"}, {"name": "held"}, {"name": "first"}, {"name": "second"}],
                },
                "credentials": {"secretRef": {"name": "pg-admin"}},
                "backup": {
                    "image": "localhost/postgresql:15", "verification": "Artifact",
                    "storage": {"volumeClaim": {"name": "backups", "path": "control"}},
                },
            },
        });
        let scripts = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name),
            "data": {file: format!("CREATE TABLE {table} (id int);"), undo: format!("DROP TABLE {table};")},
        });
        let plan = json!({
            "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": metadata(name),
            "spec": {
                "version": self.version, "dependents": self.dependents,
                "stages": [{"name": "Data", "steps": steps}],
            },
        });
        json!({"apiVersion": "v1", "kind": "List", "items": [target, scripts, plan]}).to_string()
    }

    /// Applies it and waits until it asks.
    fn ask(&self, lane: &Platform) {
        lane.apply(&self.objects(lane));
        wait(lane, self.name, r#"{.status.conditions[?(@.type=="Ready")].reason}"#, "AwaitingApproval");
    }

    /// Lets it go on.
    fn approve(&self, lane: &Platform) {
        let plan = format!("mplan/{}", self.name);
        let hash = lane.get(&plan, "{.status.run.planHash}");
        annotate(lane, &plan, "approve.look", &hash);
    }

    fn says(&self, lane: &Platform) -> String {
        lane.get(&format!("mplan/{}", self.name), "{.status.message}")
    }
}

fn wait(lane: &Platform, plan: &str, path: &str, value: &str) {
    crate::wait(lane, &format!("mplan/{plan}"), path, value);
}

/// The tables that plans of this file made.
fn tables(lane: &Platform) -> String {
    let found = "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE tablename LIKE 'made_by_%'";
    lane.database.sql("shop", &[found]).trim().to_owned()
}

#[test]
fn an_edit_is_the_next_generation_and_never_a_change_of_this_run() {
    let platform = crate::platform();
    let lane = &platform.0;
    let plan = Plan { name: "edited", target: "it", version: "1", dependents: every_dependent(lane) };
    plan.ask(lane);
    let later = Plan { version: "2", ..plan };
    lane.apply(&later.objects(lane));
    wait(lane, "edited", r#"{.status.conditions[?(@.type=="SpecDrift")].status}"#, "True");
    assert_eq!(lane.get("mplan/edited", "{.status.run.generation} {.status.observedGeneration}"), "1 2");
    later.approve(lane);
    wait(lane, "edited", "{.status.phase}", "Succeeded");
    wait(lane, "edited", r#"{.status.conditions[?(@.type=="SpecDrift")].status}"#, "False");
    assert_eq!(lane.get("mrun/edited-1", "{.status.outcome}"), "Succeeded");
    assert_eq!(later.says(lane), "2 is in place: nothing to do, nothing was touched");
    lane.kubectl(&["delete", "mplan/edited", "--timeout=60s"]);
}

#[test]
fn a_plan_that_is_deleted_while_it_runs_brings_everything_back_first() {
    let platform = crate::platform();
    let lane = &platform.0;
    for cascade in ["background", "foreground"] {
        lane.wait_for_deployments();
        let (before, dump) = (replicas(lane), lane.database.dump());
        let plan =
            Plan { name: "deleted", target: "it", version: cascade, dependents: every_dependent(lane) };
        plan.ask(lane);
        assert!(tables(lane).contains("made_by_deleted"));
        lane.kubectl(&["delete", "mplan/deleted", &format!("--cascade={cascade}"), "--timeout=120s"]);
        lane.wait_for_deployments();
        assert_eq!(replicas(lane), before, "{cascade}");
        assert_eq!(lane.database.dump(), dump, "{cascade}");
        lane.kubectl(&["delete", "mrun", "--all", "--timeout=60s"]);
    }
}

fn replicas(lane: &Platform) -> String {
    let path = "{range .items[*]}{.metadata.name} {.spec.replicas} {.spec.template.spec.containers[*].image}{\"\\n\"}{end}";
    let backend = format!("--namespace={}-be", lane.name);
    let shown = format!("--output=jsonpath={path}");
    [lane.get("deployments", path), lane.kubectl(&["get", "deployments", &backend, &shown])].join("\n")
}

#[test]
fn a_target_that_is_deleted_while_a_run_uses_it_stays_until_the_run_has_ended() {
    let platform = crate::platform();
    let lane = &platform.0;
    let plan = Plan { name: "held", target: "leaving", version: "1", dependents: every_dependent(lane) };
    plan.ask(lane);
    lane.kubectl(&["delete", "dbt/leaving", "--wait=false"]);
    assert!(!lane.get("dbt/leaving", "{.metadata.deletionTimestamp}").is_empty());
    plan.approve(lane);
    wait(lane, "held", "{.status.phase}", "Succeeded");
    lane.kubectl(&["wait", "--for=delete", "dbt/leaving", "--timeout=60s"]);
    lane.kubectl(&["delete", "mplan/held", "--timeout=60s"]);
}

#[test]
fn who_comes_second_waits_and_names_who_is_first() {
    let platform = crate::platform();
    let lane = &platform.0;
    // One database under two names, and one workload.
    for (second, dependents) in [("it", json!([])), ("elsewhere", every_dependent(lane))] {
        let first = Plan { name: "first", target: "it", version: second, dependents: every_dependent(lane) };
        let waiting = Plan { name: "second", target: second, version: second, dependents };
        first.ask(lane);
        lane.apply(&waiting.objects(lane));
        wait(lane, "second", r#"{.status.conditions[?(@.type=="Ready")].reason}"#, "Queued");
        let said = waiting.says(lane);
        assert!(said.contains(&format!("{}/first", lane.name)), "it names the holder: {said}");
        first.approve(lane);
        wait(lane, "first", "{.status.phase}", "Succeeded");
        lane.kubectl(&["delete", "mplan/second", "mplan/first", "--timeout=120s"]);
        // With their targets goes what is known of the history that is taken away here.
        lane.kubectl(&["delete", "mrun,dbt", "--all", "--timeout=60s"]);
        lane.database.sql("shop", &["DROP TABLE IF EXISTS made_by_first, made_by_second; DELETE FROM whimbrel.history; DELETE FROM whimbrel.journal"]);
    }
}
