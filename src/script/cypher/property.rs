//! Whatever stands in quotes and comments, a text is cut where it was put together.

use proptest::prelude::*;

use super::lexer::{Item, scan};
use super::peer_checksum;

fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(";"),
        Just(";\n"),
        Just("'"),
        Just("\""),
        Just("`"),
        Just("//"),
        Just("/*"),
        Just("*/"),
        Just("{"),
        Just("\\"),
        Just(":use x"),
        Just("ä"),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

fn piece() -> impl Strategy<Value = String> {
    let escaped =
        |text: String, quote: char| text.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
    prop_oneof![
        hostile().prop_map(move |text| format!("'{}'", escaped(text, '\''))),
        hostile().prop_map(move |text| format!("\"{}\"", escaped(text, '"'))),
        hostile().prop_map(|text| format!("`{}`", text.replace('`', "``"))),
        hostile().prop_map(|text| format!("/* {} */", text.replace(['*', '/'], ""))),
        hostile().prop_map(|text| format!("// {}\n", text.replace(['\n', '\r'], " "))),
        Just("MATCH (n) WHERE n.x IN [1, 2]".to_owned()),
        Just("CALL { RETURN 1 }".to_owned()),
    ]
}

/// A statement begins with a word, so that none is empty.
fn statement() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..5).prop_map(|parts| format!("RETURN {}", parts.join(" ")))
}

fn cut(text: &str) -> Vec<String> {
    scan(text)
        .filter_map(|item| match item.expect("everything is closed") {
            Item::Statement(statement) => Some(text[statement.range].to_owned()),
            _ => None,
        })
        .collect()
}

/// As a statement stands in the result: without the comments behind its last token.
fn alone(statement: &str) -> String {
    cut(statement).concat()
}

proptest! {
    #[test]
    fn statements_are_found_again(statements in prop::collection::vec(statement(), 0..5)) {
        let text = statements.join(" ;\n");
        let expected: Vec<String> = statements.iter().map(|one| alone(one)).collect();
        prop_assert_eq!(cut(&text), expected);
    }

    #[test]
    fn any_text_is_read_to_an_end(text in "\\PC{0,60}") {
        for item in scan(&text).flatten() {
            if let Item::Statement(statement) = item {
                prop_assert!(text.get(statement.range).is_some());
            }
        }
        let _ = (peer_checksum(&text), super::steps(&text), super::preconditions(&text));
    }
}
