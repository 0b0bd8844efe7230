//! Texts that splitters of other tools are known to cut wrongly, and where they are cut here.

use super::{Found, Opener, Unclosed, split};

fn cut(text: &str) -> Vec<&str> {
    let split = split(text).unwrap_or_else(|unclosed| panic!("{text:?}: {unclosed:?}"));
    split.statements.iter().map(|statement| statement.text(text)).collect()
}

#[test]
fn one_statement_each() {
    let whole = [
        "SELECT 'a;b'",
        "SELECT 'it''s; fine'",
        "SELECT 'back\\'",
        "SELECT E'it\\'s; fine'",
        "SELECT E'\\\\'",
        "SELECT e'a''b\\';'",
        "SELECT E'a'\n'b\\';'",
        "SELECT E'a' -- why\n  '\\';'",
        "SELECT U&'\\0061;'",
        "SELECT U&\"a;b\"",
        "SELECT B'0;' , X'f;', N'n;'",
        "SELECT \"a;b\", \"say \"\"hi;\"\"\"",
        "SELECT 1 /* a; /* b; */ c; */ + 2",
        "SELECT 1 -- a; b\n + 2",
        "SELECT 1 +/*;*/ 2",
        "SELECT $$a;b$$",
        "SELECT $a$ $b$; $$ ; $a$",
        "SELECT $a$ $aa$; $a$",
        "SELECT $ä1_$ ; $ä1_$",
        "SELECT a$b$c, $1, 1$$;$$",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN; RETURN 1; END $$",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
        "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN CASE 1 WHEN 1 THEN 2 END ELSE 3 END; SELECT 2; END",
        "create procedure p() begin atomic insert into t values (1); end",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT begin, t.end, 1 AS end, t.case FROM t; SELECT 2; END",
    ];
    for text in whole {
        assert_eq!(cut(text), [text]);
        let with_next = format!("{text};SELECT 9");
        assert_eq!(cut(&with_next), [text, "SELECT 9"]);
    }
}

#[test]
fn several_statements() {
    let cases: [(&str, &[&str]); 11] = [
        ("", &[]),
        (" -- nothing\n/* at all */", &[]),
        (";;SELECT 1;;", &["SELECT 1"]),
        ("SELECT 1;SELECT 2", &["SELECT 1", "SELECT 2"]),
        ("SELECT 'a\\';SELECT 2 --'", &["SELECT 'a\\'", "SELECT 2"]),
        ("SELECT 1 --\rSELECT 2;SELECT 3", &["SELECT 1 --\rSELECT 2", "SELECT 3"]),
        ("-- a\nSELECT 1; -- b\nSELECT 2 -- c", &["SELECT 1", "SELECT 2"]),
        // Without a routine around it ATOMIC and CASE mean nothing to a splitter.
        ("BEGIN; SELECT CASE WHEN a THEN b END; END", &["BEGIN", "SELECT CASE WHEN a THEN b END", "END"]),
        ("SELECT begin atomic FROM t; SELECT 2", &["SELECT begin atomic FROM t", "SELECT 2"]),
        ("SELECT E'a'\n; SELECT '\\'", &["SELECT E'a'", "SELECT '\\'"]),
        ("SELECT 1); SELECT 2", &["SELECT 1)", "SELECT 2"]),
    ];
    for (text, expected) in cases {
        assert_eq!(cut(text), expected, "{text:?}");
    }
}

#[test]
fn copy_data_are_no_statements() {
    let text = "COPY t (a) FROM stdin;\n1;\n'\n\\N\n\\.\nSELECT 1;";
    let split = split(text).unwrap();
    assert_eq!(cut(text), ["COPY t (a) FROM stdin", "SELECT 1"]);
    let copy = split.statements[0].copy.clone().unwrap();
    assert_eq!((&text[copy.rows.clone()], copy.line, copy.crowded), ("1;\n'\n\\N\n", 2, false));
    assert_eq!(&text[copy.rows.end..copy.end], "\\.");
    assert_eq!(split.statements[1].line, 6);
    assert!(split.backslashes.is_empty());
    for text in ["COPY t FROM '/tmp/x'", "COPY (SELECT * FROM stdin) TO '/x'", "COPY \"FROM\" TO STDOUT"] {
        assert_eq!(cut(&format!("{text}; SELECT 1")), [text, "SELECT 1"]);
    }
}

