//! The Jobs that dump, prove and put back a stopped Neo4j. Pure.
//!
//! Two of them mount the server's own volume; a claim that one pod at a time may have is free, because the server's pods are
//! proven gone before.

use crate::api::target::{HistoryFormat, HistorySpec, Neo4j};
use crate::backup::{
    BackupToRestore, Level,
    jobs::{BackupJob, RESULT_KEPT, RETRIES},
};
use crate::engine::{Fence, Stamp};
use crate::job::{mount, scratch_volume};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{PersistentVolumeClaimVolumeSource, Volume},
};

/// Where the server's volume is mounted.
pub(in crate::backup) const SERVER: &str = "/server";
/// Where a proof has its room.
const SCRATCH: &str = "/scratch";
/// What a private server needs beside the store: a log of its own and its `system` database.
const SCRATCH_EXTRA: u64 = 1 << 30;

/// The stopped server.
#[derive(Clone, Debug)]
pub struct DumpSource<'a> {
    /// What is kept in it.
    pub neo4j: &'a Neo4j,
    /// `spec.server.volumeClaim`, in the namespace of the Job.
    pub volume_claim: &'a str,
    /// `spec.server.dataPath`: the data folder on that volume; none is the volume's root.
    pub data_path: Option<&'a str>,
}

/// What a private server on the store must say: what was read before the backup was taken.
#[derive(Clone, Debug)]
pub struct DumpExpected<'a> {
    /// The declared histories.
    pub histories: &'a [HistorySpec],
    /// Digests of the histories, and the structure.
    pub stamp: &'a Stamp,
}

/// The Job that dumps the database of a stopped server. Its result is `{"backup": `[`super::Dumped`]`}`.
pub fn job_for_dump(input: &BackupJob<'_>, source: &DumpSource<'_>) -> Job {
    let mut arguments = vec!["dump".to_owned()];
    arguments.extend(flags([
        ("data", source.data()),
        ("database", source.neo4j.database.clone()),
        ("scratch", format!("{SCRATCH}/work")),
        ("run-folder", format!("{}/{}", input.key.plan, input.key.run)),
        ("epoch", input.key.epoch.to_string()),
        ("attempt", input.key.attempt.to_string()),
    ]));
    let volumes = vec![source.volume(), scratch_volume("scratch", None, None)];
    // To be written to, though nothing of the server's is changed: the tool opens the files by which a running server is seen
    // with the right to lock them.
    let mounts = vec![mount("server", SERVER, false), mount("scratch", SCRATCH, false)];
    input.build(arguments, volumes, mounts, false, 0, RETRIES)
}

/// The Job that proves a dump. It mounts nothing of the server's. `path` is [`super::Dumped::path`], `database_bytes` what the
/// backup says of the store. Its result is `{"verify": `[`crate::backup::Verified`]`}`.
pub fn job_for_dump_proof(
    input: &BackupJob<'_>,
    path: &str,
    level: Level,
    database_bytes: u64,
    expected: &DumpExpected<'_>,
) -> Job {
    let mut arguments = vec!["prove-dump".to_owned()];
    let scratch = format!("{SCRATCH}/store");
    arguments.extend(flags([
        ("path", path.to_owned()),
        ("level", level.word().to_owned()),
        ("scratch", scratch),
    ]));
    arguments.extend(expected.flags());
    let room = if level == Level::Artifact { 0 } else { database_bytes + SCRATCH_EXTRA };
    let volumes = vec![scratch_volume("scratch", None, Some(room).filter(|it| *it > 0))];
    let mounts = vec![mount("scratch", SCRATCH, false)];
    // What is proven must not change: the volume is mounted read-only, and the same again gives the same answer.
    input.build(arguments, volumes, mounts, true, room, 0)
}

/// The Job that puts a dump back on the server's volume. Its result is `{"restore": `[`super::DumpRestored`]`}`.
pub fn job_for_dump_restore(
    input: &BackupJob<'_>,
    source: &DumpSource<'_>,
    backup: BackupToRestore<'_>,
    fence: &Fence,
    expected: &DumpExpected<'_>,
) -> Job {
    let mut arguments = vec!["restore-dump".to_owned()];
    arguments.extend(flags([
        ("data", source.data()),
        ("database", source.neo4j.database.clone()),
        ("path", backup.path.to_owned()),
        ("sha256", backup.sha256.to_owned()),
        ("backup-run", backup.run.to_string()),
        ("fence-target", fence.target.clone()),
        ("run-uid", fence.run_uid.clone()),
        ("plan", fence.plan.clone()),
        ("cluster", fence.cluster.clone()),
        ("epoch", fence.token.to_string()),
    ]));
    arguments.extend(expected.flags());
    // Nothing that a restore does may change what it restores from.
    input.build(arguments, vec![source.volume()], vec![mount("server", SERVER, false)], true, 0, RETRIES)
}

