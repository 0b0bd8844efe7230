//! A PostgreSQL target opened.

use super::{Place, TargetError, database};
use crate::api::DatabaseTarget;
use crate::api::target::Postgresql;
use crate::cluster::Acting;
use crate::engine::postgresql::{History, Settings};

pub(super) async fn settings(
    acting: &Acting,
    target: &DatabaseTarget,
    spec: &Postgresql,
) -> Result<Settings, TargetError> {
    let place = Place { host: spec.host.clone(), port: spec.port, database: &spec.database, tls: &spec.tls };
    let histories = spec.histories.iter().map(|history| History { name: history.name.clone() }).collect();
    database(acting, target, place, histories).await
}
