//! A PostgreSQL target opened.

use super::TargetError;
use crate::api::DatabaseTarget;
use crate::api::target::Postgresql;
use crate::cluster::{Acting, source};
use crate::engine::postgresql::{
    Credentials, CredentialsError, CredentialsSource, History, Ignore, Settings,
};
use std::sync::Arc;

pub(super) async fn settings(
    acting: &Acting,
    target: &DatabaseTarget,
    spec: &Postgresql,
) -> Result<Settings, TargetError> {
    let namespace = target.metadata.namespace.clone().unwrap_or_default();
    let name = target.metadata.name.clone().unwrap_or_default();
    let timeouts = &target.spec.timeouts;
    Ok(Settings {
        target: format!("{namespace}/{name}"),
        host: spec.host.clone(),
        port: spec.port,
        database: spec.database.clone(),
        tls: super::tls(acting, target, &spec.tls).await?,
        credentials: credentials(acting, &namespace, target),
        histories: spec.histories.iter().map(|history| History { name: history.name.clone() }).collect(),
        identity_expect: target.spec.identity.as_ref().map(|identity| identity.expect.clone()),
        connect_timeout: timeouts.connect.get(),
        lock_timeout: timeouts.lock.get(),
        statement_timeout: timeouts.statement.get(),
        quiet_ignore: target
            .spec
            .quiet
            .ignore
            .iter()
            .map(|rule| Ignore { user: rule.user.clone(), application_name: rule.application_name.clone() })
            .collect(),
        diagnostics_full: target.spec.diagnostics == crate::api::outcome::Diagnostics::Full,
    })
}

/// Reads the Secret at every connect: passwords rotate in the middle of a run.
fn credentials(acting: &Acting, namespace: &str, target: &DatabaseTarget) -> CredentialsSource {
    let (acting, namespace) = (acting.clone(), namespace.to_owned());
    let secret = target.spec.credentials.as_ref().map(|whole| whole.secret_ref.name.clone());
    Arc::new(move || {
        let (acting, namespace, secret) = (acting.clone(), namespace.clone(), secret.clone());
        Box::pin(async move {
            let Some(secret) = secret else {
                return Err(CredentialsError("spec.credentials names no Secret".into()));
            };
            let found = source::credentials(&acting, &namespace, &secret).await;
            let found = found.map_err(|error| CredentialsError(error.to_string()))?;
            Ok(Credentials { user: found.username, password: found.password })
        })
    })
}
