//! From a server's position in what was sent to a place that the author knows.

use super::split::{Lines, split};

/// Where something is in the user's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Which statement, from 1; `None` before the first one.
    pub statement: Option<usize>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// The spot of the `position`-th character (from 1, as PostgreSQL counts) of `executable`, which is what
/// [`Script::executable`](super::Script::executable) gave. `None` beyond its end: the text left something open.
pub fn locate(executable: &str, position: usize) -> Option<Spot> {
    let (offset, _) = executable.char_indices().nth(position.checked_sub(1)?)?;
    let (line, column) = Lines::new(executable).at(executable, offset);
    let statement = split(executable).ok().and_then(|split| Some(split.statement_at(offset)?.number));
    Some(Spot { statement, line, column })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters() {
        let text = "SELECT 'ä';\n  SELECT nope;";
        let position = text.chars().position(|c| c == 'n').unwrap() + 1;
        assert_eq!(locate(text, position), Some(Spot { statement: Some(2), line: 2, column: 10 }));
        assert_eq!(locate(text, 1), Some(Spot { statement: Some(1), line: 1, column: 1 }));
        assert_eq!(locate("-- x\nSELECT 1", 3), Some(Spot { statement: None, line: 1, column: 3 }));
        assert_eq!([locate(text, 0), locate(text, 99)], [None, None]);
    }
}
