//! What an author says in comments: `@expect`, `@await`, `@probe` about a request, `whimbrel:` about the file.

use super::super::Directives;
use super::super::directives::{OfUndo, Role, directive, of_undo};
use super::HttpFault;
use super::read::{Expected, Method, Probe, method_and_path};

/// What was said about one request.
#[derive(Default)]
pub(super) struct Said {
    pub(super) expect: Vec<u16>,
    pub(super) awaits: bool,
    pub(super) probe: Option<Probe>,
    /// The line of the first directive.
    pub(super) line: Option<usize>,
}

/// Takes the directive of one comment, without its mark, if it is one. What begins like one and is none is an error: it is
/// a wish that nobody would fulfil.
pub(super) fn take(said: &mut Said, line: usize, comment: &str) -> Result<(), HttpFault> {
    let Some(directive) = comment.strip_prefix('@') else { return Ok(()) };
    let (word, rest) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
    let (rest, unknown) = (rest.trim(), || HttpFault::UnknownDirective(directive.to_owned()));
    match word {
        // A label, for people and editors.
        "name" => return Ok(()),
        "expect" => said.expect = statuses(rest).ok_or_else(unknown)?,
        "await" if rest == "task" => said.awaits = true,
        "probe" => said.probe = Some(probe(rest)?),
        _ => return Err(unknown()),
    }
    said.line.get_or_insert(line);
    Ok(())
}

/// `200,404`
fn statuses(text: &str) -> Option<Vec<u16>> {
    let one = |status: &str| status.trim().parse().ok().filter(|status| (100..600).contains(status));
    text.split(',').map(one).collect()
}

/// `GET /users/_doc/1 -> 200`, `GET /users/_count -> /count 5`
fn probe(text: &str) -> Result<Probe, HttpFault> {
    let bad = || HttpFault::Probe(text.to_owned());
    let (request, expect) = text.split_once("->").ok_or_else(bad)?;
    let (method, path) = method_and_path(request.trim())?;
    if !matches!(method, Method::Get | Method::Head) {
        return Err(bad());
    }
    let expect = expect.trim();
    let expect = if expect.starts_with('/') {
        let (pointer, value) = expect.split_once(char::is_whitespace).ok_or_else(bad)?;
        Expected::Value { pointer: pointer.to_owned(), value: value.trim().to_owned() }
    } else {
        Expected::Status(statuses(expect).ok_or_else(bad)?)
    };
    Ok(Probe { method, path, expect })
}

/// Takes what a comment says about the whole file: `whimbrel: undo keeps-data`.
pub(super) fn of_file(directives: &mut Directives, comment: &str, role: Role) -> Result<(), HttpFault> {
    let Some(said) = directive(comment) else { return Ok(()) };
    let words: Vec<&str> = said.split_whitespace().collect();
    match of_undo(directives, &words, role) {
        OfUndo::Taken => Ok(()),
        OfUndo::Misplaced => Err(HttpFault::DirectiveOfUndo(said.to_owned())),
        OfUndo::Another => Err(HttpFault::UnknownDirective(format!("whimbrel: {said}"))),
    }
}
