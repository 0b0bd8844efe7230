//! The Jobs that take, verify and restore a backup. Pure.

use super::{Kept, Level, Told};
use crate::{
    api::{
        pod::Pod,
        reference::FromKey,
        target::{Postgresql, Tls, VolumeClaim},
    },
    job::{JobKey, WorkerJob, mount, scratch_volume},
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{
            ConfigMapProjection, KeyToPath, PersistentVolumeClaimVolumeSource, ProjectedVolumeSource,
            SecretProjection, Volume, VolumeMount, VolumeProjection,
        },
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use std::{collections::BTreeMap, time::Duration};

/// What a scratch server needs beside the database itself: its own files, and the log that a restore writes.
const SCRATCH_EXTRA: u64 = 2 << 30;
/// Tables that are dumped or restored at the same time. Enough to keep one disk busy, and no load on a server that
/// others may use.
const PARALLEL: u32 = 2;
/// A dump or restore that failed by a lost connection or node is tried once more inside the same Job; more would eat the
/// downtime.
pub(super) const RETRIES: i32 = 1;

/// Where the claim is mounted.
pub(super) const BACKUPS: &str = "/backups";

/// What the Jobs of a target's backup have in common.
#[derive(Clone, Debug)]
pub struct BackupJob<'a> {
    /// For what.
    pub key: &'a JobKey,
    /// The target's namespace: its Secrets and the claim are there.
    pub namespace: &'a str,
    /// The run's record, if it lives in the same namespace.
    pub owner: Option<OwnerReference>,
    /// Image of Whimbrel's program.
    pub whimbrel_image: &'a str,
    /// Image of the engine's own tools: `spec.backup.image`.
    pub tools_image: &'a str,
    /// Where backups are kept.
    pub storage: Kept<'a>,
    /// `spec.backup.pod`.
    pub pod: &'a Pod,
    /// `spec.backup.within`.
    pub within: Duration,
}

/// The database to be backed up, or to be restored beside.
#[derive(Clone, Debug)]
pub struct BackupSource<'a> {
    /// Where it is and how it is spoken to.
    pub postgresql: &'a Postgresql,
    /// The Secret with `username` and `password`.
    pub credentials: &'a str,
    /// The name of the run's sessions at the server, the engine's own for this run and epoch.
    pub application_name: &'a str,
}

/// The Job that takes a backup. Its result is `{"backup": `[`super::Taken`]`}`.
pub fn job_for_backup(input: &BackupJob<'_>, source: &BackupSource<'_>) -> Job {
    let flags = [
        ("run-folder", format!("{}/{}", input.key.plan, input.key.run)),
        ("attempt", input.key.attempt.to_string()),
    ];
    input.build_connected("backup", source, &flags, false)
}

/// A backup that is to be restored: what was verified and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct BackupToRestore<'a> {
    /// Number of the run that took it.
    pub run: u64,
    /// Its folder: [`super::Taken::path`].
    pub path: &'a str,
    /// SHA-256 of its manifest: [`super::Taken::sha256`].
    pub sha256: &'a str,
}

/// The Job that restores a backup beside the database. Its result is `{"restore": `[`super::Restored`]`}`.
pub fn job_for_restore(input: &BackupJob<'_>, source: &BackupSource<'_>, backup: BackupToRestore<'_>) -> Job {
    let flags = [
        ("path", backup.path.to_owned()),
        ("sha256", backup.sha256.to_owned()),
        ("backup-run", backup.run.to_string()),
        ("run-uid", input.key.run_uid.clone()),
    ];
    // Nothing that a restore does may change what it restores from.
    input.build_connected("restore", source, &flags, true)
}

/// The Job that verifies a backup, which needs no credentials of the database, and on a volume no network. `path` is [`super::Taken::path`],
/// `database_bytes` what the backup says of the database's size. Its result is `{"verify": `[`super::Verified`]`}`.
pub fn job_for_verify(input: &BackupJob<'_>, path: &str, level: Level, database_bytes: u64) -> Job {
    let mut arguments = vec!["verify".to_owned()];
    let flags = [
        ("path", path.to_owned()),
        ("level", level.word().to_owned()),
        ("scratch", "/scratch".to_owned()),
        ("jobs", PARALLEL.to_string()),
    ];
    arguments.extend(flags.map(|(name, value)| format!("--{name}={value}")));
    // Indexes are built while the log of the data is still there: twice the database.
    let room = if level == Level::Restored { 2 * database_bytes + SCRATCH_EXTRA } else { 0 };
    let volumes = vec![scratch_volume("scratch", None, Some(room).filter(|it| *it > 0))];
    // What is proven must not change: the volume is mounted read-only, and the same again gives the same answer.
    input.build(arguments, volumes, vec![mount("scratch", "/scratch", false)], true, room, 0)
}

