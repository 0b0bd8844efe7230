//! What must be as it was: the histories and the structure for a run to say RolledBack, the contents too for a restored
//! copy to be the one that was backed up.

use sha2::{Digest, Sha256};

use super::connect::{Connection, text};
use super::contents::Contents;
use super::packstream::Value;
use super::schema::{KEPT_LABELS, KEPT_TYPES};
use super::settings::Settings;
use super::{enter, fence};
use crate::engine::{EngineError, Proof};

const CONSTRAINTS: &str = "SHOW CONSTRAINTS YIELD createStatement, labelsOrTypes RETURN createStatement, labelsOrTypes ORDER BY createStatement";
/// Indexes that belong to a constraint are told by it.
const INDEXES: &str = "SHOW INDEXES YIELD createStatement, labelsOrTypes, state, owningConstraint WHERE owningConstraint IS NULL \
    RETURN createStatement, labelsOrTypes, state ORDER BY createStatement";
const LABELS: &str = "CALL db.labels() YIELD label RETURN label ORDER BY label";
const TYPES: &str =
    "CALL db.relationshipTypes() YIELD relationshipType RETURN relationshipType ORDER BY relationshipType";

/// Reads histories and structure.
pub(super) async fn proof(connection: &mut Connection, settings: &Settings) -> Result<Proof, EngineError> {
    fence::peek(connection, settings).await?;
    let record = enter::read(connection, settings).await?;
    let constraints = connection.read(settings, CONSTRAINTS, Value::map([])).await?;
    let indexes = connection.read(settings, INDEXES, Value::map([])).await?;
    let labels = counted(connection, settings, LABELS, &KEPT_LABELS).await?;
    let types = counted(connection, settings, TYPES, &KEPT_TYPES).await?;
    let mut contents = Contents::new();
    for (label, count) in &labels {
        contents.nodes(connection, settings, label, *count).await?;
    }
    for (kind, count) in &types {
        contents.relationships(connection, settings, kind, *count).await?;
    }
    let names = |all: Vec<(String, u64)>| all.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let counts = contents.counts.clone();
    let kinds = [
        ("constraints", listed(&constraints.rows)),
        ("indexes", listed(&indexes.rows)),
        ("labels", names(labels)),
        ("types", names(types)),
        // The contents, last: see [`structure_alone`](crate::engine::structure_alone).
        ("counts", counts),
        ("samples", vec![contents.sample()]),
    ];
    let structure =
        kinds.map(|(kind, all)| format!("{kind}={}", &hex::encode(Sha256::digest(all.join("\n")))[..16]));
    Ok(Proof { histories: record.known.digests(), structure: structure.join(" ") })
}

/// What is listed, by the statements that would make it, without what histories and locks need.
fn listed(rows: &[Vec<Value>]) -> Vec<String> {
    let kept = |row: &&Vec<Value>| {
        let on = row.get(1).map(Value::texts).unwrap_or_default();
        on.iter().any(|label| KEPT_LABELS.contains(&label.as_str()) || KEPT_TYPES.contains(&label.as_str()))
    };
    let one = |row: &Vec<Value>| format!("{} {}", text(row.first()), text(row.get(2)));
    rows.iter().filter(|row| !kept(row)).map(one).collect()
}

/// Labels or types that something has, and how much: names stay for ever once they were used. By the server's own counters.
async fn counted(
    connection: &mut Connection,
    settings: &Settings,
    query: &str,
    kept: &[&str],
) -> Result<Vec<(String, u64)>, EngineError> {
    let names = connection.read(settings, query, Value::map([])).await?;
    let mut used = Vec::new();
    for name in names.rows.iter().map(|row| text(row.first())).filter(|name| !kept.contains(&name.as_str())) {
        let quoted = name.replace('`', "``");
        let count = match query {
            TYPES => format!("MATCH ()-[r:`{quoted}`]->() RETURN count(r)"),
            _ => format!("MATCH (n:`{quoted}`) RETURN count(n)"),
        };
        let set = connection.read(settings, &count, Value::map([])).await?;
        let count = set.rows.first().and_then(|row| row.first()).and_then(Value::as_u64).unwrap_or(0);
        if count > 0 {
            used.push((name, count));
        }
    }
    Ok(used)
}

/// Whether anything of a user is in the database.
pub(super) async fn is_empty(connection: &mut Connection, settings: &Settings) -> Result<bool, EngineError> {
    let query = "MATCH (n) WHERE NOT any(label IN labels(n) WHERE label IN $kept) RETURN 'yes' LIMIT 1";
    let kept = Value::List(KEPT_LABELS.iter().map(|label| Value::text(*label)).collect());
    let nodes = connection.read(settings, query, Value::map([("kept", kept)])).await?;
    let constraints = connection.read(settings, CONSTRAINTS, Value::map([])).await?;
    Ok(nodes.rows.is_empty() && listed(&constraints.rows).is_empty())
}
