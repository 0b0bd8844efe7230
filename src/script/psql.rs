//! What psql would read as its own command. A few are left out of what is executed, any other is refused.

use std::ops::Range;

use super::split::{Split, split};

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

/// `text` with blanks for the commands that are skipped, so that every byte keeps its place.
pub(super) fn without_skipped(text: &str) -> String {
    let Ok(Split { backslashes, .. }) = split(text) else { return text.to_owned() };
    let mut executable = String::with_capacity(text.len());
    let mut copied = 0;
    for range in backslashes.into_iter().filter(|range| is_skipped(text, range)) {
        executable.push_str(&text[copied..range.start]);
        executable.extend(text[range.clone()].bytes().map(|_| ' '));
        copied = range.end;
    }
    executable.push_str(&text[copied..]);
    executable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_commands_become_blanks() {
        let text = "\\restrict Ab1\r\nSELECT '\n\\echo no';\n  \\echo ä; DROP TABLE t\n\\connect -\n\\unrestrict Ab1";
        let executable = without_skipped(text);
        let blanks = |count| " ".repeat(count);
        let expected = [&blanks(14), "SELECT '", "\\echo no';", &blanks(24), &blanks(10), &blanks(15)];
        assert_eq!(executable.lines().collect::<Vec<_>>(), expected);
        assert_eq!(executable.len(), text.len());
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
            let split = split(text).unwrap();
            assert!(!is_skipped(text, &split.backslashes[0]), "{text}");
            assert_eq!(without_skipped(text), text);
        }
    }
}