/// The Job that deletes what a run that is over has put aside on the server's volume, where a note says that it is that run's:
/// `run_uid` and `run`. Its result is `{"aside": {"dropped": [<folder>]}}`. The server may run.
pub fn job_for_drop_put_aside(
    input: &BackupJob<'_>,
    source: &DumpSource<'_>,
    run_uid: &str,
    run: u64,
) -> Job {
    let mut arguments = vec!["drop-put-aside".to_owned()];
    arguments.extend(flags([
        ("data", source.data()),
        ("run-uid", run_uid.to_owned()),
        ("run", run.to_string()),
    ]));
    let input = BackupJob { storage: crate::backup::Kept::Server, ..input.clone() };
    let mounts = vec![mount("server", SERVER, false)];
    let mut job = input.finish(arguments, vec![source.volume()], mounts, false, 0, RETRIES);
    if let Some(spec) = &mut job.spec {
        spec.ttl_seconds_after_finished = Some(RESULT_KEPT);
    }
    job
}

impl DumpSource<'_> {
    pub(in crate::backup) fn data(&self) -> String {
        let path = self.data_path.unwrap_or_default().trim_matches('/');
        format!("{SERVER}/{path}").trim_end_matches('/').to_owned()
    }

    pub(in crate::backup) fn volume(&self) -> Volume {
        Volume {
            name: "server".into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: self.volume_claim.to_owned(),
                read_only: None,
            }),
            ..Volume::default()
        }
    }
}

impl DumpExpected<'_> {
    fn flags(&self) -> Vec<String> {
        let word = |format| match format {
            HistoryFormat::Neo4jMigrations => "Neo4jMigrations",
            _ => "Whimbrel",
        };
        let declared = self.histories.iter().map(|it| format!("--declared={}={}", it.name, word(it.format)));
        let digests = self.stamp.histories.iter().map(|(name, digest)| format!("--history={name}={digest}"));
        let structure = self.stamp.structure.iter().map(|structure| format!("--structure={structure}"));
        declared.chain(digests).chain(structure).collect()
    }
}

fn flags<const N: usize>(flags: [(&str, String); N]) -> [String; N] {
    flags.map(|(name, value)| format!("--{name}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{pod::Pod, target::VolumeClaim};
    use crate::backup::Kept;
    use crate::job::JobKey;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn parse<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn made(build: impl FnOnce(&BackupJob<'_>, &DumpSource<'_>, &Fence, &DumpExpected<'_>) -> Job) -> String {
        let key = JobKey {
            plan_uid: "9b7f".into(),
            plan: "aether-platform".into(),
            run: 7,
            run_uid: "5c1e".into(),
            target: "graph".into(),
            op: "backup.graph".into(),
            epoch: 3,
            attempt: 1,
        };
        let storage: VolumeClaim = parse(json!({"name": "backups", "path": "graph"}));
        let pod: Pod = parse(json!({"securityContext": {"runAsUser": 7474, "runAsGroup": 7474}}));
        let neo4j: Neo4j = parse(json!({"uri": "neo4j://graph:7687", "tls": {"mode": "Disable"},
            "histories": [{"name": "default", "format": "Neo4jMigrations"}]}));
        let input = BackupJob {
            key: &key,
            namespace: "aether",
            owner: None,
            whimbrel_image: "registry/whimbrel:0.1",
            tools_image: "registry/neo4j:5",
            storage: Kept::Claim(&storage),
            pod: &pod,
            within: Duration::from_secs(3600),
        };
        let source = DumpSource { neo4j: &neo4j, volume_claim: "data-graph-0", data_path: Some("/data/") };
        let fence = Fence {
            target: "aether/graph".into(),
            run_uid: "5c1e".into(),
            run: 7,
            plan: "aether/aether-platform".into(),
            cluster: "c1".into(),
            token: 3,
        };
        let stamp = Stamp {
            histories: [("default".to_owned(), "sha256:ab".to_owned())].into(),
            structure: Some("constraints=1 samples=2".to_owned()),
            mark: None,
        };
        let expected = DumpExpected { histories: &neo4j.histories, stamp: &stamp };
        serde_saphyr::to_string(&build(&input, &source, &fence, &expected)).unwrap()
    }

    #[test]
    fn the_dump_job() {
        insta::assert_snapshot!(made(|input, source, _, _| job_for_dump(input, source)));
    }

    #[test]
    fn the_proof_job_has_nothing_of_the_server() {
        let text = made(|input, _, _, expected| {
            job_for_dump_proof(input, "aether-platform/7/graph-1", Level::Restored, 5 << 30, expected)
        });
        assert!(!text.contains("data-graph-0"), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_restore_job() {
        insta::assert_snapshot!(made(|input, source, fence, expected| {
            let backup = BackupToRestore { run: 7, path: "aether-platform/7/graph-1", sha256: "ab12" };
            job_for_dump_restore(input, source, backup, fence, expected)
        }));
    }

    #[test]
    fn the_job_that_drops_what_was_put_aside_has_no_backups() {
        let text = made(|input, source, _, _| job_for_drop_put_aside(input, source, "5c1e", 7));
        assert!(!text.contains("/backups"), "{text}");
        insta::assert_snapshot!(text);
    }
}
