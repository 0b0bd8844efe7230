//! Bytes to line and column, as an editor counts them.

/// Line and column of the byte at `offset` of `text`, both from 1, the column in characters. Reads all of the text
/// before it.
pub fn place(text: &str, offset: usize) -> (usize, usize) {
    Counter::new(text).at(offset)
}

/// Counts on from place to place, so that all places of a text cost one reading of it.
pub(super) struct Counter<'a> {
    text: &'a [u8],
    offset: usize,
    line: usize,
    column: usize,
}

impl<'a> Counter<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Counter { text: text.as_bytes(), offset: 0, line: 1, column: 1 }
    }

    /// Line and column at `offset`, which is none before the last one asked for.
    pub(super) fn at(&mut self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        for byte in self.text.get(self.offset..offset).unwrap_or_default() {
            match byte {
                b'\n' => (self.line, self.column) = (self.line + 1, 1),
                // Continuation bytes (10xxxxxx) are part of the character before them.
                byte => self.column += usize::from(byte & 0xc0 != 0x80),
            }
        }
        self.offset = self.offset.max(offset);
        (self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_not_bytes() {
        let text = "äb\nc\r\n\nd";
        let at = |needle| place(text, text.find(needle).unwrap());
        assert_eq!([at('ä'), at('b'), at('c'), at('d')], [(1, 1), (1, 2), (2, 1), (4, 1)]);
        assert_eq!([place(text, text.len()), place(text, 99), place("", 0)], [(4, 2), (4, 2), (1, 1)]);
        let mut counter = Counter::new(text);
        let places: Vec<_> = text.char_indices().map(|(offset, _)| counter.at(offset)).collect();
        assert_eq!(places, text.char_indices().map(|(offset, _)| place(text, offset)).collect::<Vec<_>>());
    }
}
