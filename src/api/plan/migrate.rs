//! A migrate step: which scripts, into which history of which target.

use crate::api::{
    bounds::{HASH, IMAGE, NAME},
    error::{ApiError, exactly_one},
    pod::Pod,
    reference::NameRef,
    words::words,
};
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Applies the pending scripts of a bundle to a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.scripts), has(self.alembic)].filter(x, x).size() == 1")
    .message("migrate needs exactly one of scripts, alembic"))]
pub struct Migrate {
    /// A DatabaseTarget of the plan's namespace.
    #[schemars(length(min = 1))]
    pub target: String,
    /// A history that the target declares; default is the one named `default`.
    #[serde(default = "default_history")]
    #[schemars(length(min = 1, max = NAME))]
    pub history: String,
    /// The scripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scripts: Option<Scripts>,
    /// The team's Alembic image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alembic: Option<Alembic>,
    /// The last version to apply, which also pins the bundle; default is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME))]
    pub to: Option<String>,
    /// A pending script that is older than an applied one; default Reject.
    #[serde(default)]
    pub out_of_order: OutOfOrder,
    /// An applied script that the bundle does not hold; default is by format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

fn default_history() -> String {
    "default".into()
}

words! {
    /// What to do with a pending script that is older than an applied one.
    #[derive(Default)]
    pub enum OutOfOrder {
        /// An error that names both.
        #[default]
        Reject,
        /// It is applied.
        Allow,
    }
}

words! {
    /// What to do with an applied script that the bundle does not hold.
    pub enum Missing {
        /// Nothing: a bundle may hold only new scripts.
        Ignore,
        /// An error that names it.
        Reject,
    }
}

words! {
    /// How file names are read.
    pub enum Layout {
        /// `V1_2__x.sql`, `U1_2__x.sql`, `R__x.sql`.
        Flyway,
        /// `V001-x-up.sql`, `V001-x-down.sql`.
        UpDown,
        /// `1_x.up.sql`, `1_x.down.sql`.
        NumberUpDown,
        /// goose's sections in one file.
        Goose,
        /// `V001__x.cypher`.
        Cypher,
        /// `2026-01-31-001-x.cypher`.
        CypherDated,
        /// `V001__x.http`.
        Http,
        /// `V001__x.redis`.
        Redis,
        /// `V001__x.<engine>.yaml`, operations of an engine.
        Ops,
    }
}

/// Where scripts come from; keys are file names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.configMaps), has(self.inline), has(self.oci), has(self.secret)].filter(x, x).size() == 1")
    .message("scripts come from exactly one of configMap, configMaps, inline, oci, secret"))]
pub struct Scripts {
    /// A ConfigMap of the plan's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<NameRef>,
    /// Several ConfigMaps, read as one; a file in two of them is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub config_maps: Option<Vec<NameRef>>,
    /// The files themselves: name to text, 64 KiB each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "inline_files")]
    pub inline: Option<BTreeMap<String, String>>,
    /// An OCI artifact by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciSource>,
    /// A Secret of the plan's namespace, for scripts that must not be read by all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<NameRef>,
    /// How file names are read; default is recognised from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// `sha256:` of the bundle, which pins it; a source with another one is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = HASH), regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
}

fn inline_files(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "maxLength": crate::api::bounds::INLINE_FILE },
    })
}

/// An OCI artifact that holds scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciSource {
    /// Reference by digest: `registry/path@sha256:…`.
    #[schemars(length(min = 1, max = IMAGE), regex(pattern = "@sha256:[0-9a-f]{64}$"))]
    pub image: String,
    /// Secret with which it is pulled; default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<NameRef>,
}

/// Where scripts come from, as a real union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptSource {
    /// ConfigMaps by name, read as one.
    ConfigMaps(Vec<String>),
    /// File name to text.
    Inline(BTreeMap<String, String>),
    /// An OCI artifact.
    Oci(OciSource),
    /// A Secret by name.
    Secret(String),
}

impl TryFrom<&Scripts> for ScriptSource {
    type Error = ApiError;

    fn try_from(scripts: &Scripts) -> Result<Self, ApiError> {
        let names = |refs: &[NameRef]| Self::ConfigMaps(refs.iter().map(|r| r.name.clone()).collect());
        exactly_one(
            "scripts",
            "source",
            [
                scripts.config_map.as_ref().map(|r| names(std::slice::from_ref(r))),
                scripts.config_maps.as_deref().map(names),
                scripts.inline.clone().map(Self::Inline),
                scripts.oci.clone().map(Self::Oci),
                scripts.secret.as_ref().map(|r| Self::Secret(r.name.clone())),
            ],
        )
    }
}

/// The team's image with Alembic and its revisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alembic {
    /// The image.
    #[schemars(length(min = 1, max = IMAGE))]
    pub image: String,
    /// Folder of `alembic.ini` in it; default is its working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub directory: Option<String>,
    /// Its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
}

/// What a migrate step runs, as a real union.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Scripts that Whimbrel applies.
    Scripts(Scripts),
    /// The team's Alembic.
    Alembic(Box<Alembic>),
}

impl TryFrom<&Migrate> for Work {
    type Error = ApiError;

    fn try_from(migrate: &Migrate) -> Result<Self, ApiError> {
        exactly_one(
            "migrate",
            "work",
            [
                migrate.scripts.clone().map(Self::Scripts),
                migrate.alembic.clone().map(|alembic| Self::Alembic(Box::new(alembic))),
            ],
        )
    }
}
