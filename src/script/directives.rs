//! `-- whimbrel:` comments: what an author says about a script.

use super::split::Found;
use super::{Directives, Isolation, Place, ScriptError};

/// Which file a text comes from: some directives are about an undo only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Script,
    Repeatable,
    Undo,
}

/// The directives, for messages.
pub(super) const KNOWN: &str = "isolation: read-committed | repeatable-read | serializable, no-transaction, mixed: true, undo keeps-data, undo partial-ok";

/// Takes the directive of one comment, if it is one; what is none is an error, because it is a wish that nobody would
/// fulfil.
pub(super) fn take(
    directives: &mut Directives,
    file: &str,
    text: &str,
    comment: &Found,
    role: Role,
) -> Result<(), ScriptError> {
    let Some(directive) = text[comment.range.clone()].strip_prefix("--").and_then(directive) else {
        return Ok(());
    };
    let (at, said) = (Place::of(file, comment), directive.to_owned());
    let words: Vec<&str> = directive.split_whitespace().collect();
    match of_undo(directives, &words, role) {
        OfUndo::Taken => return Ok(()),
        OfUndo::Misplaced => return Err(ScriptError::DirectiveOfUndo { at, directive: said }),
        OfUndo::Another => {}
    }
    match (words.as_slice(), role) {
        (["isolation:", level], _) => match isolation(level) {
            Some(level) => directives.isolation = Some(level),
            None => return Err(ScriptError::UnknownDirective { at, directive: said }),
        },
        (["no-transaction"], Role::Script) => directives.no_transaction = true,
        (["mixed:", "true"], Role::Script) => directives.mixed = true,
        (["no-transaction"] | ["mixed:", "true"], Role::Repeatable | Role::Undo) => {
            return Err(ScriptError::DirectiveNotBuilt { at, directive: said });
        }
        _ => return Err(ScriptError::UnknownDirective { at, directive: said }),
    }
    Ok(())
}

/// What stands behind `whimbrel:` in a line comment without its mark, in any language. Capitals and missing blanks are
/// forgiven, so that a slip is answered and not taken for prose.
pub(super) fn directive(comment: &str) -> Option<&str> {
    let (name, rest) = comment.split_once(':')?;
    name.trim().eq_ignore_ascii_case("whimbrel").then(|| rest.trim())
}

/// What became of a directive that may be about an undo.
pub(super) enum OfUndo {
    /// It is one, where it belongs.
    Taken,
    /// It is one, and belongs in the undo file.
    Misplaced,
    /// It says something else.
    Another,
}

/// Takes what an undo file says about itself; the same words in every language.
pub(super) fn of_undo(directives: &mut Directives, words: &[&str], role: Role) -> OfUndo {
    let flag = match words {
        ["undo", "keeps-data"] => &mut directives.undo_keeps_data,
        ["undo", "partial-ok"] => &mut directives.undo_partial_ok,
        _ => return OfUndo::Another,
    };
    if role != Role::Undo {
        return OfUndo::Misplaced;
    }
    *flag = true;
    OfUndo::Taken
}

fn isolation(level: &str) -> Option<Isolation> {
    match level {
        "read-committed" => Some(Isolation::ReadCommitted),
        "repeatable-read" => Some(Isolation::RepeatableRead),
        "serializable" => Some(Isolation::Serializable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::split::split;
    use super::*;

    fn directives(text: &str, role: Role) -> (Directives, Vec<String>) {
        let mut directives = Directives::default();
        let comments = split(text).unwrap().comments;
        let errors =
            comments.iter().filter_map(|found| take(&mut directives, "V1__a.sql", text, found, role).err());
        let errors = errors.map(|error| error.to_string()).collect();
        (directives, errors)
    }

    #[test]
    fn in_an_undo() {
        let text = "-- whimbrel: undo keeps-data\n--Whimbrel :undo   partial-ok\n-- whimbrel: isolation: serializable";
        let isolation = Some(Isolation::Serializable);
        let expected =
            Directives { isolation, undo_keeps_data: true, undo_partial_ok: true, ..Directives::default() };
        assert_eq!(directives(text, Role::Undo), (expected, vec![]));
    }

    #[test]
    fn only_line_comments_that_say_so() {
        let text = "-- whimbrel is a bird: no-transaction\n/* whimbrel: x */ SELECT '-- whimbrel: x', $$\n-- whimbrel: x\n$$";
        assert_eq!(directives(text, Role::Script), (Directives::default(), vec![]));
    }

    #[test]
    fn what_is_refused() {
        let refused = |text: &str, role| directives(text, role).1;
        assert_eq!(
            refused("SELECT 1;\n  -- whimbrel: no-transactions\n", Role::Script),
            [
                "V1__a.sql:2:3: unknown directive \"no-transactions\": known are isolation: read-committed | repeatable-read | serializable, no-transaction, mixed: true, undo keeps-data, undo partial-ok"
            ]
        );
        for text in [
            "-- whimbrel:",
            "-- whimbrel: isolation: dirty",
            "-- whimbrel: undo",
            "-- whimbrel: isolation serializable",
            "-- whimbrel: mixed",
            "-- whimbrel: mixed: yes",
        ] {
            assert_eq!(refused(text, Role::Undo).len(), 1, "{text}");
        }
        assert_eq!(
            refused("-- whimbrel: undo keeps-data", Role::Script),
            ["V1__a.sql:1:1: the directive \"undo keeps-data\" belongs in the undo file: move it there"]
        );
        for directive in ["no-transaction", "mixed: true"] {
            let text = format!("-- whimbrel: {directive}");
            let message = format!(
                "V1__a.sql:1:1: the directive \"{directive}\" is not built yet for undo files and repeatable scripts: remove it, they are one transaction each"
            );
            for role in [Role::Undo, Role::Repeatable] {
                assert_eq!(refused(&text, role), [message.as_str()]);
            }
        }
    }

    #[test]
    fn statement_by_statement() {
        let text = "-- whimbrel: no-transaction\n-- whimbrel:  mixed:  true";
        let expected = Directives { no_transaction: true, mixed: true, ..Directives::default() };
        assert_eq!(directives(text, Role::Script), (expected, vec![]));
    }
}
