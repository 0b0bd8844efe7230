//! What the script of a PostgreSQL says, from a volume and from a bucket.

use crate::api::{run::BackupRecord, target::DatabaseTargetSpec};
use crate::backup::{ByHand, Of};
use serde_json::{Value, json};

fn script(storage: Value) -> String {
    let spec: DatabaseTargetSpec = serde_json::from_value(json!({
        "postgresql": {"host": "db", "database": "tas's", "tls": {
            "ca": {"secretKeyRef": {"name": "ca", "key": "c"}}, "clientCertificate": {"secretRef": {"name": "c"}}}},
        "credentials": {"secretRef": {"name": "pg-admin"}},
        "backup": {"image": "registry/pg:15", "storage": storage},
    }))
    .unwrap();
    let backup: BackupRecord = serde_json::from_value(json!({
        "target": "tas", "path": "plan/7/tas-1", "at": "2026-11-20T02:14:00Z", "level": "Structure", "bytes": 5, "sha256": "ab12",
    }))
    .unwrap();
    let of = Of { plan_uid: "9b7f".into(), run: 7, target: "tas".into() };
    ByHand {
        namespace: "aether",
        spec: &spec,
        of: &of,
        backup: &backup,
        run: 7,
        replicas: 1,
        whimbrel_image: "registry/whimbrel:0.1",
    }
    .script()
    .unwrap()
}

#[test]
fn the_database_is_put_aside_and_the_backup_becomes_a_new_one() {
    let script = script(json!({"volumeClaim": {"name": "backups", "path": "tas"}}));
    let [head, aside, before, run, wait, exec, delete] = script.lines().collect::<Vec<_>>()[..] else {
        panic!("{script}")
    };
    assert_eq!(
        head,
        "# Target tas: its backup of 2026-11-20 02:14:00Z, taken by run 7 and proven to level Structure."
    );
    assert_eq!(
        aside,
        "# Database \"tas's\" becomes \"wb_8f7c02b5_r7\", which is kept. Should the restore fail: DROP DATABASE \"tas's\"; ALTER DATABASE \"wb_8f7c02b5_r7\" RENAME TO \"tas's\"."
    );
    assert_eq!(before, "kubectl -n aether delete pod wb-restore-a6042bc5d6 --ignore-not-found &&");
    let begins = "kubectl -n aether run wb-restore-a6042bc5d6 --image=registry/pg:15 --restart=Never --overrides='{\"spec\":{";
    assert!(run.starts_with(begins) && !run.contains("whimbrel-bin") && run.ends_with("' &&"), "{run}");
    assert_eq!(
        wait,
        "kubectl -n aether wait pod/wb-restore-a6042bc5d6 --for=condition=Ready --timeout=10m &&"
    );
    assert_eq!(delete, "kubectl -n aether delete pod wb-restore-a6042bc5d6");
    let inner = concat!(
        "export PGHOST=db PGPORT=5432; ",
        "export PGUSER=\"$(cat /credentials/username)\" PGPASSWORD=\"$(cat /credentials/password)\"; ",
        "export PGSSLMODE=verify-full PGSSLROOTCERT=/credentials/ca.crt; ",
        "install -m 600 /credentials/tls.key /tmp/tls.key; ",
        "export PGSSLCERT=/credentials/tls.crt PGSSLKEY=/tmp/tls.key; ",
        "psql -X -d postgres -c 'ALTER DATABASE \"tas'\\''s\" RENAME TO \"wb_8f7c02b5_r7\"'; ",
        "pg_restore --create --exit-on-error --no-subscriptions --jobs=2 -d postgres /backups/tas/plan/7/tas-1/data; ",
        "psql -X -d 'tas'\\''s' -c ANALYZE",
    );
    let quoted = inner.replace('\'', r"'\''");
    assert_eq!(exec, format!("kubectl -n aether exec wb-restore-a6042bc5d6 -- sh -ec '{quoted}' &&"));
}

#[test]
fn what_is_in_a_bucket_is_fetched_before_anything_is_renamed() {
    let script =
        script(json!({"s3": {"endpoint": "https://minio:9000", "bucket": "backups", "prefix": "tas",
        "pathStyle": true, "credentials": {"secretRef": {"name": "minio"}}}}));
    let fetch = "/whimbrel-bin/whimbrel worker fetch --bucket=backups --prefix=tas --region=us-east-1 --endpoint=https://minio:9000 --path-style --bucket-credentials=/bucket --plan-uid=9b7f --run=7 --target=tas --path=plan/7/tas-1 --sha256=ab12 --to=/tmp/backup --result=/tmp/fetched.json; psql -X";
    assert!(script.contains(fetch), "{script}");
    assert!(script.contains("--jobs=2 -d postgres /tmp/backup/dump.pgc"), "{script}");
    assert!(script.contains(r#""image":"registry/whimbrel:0.1""#) && script.contains("/bucket"), "{script}");
    assert!(!script.contains("persistentVolumeClaim"), "{script}");
}
