//! The checksum that elasticsearch-evolution gives a file.

/// In front of such a checksum, where it stands beside others.
pub const JAVA: &str = "java:";

/// Java's `String.hashCode()` over the text with every line end as `\n`, before placeholders are filled and comments
/// included: what the history of elasticsearch-evolution holds. 32 bits are no proof that two texts are the same one, so
/// nothing is approved by it.
pub fn java_hash(text: &str) -> i32 {
    let mut hash = 0_i32;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let character = match character {
            '\r' => {
                characters.next_if_eq(&'\n');
                '\n'
            }
            '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
            other => other,
        };
        for unit in character.encode_utf16(&mut [0; 2]) {
            hash = hash.wrapping_mul(31).wrapping_add(i32::from(*unit));
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_java_says() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("a"), 97);
        // jshell> "polygenelubricants".hashCode()
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        // jshell> "PUT /ä\n\n{}\n😀".hashCode()
        let text = "PUT /ä\n\n{}\n😀";
        assert_eq!(java_hash(text), 1634413285);
        assert_eq!(java_hash(text), java_hash(&text.replace('\n', "\r\n")));
    }

    #[test]
    fn every_line_end_is_one() {
        for end in ["\r\n", "\r", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{2029}"] {
            assert_eq!(java_hash(&format!("a{end}b")), java_hash("a\nb"), "{end:?}");
        }
        assert_eq!(java_hash("a\n\rb"), java_hash("a\n\nb"));
        assert_ne!(java_hash("a\n"), java_hash("a"));
    }
}
