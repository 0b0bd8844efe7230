//! The statement that is being read: what is open in it, and which of its tokens are kept.

use std::ops::Range;

use super::{Opener, Token, TokenKind, Unclosed};

/// So many tokens of an INSERT are kept whole; behind them are its rows. A dump may have millions of values in one
/// statement, and a token is larger than most of them.
const KEPT_OF_INSERT: usize = 4096;

pub(super) struct Open<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// Behind the last token, kept or not.
    end: usize,
    parentheses: Vec<usize>,
    /// BEGIN ATOMIC and the CASEs in it that wait for their END.
    blocks: Vec<usize>,
}

impl<'a> Open<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Open { text, tokens: Vec::new(), end: 0, parentheses: Vec::new(), blocks: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(super) fn at_top(&self) -> bool {
        self.parentheses.is_empty() && self.blocks.is_empty()
    }

    /// The tokens of the statement that ends here, and where they are; `None` when there are none.
    pub(super) fn finish(&mut self) -> Option<(Range<usize>, Vec<Token>)> {
        let start = self.tokens.first()?.range.start;
        Some((start..self.end, std::mem::take(&mut self.tokens)))
    }

    pub(super) fn all_closed(&self) -> Result<(), Unclosed> {
        let parenthesis = self.parentheses.first().map(|offset| (*offset, Opener::Parenthesis));
        let block = self.blocks.first().map(|offset| (*offset, Opener::Atomic));
        match parenthesis.into_iter().chain(block).min_by_key(|(offset, _)| *offset) {
            Some((offset, what)) => Err(Unclosed { what, offset }),
            None => Ok(()),
        }
    }

    pub(super) fn take(&mut self, kind: TokenKind, range: Range<usize>) {
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
        self.end = range.end;
        if self.tokens.len() < KEPT_OF_INSERT || !self.is_value(kind, &range) {
            self.tokens.push(Token { kind, range, depth });
        }
    }

    /// Whether a token of a long INSERT says nothing that a rule asks for. Words and calls do.
    fn is_value(&self, kind: TokenKind, range: &Range<usize>) -> bool {
        let begins_with = |word| self.tokens.first().is_some_and(|token| self.is(token, word));
        let word = &self.text[range.clone()];
        begins_with("INSERT")
            && match kind {
                TokenKind::Word => {
                    ["NULL", "TRUE", "FALSE", "DEFAULT"].iter().any(|value| word.eq_ignore_ascii_case(value))
                }
                TokenKind::Symbol if word == "(" => {
                    let called =
                        self.tokens.last().map_or("", |last| &self.text[last.range.end..range.start]);
                    !called.trim().is_empty()
                }
                _ => true,
            }
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

    /// `FROM stdin` outside of parentheses: in a query that is copied out, stdin may be a table.
    pub(super) fn copies_from_stdin(&self) -> bool {
        let from_stdin =
            |pair: &[Token]| pair[0].depth == 0 && self.is(&pair[0], "FROM") && self.is(&pair[1], "STDIN");
        self.tokens.first().is_some_and(|first| self.is(first, "COPY"))
            && self.tokens.windows(2).any(from_stdin)
    }

    fn is(&self, token: &Token, word: &str) -> bool {
        matches!(token.kind, TokenKind::Word | TokenKind::Symbol)
            && self.text[token.range.clone()].eq_ignore_ascii_case(word)
    }
}
