//! What must be as it was for a run to say RolledBack: the histories and the structure.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::connect::Connection;
use super::history::{READ, record};
use super::mark::USERS_SCHEMAS;
use super::schema::{SEEN, Schema, judge};
use super::settings::Settings;
use crate::engine::{EngineError, Proof};
use crate::script::HistoryRow;

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
    let histories: BTreeMap<String, String> =
        record.histories.into_iter().map(|(name, rows)| (name, digest(&rows))).collect();
    let query = STRUCTURE.replace("{users_schemas}", USERS_SCHEMAS);
    let query = query.trim_end().trim_end_matches(';');
    let sets = connection.read(settings, query).await?;
    let kinds = sets.iter().flat_map(|set| &set.rows).filter_map(|row| {
        let (kind, digest) = (row.first()?.as_deref()?, row.get(1)?.as_deref()?);
        Some(format!("{kind}={}", digest.get(..16)?))
    });
    Ok(Proof { histories, structure: kinds.collect::<Vec<_>>().join(" ") })
}

/// What counts of a history: which scripts, with which text, in which order.
fn digest(rows: &[HistoryRow]) -> String {
    let mut digest = Sha256::new();
    for row in rows {
        for part in [&row.key, &row.checksum, &row.installed_rank.to_string()] {
            digest.update(part);
            digest.update([0]);
        }
    }
    format!("sha256:{}", hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Kind;

    #[test]
    fn a_history_without_its_last_row_is_what_it_was_before() {
        let row = |key: &str, rank| HistoryRow {
            key: key.to_owned(),
            version: None,
            kind: Kind::Versioned,
            description: "d".to_owned(),
            checksum: "sha256:1".to_owned(),
            file: "f".to_owned(),
            installed_rank: rank,
        };
        let before = digest(&[row("1", 1)]);
        assert_ne!(before, digest(&[row("1", 1), row("2", 2)]));
        assert_ne!(before, digest(&[row("1", 2)]));
        assert_eq!(before, digest(&[row("1", 1)]));
    }
}
