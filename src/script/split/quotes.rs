//! Where strings, quoted identifiers and comments end. Each function takes the offset behind the opening and gives
//! the offset behind the closing, or `None` when the text ends first.

/// Behind a closing `quote`; a doubled one is content.
pub(super) fn end_of_quoted(text: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == quote)? + 1;
        match text.get(at) {
            Some(next) if *next == quote => at += 1,
            _ => return Some(at),
        }
    }
}

/// Behind the closing quote of an `E'` string, where a backslash takes the next byte with it.
///
/// A string goes on in the next line when only blanks and line comments with a newline among them are between two
/// quotes, and then backslashes count there too: `E'a'` newline `'b\''` is one string.
pub(super) fn end_of_escaped(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match text.get(at)? {
            b'\\' => at += 2,
            b'\'' if text.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => match continuation(text, at + 1) {
                Some(next) => at = next,
                None => return Some(at + 1),
            },
            _ => at += 1,
        }
    }
}

/// Behind the quote that takes a string up again after a newline.
fn continuation(text: &[u8], mut at: usize) -> Option<usize> {
    let mut newline = false;
    loop {
        match text.get(at)? {
            b'\n' | b'\r' => newline = true,
            b' ' | b'\t' | 0x0b | 0x0c => {}
            b'-' if text.get(at + 1) == Some(&b'-') => {
                at = end_of_line_comment(text, at);
                continue;
            }
            b'\'' if newline => return Some(at + 1),
            _ => return None,
        }
        at += 1;
    }
}

/// The end of a line comment. A lone `\r` ends it too, as in the server: what follows is executed.
pub(super) fn end_of_line_comment(text: &[u8], at: usize) -> usize {
    text[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).map_or(text.len(), |length| at + length)
}

/// Behind the `*/` of a block comment; they nest.
pub(super) fn end_of_block_comment(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1;
    while depth > 0 {
        match (text.get(at)?, text.get(at + 1)) {
            (b'/', Some(b'*')) => (depth, at) = (depth + 1, at + 2),
            (b'*', Some(b'/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    Some(at)
}

/// The delimiter (`$$`, `$tag$`) that begins at the dollar at `at`; `None` for `$1` and the like.
pub(super) fn dollar_delimiter(text: &[u8], at: usize) -> Option<&[u8]> {
    let tag = text.get(at + 1..)?;
    let length = tag.iter().position(|byte| *byte == b'$' || !is_word(*byte))?;
    let sound = tag[length] == b'$' && tag.first().is_some_and(|first| !first.is_ascii_digit());
    sound.then(|| &text[at..at + length + 2])
}

/// Behind the closing `delimiter` of a dollar string.
pub(super) fn end_of_dollar(text: &[u8], mut at: usize, delimiter: &[u8]) -> Option<usize> {
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == b'$')?;
        if text[at..].starts_with(delimiter) {
            return Some(at + delimiter.len());
        }
        at += 1;
    }
}

/// The rows of a COPY, which begin in the line after `at`, and the offset behind the line `\.` that ends them. As psql
/// has it, that line ends them in every format, and within quotes too.
pub(super) fn copy_rows(text: &[u8], at: usize) -> Option<(std::ops::Range<usize>, usize)> {
    let first = at + text[at..].iter().position(|byte| *byte == b'\n')? + 1;
    let mut line = first;
    loop {
        let end =
            text[line..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |length| line + length);
        if text[line..end].strip_suffix(b"\r").unwrap_or(&text[line..end]) == b"\\." {
            return Some((first..line, end));
        }
        if end == text.len() {
            return None;
        }
        line = end + 1;
    }
}

/// A byte of an identifier, the dollar apart: letters, digits, `_` and all that is not ASCII.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