/// How long the Job of a prune is kept once it has ended: whoever reads its result may be down for a night. Then it is made
/// again, and finds that everything is gone.
pub(super) const RESULT_KEPT: i32 = 24 * 3600;

/// The Job that deletes backups and aborted attempts; it needs no credentials of the database, and on a volume no network.
/// Its result is
/// `{"prune": `[`super::Pruned`]`}`.
pub fn job_for_prune(input: &BackupJob<'_>, told: &[Told], over: &BTreeMap<String, u64>) -> Job {
    let mut arguments = vec!["prune".to_owned()];
    arguments.extend(input.storage.flags());
    arguments.push(format!("--target={}", input.key.target));
    arguments.extend(told.iter().map(|told| format!("--delete={told}")));
    arguments.extend(over.iter().map(|(uid, first)| format!("--over={uid}/{first}")));
    let mut job = input.finish(arguments, Vec::new(), Vec::new(), false, 0, RETRIES);
    if let Some(spec) = &mut job.spec {
        spec.ttl_seconds_after_finished = Some(RESULT_KEPT);
    }
    job
}

impl BackupJob<'_> {
    /// A Job that speaks to the database.
    fn build_connected(
        &self,
        work: &str,
        source: &BackupSource<'_>,
        more: &[(&str, String)],
        read_only: bool,
    ) -> Job {
        let postgresql = source.postgresql;
        let flags = [
            ("host", postgresql.host.clone()),
            ("port", postgresql.port.to_string()),
            ("database", postgresql.database.clone()),
            ("tls", postgresql.tls.mode.as_str().to_owned()),
            ("credentials", "/credentials".to_owned()),
            ("private", "/private".to_owned()),
            ("application-name", source.application_name.to_owned()),
            ("epoch", self.key.epoch.to_string()),
            ("jobs", PARALLEL.to_string()),
        ];
        let mut arguments = vec![work.to_owned()];
        arguments.extend(flags.iter().chain(more).map(|(name, value)| format!("--{name}={value}")));
        let volumes = vec![
            credentials(source.credentials, &postgresql.tls),
            scratch_volume("private", Some("Memory"), Some(1 << 20)),
        ];
        let mounts = vec![mount("credentials", "/credentials", true), mount("private", "/private", false)];
        self.build(arguments, volumes, mounts, read_only, 0, RETRIES)
    }

    /// What every worker of a backup is told: whose it is, and where.
    pub(super) fn build(
        &self,
        mut arguments: Vec<String>,
        volumes: Vec<Volume>,
        mounts: Vec<VolumeMount>,
        read_only: bool,
        node_disk: u64,
        retries: i32,
    ) -> Job {
        arguments.extend(self.storage.flags());
        let flags = [
            ("plan-uid", self.key.plan_uid.clone()),
            ("run", self.key.run.to_string()),
            ("target", self.key.target.clone()),
        ];
        arguments.extend(flags.map(|(name, value)| format!("--{name}={value}")));
        self.finish(arguments, volumes, mounts, read_only, node_disk, retries)
    }

    pub(super) fn finish(
        &self,
        arguments: Vec<String>,
        mut volumes: Vec<Volume>,
        mut mounts: Vec<VolumeMount>,
        read_only: bool,
        node_disk: u64,
        retries: i32,
    ) -> Job {
        if let Some((volume, mount)) = self.storage.mounts(read_only) {
            volumes.insert(0, volume);
            mounts.push(mount);
        }
        WorkerJob {
            key: self.key,
            namespace: self.namespace,
            owner: self.owner.clone(),
            whimbrel_image: self.whimbrel_image,
            tools_image: self.tools_image,
            arguments,
            volumes,
            mounts,
            pod: self.pod,
            node_disk,
            within: self.within,
            retries,
        }
        .build()
    }
}

/// Where the worker finds the storage's folder. Not a `subPath`: the kubelet makes that folder as root, and without an
/// fsGroup nobody in the pod may write into it.
pub(super) fn folder(storage: &VolumeClaim) -> String {
    format!("{BACKUPS}/{}", storage.path).trim_end_matches('/').to_owned()
}

