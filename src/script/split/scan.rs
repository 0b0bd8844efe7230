//! Where a statement ends: at a semicolon outside of parentheses and of BEGIN ATOMIC bodies.

use std::ops::Range;

use super::lexer::{Lexer, Piece};
use super::place::Counter;
use super::tokens::Open;
use super::{CopyData, Found, Opener, Statement, TokenKind, Unclosed};

/// What a text consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A statement; empty ones (`;;`) are not counted.
    Statement(Statement),
    /// A comment of either kind, wherever it stands: one inside of a statement comes before it.
    Comment(Found),
    /// What psql takes as a command.
    Backslash(Found),
}

/// Reads `text` once, in time that grows as it does, and holds one statement at a time.
pub fn scan(text: &str) -> Scan<'_> {
    let (lexer, open, places) = (Lexer::new(text), Open::new(text), Counter::new(text));
    Scan { text, lexer, open, places, begins: (1, 1), number: 0, behind: None, ended: false }
}

/// The items of a text, up to the first thing that is opened and never closed.
pub struct Scan<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    open: Open<'a>,
    places: Counter<'a>,
    /// Where the statement that is being read begins.
    begins: (usize, usize),
    number: usize,
    /// The comment behind the semicolon of a COPY.
    behind: Option<Item>,
    ended: bool,
}

impl Iterator for Scan<'_> {
    type Item = Result<Item, Unclosed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance();
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl Scan<'_> {
    fn advance(&mut self) -> Result<Option<Item>, Unclosed> {
        if let Some(comment) = self.behind.take() {
            return Ok(Some(comment));
        }
        while let Some((piece, range)) = self.lexer.next()? {
            match piece {
                Piece::Comment => return Ok(Some(Item::Comment(self.found(range)))),
                Piece::Backslash => return Ok(Some(Item::Backslash(self.found(range)))),
                Piece::Token(kind)
                    if kind == TokenKind::Symbol
                        && &self.text[range.clone()] == ";"
                        && self.open.at_top() =>
                {
                    if let Some(statement) = self.statement(true)? {
                        return Ok(Some(Item::Statement(statement)));
                    }
                }
                Piece::Token(kind) => {
                    if self.open.is_empty() {
                        self.begins = self.places.at(range.start);
                    }
                    self.open.take(kind, range);
                }
            }
        }
        self.open.all_closed()?;
        if self.open.copies_from_stdin() {
            return Err(Unclosed { what: Opener::CopyData, offset: self.text.len() });
        }
        Ok(self.statement(false)?.map(Item::Statement))
    }

    fn found(&mut self, range: Range<usize>) -> Found {
        let (line, column) = self.places.at(range.start);
        Found { range, line, column }
    }

    /// What has been read, with the data that follow its semicolon.
    fn statement(&mut self, semicolon: bool) -> Result<Option<Statement>, Unclosed> {
        let copies = semicolon && self.open.copies_from_stdin();
        let Some((range, tokens)) = self.open.finish() else { return Ok(None) };
        let copy = if copies { Some(self.copy()?) } else { None };
        self.number += 1;
        let (line, column) = self.begins;
        Ok(Some(Statement { number: self.number, range, line, column, tokens, copy }))
    }

    fn copy(&mut self) -> Result<CopyData, Unclosed> {
        self.behind = self.lexer.comment_to_end().map(|range| Item::Comment(self.found(range)));
        let crowded = !self.lexer.at_line_end();
        let (rows, end) = self.lexer.copy_rows()?;
        let line = self.places.at(rows.start).0;
        Ok(CopyData { rows, line, end, crowded })
    }
}
