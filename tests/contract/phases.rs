//! The places a plan can be in, from `phases.yaml`.

use serde::Deserialize;
use serde_json::{Value, json};

/// One place, and what the tools must make of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phased {
    pub(crate) name: String,
    pub(crate) expect: Expect,
    #[serde(default)]
    pub(crate) deleting: bool,
    pub(crate) status: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) kstatus: String,
    pub(crate) argo: String,
    pub(crate) waits: Vec<String>,
}

impl Phased {
    /// The plan as the API server would serve it.
    pub(crate) fn object(&self) -> Value {
        let mut object = json!({
            "apiVersion": "whimbrel.dev/v1alpha1",
            "kind": "MigrationPlan",
            "metadata": {"name": "aether-platform", "namespace": "aether", "generation": 3},
            "spec": {"stages": []},
            "status": self.status,
        });
        if self.deleting {
            object["metadata"]["deletionTimestamp"] = json!("2026-11-20T02:14:05Z");
        }
        object
    }

    pub(crate) fn conditions(&self) -> &[Value] {
        self.status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default()
    }
}

/// All of them.
pub(crate) fn phases() -> Vec<Phased> {
    serde_saphyr::from_str(include_str!("phases.yaml")).expect("phases.yaml is well-formed")
}
