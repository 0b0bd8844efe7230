//! What psql would read as its own command. A few are left out of what is executed, any other is refused.

use std::ops::Range;

/// Whether the command at `range` may be left out without changing what the script does.
///
/// It has its line to itself, and no second backslash: behind `\\` psql would read SQL again.
pub(super) fn is_skipped(text: &str, range: &Range<usize>) -> bool {
    let line = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
    let mut words = text[range.start + 1..range.end].split_whitespace();
    let (command, argument) = (words.next().unwrap_or_default(), words.next());
    let harmless = match command {
        "restrict" | "unrestrict" | "echo" => true,
        "connect" | "c" => argument.is_none_or(|argument| argument == "-"), // the database that we are in
        _ => false,
    };
    harmless && text[line..range.start].trim().is_empty() && !text[range.start + 1..range.end].contains('\\')
}

/// The command at `range` without its arguments, for messages.
pub(super) fn command<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    let line = &text[range.clone()];
    line.split_whitespace().next().unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::super::split::split;
    use super::*;

    fn skipped(text: &str) -> Vec<bool> {
        let found = split(text).unwrap().backslashes;
        found.iter().map(|found| is_skipped(text, &found.range)).collect()
    }

    #[test]
    fn what_is_skipped() {
        let text = "\\restrict Ab1\r\nSELECT '\n\\echo no';\n  \\echo ä; DROP TABLE t\n\\connect -\n\\unrestrict Ab1";
        assert_eq!(skipped(text), [true; 4]);
    }

    #[test]
    fn what_is_not_skipped() {
        for text in [
            "\\i other.sql",
            "\\echo a \\\\ DROP TABLE t;",
            "SELECT 1 \\echo a",
            "\\connect other",
            "\\gexec",
            "\\echoes",
            "\\",
        ] {
            assert_eq!(skipped(text), [false], "{text}");
        }
    }
}
