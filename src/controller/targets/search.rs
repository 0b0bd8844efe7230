//! An Elasticsearch or OpenSearch target opened.

use super::TargetError;
use crate::api::DatabaseTarget;
use crate::api::target::{Elasticsearch, HistoryFormat, HistorySpec, IndexNames};
use crate::cluster::{Acting, source};
use crate::engine::CredentialsError;
use crate::engine::search::{CredentialsSource, History, Kept, Login, Names, Settings};
use std::sync::Arc;
use std::time::Duration;

/// What elasticsearch-evolution calls its index unless it is told otherwise.
const PEER: &str = "es_evolution";

pub(super) async fn settings(
    acting: &Acting,
    target: &DatabaseTarget,
    spec: &Elasticsearch,
) -> Result<Settings, TargetError> {
    let timeouts = &target.spec.timeouts;
    let statement = timeouts.statement.get();
    Ok(Settings {
        target: super::full_name(target),
        url: spec.url.clone(),
        tls: super::tls(acting, target, &spec.tls).await?,
        credentials: credentials(acting, target),
        indices: spec.indices.clone(),
        names: match spec.names {
            IndexNames::Alias => Names::Alias,
            IndexNames::Concrete => Names::Concrete,
        },
        repository: Some(spec.backup.repository.clone()),
        histories: spec.histories.iter().map(history).collect(),
        identity_expect: super::identity(target),
        connect_timeout: timeouts.connect.get(),
        // A lease needs an end of every request; without one of the target's own it is ours.
        request_timeout: if statement == Duration::ZERO { Settings::REQUEST_TIMEOUT } else { statement },
        lease: Settings::LEASE,
        diagnostics_full: super::diagnostics_full(target),
    })
}

/// The index in which elasticsearch-evolution keeps a history of the target, if it does.
pub(in crate::controller) fn evolution(spec: &Elasticsearch) -> Option<&str> {
    spec.histories.iter().find_map(index)
}

fn index(spec: &HistorySpec) -> Option<&str> {
    let is_peers = spec.format == HistoryFormat::ElasticsearchEvolution;
    is_peers.then(|| spec.table.as_deref().unwrap_or(PEER))
}

fn history(spec: &HistorySpec) -> History {
    let kept = index(spec).map_or(Kept::Own, |index| Kept::Evolution { index: index.to_owned() });
    History { name: spec.name.clone(), kept }
}

/// A Secret with `token` holds an API key, any other one a user; none at all is a server that asks for no login. Read again
/// whenever the server refuses the last one.
fn credentials(acting: &Acting, target: &DatabaseTarget) -> Option<CredentialsSource> {
    let secret = target.spec.credentials.as_ref().map(|whole| whole.secret_ref.name.clone())?;
    let (acting, namespace) = (acting.clone(), super::namespace(target).to_owned());
    Some(Arc::new(move || {
        let (acting, namespace, secret) = (acting.clone(), namespace.clone(), secret.clone());
        Box::pin(async move {
            let found = source::login(&acting, &namespace, &secret).await;
            match found.map_err(|error| CredentialsError(error.to_string()))? {
                source::Login::Token(token) => Ok(Login::ApiKey(token)),
                source::Login::Password(found) => {
                    Ok(Login::Password { user: found.username, password: found.password })
                }
            }
        })
    }))
}
