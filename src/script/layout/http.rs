//! elasticsearch-evolution's names, and an undo beside them: `V1_2__text.http`, `U1_2__text.http`.

use super::{Name, description};
use crate::script::Version;

pub(super) const SHAPES: &str =
    "V1_2__text.http, U1_2__text.http (numbers up to 2147483647, the first one above 0)";

const SUFFIX: &str = ".http";

pub(super) fn read(file: &str) -> Option<Name> {
    let (stem, suffix) = file.split_at_checked(file.len().checked_sub(SUFFIX.len())?)?;
    if !suffix.eq_ignore_ascii_case(SUFFIX) {
        return None;
    }
    let (head, text) = stem.split_once("__")?;
    let description = description(text, '_')?;
    match head.split_at_checked(1)? {
        ("V", numbers) => Some(Name::Script { version: version(numbers)?, description }),
        ("U", numbers) => Some(Name::Undo { version: version(numbers)? }),
        _ => None,
    }
}

/// The other tool keeps numbers in 32 bits, and versions below 1 for itself: its lock is 0.1.
fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split(['.', '_']).map(|part| part.parse::<i32>().ok());
    let first = numbers.next()??;
    (first > 0 && numbers.all(|part| part.is_some())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let script = |version: &str, description: &str| {
            let description = description.to_owned();
            Some(Name::Script { version: version.parse().unwrap(), description })
        };
        assert_eq!(read("V001.00__createTemplate.http"), script("1", "createTemplate"));
        assert_eq!(read("V1_2__add_users.HTTP"), script("1.2", "add users"));
        assert_eq!(read("V1__a__b.http"), script("1", "a  b"));
        assert_eq!(read("U001__a.http"), Some(Name::Undo { version: "1".parse().unwrap() }));
    }

    #[test]
    fn does_not_read() {
        for file in [
            "V1.http",
            "V1__.http",
            "V__a.http",
            "V0__a.http",
            "V0.1__a.http",
            "V2147483648__a.http",
            "R__a.http",
            "v1__a.http",
            "V1-2__a.http",
            "V1__a.http.bak",
            "http",
        ] {
            assert_eq!(read(file), None, "{file}");
        }
    }
}
