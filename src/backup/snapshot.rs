//! Backups that a search cluster takes itself: the Jobs that ask it, and what runs inside them.

use super::jobs::{BackupJob, BackupToRestore, RESULT_KEPT, RETRIES, named_credentials};
use super::mounted::Mounted;
use super::prune::SENTENCE;
use super::{BackupError, Found, Level, Pruned, TlsMode, Told};
use crate::api::bounds::cut;
use crate::api::target::Elasticsearch;
use crate::engine::fixed_credentials;
use crate::engine::search::{
    Beside, History, Kept, Login, Names, Search, Settings, SnapshotGone, SnapshotOf,
};
use crate::job::{mount, scratch_volume};
use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The cluster to be backed up.
#[derive(Clone, Debug)]
pub struct SnapshotSource<'a> {
    /// Where it is and how it is spoken to.
    pub search: &'a Elasticsearch,
    /// The Secret with `username` and `password`, or `token`, if the cluster asks for a login.
    pub credentials: Option<&'a str>,
    /// The index of elasticsearch-evolution, if a history is kept there.
    pub evolution: Option<&'a str>,
}

/// How a Job reaches the cluster: flags, and files for what is secret.
#[derive(Clone, Debug, Args)]
pub struct SearchConnection {
    /// Address of the cluster.
    #[arg(long)]
    pub url: String,
    /// What of the server's certificate is checked.
    #[arg(long, value_enum, default_value_t = TlsMode::VerifyFull)]
    pub tls: TlsMode,
    /// Folder of the credentials: `username` and `password`, or `token`; perhaps `ca.crt`, and `tls.crt` with `tls.key`.
    #[arg(long)]
    pub credentials: PathBuf,
    /// Names or patterns of the target's indices.
    #[arg(long)]
    pub index: Vec<String>,
    /// The index of elasticsearch-evolution, if a history is kept there.
    #[arg(long)]
    pub evolution: Option<String>,
}

/// A snapshot that was taken; goes into the Job's termination message, in the words of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotBackup {
    /// `<repository>/<snapshot>`
    pub path: String,
    /// When it began.
    pub at: Timestamp,
    /// Its size in the repository.
    pub bytes: u64,
    /// What identifies it.
    pub sha256: String,
    /// How many indices are in it.
    pub indices: u64,
    /// How many documents they have.
    pub documents: u64,
}

/// What was proven of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotProven {
    /// `<repository>/<snapshot>`
    pub path: String,
    /// The level it reached.
    pub level: Level,
    /// What identifies it.
    pub sha256: String,
}

/// A snapshot whose copies stand beside the indices; goes into the Job's termination message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRestored {
    /// `<repository>/<snapshot>`
    pub path: String,
    /// What identifies it.
    pub sha256: String,
    /// How many indices have a copy.
    pub indices: u64,
    /// How many documents these have.
    pub documents: u64,
}

/// The Job that has the cluster take a snapshot. Its result is `{"backup": `[`SnapshotBackup`]`}`.
pub fn job_for_snapshot(input: &BackupJob<'_>, source: &SnapshotSource<'_>) -> Job {
    let name = format!("wb-{}-{}-{}-{}", input.key.plan, input.key.run, input.key.target, input.key.attempt);
    let more = [
        ("repository", source.search.backup.repository.clone()),
        ("name", name),
        ("epoch", input.key.epoch.to_string()),
    ];
    build(input, source, "snapshot", &more)
}

/// The Job that proves a snapshot. Its result is `{"verify": `[`SnapshotProven`]`}`.
pub fn job_for_snapshot_proof(
    input: &BackupJob<'_>,
    source: &SnapshotSource<'_>,
    path: &str,
    level: Level,
) -> Job {
    build(input, source, "prove-snapshot", &[("path", path.to_owned()), ("level", level.word().to_owned())])
}

/// The Job that restores a snapshot beside the target's indices. Its result is `{"restore": `[`SnapshotRestored`]`}`.
pub fn job_for_snapshot_restore(
    input: &BackupJob<'_>,
    source: &SnapshotSource<'_>,
    backup: BackupToRestore<'_>,
) -> Job {
    let more = [
        ("path", backup.path.to_owned()),
        ("sha256", backup.sha256.to_owned()),
        ("backup-run", backup.run.to_string()),
        ("run-uid", input.key.run_uid.clone()),
        ("epoch", input.key.epoch.to_string()),
    ];
    build(input, source, "restore-snapshot", &more)
}

/// The Job that deletes snapshots. Its result is `{"prune": `[`super::Pruned`]`}`.
pub fn job_for_snapshot_prune(input: &BackupJob<'_>, source: &SnapshotSource<'_>, told: &[Told]) -> Job {
    let mut more = vec![("target", input.key.target.clone())];
    more.extend(told.iter().map(|told| ("delete", told.to_string())));
    let mut job = finish(input, source, "prune-snapshots", &more);
    if let Some(spec) = &mut job.spec {
        spec.ttl_seconds_after_finished = Some(RESULT_KEPT);
    }
    job
}

fn build(input: &BackupJob<'_>, source: &SnapshotSource<'_>, work: &str, more: &[(&str, String)]) -> Job {
    let mut all = vec![
        ("plan-uid", input.key.plan_uid.clone()),
        ("run", input.key.run.to_string()),
        ("target", input.key.target.clone()),
    ];
    all.extend(more.iter().cloned());
    finish(input, source, work, &all)
}

