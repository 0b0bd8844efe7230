//! What of a script's text goes to the server: its SQL in one message, and the rows of its COPYs when the server asks for
//! them. Ranges of the text; nothing is copied, since a dump may be large.

use std::ops::Range;

use super::psql;
use super::split::{Item, Statement, scan};

/// A text as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable<'a> {
    text: &'a str,
    /// What is sent, in order.
    parts: Vec<Range<usize>>,
    copies: Vec<Copy>,
    /// How many statements of the file stand before the first that is sent.
    before: usize,
    /// One statement, not all of the file.
    alone: bool,
}

/// The rows for one `COPY ... FROM stdin`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Copy {
    /// How many of the statements that are sent stand before it.
    statement: usize,
    rows: Range<usize>,
}

impl<'a> Executable<'a> {
    /// All of a file: left out are commands of psql that may be, and the rows of COPYs, which travel on their own. A text
    /// that can't be split is sent as it is; the server says what is wrong with it.
    pub fn of(text: &'a str) -> Self {
        let (mut parts, mut copies, mut sent, mut statements) = (Vec::new(), Vec::new(), 0, 0);
        for item in scan(text) {
            let left_out = match item {
                Ok(Item::Backslash(found)) if psql::is_skipped(text, &found.range) => found.range,
                Ok(Item::Statement(statement)) => {
                    statements += 1;
                    let Some(copy) = statement.copy else { continue };
                    copies.push(Copy { statement: statements - 1, rows: copy.rows.clone() });
                    copy.rows.start..copy.end
                }
                Ok(_) => continue,
                Err(_) => return Executable::whole(text),
            };
            parts.push(sent..left_out.start);
            sent = left_out.end;
        }
        parts.push(sent..text.len());
        Executable { text, parts, copies, before: 0, alone: false }
    }

    /// All of a text, as one part.
    pub fn whole(text: &'a str) -> Self {
        let all = 0..text.len();
        Executable { parts: vec![all], ..Executable::empty(text) }
    }

    fn empty(text: &'a str) -> Self {
        Executable { text, parts: Vec::new(), copies: Vec::new(), before: 0, alone: false }
    }

    /// One statement of a file.
    pub fn one(text: &'a str, statement: &Statement) -> Self {
        let copies = statement.copy.iter().map(|copy| Copy { statement: 0, rows: copy.rows.clone() });
        Executable {
            text,
            parts: vec![statement.range.clone()],
            copies: copies.collect(),
            before: statement.number - 1,
            alone: true,
        }
    }

    /// The user's text, all of it.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// What is sent, in order.
    pub fn parts(&self) -> impl Iterator<Item = &'a str> {
        self.parts.iter().map(|part| &self.text[part.clone()])
    }

    /// The rows of each COPY, with how many of the statements that are sent stand before it.
    pub fn copies(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.copies.iter().map(|copy| (copy.statement, &self.text[copy.rows.clone()]))
    }

    /// How many statements are sent, where it is not all of the file.
    pub fn statements(&self) -> Option<usize> {
        self.alone.then_some(1)
    }

    /// The number in the file, from 1, of the statement before which `sent` of those that are sent stand.
    pub fn number(&self, sent: usize) -> usize {
        self.before + sent + 1
    }

    /// The byte of the file that the `n`-th sent character is, from 0; `None` behind the last.
    pub fn byte_of(&self, mut n: usize) -> Option<usize> {
        for part in &self.parts {
            let sent = &self.text[part.clone()];
            match sent.char_indices().nth(n) {
                Some((byte, _)) => return Some(part.start + byte),
                None => n -= sent.chars().count(),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::split::split;
    use super::*;

    const DUMP: &str =
        "\\restrict k\nSELECT 'ü';\nCOPY t FROM stdin;\n1\tä\n\\.\n\nSELECT 2;\n\\unrestrict k\n";

    #[test]
    fn rows_and_commands_of_psql_are_left_out() {
        let sent = Executable::of(DUMP);
        assert_eq!(
            sent.parts().collect::<Vec<_>>(),
            ["", "\nSELECT 'ü';\nCOPY t FROM stdin;\n", "\n\nSELECT 2;\n", "\n"]
        );
        assert_eq!(sent.copies().collect::<Vec<_>>(), [(1, "1\tä\n")]);
        assert_eq!(sent.number(2), 3);
    }

    #[test]
    fn every_character_that_is_sent_is_found_again() {
        let sent = Executable::of(DUMP);
        let all: String = sent.parts().collect();
        for (n, character) in all.chars().enumerate() {
            let byte = sent.byte_of(n).unwrap();
            assert!(DUMP[byte..].starts_with(character), "{n}");
        }
        assert_eq!(sent.byte_of(all.chars().count()), None);
        assert_eq!(sent.byte_of(all.find("2;").unwrap() - 1), DUMP.find("2;"));
    }

    #[test]
    fn a_statement_alone_keeps_its_number() {
        let split = split(DUMP).unwrap();
        let sent = Executable::one(DUMP, &split.statements[1]);
        assert_eq!(sent.parts().collect::<Vec<_>>(), ["COPY t FROM stdin"]);
        assert_eq!(sent.copies().collect::<Vec<_>>(), [(0, "1\tä\n")]);
        assert_eq!((sent.number(0), sent.byte_of(0)), (2, DUMP.find("COPY")));
    }

    #[test]
    fn what_cannot_be_split_is_sent_as_it_is() {
        let text = "\\restrict k\nSELECT 'a";
        assert_eq!(Executable::of(text).parts().collect::<Vec<_>>(), [text]);
    }
}
