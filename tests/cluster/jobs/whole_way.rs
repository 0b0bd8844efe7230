//! A backup from the dry-run of its Job to the database that a person restores from it.

use super::platform::{Platform, TOOLS, key, shell};
use crate::place::until;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;
use whimbrel::{
    api::{run::BackupRecord, target::DatabaseTargetSpec},
    backup::{ByHand, Level, Of, job_for_verify},
    job::{self, JobState, Removal},
};

#[tokio::test]
async fn a_backup_is_taken_verified_removed_and_restored_by_hand() {
    let platform = Platform::with_database("whole").await;
    let acting = platform.place.own();
    let namespace = &platform.place.namespace;
    platform.psql(
        "CREATE TABLE orders (t text); INSERT INTO orders SELECT md5(g::text) FROM generate_series(1, 500) g",
    );

    let (first, second, third) =
        (key("Backup(shop)", 1), key("VerifyBackup(shop)", 1), key("VerifyBackup(shop)", 2));
    let backup = platform.backup_job(&first);
    job::dry_run(acting, &backup).await.unwrap();
    let JobState::Succeeded { result } = platform.run(&backup).await else { panic!("the backup failed") };
    let taken = &result["backup"];
    assert_eq!((&taken["path"], &taken["rows"]), (&"platform/7/shop-1".into(), &500.into()));
    job::create(acting, &backup).await.expect("a driver that comes back finds its own Job");

    let path = taken["path"].as_str().unwrap();
    let bytes = taken["databaseBytes"].as_u64().unwrap();
    let verify = job_for_verify(&platform.job(&second), path, Level::Restored, bytes);
    match platform.run(&verify).await {
        JobState::Succeeded { result } => assert_eq!(result["verify"]["level"], "Restored"),
        other => panic!("{other:?}"),
    }
    let nothing = job_for_verify(&platform.job(&third), "platform/7/other-1", Level::Artifact, bytes);
    match platform.run(&nothing).await {
        JobState::Failed { why, exit, result } => {
            let said = "/backups/shop/platform/7/other-1 has no manifest.json: this backup was not finished and counts for nothing";
            assert_eq!((why.as_str(), exit), (said, Some(42)), "{result:?}");
        }
        other => panic!("{other:?}"),
    }

    for name in [first.name(), second.name(), third.name()] {
        until("the Job is gone", async || {
            (job::remove(acting, namespace, &name).await.unwrap() == Removal::Gone).then_some(())
        })
        .await;
        assert_eq!(job::look(acting, namespace, &name, true).await.unwrap(), JobState::Absent);
    }
    let left = platform.place.api::<Pod>().list(&ListParams::default()).await.unwrap().items;
    let left: Vec<_> = left.into_iter().filter_map(|pod| pod.metadata.name).collect();
    assert_eq!(left, ["db"]);

    platform.psql("DROP TABLE orders");
    let spec: DatabaseTargetSpec = serde_json::from_value(json!({
        "postgresql": platform.postgresql, "credentials": {"secretRef": {"name": "db"}},
        "backup": {"image": TOOLS, "storage": {"volumeClaim": platform.storage}, "pod": platform.pod},
    }))
    .expect("the fixture fits its type");
    let backup: BackupRecord = serde_json::from_value(json!({
        "target": "shop", "path": path, "at": "2026-11-20T02:14:00Z", "level": "Restored", "bytes": taken["bytes"],
        "sha256": taken["sha256"],
    }))
    .expect("the fixture fits its type");
    let of = Of { plan_uid: first.plan_uid.clone(), run: 7, target: "shop".into() };
    let by_hand = ByHand {
        namespace,
        spec: &spec,
        of: &of,
        backup: &backup,
        run: 7,
        replicas: 1,
        whimbrel_image: &platform.image,
    };
    shell(&by_hand.script().expect("the target says how its backups are made"));
    assert_eq!(platform.psql("SELECT count(*) FROM orders"), "500");
    platform.place.done().await;
}
