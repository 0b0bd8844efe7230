//! A run that is Held: what it says, run as it stands, brings the database back.

use crate::kubectl;
use crate::lane::Platform;
use crate::tools::path_of;
use crate::{annotate, every_dependent, wait};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use whimbrel::engine::postgresql::aside;

/// A plan that may bring back nothing by itself: its first script has no undo, its second one fails.
fn objects(lane: &Platform) -> String {
    let metadata = json!({"name": "stuck", "namespace": lane.name});
    let target = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": metadata,
        "spec": {
            "postgresql": {"host": lane.database.address, "database": "stuck", "tls": {"mode": "Disable"}},
            "credentials": {"secretRef": {"name": "pg-admin"}},
            "backup": {
                "image": "localhost/postgresql:15", "verification": "Structure",
                "storage": {"volumeClaim": {"name": "backups", "path": "stuck"}},
            },
        },
    });
    let scripts = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {
        "V001__amounts.sql": "UPDATE orders SET amount = amount * 2;",
        "V002__broken.sql": "SELECT 1 / 0;",
    }});
    let step = json!({"name": "orders", "migrate": {"target": "stuck", "scripts": {"configMap": {"name": "stuck"}}}});
    let plan = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": metadata,
        "spec": {
            "version": "1", "dependents": every_dependent(lane), "onFailure": {"schema": "Hold"},
            "stages": [{"name": "Data", "steps": [step]}],
        },
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [target, scripts, plan]}).to_string()
}

/// Runs what a person copies, where there is a kubectl.
fn shell(script: &str) -> String {
    let folder = path_of("kubectl");
    let folder = Path::new(&folder).parent().expect("it is in a folder").display();
    let path = format!("{folder}:{}", std::env::var("PATH").expect("there is one"));
    let ran = Command::new("sh")
        .args(["-c", script])
        .env("KUBECONFIG", kubectl::kubeconfig())
        .env("PATH", path)
        .output()
        .expect("there is a shell");
    assert!(ran.status.success(), "{script}\n{}", kubectl::said(&ran));
    String::from_utf8(ran.stdout).expect("it prints text")
}

#[test]
fn the_script_that_a_held_run_names_brings_the_database_back() {
    let platform = crate::platform();
    let lane = &platform.0;
    let amounts =
        |database: &str| lane.database.sql(database, &["SELECT sum(amount) FROM orders"]).trim().to_owned();
    lane.database.sql("shop", &["CREATE DATABASE stuck"]);
    lane.database.sql("stuck", &["CREATE TABLE orders AS SELECT g AS amount FROM generate_series(1, 100) g"]);
    lane.apply(&objects(lane));
    wait(lane, "mplan/stuck", "{.status.phase}", "Held");
    assert_eq!(amounts("stuck"), "10100", "what is applied stays");
    let printed =
        format!("kubectl get mrun -n {} stuck-1 -o jsonpath='{{.status.restoreByHand}}'", lane.name);
    let says = lane.get("mplan/stuck", "{.status.message}");
    assert!(says.ends_with(&format!("the script: {printed}")), "{says}");

    let script = shell(&printed);
    assert!(script.contains("proven to level Restored"), "{script}");
    let password = &lane.database.password;
    assert!(!script.contains(password.as_str()), "names of Secrets, and nothing that is in them");
    shell(&script);
    assert_eq!(amounts("stuck"), "5050");
    let kept = aside("stuck", 1);
    assert_eq!(amounts(&kept), "10100", "what was there is kept");

    annotate(lane, "mplan/stuck", "resolve", "1");
    lane.wait_for_deployments();
    lane.kubectl(&["delete", "mplan/stuck", "dbt/stuck", "--timeout=60s"]);
    lane.kubectl(&["delete", "mrun", "--all", "--timeout=60s"]);
    lane.database
        .sql("shop", &["DROP DATABASE stuck WITH (FORCE)", &format!("DROP DATABASE {kept} WITH (FORCE)")]);
}
