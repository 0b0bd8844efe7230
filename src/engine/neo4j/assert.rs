//! Preconditions: checked before a script is begun; one that does not hold fails it, and nothing of it is applied.

use super::connect::text;
use super::packstream::Value;
use super::session::Neo4jSession;
use crate::engine::{EngineError, ScriptFailure};
use crate::script::Script;
use crate::script::cypher::{Edition, Precondition, preconditions};

impl Neo4jSession {
    pub(super) async fn preconditions(&mut self, script: &Script) -> Result<(), ScriptFailure> {
        for condition in preconditions(&script.body) {
            let unmet = |what: String| Err(ScriptFailure::of_file(&script.file, "Precondition", what, None));
            let (version, enterprise) =
                (self.connection.server.version.clone(), self.connection.server.enterprise);
            match condition {
                Precondition::Edition(wanted) if (wanted == Edition::Enterprise) != enterprise => {
                    let is = if enterprise { "Enterprise" } else { "Community" };
                    return unmet(format!(
                        "it asserts that the edition is {wanted:?}, and the server is {is} Edition"
                    ));
                }
                Precondition::Edition(_) => {}
                Precondition::Version(wanted) => {
                    if !wanted.iter().any(|prefix| version.starts_with(prefix.as_str())) {
                        let wanted = wanted.join(", ");
                        return unmet(format!(
                            "it asserts that the version is {wanted}, and the server has {version}"
                        ));
                    }
                }
                Precondition::Range(at_least, bound) => {
                    if (numbers(&version) >= numbers(&bound)) != at_least {
                        let word = if at_least { "ge" } else { "lt" };
                        return unmet(format!(
                            "it asserts that the version is {word} {bound}, and the server has {version}"
                        ));
                    }
                }
                Precondition::Query(query) => match self.holds(&query).await {
                    Ok(true) => {}
                    Ok(false) => {
                        return unmet(
                            "its assertion does not hold: q' query returned something else than true"
                                .to_owned(),
                        );
                    }
                    Err(EngineError::Server { code, message, .. }) => {
                        return unmet(format!("its assertion can't be asked: {message} ({code})"));
                    }
                    Err(error) => return Err(ScriptFailure::Lost { reason: error.to_string() }),
                },
            }
        }
        Ok(())
    }

    async fn holds(&mut self, query: &str) -> Result<bool, EngineError> {
        let set = self.connection.read(&self.settings, query, Value::map([])).await?;
        let first = set.rows.first().and_then(|row| row.first());
        Ok(first == Some(&Value::Bool(true)) || text(first) == "true")
    }
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(numbers("5.26.30") >= numbers("5.9"));
        assert!(numbers("2025.11.2") >= numbers("5.26"));
        assert!(numbers("5.4") < numbers("5.26"));
    }
}