#[test]
fn copy_data_as_psql_takes_them() {
    let rows = |text: &str| {
        let split = split(text).unwrap();
        let copies = split.statements.iter().filter_map(|statement| statement.copy.clone());
        copies.map(|copy| (text[copy.rows].to_owned(), copy.line, copy.crowded)).collect::<Vec<_>>()
    };
    let one = |rows: &str, line, crowded| vec![(rows.to_owned(), line, crowded)];
    assert_eq!(rows("COPY t FROM stdin;\n\\."), one("", 2, false));
    assert_eq!(
        rows("\ncopy s.t (a, b) from STDIN with (format csv);\r\n1,2\r\n\\.\r\n"),
        one("1,2\r\n", 3, false)
    );
    // In every format, and within quotes too.
    assert_eq!(rows("COPY t FROM stdin CSV;\n\"a\n\\.\n"), one("\"a\n", 2, false));
    assert_eq!(rows("COPY t FROM stdin;\n\\.x\n \\.\n\\. \n\\.\n"), one("\\.x\n \\.\n\\. \n", 2, false));
    assert_eq!(rows("COPY t FROM stdin; -- rows\n1\n\\.\n"), one("1\n", 2, false));
    assert_eq!(rows("COPY t FROM stdin; SELECT 1;\n1\n\\.\n"), one("1\n", 2, true));
    assert_eq!(
        rows("COPY t FROM stdin;\n1\n\\.\nCOPY u FROM stdin;\n2\n\\.\n"),
        [one("1\n", 2, false), one("2\n", 5, false)].concat()
    );
    let with_comment = split("COPY t FROM stdin; -- rows\n1\n\\.\n-- end").unwrap();
    assert_eq!(with_comment.comments.iter().map(|found| found.line).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn the_rows_of_a_long_insert_are_not_kept() {
    let rows = vec!["(1, 'a', NULL, now())"; 10_000].join(", ");
    let text = format!("SELECT 1; INSERT INTO t VALUES {rows} ON CONFLICT (a) DO UPDATE SET b = 1; SELECT 2");
    let split = split(&text).unwrap();
    assert_eq!(split.statements.len(), 3);
    let insert = &split.statements[1];
    assert!(insert.tokens.len() < 30_000 && insert.text(&text).ends_with("b = 1"));
    let words: Vec<&str> = insert.tokens.iter().map(|token| &text[token.range.clone()]).collect();
    assert!(words.windows(2).any(|pair| pair == ["DO", "UPDATE"]));
}

#[test]
fn numbers_lines_and_columns() {
    let text = "-- ä\n\n  SELECT 1;\r\n/* x */ SELECT 'ä'; SELECT 3";
    let split = split(text).unwrap();
    let places: Vec<_> = split.statements.iter().map(|s| (s.number, s.line, s.column)).collect();
    assert_eq!(places, [(1, 3, 3), (2, 4, 9), (3, 4, 21)]);
    let number_at = |needle| split.statement_at(text.find(needle).unwrap()).map(|s| s.number);
    assert_eq!(
        [number_at("ä"), number_at("1;"), number_at("/*"), number_at("3")],
        [None, Some(1), Some(1), Some(3)]
    );
}

#[test]
fn comments_and_backslashes_are_kept_apart() {
    let text = "\\echo hi; there\nSELECT '\\n' -- c\n/* d */ \\gexec";
    let split = split(text).unwrap();
    let texts = |found: &[Found]| -> Vec<String> {
        found.iter().map(|found| text[found.range.clone()].to_owned()).collect()
    };
    assert_eq!(texts(&split.comments), ["-- c", "/* d */"]);
    assert_eq!(texts(&split.backslashes), ["\\echo hi; there", "\\gexec"]);
}

#[test]
fn what_is_never_closed() {
    let dollar = |tag: &str| Opener::Dollar(tag.to_owned());
    let cases = [
        ("SELECT 'a", Opener::Text, 7),
        ("SELECT 'a''", Opener::Text, 7),
        ("SELECT E'a\\'", Opener::Text, 7),
        ("SELECT E'a'\n'b", Opener::Text, 7),
        ("SELECT \"a", Opener::Identifier, 7),
        ("SELECT U&\"a", Opener::Identifier, 7),
        ("SELECT 1 /* a /* b */", Opener::Comment, 9),
        ("SELECT $a$ $$ $b$", dollar("$a$"), 7),
        ("SELECT $$ $", dollar("$$"), 7),
        ("SELECT (1; SELECT (2)", Opener::Parenthesis, 7),
        ("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;", Opener::Atomic, 26),
        ("COPY t FROM stdin;\n1\n", Opener::CopyData, 18),
        ("COPY t FROM stdin;", Opener::CopyData, 18),
        ("COPY t FROM stdin", Opener::CopyData, 17),
    ];
    for (text, what, offset) in cases {
        assert_eq!(split(text), Err(Unclosed { what, offset }), "{text:?}");
    }
}
