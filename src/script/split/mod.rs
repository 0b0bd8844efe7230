//! PostgreSQL's statements in a text, cut where the server's grammar cuts them.
//!
//! It counts, lints and finds places; a script is executed as one text, so a wrong cut can never run a half statement.

mod lexer;
mod lines;
mod quotes;
mod statements;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod property;

use std::fmt;
use std::ops::Range;

pub use lines::Lines;
pub use statements::split;

/// A text cut into statements. All ranges are bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// In the order of the text; empty ones (`;;`) are not counted.
    pub statements: Vec<Statement>,
    /// Comments of both kinds, wherever they stand.
    pub comments: Vec<Range<usize>>,
    /// From a backslash outside of all quotes to the end of its line: what psql takes as a command.
    pub backslashes: Vec<Range<usize>>,
    /// Where the lines of the text begin.
    pub lines: Lines,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// From 1.
    pub number: usize,
    /// First to last token, without the semicolon and the comments around it.
    pub range: Range<usize>,
    /// Of the first token, from 1.
    pub line: usize,
    /// Of the first token, in characters, from 1.
    pub column: usize,
    /// What it is made of; comments are no tokens.
    pub tokens: Vec<Token>,
    /// The lines that follow a `COPY ... FROM stdin`, with the `\.` that ends them.
    pub copy_data: Option<Range<usize>>,
}

/// The smallest part of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is.
    pub range: Range<usize>,
    /// How many parentheses are open around it.
    pub depth: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or an identifier without quotes.
    Word,
    /// `"identifier"`, `U&"identifier"`
    Quoted,
    /// Any string: `'a'`, `E'a'`, `$tag$a$tag$`, `B'0'`.
    Text,
    /// The digits of a number.
    Number,
    /// One byte of anything else.
    Symbol,
}

/// Something was opened and the text ended before it was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclosed {
    /// What was opened.
    pub what: Opener,
    /// Where, in bytes.
    pub offset: usize,
}

/// What can be left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opener {
    /// `'`, `E'` and their kin
    Text,
    /// `"`
    Identifier,
    /// `$tag$`, with its dollars
    Dollar(String),
    /// `/*`
    Comment,
    /// `(`
    Parenthesis,
    /// `BEGIN ATOMIC`, or a `CASE` in it
    Atomic,
    /// The data of a `COPY ... FROM stdin`, which ends with `\.`
    CopyData,
}

impl fmt::Display for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opener::Text => f.write_str("a string (') is never closed"),
            Opener::Identifier => f.write_str("a quoted identifier (\") is never closed"),
            Opener::Dollar(tag) => write!(f, "the string {tag} is never closed by another {tag}"),
            Opener::Comment => f.write_str("a comment (/*) is never closed; comments nest"),
            Opener::Parenthesis => f.write_str("a parenthesis is never closed"),
            Opener::Atomic => f.write_str("a BEGIN ATOMIC or CASE has no END"),
            Opener::CopyData => f.write_str("the data of a COPY are never ended by a line \\."),
        }
    }
}

impl Statement {
    /// Its text.
    pub fn text<'a>(&self, whole: &'a str) -> &'a str {
        &whole[self.range.clone()]
    }
}

impl Split {
    /// The statement that the byte at `offset` is in, or the last one before it.
    pub fn statement_at(&self, offset: usize) -> Option<&Statement> {
        let after = self.statements.partition_point(|statement| statement.range.start <= offset);
        self.statements.get(after.checked_sub(1)?)
    }
}
