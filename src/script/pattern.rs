//! A small language to say what a statement looks like, so that rules are tables and not code.
//!
//! A pattern is words with blanks between them: `UNIQUE?` may be absent, `TABLE|VIEW` is one of several, and both go
//! together. Case does not matter. A quoted identifier is never a keyword, nor is anything inside of a string.

use super::split::{Statement, Token, TokenKind};

/// A statement with its text, ready to be matched.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    text: &'a str,
    tokens: &'a [Token],
}

impl<'a> Words<'a> {
    pub(super) fn of(statement: &'a Statement, text: &'a str) -> Self {
        Words { text, tokens: &statement.tokens }
    }

    /// The words that `pattern` matches at the beginning, in capitals, for messages.
    pub(super) fn begins(self, pattern: &str) -> Option<String> {
        let matched = matched(self, &pattern.split(' ').collect::<Vec<_>>())?;
        let words: Vec<String> = (0..matched).filter_map(|i| self.word(i)).map(str::to_uppercase).collect();
        Some(words.join(" "))
    }

    /// Whether `pattern` matches anywhere.
    pub(super) fn has(self, pattern: &str) -> bool {
        let pattern: Vec<&str> = pattern.split(' ').collect();
        (0..self.tokens.len()).any(|start| matched(self.from(start), &pattern).is_some())
    }

    /// Whether the `i`-th token is one of `words` (`A|B`).
    pub(super) fn is(self, i: usize, words: &str) -> bool {
        self.word(i).is_some_and(|found| words.split('|').any(|word| word.eq_ignore_ascii_case(found)))
    }

    /// How many tokens.
    pub(super) fn len(self) -> usize {
        self.tokens.len()
    }

    /// The text of all strings in it, for what can only be searched, as the body of a DO.
    pub(super) fn strings(self) -> impl Iterator<Item = &'a str> {
        let text = self.text;
        self.tokens.iter().filter(|t| t.kind == TokenKind::Text).map(move |t| &text[t.range.clone()])
    }

    /// Names (quoted or not) that stand before a parenthesis, but for the table of an INSERT.
    pub(super) fn calls(self) -> impl Iterator<Item = &'a str> {
        let table = move |i: usize| {
            (i >= 1 && self.is(i - 1, "INTO")) || (i >= 3 && self.is(i - 1, ".") && self.is(i - 3, "INTO"))
        };
        let named = move |i: usize| matches!(self.tokens[i].kind, TokenKind::Word | TokenKind::Quoted);
        (0..self.len())
            .filter(move |i| named(*i) && self.is(i + 1, "(") && !table(*i))
            .map(move |i| &self.text[self.tokens[i].range.clone()])
    }

    fn from(self, start: usize) -> Self {
        Words { text: self.text, tokens: self.tokens.get(start..).unwrap_or_default() }
    }

    fn word(self, i: usize) -> Option<&'a str> {
        let token = self.tokens.get(i)?;
        matches!(token.kind, TokenKind::Word | TokenKind::Symbol).then(|| &self.text[token.range.clone()])
    }
}

/// How many tokens from the first on `pattern` matches.
fn matched(words: Words<'_>, pattern: &[&str]) -> Option<usize> {
    let Some((first, rest)) = pattern.split_first() else { return Some(0) };
    let (alternatives, optional) = match first.strip_suffix('?') {
        Some(alternatives) => (alternatives, true),
        None => (*first, false),
    };
    let taken =
        words.is(0, alternatives).then(|| matched(words.from(1), rest)).flatten().map(|rest| rest + 1);
    taken.or_else(|| optional.then(|| matched(words, rest)).flatten())
}

#[cfg(test)]
mod tests {
    use super::super::split::split;
    use super::*;

    fn begins(text: &str, pattern: &str) -> Option<String> {
        Words::of(&split(text).unwrap().statements[0], text).begins(pattern)
    }

    #[test]
    fn begins_with() {
        let index = "CREATE UNIQUE? INDEX CONCURRENTLY";
        assert_eq!(
            begins("create /* x */ index\nconcurrently i", index),
            Some("CREATE INDEX CONCURRENTLY".to_owned())
        );
        assert_eq!(
            begins("CREATE UNIQUE INDEX CONCURRENTLY i", index),
            Some("CREATE UNIQUE INDEX CONCURRENTLY".to_owned())
        );
        assert_eq!(begins("CREATE INDEX i", index), None);
        assert_eq!(
            begins("ROLLBACK WORK TO a", "ROLLBACK WORK|TRANSACTION? TO"),
            Some("ROLLBACK WORK TO".to_owned())
        );
        assert_eq!(begins("ROLLBACK TO a", "ROLLBACK WORK|TRANSACTION? TO"), Some("ROLLBACK TO".to_owned()));
        assert_eq!(begins("SELECT", "SELECT x"), None);
    }

    #[test]
    fn has_anywhere_but_not_in_quotes() {
        let text = "SELECT \"DROP\", 'DELETE FROM t' FROM t WHERE x";
        let split = split(text).unwrap();
        let words = Words::of(&split.statements[0], text);
        assert!(words.has("from T") && words.has("where"));
        assert!(!words.has("DROP") && !words.has("DELETE FROM"));
        assert_eq!(words.strings().collect::<Vec<_>>(), ["'DELETE FROM t'"]);
    }

    #[test]
    fn calls_are_names_before_parentheses() {
        let text = "INSERT INTO s.t (a) SELECT f (1), s.\"G\"(2), (3) FROM t";
        let split = split(text).unwrap();
        assert_eq!(Words::of(&split.statements[0], text).calls().collect::<Vec<_>>(), ["f", "\"G\""]);
    }
}
