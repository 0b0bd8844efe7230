//! What neo4j-migrations makes of a file: its checksum and the version as it stands in the name.
//!
//! That tool cuts at a semicolon before a line end, also in strings and comments, takes the blanks around each piece away,
//! and gives the CRC-32 of all pieces, one after the other, as an unsigned number. Comments count, line ends between
//! statements do not. What is different here is another checksum there.

use flate2::Crc;

/// The checksum that neo4j-migrations computes, with its default settings, for a file of this text.
pub fn checksum(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut crc = Crc::new();
    for piece in pieces(text) {
        for part in uses(piece) {
            crc.update(part.as_bytes());
        }
    }
    crc.sum().to_string()
}

/// The version as neo4j-migrations keeps it: with its leading zeros, a dot for an underscore. `None` if that tool would
/// not take the file.
pub fn raw_version(file: &str) -> Option<String> {
    let head = file.strip_suffix(".cypher")?.split_once("__")?.0;
    let version = head.strip_prefix(['V', 'R'])?;
    (!version.is_empty()).then(|| version.replace('_', "."))
}

/// The text between semicolons at a line end, without blanks around it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.match_indices(';').find_map(|(at, _)| {
            let behind = &text[at + 1..];
            let line_end = ["\r\n", "\n", "\r"].iter().find(|end| behind.starts_with(**end))?;
            Some((at, at + 1 + line_end.len()))
        });
        let (piece, left) = match end {
            Some((at, next)) => (&text[..at], Some(&text[next..])),
            None => (text, None),
        };
        rest = left;
        Some(piece)
    })
    .map(|piece| {
        let piece = blank(piece);
        blank(piece.strip_suffix(';').unwrap_or(piece))
    })
    .filter(|piece| !piece.is_empty())
}

/// As Java trims: everything up to the space.
fn blank(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// A piece cut at its `:use` commands: the commands, then what is left of it.
fn uses(piece: &str) -> Vec<String> {
    let (mut parts, mut left, mut rest) = (Vec::new(), String::new(), piece);
    while let Some((start, end)) = next_use(rest) {
        left.push_str(&rest[..start]);
        parts.push(blank(&rest[start..end]).to_owned());
        rest = &rest[end..];
    }
    left.push_str(rest);
    if !left.is_empty() {
        parts.push(left);
    }
    parts
}

/// Where the next `:use <name>` begins and ends, with a semicolon and a line end behind it.
fn next_use(text: &str) -> Option<(usize, usize)> {
    text.match_indices(':').find_map(|(start, _)| {
        let behind = text[start + 1..].get(..4).filter(|word| word.eq_ignore_ascii_case("use "))?;
        let after = &text[start + 1 + behind.len()..];
        let name = after.trim_start_matches(' ');
        let letters =
            name.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')).count();
        if letters < 3 || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let mut end = text.len() - name.len() + letters.min(63);
        end += usize::from(text[end..].starts_with(';'));
        let line_end = ["\r\n", "\n", "\r"].iter().find(|it| text[end..].starts_with(**it));
        Some((start, end + line_end.map_or(0, |it| it.len())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_kept_as_they_are_written() {
        assert_eq!(raw_version("V0001__a.cypher").as_deref(), Some("0001"));
        assert_eq!(raw_version("R1_2__a_b.cypher").as_deref(), Some("1.2"));
        assert_eq!(raw_version("2025-01-15-001-a.cypher"), None);
        assert_eq!(raw_version("V1__a.sql"), None);
    }

    #[test]
    fn line_ends_between_statements_do_not_count() {
        let unix = "// c\nMATCH (n) RETURN n;\nRETURN 1;\n";
        assert_eq!(checksum(unix), checksum("// c\nMATCH (n) RETURN n;\r\nRETURN 1"));
        assert_eq!(checksum(unix), checksum("\u{feff}// c\nMATCH (n) RETURN n;\n\n\nRETURN 1;"));
        assert_ne!(checksum(unix), checksum("// d\nMATCH (n) RETURN n;\nRETURN 1;\n"));
        assert_ne!(checksum(unix), checksum("// c\r\nMATCH (n) RETURN n;\nRETURN 1;\n"));
    }

    #[test]
    fn use_is_a_statement_of_its_own() {
        assert_eq!(uses(":use foo"), [":use foo"]);
        assert_eq!(uses(":USE foo;\nRETURN 1"), [":USE foo;", "RETURN 1"]);
        assert_eq!(uses("MATCH (n:user) RETURN n"), ["MATCH (n:user) RETURN n"]);
    }
}
