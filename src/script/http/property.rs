//! Whatever stands in bodies and comments, a file is cut where it was put together.

use proptest::prelude::*;

use super::*;

/// A line that no reader could take for a comment or a separator.
fn body_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("  ".to_owned()),
        Just("PUT /not/a/request".to_owned()),
        Just("Name: value".to_owned()),
        Just("{\"a\": \"### //\"}".to_owned()),
        "[ -\"$-.0-~äß]{0,12}".prop_map(|line| line.replace(['\r', '\n'], " ")),
    ]
    .prop_filter("no comment", |line| {
        let line = line.trim();
        !line.starts_with('#') && !line.starts_with("//")
    })
}

fn comment() -> impl Strategy<Value = String> {
    prop_oneof![Just("# words".to_owned()), Just("  // more: words".to_owned()), Just("#".to_owned())]
}

/// The text of a request, and its body.
fn request() -> impl Strategy<Value = (String, String)> {
    (prop::collection::vec(body_line(), 0..5), prop::collection::vec(comment(), 0..3)).prop_map(
        |(lines, comments)| {
            let mut text = comments.join("\n");
            text.push_str("\nPUT /a\nX-Number: 1\n\n");
            for (at, line) in lines.iter().enumerate() {
                text.push_str(line);
                text.push('\n');
                if let Some(comment) = comments.get(at) {
                    text.push_str(comment);
                    text.push('\n');
                }
            }
            let mut body = String::new();
            for line in &lines {
                if !body.is_empty() {
                    body.push('\n');
                }
                body.push_str(line);
            }
            (text, body)
        },
    )
}

proptest! {
    #[test]
    fn cut_where_it_was_put_together(parts in prop::collection::vec(request(), 1..4), windows in any::<bool>()) {
        let texts: Vec<&str> = parts.iter().map(|(text, _)| text.as_str()).collect();
        let mut text = texts.join("### next\n");
        // Without the last line end, which would be a line of the last body.
        text.pop();
        let text = if windows { text.replace('\n', "\r\n") } else { text };
        let read = requests(&text).unwrap();
        let bodies: Vec<&str> = read.iter().map(|request| request.body.as_str()).collect();
        let expected: Vec<&str> = parts.iter().map(|(_, body)| body.as_str()).collect();
        prop_assert_eq!(bodies, expected);
        let numbers: Vec<usize> = read.iter().map(|request| request.number).collect();
        prop_assert_eq!(numbers, (1..=parts.len()).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_makes_it_panic(text in "(\\PC|\n|\r|#|/|@|\\{|\\}|:){0,80}") {
        let _ = requests(&text);
        let mut errors = Vec::new();
        let role = crate::script::directives::Role::Script;
        let _ = examine("V1__a.http", &text, role, &mut errors);
        let _ = lint(&text, crate::script::lint::Use::Undo).count();
        let _ = java_hash(&text);
    }
}
