//! Statements made at random, joined at random and split again are the same statements.

use proptest::prelude::*;

use super::super::Executable;
use super::split;

/// Text that may stand in any string: everything that could end or begin something.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(";"),
        Just("'"),
        Just("''"),
        Just("\""),
        Just("--"),
        Just("/*"),
        Just("*/"),
        Just("("),
        Just(")"),
        Just("\\"),
        Just("\\'"),
        Just("$"),
        Just("$$"),
        Just("$x$"),
        Just("$y"),
        Just("\n"),
        Just("\r\n"),
        Just("BEGIN ATOMIC"),
        Just(" END "),
        Just("a"),
        Just("ä"),
        Just("E'"),
        Just("COPY t FROM stdin;"),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

fn quoted() -> impl Strategy<Value = String> {
    prop_oneof![
        hostile().prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        hostile().prop_map(|text| format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))),
        hostile().prop_map(|text| format!("U&'{}'", text.replace('\'', "''"))),
        hostile().prop_map(|text| format!("\"{}\"", text.replace('"', "\"\""))),
        hostile().prop_map(|text| format!("$q$ {} $q$", text)),
        hostile().prop_map(|text| format!("$$ {} $$", text.replace('$', "s"))),
    ]
}

/// A comment of nested ones.
fn comment() -> impl Strategy<Value = String> {
    let leaf = hostile().prop_map(|text| text.replace(['*', '/'], "-"));
    let block = leaf.prop_map(|text| format!("/* {text} */")).prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner).prop_map(|(one, two)| format!("/* {one};{two}*/"))
    });
    prop_oneof![block, hostile().prop_map(|text| format!("--{}\n", text.replace(['\n', '\r'], " ")))]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("SELECT"),
        Just("x$y"),
        Just("1"),
        Just("+"),
        Just("$1"),
        Just("t.end"),
        Just("ünder_1"),
        Just("CASE 1 END")
    ]
    .prop_map(str::to_owned)
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![word(), quoted(), comment().prop_map(|comment| format!("1 {comment} 2"))];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join(" , ")),
            // A rule's actions: semicolons in parentheses.
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| format!("({})", parts.join(" ; "))),
            inner.prop_map(|part| format!("CASE WHEN {part} THEN 1 END")),
        ]
    })
}

fn statement() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => expression().prop_map(|body| format!("SELECT {body} z")),
        1 => prop::collection::vec(expression(), 1..4).prop_map(|bodies| {
            format!("CREATE OR REPLACE FUNCTION f(a int) RETURNS int BEGIN ATOMIC {} ; END", bodies.join(" ; "))
        }),
    ]
}

/// What may stand around a semicolon.
fn gap() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just(" ".to_owned()), Just("\n".to_owned()), Just("\r\n\t".to_owned()), comment()];
    prop::collection::vec(part, 0..3).prop_map(|parts| parts.concat())
}

/// Lines of a COPY, hostile ones; none is the line that ends them.
fn rows() -> impl Strategy<Value = String> {
    prop::collection::vec(hostile(), 0..4)
        .prop_map(|lines| lines.iter().map(|line| format!("{line}\n")).collect())
}

proptest! {
    #[test]
    fn rows_are_never_statements_and_never_sent_as_such(
        pieces in prop::collection::vec(prop_oneof![
            statement().prop_map(|statement| (statement, None)),
            rows().prop_map(|rows| ("COPY t FROM stdin".to_owned(), Some(rows))),
        ], 0..6)
    ) {
        let mut text = String::new();
        for (statement, rows) in &pieces {
            text.push_str(statement);
            text.push(';');
            if let Some(rows) = rows {
                text.push_str(&format!("\n{rows}\\.\n"));
            }
        }
        let split = split(&text).expect("everything is closed");
        let found: Vec<_> = split.statements.iter().map(|statement| {
            let rows = statement.copy.as_ref().map(|copy| text[copy.rows.clone()].to_owned());
            (statement.text(&text).to_owned(), rows)
        }).collect();
        prop_assert_eq!(&found, &pieces);
        let sent = Executable::of(&text);
        let rows: Vec<_> = sent.copies().map(|(at, rows)| (at, rows.to_owned())).collect();
        let expected: Vec<_> = pieces.iter().enumerate().filter_map(|(at, (_, rows))| Some((at, rows.clone()?))).collect();
        prop_assert_eq!(rows, expected);
        let all: String = sent.parts().collect();
        for n in 0..all.chars().count() {
            let byte = sent.byte_of(n).expect("it was sent");
            prop_assert_eq!(text[byte..].chars().next(), all.chars().nth(n));
        }
    }

    #[test]
    fn split_is_the_inverse_of_join(statements in prop::collection::vec((gap(), statement(), gap()), 0..6)) {
        let text: String = statements.iter().map(|(before, body, after)| format!("{before}{body}{after};")).collect();
        let split = split(&text).expect("everything is closed");
        let found: Vec<&str> = split.statements.iter().map(|statement| statement.text(&text)).collect();
        let expected: Vec<&str> = statements.iter().map(|(_, body, _)| body.as_str()).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_text_is_split_or_refused(text in "[-'\"$/*\\\\;()a-cE \n]{0,60}") {
        if let Ok(split) = split(&text) {
            for pair in split.statements.windows(2) {
                prop_assert!(pair[0].range.end < pair[1].range.start);
                prop_assert!(text[pair[0].range.end..pair[1].range.start].contains(';'));
            }
        }
    }
}
