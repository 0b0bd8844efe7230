//! PostgreSQL's statements in a text, cut where the server's grammar cuts them.
//!
//! It counts, lints and finds places; a script in one transaction is executed as one text, so a wrong cut can never run
//! a half statement of it. What is long is read by [`scan`], which holds one statement at a time.

mod lexer;
mod place;
mod quotes;
mod scan;
mod tokens;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod property;

use std::fmt;
use std::ops::Range;

pub use place::place;
pub use scan::{Item, Scan, scan};

/// A text cut into statements. All ranges are bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// In the order of the text; empty ones (`;;`) are not counted.
    pub statements: Vec<Statement>,
    /// Comments of both kinds, wherever they stand.
    pub comments: Vec<Found>,
    /// From a backslash outside of all quotes to the end of its line: what psql takes as a command.
    pub backslashes: Vec<Found>,
}

/// A part of the text that is no statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// Where it begins, from 1.
    pub line: usize,
    /// Where it begins, in characters, from 1.
    pub column: usize,
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
    /// What it is made of; comments are no tokens. The values of an INSERT of thousands of rows are left out.
    pub tokens: Vec<Token>,
    /// What follows a `COPY ... FROM stdin`.
    pub copy: Option<CopyData>,
}

/// The data of a `COPY ... FROM stdin`: the lines behind the one that its semicolon is in, as psql takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyData {
    /// All lines before the `\.`, in bytes.
    pub rows: Range<usize>,
    /// The line of the file that the first of them is.
    pub line: usize,
    /// Behind the `\.`.
    pub end: usize,
    /// Something other than a comment stands behind the semicolon in its line: psql would run it after the data.
    pub crowded: bool,
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
    /// `"` around a string, in Cypher
    DoubleText,
    /// A backtick, in Cypher
    Backtick,
    /// `/*`, in Cypher
    Block,
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
            Opener::DoubleText => f.write_str("a string (\") is never closed"),
            Opener::Backtick => f.write_str("a name in backticks is never closed"),
            Opener::Block => f.write_str("a comment (/*) is never closed"),
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

/// Cuts `text` into statements and keeps all of them: for short texts.
///
/// # Errors
/// Something is opened and never closed.
pub fn split(text: &str) -> Result<Split, Unclosed> {
    let mut split = Split { statements: Vec::new(), comments: Vec::new(), backslashes: Vec::new() };
    for item in scan(text) {
        match item? {
            Item::Statement(statement) => split.statements.push(statement),
            Item::Comment(found) => split.comments.push(found),
            Item::Backslash(found) => split.backslashes.push(found),
        }
    }
    Ok(split)
}

impl Split {
    /// The statement that the byte at `offset` is in, or the last one before it.
    pub fn statement_at(&self, offset: usize) -> Option<&Statement> {
        let after = self.statements.partition_point(|statement| statement.range.start <= offset);
        self.statements.get(after.checked_sub(1)?)
    }
}