pub(super) fn claim(storage: &VolumeClaim) -> Volume {
    Volume {
        name: "backups".into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: storage.name.clone(),
            read_only: None,
        }),
        ..Volume::default()
    }
}

/// As [`credentials`], for a service whose Secret may hold a token, or that asks for no login. `None`: nothing is mounted.
pub(super) fn named_credentials(secret: Option<&str>, tls: &Tls) -> Option<Volume> {
    let mut volume = credentials(secret.unwrap_or_default(), tls);
    let sources = volume.projected.as_mut()?.sources.as_mut()?;
    match secret {
        None => {
            sources.remove(0);
        }
        Some(_) => {
            let projection = sources.first_mut()?.secret.as_mut()?;
            projection.items.get_or_insert_default().push(key("token", "token"));
            projection.optional = Some(true);
        }
    }
    (!sources.is_empty()).then_some(volume)
}

/// One folder with what the worker looks for: `username`, `password`, `ca.crt`, `tls.crt`, `tls.key`.
pub(super) fn credentials(secret: &str, tls: &Tls) -> Volume {
    let mut all = vec![from_secret(secret, vec![key("username", "username"), key("password", "password")])];
    all.extend(tls.ca.iter().flat_map(authority));
    let certificate = tls.client_certificate.as_ref();
    all.extend(certificate.map(|it| {
        from_secret(&it.secret_ref.name, vec![key("tls.crt", "tls.crt"), key("tls.key", "tls.key")])
    }));
    Volume {
        name: "credentials".into(),
        projected: Some(ProjectedVolumeSource {
            // Readable by whatever user the image has; nothing but our own containers is in the pod.
            default_mode: Some(0o444),
            sources: Some(all),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Keys of a Secret as files.
pub(super) fn from_secret(name: &str, items: Vec<KeyToPath>) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection { name: name.to_owned(), items: Some(items), optional: None }),
        ..VolumeProjection::default()
    }
}

/// A certificate authority as `ca.crt`, from wherever it is.
pub(super) fn authority(ca: &FromKey) -> impl Iterator<Item = VolumeProjection> {
    let secret = ca.secret_key_ref.as_ref();
    let secret = secret.map(|it| from_secret(&it.name, vec![key(&it.key, "ca.crt")]));
    let map = ca.config_map_key_ref.as_ref().map(|it| VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: it.name.clone(),
            items: Some(vec![key(&it.key, "ca.crt")]),
            optional: None,
        }),
        ..VolumeProjection::default()
    });
    secret.into_iter().chain(map)
}

