//! The pod in which the commands run: the engine's tools beside everything that they need, of the Jobs' own profile.

use super::{ByHand, shell::quote};
use crate::backup::Kept;
use crate::job::{PROGRAM, idle_pod};
use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use serde_json::json;
use sha2::{Digest, Sha256};

/// A pod that waits for commands.
pub(super) struct Pod<'a> {
    /// For what.
    pub(super) input: &'a ByHand<'a>,
    /// Image of the tools.
    pub(super) image: &'a str,
    /// Where the backup is.
    pub(super) kept: Kept<'a>,
    /// What it mounts beside the backups.
    pub(super) mounts: Vec<(Volume, VolumeMount)>,
}

impl Pod<'_> {
    /// The commands that start it, run a script in it, and end it.
    pub(super) fn commands(&self, script: &[String]) -> Vec<String> {
        let namespace = self.input.namespace;
        let name = format!("wb-restore-{}", &hex::encode(Sha256::digest(&self.input.backup.path))[..10]);
        let (volumes, mounts) = self.kept.mounts(true).into_iter().chain(self.mounts.iter().cloned()).unzip();
        let program = matches!(self.kept, Kept::Bucket(_)).then_some(self.input.whimbrel_image);
        let pod = self.input.spec.backup.pod.clone().unwrap_or_default();
        let spec = idle_pod(self.image, program, &pod, volumes, mounts);
        let overrides = quote(&json!({ "spec": spec }).to_string());
        let image = quote(self.image);
        vec![
            // What a try before this one has left, when it failed in between.
            format!("kubectl -n {namespace} delete pod {name} --ignore-not-found"),
            format!(
                "kubectl -n {namespace} run {name} --image={image} --restart=Never --overrides={overrides}"
            ),
            format!("kubectl -n {namespace} wait pod/{name} --for=condition=Ready --timeout=10m"),
            format!("kubectl -n {namespace} exec {name} -- sh -ec {}", quote(&script.join("; "))),
            format!("kubectl -n {namespace} delete pod {name}"),
        ]
    }

    /// The command that brings the backup's data into the pod, where it is in a bucket, and the folder that they are in.
    pub(super) fn data(&self) -> (Option<String>, String) {
        let (backup, of) = (self.input.backup, self.input.of);
        match self.kept {
            Kept::Bucket(_) => {
                let to = "/tmp/backup";
                let mut words = vec![PROGRAM.to_owned(), "worker".into(), "fetch".into()];
                words.extend(self.kept.flags());
                words.extend([
                    format!("--plan-uid={}", of.plan_uid),
                    format!("--run={}", of.run),
                    format!("--target={}", of.target),
                    format!("--path={}", backup.path),
                    format!("--sha256={}", backup.sha256),
                    format!("--to={to}"),
                    // What a Job would leave as its result.
                    "--result=/tmp/fetched.json".into(),
                ]);
                let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
                (Some(words.join(" ")), to.to_owned())
            }
            Kept::Claim(claim) => {
                let folder = crate::backup::jobs::folder(claim);
                (None, format!("{folder}/{}/{}", backup.path, crate::backup::manifest::DATA))
            }
            Kept::Server => (None, String::new()),
        }
    }
}
