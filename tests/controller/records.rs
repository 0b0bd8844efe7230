//! What records say of a run while it is under way, when it has ended, and when it is gone.

use crate::lane::Platform;
use crate::{annotate, every_dependent, wait};
use serde_json::json;

const PLAN: &str = "recorded";

/// A target of its own, a script, and a plan that asks behind it; `version` makes it another intent.
fn objects(lane: &Platform, version: u32) -> String {
    let metadata = |name: &str| json!({"name": name, "namespace": &lane.name});
    let target = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": metadata(PLAN),
        "spec": {
            "postgresql": {
                "host": lane.database.address, "database": "shop", "tls": {"mode": "Disable"},
                "histories": [{"name": PLAN}],
            },
            "credentials": {"secretRef": {"name": "pg-admin"}},
            "backup": {
                "image": "localhost/postgresql:15", "verification": "Artifact",
                "storage": {"volumeClaim": {"name": "backups", "path": PLAN}},
            },
        },
    });
    let files: serde_json::Map<_, _> = (1..=version)
        .flat_map(|n| {
            [
                (format!("V{n}__recorded.sql"), json!(format!("CREATE TABLE recorded_{n} (id int);"))),
                (format!("U{n}__recorded.sql"), json!(format!("DROP TABLE recorded_{n};"))),
            ]
        })
        .collect();
    let scripts = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(PLAN), "data": files});
    let steps = json!([
        {"name": "entities", "migrate": {"target": PLAN, "history": PLAN, "scripts": {"configMap": {"name": PLAN}}}},
        {"name": "look", "approve": {"message": "Shall it go on?"}},
    ]);
    let plan = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": metadata(PLAN),
        "spec": {
            "version": version.to_string(), "runHistoryLimit": 1, "dependents": every_dependent(lane),
            "stages": [{"name": "Data", "steps": steps}],
        },
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [target, scripts, plan]}).to_string()
}

/// Runs a version up to its end; the name of who approved.
fn run(lane: &Platform, version: u32) -> String {
    lane.apply(&objects(lane, version));
    wait(lane, "mplan/recorded", r#"{.status.conditions[?(@.type=="Ready")].reason}"#, "AwaitingApproval");
    let number = lane.get("mplan/recorded", "{.status.run.number}");
    assert_eq!(lane.get("dbt/recorded", "{.metadata.finalizers}"), r#"["whimbrel.dev/run"]"#);
    wait(lane, "dbt/recorded", "{.status.claim.run}", &format!("recorded-{number}"));
    assert_eq!(lane.get("dbt/recorded", "{.status.claim.plan}"), format!("{}/recorded", lane.name));
    assert_eq!(lane.get("dbt/recorded", "{.status.backups[0].pinnedBy}"), format!("recorded-{number}"));
    let hash = lane.get("mplan/recorded", "{.status.run.planHash}");
    let me = annotate(lane, "mplan/recorded", "approve.look", &hash);
    wait(lane, "mplan/recorded", "{.status.phase}", "Succeeded");
    me
}

#[test]
fn what_a_run_did_outlives_it() {
    let platform = crate::platform();
    let lane = &platform.0;
    let me = run(lane, 1);
    let first = |path: &str| lane.get("mrun/recorded-1", path);
    // The lanes have no admission policy: nobody proves who approves.
    let approval =
        first("{.status.approvals[0].what} {.status.approvals[0].by} {.status.approvals[0].verified}");
    assert_eq!(approval, format!("look {me} false"));
    assert_eq!(
        first("{.status.approvals[0].planHash}"),
        lane.get("mplan/recorded", "{.status.run.planHash}")
    );
    let mark =
        first("{.status.watermarks[0].target} {.status.watermarks[0].count} {.status.watermarks[0].last}");
    assert_eq!(mark, "recorded 1 1");
    wait(lane, "dbt/recorded", "{.status.histories[0].last}", "1");
    wait(lane, "dbt/recorded", r#"{.status.conditions[?(@.type=="BackupFresh")].status}"#, "True");
    assert_eq!(lane.get("dbt/recorded", "{.status.claim}{.status.backups[0].pinnedBy}"), "");

    // A source that is edited after the end is said, and nothing is done about it.
    let edit = json!({"data": {"V2__recorded.sql": "CREATE TABLE recorded_2 (id int);", "U2__recorded.sql": "DROP TABLE recorded_2;"}});
    lane.kubectl(&["patch", "configmap/recorded", "--type=merge", &format!("--patch={edit}")]);
    lane.kubectl(&["label", "mplan/recorded", "look=again"]);
    wait(lane, "mplan/recorded", r#"{.status.conditions[?(@.type=="SourceChanged")].status}"#, "True");
    assert_eq!(lane.get("mplan/recorded", "{.status.phase} {.status.run.number}"), "Succeeded 1");

    run(lane, 2);
    lane.kubectl(&["wait", "--for=delete", "mrun/recorded-1", "--timeout=60s"]);
    wait(lane, "dbt/recorded", "{.status.backups[1].run}", "recorded-1");
    assert_eq!(lane.get("dbt/recorded", "{.status.backups[0].run}"), "recorded-2");
    wait(lane, "dbt/recorded", "{.status.histories[0].last}", "2");

    lane.kubectl(&["delete", "mplan/recorded", "dbt/recorded", "--timeout=60s"]);
    lane.kubectl(&["delete", "mrun", "--all", "--timeout=60s"]);
    let tables =
        "DROP TABLE recorded_1, recorded_2; DELETE FROM whimbrel.history; DELETE FROM whimbrel.journal";
    lane.database.sql("shop", &[tables]);
}
