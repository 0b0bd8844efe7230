//! Where a statement ends: at a semicolon outside of parentheses and of BEGIN ATOMIC bodies.

use std::ops::Range;

use super::lexer::{Lexer, Piece};
use super::{Lines, Opener, Split, Statement, Token, TokenKind, Unclosed};

/// Cuts `text` into statements.
///
/// # Errors
/// Something is opened and never closed.
pub fn split(text: &str) -> Result<Split, Unclosed> {
    let lines = Lines::new(text);
    let mut split = Split { statements: Vec::new(), comments: Vec::new(), backslashes: Vec::new(), lines };
    let mut lexer = Lexer::new(text);
    let mut open = Open::new(text);
    while let Some((piece, range)) = lexer.next()? {
        match piece {
            Piece::Comment => split.comments.push(range),
            Piece::Backslash => split.backslashes.push(range),
            Piece::Token(kind)
                if kind == TokenKind::Symbol && &text[range.clone()] == ";" && open.at_top() =>
            {
                let feeds = open.copies_from_stdin();
                if let Some(statement) = split.begun(text, open.end()) {
                    statement.copy_data = if feeds { Some(lexer.copy_data()?) } else { None };
                }
            }
            Piece::Token(kind) => open.take(kind, range),
        }
    }
    open.all_closed()?;
    split.begun(text, open.end());
    Ok(split)
}

impl Split {
    /// Adds a statement of these tokens, if there are any.
    fn begun(&mut self, text: &str, tokens: Vec<Token>) -> Option<&mut Statement> {
        let range = tokens.first()?.range.start..tokens.last()?.range.end;
        let ((line, column), number) = (self.lines.at(text, range.start), self.statements.len() + 1);
        self.statements.push(Statement { number, range, line, column, tokens, copy_data: None });
        self.statements.last_mut()
    }
}

/// The statement that is being read.
struct Open<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    parentheses: Vec<usize>,
    /// BEGIN ATOMIC and the CASEs in it that wait for their END.
    blocks: Vec<usize>,
}

impl<'a> Open<'a> {
    fn new(text: &'a str) -> Self {
        Open { text, tokens: Vec::new(), parentheses: Vec::new(), blocks: Vec::new() }
    }

    fn at_top(&self) -> bool {
        self.parentheses.is_empty() && self.blocks.is_empty()
    }

    fn end(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.tokens)
    }

    fn all_closed(&self) -> Result<(), Unclosed> {
        let parenthesis = self.parentheses.first().map(|offset| (*offset, Opener::Parenthesis));
        let block = self.blocks.first().map(|offset| (*offset, Opener::Atomic));
        match parenthesis.into_iter().chain(block).min_by_key(|(offset, _)| *offset) {
            Some((offset, what)) => Err(Unclosed { what, offset }),
            None => Ok(()),
        }
    }

    fn take(&mut self, kind: TokenKind, range: Range<usize>) {
        let mut depth = self.parentheses.len();
        match (kind, &self.text[range.clone()]) {
            (TokenKind::Symbol, "(") => self.parentheses.push(range.start),
            (TokenKind::Symbol, ")") => {
                self.parentheses.pop();
                depth = self.parentheses.len(); // a pair has one depth, that around it
            }
            (TokenKind::Word, word) => self.block(word, range.start),
            _ => {}
        }
        self.tokens.push(Token { kind, range, depth });
    }

    /// Keeps count of BEGIN ATOMIC ... END. A plain BEGIN is no keyword there, it may be a column.
    fn block(&mut self, word: &str, at: usize) {
        let is = |keyword| word.eq_ignore_ascii_case(keyword);
        if is("ATOMIC") && self.last_is("BEGIN") && (self.in_block() || self.makes_routine()) {
            self.blocks.push(at);
        } else if self.in_block() && !self.names_something() {
            if is("CASE") {
                self.blocks.push(at);
            } else if is("END") {
                self.blocks.pop();
            }
        }
    }

    fn in_block(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Behind a dot or AS any keyword is a name. The server reads it so; psql would end the body at `t.end`.
    fn names_something(&self) -> bool {
        self.last_is(".") || self.last_is("AS")
    }

    fn last_is(&self, word: &str) -> bool {
        self.tokens.last().is_some_and(|token| self.is(token, word))
    }

    fn makes_routine(&self) -> bool {
        let rest = match self.tokens.as_slice() {
            [create, or, replace, rest @ ..]
                if self.is(create, "CREATE") && self.is(or, "OR") && self.is(replace, "REPLACE") =>
            {
                rest
            }
            [create, rest @ ..] if self.is(create, "CREATE") => rest,
            _ => return false,
        };
        rest.first().is_some_and(|what| self.is(what, "FUNCTION") || self.is(what, "PROCEDURE"))
    }

    fn copies_from_stdin(&self) -> bool {
        let from_stdin = |pair: &[Token]| self.is(&pair[0], "FROM") && self.is(&pair[1], "STDIN");
        self.tokens.first().is_some_and(|first| self.is(first, "COPY"))
            && self.tokens.windows(2).any(from_stdin)
    }

    fn is(&self, token: &Token, word: &str) -> bool {
        matches!(token.kind, TokenKind::Word | TokenKind::Symbol)
            && self.text[token.range.clone()].eq_ignore_ascii_case(word)
    }
}
