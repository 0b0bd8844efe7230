//! Dated files: `2025-01-15-001-text.cypher`, and `2025-01-15-001-text-down.cypher` to take it back.

use super::{Name, description};
use crate::script::Version;

pub(super) const SHAPES: &str = "2025-01-15-001-text.cypher, 2025-01-15-001-text-down.cypher";

pub(super) fn read(file: &str) -> Option<Name> {
    let name = file.strip_suffix(".cypher")?;
    let (name, down) = match name.strip_suffix("-down") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let parts: Vec<&str> = name.splitn(5, '-').collect();
    let [year, month, day, number, text] = parts.as_slice() else { return None };
    let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    let dated = digits(year, 4) && digits(month, 2) && digits(day, 2) && digits(number, 3);
    let in_range = |part: &str, most: u8| part.parse::<u8>().is_ok_and(|n| (1..=most).contains(&n));
    if !dated || !in_range(month, 12) || !in_range(day, 31) {
        return None;
    }
    let version: Version = format!("{year}.{month}.{day}.{number}").parse().ok()?;
    let description = description(text, '-')?;
    Some(if down { Name::Undo { version } } else { Name::Script { version, description } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let version = || "2025.1.15.1".parse().unwrap();
        let description = "add product rating index".to_owned();
        let file = "2025-01-15-001-add-product-rating-index.cypher";
        assert_eq!(read(file), Some(Name::Script { version: version(), description }));
        let file = "2025-01-15-001-add-product-rating-index-down.cypher";
        assert_eq!(read(file), Some(Name::Undo { version: version() }));
    }

    #[test]
    fn does_not_read() {
        for file in [
            "2025-01-15-001.cypher",
            "2025-01-15-001-.cypher",
            "2025-1-15-001-a.cypher",
            "2025-13-15-001-a.cypher",
            "2025-01-00-001-a.cypher",
            "2025-01-15-1-a.cypher",
            "2025-01-15-001-a.sql",
            "2025-01-15-001-down.cypher",
        ] {
            assert_eq!(read(file), None, "{file}");
        }
    }
}
