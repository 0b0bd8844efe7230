//! Where the lines of a text begin: bytes to line and column, in logarithmic time.

/// An index of the lines of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    /// Indexes `text`.
    pub fn new(text: &str) -> Self {
        let after_newline = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Lines { starts: std::iter::once(0).chain(after_newline).collect() }
    }

    /// Line and column of the byte at `offset`, both from 1, the column in characters. `text` is the indexed one.
    pub fn at(&self, text: &str, offset: usize) -> (usize, usize) {
        let offset = offset.min(text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = &text.as_bytes()[self.starts[line - 1]..offset];
        // Continuation bytes (10xxxxxx) are part of the character before them.
        (line, before.iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_not_bytes() {
        let text = "äb\nc\r\n\nd";
        let lines = Lines::new(text);
        let at = |needle| lines.at(text, text.find(needle).unwrap());
        assert_eq!(at('ä'), (1, 1));
        assert_eq!(at('b'), (1, 2));
        assert_eq!(at('c'), (2, 1));
        assert_eq!(at('d'), (4, 1));
        assert_eq!(lines.at(text, text.len()), (4, 2));
        assert_eq!(lines.at(text, 99), (4, 2));
        assert_eq!(Lines::new("").at("", 0), (1, 1));
    }
}
