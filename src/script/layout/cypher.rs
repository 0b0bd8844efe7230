//! The names of neo4j-migrations, `V001__text.cypher` and `R1__text.cypher`, and undo files beside them,
//! `U001__text.cypher`, which that tool leaves alone.

use super::{Name, description};

pub(super) const SHAPES: &str = "V001__text.cypher, U001__text.cypher, R1__text.cypher";

pub(super) fn read(file: &str) -> Option<Name> {
    let (head, text) = file.strip_suffix(".cypher")?.split_once("__")?;
    // That tool takes letters, digits, underscores and blanks, and passes over everything else in silence.
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ' ';
    let description = description(text, '_').filter(|_| text.chars().all(known))?;
    let (prefix, version) = head.split_at_checked(1)?;
    // It compares versions number by number too, and knows one separator in one version.
    let version = version.parse().ok().filter(|_| !(version.contains('.') && version.contains('_')))?;
    match prefix {
        "V" => Some(Name::Script { version, description }),
        "U" => Some(Name::Undo { version }),
        "R" => Some(Name::Repeatable { description }),
        _ => None,
    }
}

/// A callback of neo4j-migrations, which is no script: `beforeMigrate.cypher`, `afterMigrate__text.cypher`.
pub(super) fn is_callback(file: &str) -> bool {
    let name = file.strip_suffix(".cypher").map(|name| name.split("__").next().unwrap_or(name));
    const CALLBACKS: [&str; 9] = [
        "beforeFirstUse",
        "beforeMigrate",
        "afterMigrate",
        "beforeClean",
        "afterClean",
        "beforeValidate",
        "afterValidate",
        "beforeInfo",
        "afterInfo",
    ];
    name.is_some_and(|name| CALLBACKS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let (version, description) = ("2.1".parse().unwrap(), "add two words".to_owned());
        assert_eq!(read("V2_1__add_two_words.cypher"), Some(Name::Script { version, description }));
        assert_eq!(read("U001__a.cypher"), Some(Name::Undo { version: "1".parse().unwrap() }));
        assert_eq!(read("R3__views.cypher"), Some(Name::Repeatable { description: "views".to_owned() }));
    }

    #[test]
    fn does_not_read_what_that_tool_would_pass_over() {
        for file in [
            "V1__a-b.cypher",
            "V1.cypher",
            "R__a.cypher",
            "v1__a.cypher",
            "V1_2.3__a.cypher",
            "V1__ä.cypher",
            "V1__a.CYPHER",
        ] {
            assert_eq!(read(file), None, "{file}");
        }
    }

    #[test]
    fn callbacks() {
        assert!(is_callback("beforeMigrate.cypher") && is_callback("afterMigrate__notify.cypher"));
        assert!(!is_callback("V1__beforeMigrate.cypher") && !is_callback("before.cypher"));
    }
}
