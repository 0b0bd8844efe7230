//! What neo4j-migrations calls preconditions: comments at the beginning of a statement that say where a script may run.

use super::CypherFault;
use super::lexer::{Item, scan};

/// What must hold before a script is begun. One that does not fails the script; nothing of it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// `// assert that edition is enterprise`
    Edition(Edition),
    /// `// assert that version is 5.26, 5.27`: one of these the server's version begins with.
    Version(Vec<String>),
    /// `// assert that version is ge 5.0` (or `lt`, then false): at least this one.
    Range(bool, String),
    /// `// assert q' RETURN true`: a query whose first value is true.
    Query(String),
}

/// The edition of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// Community.
    Community,
    /// Enterprise.
    Enterprise,
}

/// The preconditions of a script that was accepted.
pub fn preconditions(text: &str) -> Vec<Precondition> {
    comments(text).filter_map(|(_, comment)| read(comment).and_then(Result::ok)).collect()
}

/// The line comments of `text` that stand where that tool looks for preconditions: before the first word of a statement.
pub(super) fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut items = scan(text).flatten().peekable();
    let mut leading: Vec<(usize, &str)> = Vec::new();
    let mut behind = 0;
    std::iter::from_fn(move || {
        loop {
            if let Some(comment) = leading.pop() {
                return Some(comment);
            }
            // A comment inside of a statement comes before it and begins behind its first word.
            let mut found = Vec::new();
            loop {
                match items.next()? {
                    Item::Comment(comment) => found.push(comment.range),
                    Item::Command(command) => behind = command.range.end,
                    Item::Statement(statement) => {
                        let before = found.into_iter().filter(|range| range.start < statement.range.start);
                        leading = before
                            .filter(|range| range.start >= behind)
                            .map(|range| (range.start, &text[range]))
                            .filter(|(_, comment)| comment.starts_with("//"))
                            .collect();
                        leading.reverse();
                        behind = statement.range.end;
                        break;
                    }
                }
            }
        }
    })
}

/// Reads one comment; `None` if it is no precondition.
pub(super) fn read(comment: &str) -> Option<Result<Precondition, CypherFault>> {
    let said = || comment.trim_end().to_owned();
    let body = comment.strip_prefix("//")?.trim_start_matches(' ');
    let (keyword, rest) = body.split_at_checked(6)?;
    let assume = keyword.eq_ignore_ascii_case("assume");
    if !assume && !keyword.eq_ignore_ascii_case("assert") {
        return None;
    }
    let rest = rest.strip_prefix(' ')?;
    let (place, rest) = match ["in schema ", "in target "].iter().find(|place| begins(rest, place)) {
        Some(place) => (*place, &rest[place.len()..]),
        None => ("", rest),
    };
    if !begins(rest, "that") && !begins(rest, "q'") {
        return None; // prose
    }
    if assume {
        return Some(Err(CypherFault::Assume(said())));
    }
    if place == "in schema " {
        return Some(Err(CypherFault::InSchema(said())));
    }
    Some(condition(rest.trim_end()).ok_or_else(|| CypherFault::Precondition(said())))
}

fn condition(text: &str) -> Option<Precondition> {
    if begins(text, "q'") {
        let query = text[2..].trim();
        return (!query.is_empty()).then(|| Precondition::Query(query.to_owned()));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found.eq_ignore_ascii_case(word));
    if !is(0, "that") || !is(2, "is") {
        return None;
    }
    if is(1, "edition") && words.len() == 4 {
        return match () {
            () if is(3, "enterprise") => Some(Precondition::Edition(Edition::Enterprise)),
            () if is(3, "community") => Some(Precondition::Edition(Edition::Community)),
            () => None,
        };
    }
    if !is(1, "version") {
        return None;
    }
    if is(3, "lt") || is(3, "ge") {
        let version = words.get(4).filter(|version| is_version(version))?;
        return Some(Precondition::Range(is(3, "ge"), (*version).to_owned()));
    }
    let list = words.get(3..)?.join(" ").replace(" or ", ",");
    let versions: Vec<String> = list.split(',').map(|version| version.trim().to_owned()).collect();
    versions.iter().all(|version| is_version(version)).then_some(Precondition::Version(versions))
}

fn is_version(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn begins(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asserted() {
        let text = "// Copyright\n// assert that edition is Community\n// assert that version is 5.26, 5.27 or 2025\nRETURN 1;\n\
                    //assert that version is ge 5.0\n// assert q' RETURN true\n// assert in target q' MATCH (n) RETURN count(n) > 0\nRETURN 2";
        assert_eq!(
            preconditions(text),
            [
                Precondition::Edition(Edition::Community),
                Precondition::Version(["5.26", "5.27", "2025"].map(str::to_owned).to_vec()),
                Precondition::Range(true, "5.0".to_owned()),
                Precondition::Query("RETURN true".to_owned()),
                Precondition::Query("MATCH (n) RETURN count(n) > 0".to_owned()),
            ]
        );
    }

    #[test]
    fn comments_elsewhere_and_prose_are_none() {
        for text in [
            "// assert nothing here\nRETURN 1",
            "// We assert that version is 4\nRETURN 1",
            "RETURN 1 // assert q' RETURN false",
            "RETURN 1\n// assert q' RETURN false\n, 2",
            "/* assert q' RETURN false */ RETURN 1",
            "RETURN 1;\n// assert q' RETURN false\n",
        ] {
            assert_eq!(preconditions(text), [], "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let said = |comment: &str| read(comment).unwrap().unwrap_err().to_string();
        assert_eq!(
            said("// assume that edition is enterprise"),
            "\"// assume that edition is enterprise\": an assumption that does not hold would leave the script out without a word, pending for ever: write assert, or take the script out of the source"
        );
        assert_eq!(
            said("// assert in schema q' RETURN true"),
            "\"// assert in schema q' RETURN true\": the history is in the target itself: write // assert q' <query>"
        );
        for comment in [
            "// assert that edition is best",
            "// assert that version is x",
            "// assert q'",
            "// assert that",
        ] {
            assert!(said(comment).ends_with("or // assert q' <query>"), "{comment}");
        }
    }
}
