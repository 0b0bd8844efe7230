//! Flyway's names: `V1_2__text.sql`, `U1_2__text.sql`, `R__text.sql`. Prefixes and suffix are exact, as in Flyway.

use super::{Name, description};

pub(super) const SHAPES: &str = "V1_2__text.sql, U1_2__text.sql, R__text.sql";

pub(super) fn read(file: &str) -> Option<Name> {
    // Flyway cuts at the first "__": a version has single ones only.
    let (head, text) = file.strip_suffix(".sql")?.split_once("__")?;
    let description = description(text, '_')?;
    match head.split_at_checked(1)? {
        ("V", version) => Some(Name::Script { version: version.parse().ok()?, description }),
        ("U", version) => Some(Name::Undo { version: version.parse().ok()? }),
        ("R", "") => Some(Name::Repeatable { description }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let script = |version: &str, description: &str| {
            Some(Name::Script { version: version.parse().unwrap(), description: description.to_owned() })
        };
        assert_eq!(read("V1__a.sql"), script("1", "a"));
        assert_eq!(read("V1_2__add_two_words.sql"), script("1.2", "add two words"));
        assert_eq!(read("V2026.01.31__x.sql"), script("2026.1.31", "x"));
        assert_eq!(read("V1__a__b.sql"), script("1", "a  b"));
        assert_eq!(read("U001__a.sql"), Some(Name::Undo { version: "1".parse().unwrap() }));
        assert_eq!(read("R__all_views.sql"), Some(Name::Repeatable { description: "all views".to_owned() }));
    }

    #[test]
    fn does_not_read() {
        for file in [
            "V1.sql",
            "V1__.sql",
            "V__a.sql",
            "R1__a.sql",
            "B1__a.sql",
            "__a.sql",
            "V1-2__a.sql",
            "V1__a.sql.conf",
            "é__a.sql",
        ] {
            assert_eq!(read(file), None, "{file}");
        }
    }
}
