//! `// whimbrel:` comments: what an author says about a script in Cypher.

use super::super::Directives;
use super::super::directives::Role;
use super::CypherFault;

/// Takes the directive of one comment, if it is one.
pub(super) fn take(directives: &mut Directives, comment: &str, role: Role) -> Result<(), CypherFault> {
    let Some(said) = directive(comment) else { return Ok(()) };
    let misplaced = |place| Err(CypherFault::MisplacedDirective { directive: said.to_owned(), place });
    let words: Vec<&str> = said.split_whitespace().collect();
    match words.as_slice() {
        ["undo", "keeps-data"] if role == Role::Undo => directives.undo_keeps_data = true,
        ["undo", "partial-ok"] if role == Role::Undo => directives.undo_partial_ok = true,
        ["undo", "keeps-data" | "partial-ok"] => return misplaced("the undo file"),
        ["mixed:", "true"] | ["restartable"] | ["probe", _, ..] if role != Role::Script => {
            return misplaced("a versioned script");
        }
        ["mixed:", "true"] => directives.mixed = true,
        ["restartable"] => directives.restartable = true,
        ["probe", _, ..] => directives.probe = Some(said["probe".len()..].trim().to_owned()),
        _ => return Err(CypherFault::UnknownDirective(said.to_owned())),
    }
    Ok(())
}

/// What stands behind `whimbrel:` in a line comment; capitals and missing blanks are forgiven, as in SQL.
fn directive(comment: &str) -> Option<&str> {
    let (name, rest) = comment.strip_prefix("//")?.split_once(':')?;
    name.trim().eq_ignore_ascii_case("whimbrel").then(|| rest.trim())
}
