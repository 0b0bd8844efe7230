//! What every part of the controller holds: the API server, as whom things are done, and whom to tell.

use super::notifying::Notifier;
use super::verbs::ToldVerbs;
use crate::api::{DatabaseTarget, MigrationPlan, MigrationRun};
use crate::cluster::events::Recorder;
use crate::cluster::{Account, Acting, ApiServer, ReadError, list_all};
use crate::serve::Metrics;
use std::path::PathBuf;
use std::sync::Arc;

/// The operator.
#[derive(Clone)]
pub(super) struct Operator {
    /// The API server.
    pub(super) server: ApiServer,
    /// The operator's own namespace: its Leases are there.
    pub(super) namespace: String,
    /// The account of plans and targets that name none; none: the operator's own rights.
    pub(super) default_account: Option<String>,
    /// The namespaces that are watched; empty: all.
    pub(super) namespaces: Vec<String>,
    /// Image that Jobs copy this program from.
    pub(super) image: String,
    /// Whether the chart's admission policy proves who gives a verb.
    pub(super) names_are_proven: bool,
    /// Uid of the cluster: of its namespace kube-system.
    pub(super) cluster: String,
    /// Events.
    pub(super) recorder: Recorder,
    /// The key with which values of variables are hashed.
    pub(super) hmac_key_file: PathBuf,
    /// Numbers.
    pub(super) metrics: Arc<Metrics>,
    /// Webhooks.
    pub(super) notifier: Arc<Notifier>,
    /// What was told of verbs that do nothing.
    pub(super) told_verbs: Arc<ToldVerbs>,
}

impl Operator {
    /// The operator's own client.
    pub(super) fn own(&self) -> &Acting {
        self.server.own()
    }

    /// Every run in what is watched, read live.
    pub(super) async fn all_runs(&self) -> Result<Vec<MigrationRun>, ReadError> {
        if self.namespaces.is_empty() {
            return list_all(self.own(), "", "").await;
        }
        let mut all = Vec::new();
        for namespace in &self.namespaces {
            all.extend(list_all(self.own(), namespace, "").await?);
        }
        Ok(all)
    }

    fn acting(&self, namespace: &str, account: Option<&str>) -> Acting {
        let name = account.or(self.default_account.as_deref()).unwrap_or_default();
        self.server.acting_as(&Account::of(namespace, name))
    }

    /// As whom everything is done for a plan.
    pub(super) fn for_plan(&self, plan: &MigrationPlan) -> Acting {
        let namespace = plan.metadata.namespace.as_deref().unwrap_or_default();
        self.acting(namespace, plan.spec.service_account_name.as_deref())
    }

    /// As whom everything is done for a target.
    pub(super) fn for_target(&self, target: &DatabaseTarget) -> Acting {
        let namespace = target.metadata.namespace.as_deref().unwrap_or_default();
        self.acting(namespace, target.spec.service_account_name.as_deref())
    }
}

/// Finalizer of live runs, of plans with one, and of targets in use.
pub(super) const FINALIZER: &str = "whimbrel.dev/run";
