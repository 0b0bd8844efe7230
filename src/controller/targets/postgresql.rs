//! A PostgreSQL target opened.

use super::{TargetError, credentials, quiet_ignore, tls};
use crate::api::DatabaseTarget;
use crate::api::target::Postgresql;
use crate::cluster::Acting;
use crate::engine::postgresql::{History, Settings};

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
        tls: tls(acting, target, &spec.tls).await?,
        credentials: credentials(acting, &namespace, target),
        histories: spec.histories.iter().map(|history| History { name: history.name.clone() }).collect(),
        identity_expect: target.spec.identity.as_ref().map(|identity| identity.expect.clone()),
        connect_timeout: timeouts.connect.get(),
        lock_timeout: timeouts.lock.get(),
        statement_timeout: timeouts.statement.get(),
        quiet_ignore: quiet_ignore(target),
        diagnostics_full: target.spec.diagnostics == crate::api::outcome::Diagnostics::Full,
    })
}
