//! What keeps a target safe: its identity, TLS, timeouts, quiet, and the workload that serves it.

use crate::api::{
    bounds::{NAME, URL},
    duration::Duration,
    reference::{FromKey, WholeSecret, WorkloadKind, WorkloadRef},
    words::words,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    /// How far the server's certificate is checked.
    #[derive(Default)]
    pub enum TlsMode {
        /// Chain and host name.
        #[default]
        VerifyFull,
        /// Chain only.
        VerifyCA,
        /// No TLS; must be said.
        Disable,
    }
}

/// TLS to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// VerifyFull, VerifyCA or Disable; default VerifyFull.
    pub mode: TlsMode,
    /// Certificates of the authority in PEM; default is the system's authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<FromKey>,
    /// Secret with `tls.crt` and `tls.key` for the client; default is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<WholeSecret>,
}

/// The workload that serves a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.kind != 'CronJob'").message("a server is a Deployment or a StatefulSet"))]
pub struct Server {
    /// Deployment or StatefulSet.
    pub kind: WorkloadKind,
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its namespace; default is the target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME))]
    pub namespace: Option<String>,
    /// Claim of the volume that holds the data; only offline methods need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim: Option<String>,
    /// Path of the data on that volume; only offline methods need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub data_path: Option<String>,
}

impl Server {
    /// The workload, with `namespace` where the server says none.
    pub fn workload(&self) -> WorkloadRef {
        WorkloadRef { kind: self.kind, name: self.name.clone(), namespace: self.namespace.clone() }
    }
}

/// The target in which another one's data lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredIn {
    /// A target of the same namespace.
    #[schemars(length(min = 1))]
    pub target: String,
}

/// Which server this must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The server's own identity, such as PostgreSQL's system identifier.
    #[schemars(length(min = 1, max = URL))]
    pub expect: String,
}

/// How long the database may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// For a connection with TLS and login; default 5s.
    pub connect: Duration,
    /// For a lock that a statement of a script waits for, before it is tried again; default 3s.
    pub lock: Duration,
    /// For one statement of a script; default 0s, no limit.
    pub statement: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            lock: Duration::from_secs(3),
            statement: Duration::from_secs(0),
        }
    }
}

/// What counts as quiet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Quiet {
    /// How long no foreign session may be seen; default 2s.
    #[serde(rename = "for")]
    pub for_: Duration,
    /// Sessions that do not count, such as an exporter's; default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<QuietIgnore>,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { for_: Duration::from_secs(2), ignore: Vec::new() }
    }
}

/// Sessions that do not break quiet: all of what is said must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.user) || has(self.applicationName)")
    .message("an ignore rule needs user or applicationName: an empty one would ignore every session"))]
pub struct QuietIgnore {
    /// The role of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub user: Option<String>,
    /// The name that the session gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub application_name: Option<String>,
}

/// Looking for drift between runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// How often the histories are read while no run is active.
    pub every: Duration,
}

words! {
    /// Where an engine's work runs.
    #[derive(Default)]
    pub enum Execution {
        /// In the operator's process.
        #[default]
        Operator,
        /// In a Job in the target's namespace.
        Job,
    }
}
