//! Pairs of files by their ends: `V001-text-up.sql` and `V001-text-down.sql`.

use super::{Name, description};

pub(super) const SHAPES: &str = "V001-text-up.sql, V001-text-down.sql";

pub(super) fn read(file: &str) -> Option<Name> {
    let (head, up) = match file.strip_suffix("-up.sql") {
        Some(head) => (head, true),
        None => (file.strip_suffix("-down.sql")?, false),
    };
    let (version, text) = head.strip_prefix('V')?.split_once('-')?;
    let (version, description) = (version.parse().ok()?, description(text, '-')?);
    Some(if up { Name::Script { version, description } } else { Name::Undo { version } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let version = "1".parse().unwrap();
        let description = "add session tags".to_owned();
        assert_eq!(read("V001-add-session-tags-up.sql"), Some(Name::Script { version, description }));
        let version = "1.2".parse().unwrap();
        assert_eq!(read("V1.2-x-down.sql"), Some(Name::Undo { version }));
    }

    #[test]
    fn does_not_read() {
        for file in [
            "V001-up.sql",
            "V001--up.sql",
            "001-x-up.sql",
            "V001-x.sql",
            "V001-x-up",
            "Vx-a-up.sql",
            "V1__x-up.sql",
        ] {
            assert_eq!(read(file), None, "{file}");
        }
    }
}
