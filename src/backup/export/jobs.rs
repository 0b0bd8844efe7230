//! The Jobs that export a graph and compare the export with its manifest. Pure.

use crate::api::target::Neo4j;
use crate::backup::jobs::{BackupJob, RETRIES, credentials};
use crate::job::mount;
use k8s_openapi::api::batch::v1::Job;

/// The graph to be exported.
#[derive(Clone, Debug)]
pub struct ExportSource<'a> {
    /// What is exported, and how.
    pub neo4j: &'a Neo4j,
    /// Host and port of its server.
    pub address: (&'a str, u16),
    /// The Secret with `username` and `password`.
    pub credentials: &'a str,
    /// `<namespace>/<name>` of the target: our sessions have their name by it, and are no foreign ones.
    pub target: &'a str,
}

/// The Job that exports a graph. Its result is `{"backup": `[`super::ExportTaken`]`}`.
pub fn job_for_export(input: &BackupJob<'_>, source: &ExportSource<'_>) -> Job {
    let neo4j = source.neo4j;
    let flags = [
        ("host", source.address.0.to_owned()),
        ("port", source.address.1.to_string()),
        ("database", neo4j.database.clone()),
        ("tls", neo4j.tls.mode.as_str().to_owned()),
        ("credentials", "/credentials".to_owned()),
        ("fence-target", source.target.to_owned()),
        ("format", neo4j.backup.format.unwrap_or_default().as_str().to_owned()),
        ("run-folder", format!("{}/{}", input.key.plan, input.key.run)),
        ("epoch", input.key.epoch.to_string()),
        ("attempt", input.key.attempt.to_string()),
    ];
    let mut arguments = vec!["export".to_owned()];
    arguments.extend(flags.map(|(name, value)| format!("--{name}={value}")));
    let volumes = vec![credentials(source.credentials, &neo4j.tls)];
    input.build(arguments, volumes, vec![mount("credentials", "/credentials", true)], false, 0, RETRIES)
}

/// The Job that compares an export with its manifest; it needs no credentials of the database, and on a volume no network.
/// `path` is [`super::ExportTaken::path`]. Its result is `{"verify": `[`crate::backup::Verified`]`}`.
pub fn job_for_export_proof(input: &BackupJob<'_>, path: &str) -> Job {
    let arguments = vec!["prove-export".to_owned(), format!("--path={path}")];
    input.build(arguments, Vec::new(), Vec::new(), true, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{pod::Pod, target::VolumeClaim};
    use crate::backup::Kept;
    use crate::job::JobKey;
    use serde_json::json;
    use std::time::Duration;

    fn made(build: impl FnOnce(&BackupJob<'_>, &ExportSource<'_>) -> Job) -> String {
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
        let storage: VolumeClaim = serde_json::from_value(json!({"name": "backups"})).unwrap();
        let neo4j: Neo4j = serde_json::from_value(
            json!({"uri": "neo4j://graph:7687", "tls": {"ca": {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}},
                "backup": {"method": "Apoc", "format": "Graphml"}}),
        )
        .unwrap();
        let input = BackupJob {
            key: &key,
            namespace: "aether",
            owner: None,
            whimbrel_image: "registry/whimbrel:0.1",
            tools_image: "registry/whimbrel:0.1",
            storage: Kept::Claim(&storage),
            pod: &Pod::default(),
            within: Duration::from_secs(3600),
        };
        let source = ExportSource {
            neo4j: &neo4j,
            address: ("graph", 7687),
            credentials: "graph-admin",
            target: "aether/graph",
        };
        serde_saphyr::to_string(&build(&input, &source)).unwrap()
    }

    #[test]
    fn the_export_job() {
        insta::assert_snapshot!(made(job_for_export));
    }

    #[test]
    fn the_proof_job_has_no_credentials() {
        let text = made(|input, _| job_for_export_proof(input, "aether-platform/7/graph-1"));
        assert!(!text.contains("graph-admin"), "{text}");
        insta::assert_snapshot!(text);
    }
}
