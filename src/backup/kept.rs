//! Where a target's backups are kept, as its Jobs see it: a volume that is mounted, or a bucket with a folder of
//! credentials. Pure.

use super::jobs::{BACKUPS, authority, claim, folder, from_secret, key};
use crate::{
    api::target::{S3Storage, Storage, VolumeClaim},
    job::mount,
};
use k8s_openapi::api::core::v1::{ProjectedVolumeSource, Volume, VolumeMount};

/// Where the credentials of a bucket are mounted.
const BUCKET: &str = "/bucket";

/// Where a target's backups are kept.
#[derive(Clone, Copy, Debug)]
pub enum Kept<'a> {
    /// A folder on a volume.
    Claim(&'a VolumeClaim),
    /// A prefix in a bucket.
    Bucket(&'a S3Storage),
    /// The server keeps them itself, in a repository of its own.
    Server,
}

impl<'a> Kept<'a> {
    /// What `spec.backup.storage` says; none if it says neither, which only a CRD older than the rule lets in.
    pub fn of(storage: &'a Storage) -> Option<Self> {
        let claim = storage.volume_claim.as_ref().map(Self::Claim);
        claim.or_else(|| storage.s3.as_ref().map(Self::Bucket))
    }

    /// The worker's flags. No credential is in them: everybody who may read Jobs sees them.
    pub(super) fn flags(&self) -> Vec<String> {
        match self {
            Self::Server => Vec::new(),
            Self::Claim(claim) => vec![format!("--backups={}", folder(claim))],
            Self::Bucket(s3) => {
                let mut flags = vec![
                    format!("--bucket={}", s3.bucket),
                    format!("--prefix={}", s3.prefix),
                    format!("--region={}", s3.region),
                ];
                flags.extend(s3.endpoint.as_ref().map(|endpoint| format!("--endpoint={endpoint}")));
                flags.extend(s3.path_style.then(|| "--path-style".to_owned()));
                flags.extend(has_files(s3).then(|| format!("--bucket-credentials={BUCKET}")));
                flags
            }
        }
    }

    /// What the pod mounts.
    pub(super) fn mounts(&self, read_only: bool) -> Option<(Volume, VolumeMount)> {
        match self {
            Self::Server => None,
            Self::Claim(it) => Some((claim(it), mount("backups", BACKUPS, read_only))),
            Self::Bucket(s3) => has_files(s3).then(|| (credentials(s3), mount("bucket", BUCKET, true))),
        }
    }
}

fn has_files(s3: &S3Storage) -> bool {
    s3.credentials.is_some() || s3.ca.is_some()
}

/// One folder with what the worker looks for: `accessKey`, `secretKey`, `ca.crt`.
fn credentials(s3: &S3Storage) -> Volume {
    let mut all = Vec::new();
    all.extend(s3.credentials.as_ref().map(|it| {
        from_secret(&it.secret_ref.name, vec![key("accessKey", "accessKey"), key("secretKey", "secretKey")])
    }));
    all.extend(s3.ca.iter().flat_map(authority));
    Volume {
        name: "bucket".into(),
        projected: Some(ProjectedVolumeSource {
            // Readable by whatever user the image has; nothing but our own containers is in the pod.
            default_mode: Some(0o444),
            sources: Some(all),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}
