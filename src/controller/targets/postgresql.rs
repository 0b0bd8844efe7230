//! A PostgreSQL target opened: its settings, with what its Secrets and ConfigMaps hold.

use super::TargetError;
use crate::api::DatabaseTarget;
use crate::api::target::{Postgresql as PostgresqlSpec, TlsMode as TlsModeSpec};
use crate::cluster::Acting;
use crate::cluster::source;
use crate::engine::postgresql::{
    ClientCertificate, Credentials, CredentialsError, CredentialsSource, History, Ignore, Postgresql,
    Settings, Tls, TlsMode,
};
use std::sync::Arc;

/// Reads everything that the target refers to; connects nowhere yet.
pub(super) async fn open(
    acting: &Acting,
    target: &DatabaseTarget,
    spec: &PostgresqlSpec,
) -> Result<Postgresql, TargetError> {
    Ok(Postgresql::new(settings(acting, target, spec).await?))
}

async fn settings(
    acting: &Acting,
    target: &DatabaseTarget,
    spec: &PostgresqlSpec,
) -> Result<Settings, TargetError> {
    let namespace = target.metadata.namespace.clone().unwrap_or_default();
    let name = target.metadata.name.clone().unwrap_or_default();
    let failed = |source| TargetError::Source { target: name.clone(), source };
    let ca = match &spec.tls.ca {
        Some(from) => Some(source::value(acting, &namespace, from).await.map_err(failed)?),
        None => None,
    };
    let client = match &spec.tls.client_certificate {
        Some(secret) => {
            let found = source::client_certificate(acting, &namespace, &secret.secret_ref.name)
                .await
                .map_err(failed)?;
            Some(ClientCertificate { certificate: found.certificate, key: found.key })
        }
        None => None,
    };
    let timeouts = &target.spec.timeouts;
    Ok(Settings {
        target: format!("{namespace}/{name}"),
        host: spec.host.clone(),
        port: spec.port,
        database: spec.database.clone(),
        tls: Tls { mode: tls_mode(spec.tls.mode), ca, client },
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

fn tls_mode(mode: TlsModeSpec) -> TlsMode {
    match mode {
        TlsModeSpec::VerifyFull => TlsMode::VerifyFull,
        TlsModeSpec::VerifyCA => TlsMode::VerifyCa,
        TlsModeSpec::Disable => TlsMode::Disable,
    }
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
