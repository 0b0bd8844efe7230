//! A check's query: one statement that can't write, every value as text.

use std::time::Duration;

use super::connect::{Connection, reading, said};
use super::packstream::Value;
use super::settings::Settings;
use crate::engine::facts::MOST_ROWS;
use crate::engine::{EngineError, Rows};

/// Runs `statement` in a transaction that the server keeps from writing.
pub(super) async fn query(
    connection: &mut Connection,
    settings: &Settings,
    statement: &str,
    timeout: Duration,
) -> Result<Rows, EngineError> {
    let milliseconds = u64::try_from(timeout.as_millis().clamp(1, 86_400_000)).unwrap_or(1);
    let name = connection.writing(settings, timeout).name;
    let begin = super::message::Begin { timeout: milliseconds, name, ..reading(&settings.database) };
    said(settings, connection.wire.begin(&begin).await)?;
    // A refused one leaves a connection that is used for nothing else.
    let set = said(settings, connection.wire.run(statement, Value::map([]), usize::from(MOST_ROWS)).await)?;
    said(settings, connection.wire.rollback().await)?;
    let rows = set.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    Ok(Rows { columns: set.columns, rows, truncated: set.truncated })
}

/// A value as a check compares it; `None` is null. Lists and maps as Cypher writes them; of nodes, relationships and points
/// their properties are what a check should name.
fn shown(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Text(text) => text.clone(),
        other => inside(other),
    })
}

fn inside(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Bytes(bytes) => hex::encode(bytes),
        Value::List(values) => format!("[{}]", values.iter().map(inside).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let entries = map.iter().map(|(key, value)| format!("{key}: {}", inside(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        // Node, relationship, path, point, or a point in time.
        Value::Struct(tag, _) => {
            format!("(a structure {tag:#04x}; return its properties, or toString of it)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_text() {
        for (value, expected) in [
            (Value::Int(3), "3"),
            (Value::Bool(true), "true"),
            (Value::text("a'b"), "a'b"),
            (Value::Float(1.0), "1.0"),
            (Value::List(vec![Value::text("a'b"), Value::Null]), "['a\\'b', null]"),
            (Value::map([("k", Value::Int(1))]), "{k: 1}"),
        ] {
            assert_eq!(shown(&value).as_deref(), Some(expected));
        }
        assert_eq!(shown(&Value::Null), None);
    }
}