fn finish(input: &BackupJob<'_>, source: &SnapshotSource<'_>, work: &str, more: &[(&str, String)]) -> Job {
    let flags = [
        ("url", source.search.url.clone()),
        ("tls", source.search.tls.mode.as_str().to_owned()),
        ("credentials", "/credentials".to_owned()),
    ];
    let mut arguments = vec![work.to_owned()];
    arguments.extend(flags.iter().chain(more).map(|(name, value)| format!("--{name}={value}")));
    arguments.extend(source.search.indices.iter().map(|index| format!("--index={index}")));
    arguments.extend(source.evolution.map(|index| format!("--evolution={index}")));
    let volumes = match named_credentials(source.credentials, &source.search.tls) {
        Some(volume) => vec![volume],
        None => vec![scratch_volume("credentials", None, None)],
    };
    input.finish(arguments, volumes, vec![mount("credentials", "/credentials", true)], true, 0, RETRIES)
}

impl SearchConnection {
    /// The engine, as the operator itself would open it.
    fn open(&self, target: &str) -> Result<Search, BackupError> {
        let mounted = Mounted(&self.credentials);
        let login = match mounted.text("token")? {
            Some(token) => Some(Login::ApiKey(token)),
            None => mounted.login()?.map(|(user, password)| Login::Password { user, password }),
        };
        let kept = |index: &String| Kept::Evolution { index: index.clone() };
        let histories =
            self.evolution.iter().map(|index| History { name: "default".to_owned(), kept: kept(index) });
        Ok(Search::new(Settings {
            target: target.to_owned(),
            url: self.url.clone(),
            tls: mounted.tls(self.tls)?,
            credentials: login.map(fixed_credentials),
            indices: self.index.clone(),
            // Which way a restored index gets its name is the driver's affair.
            names: Names::Concrete,
            repository: None,
            histories: histories.collect(),
            identity_expect: None,
            connect_timeout: Settings::CONNECT_TIMEOUT,
            request_timeout: Settings::REQUEST_TIMEOUT,
            lease: Settings::LEASE,
            diagnostics_full: false,
        }))
    }
}

/// Has the cluster take a snapshot named `name` into `repository`, and waits for its end. A pod of the same Job that was here
/// before may have taken one of that name, of which nobody heard: then this one gets the next.
///
/// # Errors
/// Whatever keeps it from being complete.
pub async fn take_snapshot(
    connection: &SearchConnection,
    repository: &str,
    name: &str,
    of: &SnapshotOf,
    epoch: u64,
) -> Result<SnapshotBackup, BackupError> {
    use crate::engine::EngineError::Server;
    let search = connection.open(&of.target)?;
    let mut number = 1;
    let taken = loop {
        let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        match search.take_snapshot(repository, &name, of, epoch).await {
            Err(Server { code, message, .. })
                if code == "invalid_snapshot_name_exception" && message.contains("already exists") =>
            {
                number += 1;
            }
            other => break other?,
        }
    };
    Ok(SnapshotBackup {
        path: taken.path,
        at: taken.at,
        bytes: taken.bytes,
        sha256: taken.sha256,
        indices: taken.indices,
        documents: taken.documents,
    })
}

/// Proves a snapshot to a level. Artifact: it is there, complete, and its files are listed. From Structure on it is restored
/// under other names into the same cluster, compared, and taken away again.
///
/// # Errors
/// What keeps it from the level.
pub async fn prove_snapshot(
    connection: &SearchConnection,
    path: &str,
    of: &SnapshotOf,
    level: Level,
) -> Result<SnapshotProven, BackupError> {
    let search = connection.open(&of.target)?;
    let sha256 = search.prove_snapshot(path, of, level >= Level::Structure).await?;
    Ok(SnapshotProven { path: path.to_owned(), level, sha256 })
}

/// Restores a snapshot beside the target's indices and compares the copies with what was counted when it was taken.
///
/// # Errors
/// What keeps them from being equal, or from being made.
pub async fn restore_snapshot(
    connection: &SearchConnection,
    beside: &Beside<'_>,
) -> Result<SnapshotRestored, BackupError> {
    let (indices, documents) = connection.open(&beside.of.target)?.restore_beside(beside).await?;
    Ok(SnapshotRestored {
        path: beside.path.to_owned(),
        sha256: beside.sha256.to_owned(),
        indices,
        documents,
    })
}

/// Deletes the snapshots of a target that it is told of, each only if it is that one. One that can't be asked about ends it:
/// what came before is found gone by the next try.
///
/// # Errors
/// What keeps it from knowing what is there.
pub async fn prune_snapshots(
    connection: &SearchConnection,
    target: &str,
    told: &[Told],
) -> Result<Pruned, BackupError> {
    let search = connection.open(target)?;
    let mut pruned = Pruned::default();
    for told in told {
        let of = SnapshotOf { plan_uid: told.plan_uid.clone(), run: told.run, target: target.to_owned() };
        let gone = search.delete_snapshot(&told.path, &of, &told.sha256).await?;
        pruned.found.push(match gone {
            SnapshotGone::Deleted(bytes) => Found::Deleted(bytes),
            SnapshotGone::Absent => Found::Absent,
            SnapshotGone::Refused(why) => Found::Refused(cut(&why, SENTENCE)),
        });
    }
    Ok(pruned)
}
