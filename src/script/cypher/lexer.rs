//! Where a statement of Cypher ends: at a semicolon outside of strings, names in backticks and comments.
//!
//! neo4j-migrations ends one at a semicolon before a line end, wherever that stands. The two differ where that tool breaks
//! the statement: in a string or a comment that has such a line end, and at two statements in one line.

use std::ops::Range;

use super::super::split::{Found, Opener, Statement, Token, TokenKind, Unclosed, place};

/// What a text consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A statement; empty ones are not counted.
    Statement(Statement),
    /// A comment of either kind, wherever it stands: one inside of a statement comes before it.
    Comment(Found),
    /// A line that begins with a colon where a statement would begin: a command of cypher-shell.
    Command(Found),
}

/// Cuts `text` up to the first thing that is opened and never closed.
pub(super) fn scan(text: &str) -> impl Iterator<Item = Result<Item, Unclosed>> + use<'_> {
    let mut reader = Reader { text, at: 0, depth: 0, tokens: Vec::new(), number: 0 };
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let next = reader.next();
        ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many brackets of any kind are open.
    depth: usize,
    tokens: Vec<Token>,
    number: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Option<Item>, Unclosed> {
        while let Some(byte) = self.byte(0) {
            let start = self.at;
            match (byte, self.byte(1)) {
                (b'/', Some(b'/')) => {
                    self.at = self.line_end();
                    return Ok(Some(Item::Comment(self.found(start))));
                }
                (b'/', Some(b'*')) => {
                    let end = self.text[start + 2..]
                        .find("*/")
                        .ok_or(Unclosed { what: Opener::Block, offset: start })?;
                    self.at = start + 2 + end + 2;
                    return Ok(Some(Item::Comment(self.found(start))));
                }
                (b':', _) if self.tokens.is_empty() => {
                    self.at = self.line_end();
                    return Ok(Some(Item::Command(self.found(start))));
                }
                (b';', _) => {
                    self.at += 1;
                    if let Some(statement) = self.statement() {
                        return Ok(Some(Item::Statement(statement)));
                    }
                }
                (b'\'' | b'"', _) => self.string(byte)?,
                (b'`', _) => self.backticks()?,
                (byte, _) if byte.is_ascii_whitespace() => self.at += 1,
                (byte, _) if byte.is_ascii_digit() => {
                    self.token(TokenKind::Number, |c| c.is_ascii_alphanumeric())
                }
                (byte, _)
                    if byte == b'_' || byte == b'$' || !byte.is_ascii() || byte.is_ascii_alphabetic() =>
                {
                    self.word();
                }
                _ => self.symbol(byte),
            }
        }
        Ok(self.statement().map(Item::Statement))
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// The end of this line, without the carriage return of a Windows line.
    fn line_end(&self) -> usize {
        self.text[self.at..].find(['\n', '\r']).map_or(self.text.len(), |end| self.at + end)
    }

    /// A backslash takes the next byte with it.
    fn string(&mut self, quote: u8) -> Result<(), Unclosed> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                None => {
                    let what = if quote == b'"' { Opener::DoubleText } else { Opener::Text };
                    return Err(Unclosed { what, offset: start });
                }
                Some(b'\\') => at += 2,
                Some(byte) if *byte == quote => break,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        self.push(TokenKind::Text, start);
        Ok(())
    }

    /// A doubled backtick is content.
    fn backticks(&mut self) -> Result<(), Unclosed> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            match (bytes.get(at), bytes.get(at + 1)) {
                (None, _) => return Err(Unclosed { what: Opener::Backtick, offset: start }),
                (Some(b'`'), Some(b'`')) => at += 2,
                (Some(b'`'), _) => break,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        self.push(TokenKind::Quoted, start);
        Ok(())
    }

    fn word(&mut self) {
        self.token(TokenKind::Word, |c| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii());
    }

    fn token(&mut self, kind: TokenKind, inside: impl Fn(char) -> bool) {
        let start = self.at;
        let length: usize = self.text[start..].chars().take_while(|c| inside(*c)).map(char::len_utf8).sum();
        self.at = start + length.max(1);
        self.push(kind, start);
    }

    fn symbol(&mut self, byte: u8) {
        let start = self.at;
        self.at += 1;
        if matches!(byte, b')' | b']' | b'}') {
            self.depth = self.depth.saturating_sub(1);
        }
        self.push(TokenKind::Symbol, start);
        self.depth += usize::from(matches!(byte, b'(' | b'[' | b'{'));
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        self.tokens.push(Token { kind, range: start..self.at, depth: self.depth });
    }

    fn statement(&mut self) -> Option<Statement> {
        self.depth = 0;
        let tokens = std::mem::take(&mut self.tokens);
        let range = tokens.first()?.range.start..tokens.last()?.range.end;
        self.number += 1;
        let (line, column) = place(self.text, range.start);
        Some(Statement { number: self.number, range, line, column, tokens, copy: None })
    }

    fn found(&self, start: usize) -> Found {
        let range: Range<usize> = start..self.at;
        let (line, column) = place(self.text, start);
        Found { range, line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<&str> {
        scan(text)
            .filter_map(|item| match item.unwrap() {
                Item::Statement(statement) => Some(&text[statement.range]),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn cut_outside_of_quotes_and_comments_only() {
        for (text, expected) in [
            ("MATCH (n) RETURN n; RETURN 1", vec!["MATCH (n) RETURN n", "RETURN 1"]),
            ("RETURN 'a;\nb';\nRETURN 2;", vec!["RETURN 'a;\nb'", "RETURN 2"]),
            (
                r#"RETURN "it's; \" x", 'a\'; b'; RETURN 1"#,
                vec![r#"RETURN "it's; \" x", 'a\'; b'"#, "RETURN 1"],
            ),
            ("MATCH (n:`a;``b`) RETURN n; ;;", vec!["MATCH (n:`a;``b`) RETURN n"]),
            ("// a;\n/* b;\n */ RETURN 1 // c;\n;", vec!["RETURN 1"]),
            ("", vec![]),
            ("// nothing", vec![]),
            ("RETURN 1 / 2, 'ä' AS ü;", vec!["RETURN 1 / 2, 'ä' AS ü"]),
        ] {
            assert_eq!(statements(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_never_closed_is_named_where_it_is_opened() {
        for (text, what, offset) in [
            ("RETURN 'a", Opener::Text, 7),
            ("RETURN \"a\\\"", Opener::DoubleText, 7),
            ("MATCH (n:`a``) ", Opener::Backtick, 9),
            ("RETURN 1; /* b", Opener::Block, 10),
            ("RETURN 'a\\", Opener::Text, 7),
        ] {
            let unclosed = scan(text).find_map(Result::err);
            assert_eq!(unclosed, Some(Unclosed { what, offset }), "{text}");
        }
    }

    #[test]
    fn a_colon_begins_a_command_only_where_a_statement_would() {
        let text = ":use neo4j;\r\nMATCH (n\n:A) RETURN n;\n:param x => 1\n";
        let commands: Vec<&str> = scan(text)
            .filter_map(|item| match item.unwrap() {
                Item::Command(found) => Some(&text[found.range]),
                _ => None,
            })
            .collect();
        assert_eq!(commands, [":use neo4j;", ":param x => 1"]);
        assert_eq!(statements(text), ["MATCH (n\n:A) RETURN n"]);
    }

    #[test]
    fn places_and_numbers_are_those_of_the_file() {
        let found: Vec<(usize, usize, usize)> = scan("// x\nRETURN 1;\n  RETURN 2")
            .filter_map(|item| match item.unwrap() {
                Item::Statement(s) => Some((s.number, s.line, s.column)),
                _ => None,
            })
            .collect();
        assert_eq!(found, [(1, 2, 1), (2, 3, 3)]);
    }
}
