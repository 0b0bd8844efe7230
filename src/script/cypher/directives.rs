//! `// whimbrel:` comments: what an author says about a script in Cypher.

use super::super::Directives;
use super::super::directives::{OfUndo, Role, directive, of_undo};
use super::CypherFault;

/// Takes the directive of one comment, if it is one.
pub(super) fn take(directives: &mut Directives, comment: &str, role: Role) -> Result<(), CypherFault> {
    let Some(said) = comment.strip_prefix("//").and_then(directive) else { return Ok(()) };
    let misplaced = |place| Err(CypherFault::MisplacedDirective { directive: said.to_owned(), place });
    let words: Vec<&str> = said.split_whitespace().collect();
    match of_undo(directives, &words, role) {
        OfUndo::Taken => return Ok(()),
        OfUndo::Misplaced => return misplaced("the undo file"),
        OfUndo::Another => {}
    }
    match words.as_slice() {
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
