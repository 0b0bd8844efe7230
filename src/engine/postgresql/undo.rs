//! What takes a script back: its undo file, or for a repeatable one the text that ran before it.

use std::borrow::Cow;

use postgres_protocol::escape::escape_literal;

use super::connect::Connection;
use super::settings::Settings;
use crate::engine::{EngineError, ScriptFailure};
use crate::script::split::{Statement, split};
use crate::script::{Isolation, Kind, Script};

/// The text that takes a script back, and the file in which its errors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken<'a> {
    pub(super) file: &'a str,
    pub(super) text: Cow<'a, str>,
    pub(super) isolation: Option<Isolation>,
}

/// What takes back the run of `script` that stands at `rank`.
pub(super) async fn text<'a>(
    connection: &mut Connection,
    settings: &Settings,
    history: &str,
    rank: u64,
    script: &'a Script,
) -> Result<Taken<'a>, ScriptFailure> {
    if let Some(undo) = &script.undo {
        let isolation = undo.directives.isolation;
        return Ok(Taken { file: &undo.file, text: script.values.filled(&undo.body), isolation });
    }
    if script.kind == Kind::Versioned {
        return Err(ScriptFailure::no_undo(script, "it has no undo file"));
    }
    let bodies = bodies(connection, settings, history, rank, &script.key).await.map_err(as_failure)?;
    match bodies.as_slice() {
        [Some(now), Some(before)] if replaces_only(now) && replaces_only(before) => Ok(Taken {
            file: &script.file,
            text: Cow::Owned(script.values.fill(before)),
            isolation: script.directives.isolation,
        }),
        [_] => Err(ScriptFailure::no_undo(
            script,
            "it ran for the first time, so there is nothing to go back to",
        )),
        _ => Err(ScriptFailure::no_undo(script, "not all of its statements are CREATE OR REPLACE")),
    }
}

/// The text of the run at `rank` and of the one before it.
async fn bodies(
    connection: &mut Connection,
    settings: &Settings,
    history: &str,
    rank: u64,
    key: &str,
) -> Result<Vec<Option<String>>, EngineError> {
    let query = format!(
        "SELECT body FROM whimbrel.history WHERE history = {} AND key = {} AND rank <= {rank} AND undone_at IS NULL \
         ORDER BY rank DESC LIMIT 2",
        escape_literal(history),
        escape_literal(key)
    );
    let sets = connection.read(settings, &query).await?;
    Ok(sets.into_iter().flat_map(|set| set.rows).flatten().collect())
}

/// Running the text again brings back what it made before, whatever came in between.
fn replaces_only(text: &str) -> bool {
    let replaces = |statement: &Statement| {
        let word = |at: usize| statement.tokens.get(at).map_or("", |token| &text[token.range.clone()]);
        ["create", "or", "replace"]
            .iter()
            .enumerate()
            .all(|(at, expected)| word(at).eq_ignore_ascii_case(expected))
    };
    split(text).is_ok_and(|split| !split.statements.is_empty() && split.statements.iter().all(replaces))
}

fn as_failure(error: EngineError) -> ScriptFailure {
    ScriptFailure::Lost { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_create_or_replace_can_be_run_again() {
        assert!(replaces_only("create or replace view v as select 1;\nCREATE OR REPLACE FUNCTION f() …"));
        assert!(!replaces_only("CREATE OR REPLACE VIEW v AS SELECT 1; INSERT INTO t VALUES (1)"));
        assert!(!replaces_only("CREATE VIEW v AS SELECT 1"));
        assert!(!replaces_only("-- nothing"));
        assert!(!replaces_only("CREATE OR"));
    }
}
