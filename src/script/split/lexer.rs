//! Tokens, comments and psql's backslash lines, one after the other, as PostgreSQL's own scanner reads them.

use std::ops::Range;

use super::quotes::{
    copy_rows, dollar_delimiter, end_of_block_comment, end_of_dollar, end_of_escaped, end_of_line_comment,
    end_of_quoted, is_word,
};
use super::{Opener, TokenKind, Unclosed};

pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

/// What stands in the text, blanks apart.
pub(super) enum Piece {
    Token(TokenKind),
    Comment,
    Backslash,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { text: text.as_bytes(), at: 0 }
    }

    /// The next piece and where it is; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Piece, Range<usize>)>, Unclosed> {
        while self.peek(0).is_some_and(|byte| byte.is_ascii_whitespace() || byte == 0x0b) {
            self.at += 1;
        }
        let start = self.at;
        let Some(first) = self.peek(0) else { return Ok(None) };
        let piece = match (first, self.peek(1), self.peek(2)) {
            (b'-', Some(b'-'), _) => {
                self.at = end_of_line_comment(self.text, start);
                Piece::Comment
            }
            (b'/', Some(b'*'), _) => {
                self.close(Opener::Comment, end_of_block_comment(self.text, start + 2))?;
                Piece::Comment
            }
            (b'\\', ..) => {
                self.at = self.text[start..]
                    .iter()
                    .position(|b| *b == b'\n')
                    .map_or(self.text.len(), |n| start + n);
                Piece::Backslash
            }
            (b'e' | b'E', Some(b'\''), _) => {
                self.close(Opener::Text, end_of_escaped(self.text, start + 2))?;
                Piece::Token(TokenKind::Text)
            }
            (b'u' | b'U', Some(b'&'), Some(b'\'')) => self.text_from(start + 3)?,
            (b'b' | b'B' | b'x' | b'X' | b'n' | b'N', Some(b'\''), _) => self.text_from(start + 2)?,
            (b'\'', ..) => self.text_from(start + 1)?,
            (b'u' | b'U', Some(b'&'), Some(b'"')) => self.identifier_from(start + 3)?,
            (b'"', ..) => self.identifier_from(start + 1)?,
            (b'$', ..) => self.dollar()?,
            (b'0'..=b'9', ..) => self.run(TokenKind::Number, |byte| byte.is_ascii_digit()),
            (byte, ..) if is_word(byte) => self.run(TokenKind::Word, |byte| is_word(byte) || byte == b'$'),
            _ => self.run_of_one(),
        };
        Ok(Some((piece, start..self.at)))
    }

    /// Takes the rows of a COPY whose semicolon was just read; also where they end with their `\.`.
    pub(super) fn copy_rows(&mut self) -> Result<(Range<usize>, usize), Unclosed> {
        let found = copy_rows(self.text, self.at);
        let rows = found.clone().map(|(rows, _)| rows).unwrap_or_default();
        self.close(Opener::CopyData, found.map(|(_, end)| end))?;
        Ok((rows, self.at))
    }

    /// Takes a line comment in what is left of the line, if that is all that is left.
    pub(super) fn comment_to_end(&mut self) -> Option<Range<usize>> {
        let line = self.text[self.at..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        let blanks = line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        line[blanks..].starts_with(b"--").then(|| {
            let start = self.at + blanks;
            self.at = end_of_line_comment(self.text, start);
            start..self.at
        })
    }

    /// Whether nothing but blanks is left of the line.
    pub(super) fn at_line_end(&self) -> bool {
        let rest = self.text[self.at..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        rest.iter().all(u8::is_ascii_whitespace)
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// Moves to `end`, or says what was opened here and never closed.
    fn close(&mut self, what: Opener, end: Option<usize>) -> Result<(), Unclosed> {
        self.at = end.ok_or(Unclosed { what, offset: self.at })?;
        Ok(())
    }

    fn text_from(&mut self, content: usize) -> Result<Piece, Unclosed> {
        self.close(Opener::Text, end_of_quoted(self.text, content, b'\''))?;
        Ok(Piece::Token(TokenKind::Text))
    }

    fn identifier_from(&mut self, content: usize) -> Result<Piece, Unclosed> {
        self.close(Opener::Identifier, end_of_quoted(self.text, content, b'"'))?;
        Ok(Piece::Token(TokenKind::Quoted))
    }

    fn dollar(&mut self) -> Result<Piece, Unclosed> {
        let Some(delimiter) = dollar_delimiter(self.text, self.at) else { return Ok(self.run_of_one()) };
        let end = end_of_dollar(self.text, self.at + delimiter.len(), delimiter);
        self.close(Opener::Dollar(String::from_utf8_lossy(delimiter).into_owned()), end)?;
        Ok(Piece::Token(TokenKind::Text))
    }

    fn run(&mut self, kind: TokenKind, part: fn(u8) -> bool) -> Piece {
        while self.peek(0).is_some_and(part) {
            self.at += 1;
        }
        Piece::Token(kind)
    }

    fn run_of_one(&mut self) -> Piece {
        self.at += 1;
        Piece::Token(TokenKind::Symbol)
    }
}
