//! A database that is set back behind Whimbrel's back: what is gone is not pending, until a person says that it is.

use crate::lane::Platform;
use crate::{annotate, every_dependent, wait};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PLAN: &str = "mplan/watched";
const TARGET: &str = "dbt/watched";

/// A target that is looked at as often as may be, and a plan of so many tables.
fn objects(lane: &Platform, scripts: usize) -> String {
    let metadata = |name: &str| json!({"name": name, "namespace": lane.name});
    let each = (1..=scripts).flat_map(|n| {
        let (make, drop) =
            (format!("CREATE TABLE watched_{n} (id int);"), format!("DROP TABLE watched_{n};"));
        [(format!("V{n:03}__watched.sql"), json!(make)), (format!("U{n:03}__watched.sql"), json!(drop))]
    });
    let target = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseTarget", "metadata": metadata("watched"),
        "spec": {
            "postgresql": {
                "host": lane.database.address, "database": "shop", "tls": {"mode": "Disable"},
                "histories": [{"name": "watched"}],
            },
            "credentials": {"secretRef": {"name": "pg-admin"}},
            "drift": {"every": "10s"},
            "backup": {
                "image": "localhost/postgresql:15", "verification": "Artifact",
                "storage": {"volumeClaim": {"name": "backups", "path": "control"}},
            },
        },
    });
    let source = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("watched"),
        "data": each.collect::<serde_json::Map<String, Value>>(),
    });
    let migrate =
        json!({"target": "watched", "history": "watched", "scripts": {"configMap": {"name": "watched"}}});
    let plan = json!({
        "apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationPlan", "metadata": metadata("watched"),
        "spec": {
            "version": scripts.to_string(), "dependents": every_dependent(lane),
            "stages": [{"name": "Data", "steps": [{"name": "tables", "migrate": migrate}]}],
        },
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [target, source, plan]}).to_string()
}

fn applied(lane: &Platform) -> String {
    let query = "SELECT string_agg(key, ' ' ORDER BY rank) FROM whimbrel.history WHERE history = 'watched' AND undone_at IS NULL";
    lane.database.sql("shop", &[query]).trim().to_owned()
}

#[test]
fn what_is_gone_is_not_pending_until_a_person_says_so() {
    let platform = crate::platform();
    let lane = &platform.0;
    let in_sync = r#"{.status.conditions[?(@.type=="HistoryInSync")].reason}"#;
    lane.apply(&objects(lane, 2));
    wait(lane, PLAN, "{.status.phase}", "Succeeded");
    wait(lane, TARGET, r#"{.status.histories[?(@.name=="watched")].last}"#, "2");
    wait(lane, TARGET, in_sync, "Done");

    lane.database.sql(
        "shop",
        &["DROP TABLE watched_2; DELETE FROM whimbrel.history WHERE history = 'watched' AND key = '2'; \
           DELETE FROM whimbrel.journal WHERE history = 'watched' AND key = '2'"],
    );
    // Nobody asks for anything: the clock does.
    wait(lane, TARGET, in_sync, "HistoryLost");
    lane.apply(&objects(lane, 3));
    wait(lane, PLAN, r#"{.status.conditions[?(@.type=="Stalled")].reason}"#, "HistoryLost");
    let said = lane.get(PLAN, "{.status.message}");
    assert!(
        said.contains("it has 1 script, 1, and had 2 scripts, the last 2")
            && said
                .contains("kubectl annotate dbt watched --overwrite 'whimbrel.dev/adopt=watched@1 by <you>'"),
        "{said}"
    );
    assert_eq!(applied(lane), "1");

    let adopt = |what: &str| annotate(lane, TARGET, "adopt", what);
    adopt("watched@2");
    let events = || {
        lane.kubectl(&[
            "get",
            "events.events.k8s.io",
            "--output=jsonpath={range .items[*]}{.reason}: {.note}{\"\\n\"}{end}",
        ])
    };
    let refused = "VerbIgnored: whimbrel.dev/adopt is ignored: history watched is at 1, not at 2";
    let deadline = Instant::now() + Duration::from_secs(60);
    while !events().contains(refused) {
        assert!(Instant::now() < deadline, "never told: {}", events());
        std::thread::sleep(Duration::from_millis(200));
    }
    let me = adopt("watched@1");
    wait(lane, PLAN, "{.status.phase}", "Succeeded");
    assert_eq!(applied(lane), "1 2 3");
    wait(lane, TARGET, r#"{.status.histories[?(@.name=="watched")].last}"#, "3");
    assert_eq!(lane.get(TARGET, "{.status.adopted.history} {.status.adopted.by}"), format!("watched {me}"));
    assert!(
        events().contains(&format!("HistoryAdopted: history watched is meant as it is: watched@1 by {me}"))
    );
    lane.kubectl(&["delete", PLAN, TARGET, "--timeout=60s"]);
    lane.kubectl(&["delete", "mrun", "--all", "--timeout=60s"]);
    lane.database.sql(
        "shop",
        &["DROP TABLE watched_1, watched_2, watched_3; DELETE FROM whimbrel.history WHERE history = 'watched'; \
           DELETE FROM whimbrel.journal WHERE history = 'watched'"],
    );
}
