//! How far a statement of ours is: an index that fills up, or what the author's probe says while batches are committed.

use std::time::Duration;

use super::check;
use super::connect::{Connection, text};
use super::packstream::Value;
use super::settings::Settings;
use crate::engine::EngineError;
use crate::script::Script;

const POPULATING: &str = "SHOW INDEXES YIELD name, state, populationPercent WHERE state = 'POPULATING' \
    RETURN name, populationPercent ORDER BY populationPercent";
/// A probe that counts for longer is not asked beside its own statement.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// What the running script has come to.
pub(super) async fn progress(
    connection: &mut Connection,
    settings: &Settings,
    script: &Script,
) -> Result<Option<String>, EngineError> {
    let populating = connection.read(settings, POPULATING, Value::map([])).await?;
    if let Some(said) = filling(&populating.rows) {
        return Ok(Some(said));
    }
    let Some(probe) = &script.directives.probe else { return Ok(None) };
    let rows = check::query(connection, settings, &script.values.fill(probe), PROBE_WITHIN).await?;
    let said = rows.rows.first().and_then(|row| row.first()?.clone());
    Ok(said.map(|said| format!("its probe says {said}")))
}

fn filling(rows: &[Vec<Value>]) -> Option<String> {
    let row = rows.first()?;
    let percent = match row.get(1) {
        Some(Value::Float(percent)) => format!("{percent:.0} %"),
        _ => "not known how far".to_owned(),
    };
    Some(format!("index {} fills up: {percent}", text(row.first())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_that_is_least_far_is_named() {
        let row = |name: &str, percent: f64| vec![Value::Text(name.to_owned()), Value::Float(percent)];
        let rows = [row("users_by_name", 41.7), row("users_by_mail", 90.0)];
        assert_eq!(filling(&rows).as_deref(), Some("index users_by_name fills up: 42 %"));
        assert_eq!(filling(&[]), None);
    }
}