pub(super) fn key(key: &str, path: &str) -> KeyToPath {
    KeyToPath { key: key.to_owned(), path: path.to_owned(), ..KeyToPath::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::target::S3Storage;
    use serde_json::{Value, json};

    fn parse<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn key() -> JobKey {
        JobKey {
            plan_uid: "9b7f".into(),
            plan: "aether-platform".into(),
            run: 7,
            run_uid: "5c1e".into(),
            target: "tas-shared".into(),
            op: "backup.tas-shared".into(),
            epoch: 3,
            attempt: 1,
        }
    }

    fn owner() -> OwnerReference {
        parse(
            json!({"apiVersion": "whimbrel.dev/v1alpha1", "kind": "MigrationRun", "name": "aether-platform-7", "uid": "5c1e"}),
        )
    }

    fn input<'a>(key: &'a JobKey, storage: &'a VolumeClaim, pod: &'a Pod) -> BackupJob<'a> {
        BackupJob {
            key,
            namespace: "aether",
            owner: Some(owner()),
            whimbrel_image: "registry/whimbrel:0.1",
            tools_image: "registry/postgresql:15",
            storage: Kept::Claim(storage),
            pod,
            within: Duration::from_secs(4 * 3600),
        }
    }

    /// What a Job that speaks to a database becomes.
    fn connected(build: impl FnOnce(&BackupJob<'_>, &BackupSource<'_>) -> Job) -> String {
        let postgresql: Postgresql = parse(
            json!({"host": "postgres.tas-shared.svc", "database": "tas_shared", "tls": {
            "ca": {"configMapKeyRef": {"name": "pg-ca", "key": "ca.crt"}}, "clientCertificate": {"secretRef": {"name": "c"}}}}),
        );
        let source = BackupSource {
            postgresql: &postgresql,
            credentials: "pg-admin",
            application_name: "wb/11111111/22222222/3",
        };
        let storage = parse(json!({"name": "backups", "path": "tas-shared"}));
        let pod = parse(json!({
            "resources": {"limits": {"memory": "1Gi"}}, "securityContext": {"runAsUser": 999},
            "imagePullSecrets": [{"name": "pull"}], "labels": {"team": "data", "whimbrel.dev/run-uid": "another"},
            "annotations": {"linkerd.io/inject": "enabled"}, "nodeSelector": {"disk": "ssd"}}));
        let key = key();
        serde_saphyr::to_string(&build(&input(&key, &storage, &pod), &source)).unwrap()
    }

    #[test]
    fn the_backup_job() {
        insta::assert_snapshot!(connected(job_for_backup));
    }

    #[test]
    fn the_restore_job() {
        insta::assert_snapshot!(connected(|input, source| {
            let backup = BackupToRestore { run: 6, path: "aether-platform/6/tas-shared-1", sha256: "ab12" };
            job_for_restore(input, source, backup)
        }));
    }

    #[test]
    fn the_verify_job() {
        let storage = parse(json!({"name": "backups"}));
        let (key, pod) = (key(), Pod::default());
        let job = job_for_verify(
            &input(&key, &storage, &pod),
            "aether-platform/7/tas-shared-1",
            Level::Restored,
            5 << 30,
        );
        insta::assert_snapshot!(serde_saphyr::to_string(&job).unwrap());
    }

    #[test]
    fn the_prune_job() {
        let storage = parse(json!({"name": "backups", "path": "tas-shared"}));
        let (key, pod) = (key(), Pod::default());
        let told = "ab12/9b7f/6/aether-platform/6/tas-shared-1".parse().unwrap();
        let over = [("9b7f".to_owned(), 7)].into();
        let job = job_for_prune(&input(&key, &storage, &pod), &[told], &over);
        insta::assert_snapshot!(serde_saphyr::to_string(&job).unwrap());
    }

    #[test]
    fn the_jobs_of_a_bucket_have_no_volume_of_backups_and_no_credential_in_their_arguments() {
        let s3: S3Storage =
            parse(json!({"endpoint": "https://minio:9000", "bucket": "backups", "prefix": "tas",
            "pathStyle": true, "credentials": {"secretRef": {"name": "minio"}},
            "ca": {"configMapKeyRef": {"name": "minio-ca", "key": "ca.pem"}}}));
        let (key, pod) = (key(), Pod::default());
        let claim = parse(json!({"name": "backups"}));
        let input = BackupJob { storage: Kept::Bucket(&s3), ..input(&key, &claim, &pod) };
        let postgresql: Postgresql =
            parse(json!({"host": "db", "database": "tas", "tls": {"mode": "Disable"}}));
        let source =
            BackupSource { postgresql: &postgresql, credentials: "pg", application_name: "wb/1/2/3" };
        insta::assert_snapshot!(serde_saphyr::to_string(&job_for_backup(&input, &source)).unwrap());
        let backup = BackupToRestore { run: 6, path: "p/6/t-1", sha256: "ab12" };
        for job in [
            job_for_restore(&input, &source, backup),
            job_for_verify(&input, "p/6/t-1", Level::Restored, 1),
            job_for_prune(&input, &[], &BTreeMap::new()),
        ] {
            let text = serde_json::to_string(&job).unwrap();
            let flags = r#""--bucket=backups","--prefix=tas","--region=us-east-1","--endpoint=https://minio:9000","--path-style","--bucket-credentials=/bucket""#;
            assert!(text.contains(flags) && !text.contains("persistentVolumeClaim"), "{text}");
            assert!(text.contains(r#""mountPath":"/bucket","name":"bucket","readOnly":true"#), "{text}");
        }
        // The pod's own identity: nothing is mounted.
        let s3: S3Storage = parse(json!({"bucket": "backups"}));
        let input = BackupJob { storage: Kept::Bucket(&s3), ..input };
        let text = serde_json::to_string(&job_for_prune(&input, &[], &BTreeMap::new())).unwrap();
        assert!(!text.contains("--endpoint") && !text.contains("/bucket"), "{text}");
    }

    #[test]
    fn a_structure_check_asks_the_node_for_no_disk() {
        let storage = parse(json!({"name": "backups"}));
        let (key, pod) = (key(), Pod::default());
        let job = job_for_verify(&input(&key, &storage, &pod), "p", Level::Structure, 5 << 30);
        let text = serde_json::to_string(&job).unwrap();
        assert!(!text.contains("ephemeral-storage") && !text.contains("sizeLimit"), "{text}");
    }
}
