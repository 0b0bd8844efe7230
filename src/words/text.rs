//! How sentences write instants, and how texts of others fit into a sentence.

use jiff::Timestamp;

/// The time of day in UTC, to the second, as sentences have it: `02:14:05Z`.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// A text of several lines as one: columns, events and logs show one line.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A part of a sentence as the beginning of one.
pub fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_in_utc_and_says_so() {
        let at: Timestamp = "2026-11-20T03:14:05.9+01:00".parse().unwrap();
        assert_eq!(clock(at), "02:14:05Z");
    }

    #[test]
    fn a_text_of_several_lines_becomes_one() {
        assert_eq!(capital("über"), "Über");
        assert_eq!(capital(""), "");
        assert_eq!(one_line(" a\n\tb  c\r\n"), "a b c");
    }
}
