//! How a target's backups are made, where they are kept, and what they must prove.

use crate::api::{
    bounds::{IMAGE, NAME, URL},
    duration::Duration,
    pod::Pod,
    reference::WholeSecret,
    words::words,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    /// What a backup has proven; a higher level includes the lower ones.
    #[derive(Default)]
    pub enum VerificationLevel {
        /// Nothing.
        None,
        /// Complete and readable: sizes and checksums are those of the manifest.
        Artifact,
        /// Its table of contents has the structure of the database.
        #[default]
        Structure,
        /// Restored into a scratch server, with the probes of its own snapshot equal.
        Restored,
    }
}

/// How a target is backed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetBackup {
    /// Image that holds the engine's own tools; methods that run in a Job need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = IMAGE))]
    pub image: Option<String>,
    /// Where the backup is written; methods that run in a Job need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// What the run's own backup must reach before any data is changed; default Structure.
    pub verification: VerificationLevel,
    /// What is kept; default is everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How long one backup or verify Job may take; default 4h.
    pub within: Duration,
    /// The pods of the backup and verify Jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
}

impl Default for TargetBackup {
    fn default() -> Self {
        Self {
            image: None,
            storage: None,
            verification: VerificationLevel::default(),
            retention: None,
            within: Duration::from_secs(4 * 3600),
            pod: None,
        }
    }
}

/// Where backups are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.volumeClaim), has(self.s3)].filter(x, x).size() == 1")
    .message("exactly one of volumeClaim, s3"))]
pub struct Storage {
    /// A PersistentVolumeClaim in the target's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim: Option<VolumeClaim>,
    /// A bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Storage>,
}

/// A folder on a PersistentVolumeClaim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaim {
    /// Name of the claim.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Folder on the volume; default is its root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.split('/').exists(p, p == '..')")
        .message("a relative path without .."))]
    pub path: String,
}

/// A prefix in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Storage {
    /// URL of the service; default is the provider's own for the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = URL))]
    pub endpoint: Option<String>,
    /// Region; default us-east-1.
    #[serde(default = "us_east_1")]
    #[schemars(length(min = 1, max = NAME))]
    pub region: String,
    /// Name of the bucket.
    #[schemars(length(min = 1, max = NAME))]
    pub bucket: String,
    /// Prefix of the keys; default none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub prefix: String,
    /// Bucket in the path instead of the host name; default false.
    #[serde(default)]
    pub path_style: bool,
    /// Secret with `accessKey` and `secretKey`; default is the pod's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<WholeSecret>,
}

pub(crate) fn us_east_1() -> String {
    "us-east-1".into()
}

/// What is kept: a backup stays if either rule says so, and always while a run may need it or no newer one proves as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.keepLast) || has(self.keepFor)").message("retention needs keepLast or keepFor"))]
pub struct Retention {
    /// The newest this many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub keep_last: Option<u32>,
    /// All that are younger; what restores put aside is kept as long, by default for a week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
}
