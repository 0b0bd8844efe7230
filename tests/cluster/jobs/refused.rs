//! Jobs that can't start: said by the dry-run where the API server knows it, else as one sentence while they wait.

use super::platform::{Platform, key};
use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::json;
use whimbrel::job;

#[tokio::test]
async fn a_quota_is_said_before_and_while() {
    let platform = Platform::new("quota").await;
    let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": {"limits.memory": "1Gi"}}});
    platform.place.create::<ResourceQuota>(quota).await;
    let key = key("Backup(shop)", 1);
    let job = platform.backup_job(&key);
    let refused = job::dry_run(platform.place.own(), &job).await.unwrap_err().to_string();
    assert!(refused.contains("must specify limits.memory"), "{refused}");
    let why = platform.why(&job, "must specify limits.memory").await;
    assert!(why.starts_with("its pod is refused: "), "{why}");
    platform.place.done().await;
}

#[tokio::test]
async fn a_missing_claim_secret_and_image_are_named() {
    let mut platform = Platform::new("missing").await;
    let first = key("Backup(shop)", 1);
    let why = platform.why(&platform.backup_job(&first), "persistentvolumeclaim").await;
    assert!(why.contains("\"backups\" not found"), "{why}");
    let claim = json!({"metadata": {"name": "backups"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    platform.place.create::<k8s_openapi::api::core::v1::PersistentVolumeClaim>(claim).await;
    platform.why(&platform.backup_job(&first), "secret \"db\" not found").await;
    let secret = json!({"metadata": {"name": "db"}, "stringData": {"username": "u", "password": "p"}});
    platform.place.create::<k8s_openapi::api::core::v1::Secret>(secret).await;
    platform.image = "localhost/no-such-image:1".into();
    let second = key("Backup(shop)", 2);
    let why = platform.why(&platform.backup_job(&second), "can't be pulled").await;
    assert!(why.starts_with("image localhost/no-such-image:1 can't be pulled: "), "{why}");
    platform.place.done().await;
}
