//! What must be as it was for a run to say RolledBack: the histories and the structure.

use super::connect::Connection;
use super::history::{READ, record};
use super::mark::USERS_SCHEMAS;
use super::schema::{SEEN, Schema, judge};
use super::settings::Settings;
use crate::engine::{EngineError, Proof};

const STRUCTURE: &str = include_str!("fingerprint.sql");

/// Reads histories and structure.
pub(super) async fn proof(connection: &mut Connection, settings: &Settings) -> Result<Proof, EngineError> {
    let sets = connection.read(settings, &format!("SELECT {SEEN}")).await?;
    let seen: Vec<bool> =
        sets.iter().flat_map(|set| &set.rows).flatten().map(|value| value.as_deref() == Some("t")).collect();
    let present = seen.first().copied().unwrap_or(false);
    let record = match judge(&settings.at(), present, seen.get(1).copied().unwrap_or(false))? {
        Schema::Present => record(&settings.histories, &connection.read(settings, READ).await?),
        Schema::Absent => record(&settings.histories, &[]),
    };
    let query = STRUCTURE.replace("{users_schemas}", USERS_SCHEMAS);
    let query = query.trim_end().trim_end_matches(';');
    let sets = connection.read(settings, query).await?;
    let kinds = sets.iter().flat_map(|set| &set.rows).filter_map(|row| {
        let (kind, digest) = (row.first()?.as_deref()?, row.get(1)?.as_deref()?);
        Some(format!("{kind}={}", digest.get(..16)?))
    });
    Ok(Proof { histories: record.digests(), structure: kinds.collect::<Vec<_>>().join(" ") })
}
