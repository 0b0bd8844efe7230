//! The server's words, as they may be shown: bounded, on one line, without the statement they quote, and without values
//! of properties unless somebody asked for full diagnostics.

use super::wire::ServerError;
use crate::engine::error::bounded;

/// Characters of an error that go on.
const MOST_WORDS: usize = 600;

impl ServerError {
    /// The message for people.
    pub(super) fn words(&self, full: bool) -> String {
        // Behind its first line a syntax error quotes the statement.
        let first = self.message.split_once(" (line ").map_or(self.message.as_str(), |(before, _)| before);
        let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = if full { line } else { without_values(&line) };
        bounded(line, MOST_WORDS)
    }

    /// Line and column that the message names, both from 1, in the statement that was sent.
    pub(super) fn position(&self) -> Option<(usize, usize)> {
        let (_, behind) = self.message.split_once("(line ")?;
        let (line, rest) = behind.split_once(", column ")?;
        let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some((line.parse().ok()?, column.parse().ok()?))
    }
}

/// Violated constraints quote the value that violates: it may be anybody's name.
fn without_values(line: &str) -> String {
    let Some(at) = line.find("propert") else { return line.to_owned() };
    match line[at..].find(" = ") {
        Some(equals) => format!("{} = …", &line[..at + equals]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> ServerError {
        ServerError { code: "Neo.X".to_owned(), message: message.to_owned() }
    }

    #[test]
    fn a_syntax_error_keeps_its_place_and_not_the_statement() {
        let error = error(
            "Invalid input 'MATHC': expected 'CALL' (line 2, column 3 (offset: 12))\n\"MATHC (n {password: 'x'})\"\n   ^",
        );
        assert_eq!(error.words(true), "Invalid input 'MATHC': expected 'CALL'");
        assert_eq!(error.position(), Some((2, 3)));
    }

    #[test]
    fn values_are_shown_only_where_somebody_wants_them() {
        let both = "Unable to create Constraint( name='zc', type='UNIQUENESS', schema=(:Zed {zap}) ):\nBoth Node(0) and Node(1) have the label `Zed` and property `zap` = 'secret'. Note";
        let said = "Unable to create Constraint( name='zc', type='UNIQUENESS', schema=(:Zed {zap}) ): Both Node(0) and Node(1) have the label `Zed` and property `zap` = …";
        assert_eq!(error(both).words(false), said);
        assert!(error(both).words(true).contains("secret"));
        assert_eq!(
            error("Node(1) already exists with label `A` and properties `a` = 1, `b` = 2").words(false),
            "Node(1) already exists with label `A` and properties `a` = …"
        );
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(error(&"ä".repeat(2000)).words(true).chars().count(), MOST_WORDS + 1);
    }
}
