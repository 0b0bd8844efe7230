//! The splitter beside psql and the server: what it takes for one statement is what they take for one.

use std::process::Command;

use whimbrel::script::split::split;

use crate::bed::{As, Bed, psql_command};

/// Texts that a naive splitter cuts wrong. Every statement of them is good, and answers with a command tag alone.
const HOSTILE: &[(&str, &str)] = &[
    ("nothing between semicolons", ";; CREATE TABLE a (); ; ;\nCREATE TABLE b ();;"),
    ("no semicolon at the end", "CREATE TABLE a ();\nCREATE TABLE b () -- the last one;"),
    ("dollar quotes", "DO $$ BEGIN PERFORM 1; PERFORM ';'; END $$; DO $a$ BEGIN PERFORM $$;$a;$$; END; $a$;"),
    ("a dollar in a name", "CREATE TABLE a$b$c (i int); CREATE TABLE d$ (i int); CREATE TABLE e$$ (i int);"),
    (
        "nested comments",
        "/* a /* ; */ ; */ CREATE TABLE a (i int); -- ; '\nCREATE TABLE b (i int) /* ; ' */;",
    ),
    (
        "comments that touch",
        "CREATE TABLE a (i int DEFAULT 2--1;\n+3);CREATE TABLE b (i int DEFAULT 4/*;*/*2);",
    ),
    ("escapes", r"CREATE TABLE a (t text DEFAULT E'it\'s; \\'); COMMENT ON TABLE a IS e'\';\\'';';"),
    (
        "a backslash that is none",
        r"CREATE TABLE a (); COMMENT ON TABLE a IS '\'; COMMENT ON TABLE a IS 'x;';",
    ),
    ("doubled quotes", r#"CREATE TABLE "a;b" ("c""d;" int); COMMENT ON TABLE "a;b" IS 'it''s; ""';"#),
    ("unicode", r#"CREATE TABLE U&"d\0061t;" (); COMMENT ON TABLE "dat;" IS U&'\0441\043B\043E;';"#),
    ("a string in two lines", "CREATE TABLE a (); COMMENT ON TABLE a IS 'a;'\n  'b;'; CREATE TABLE b ();"),
    (
        "a rule with several actions",
        "CREATE TABLE a (); CREATE TABLE b ();\n\
         CREATE RULE r AS ON INSERT TO a DO ALSO (DELETE FROM b; DELETE FROM b WHERE true);\nCREATE TABLE c ();",
    ),
    (
        "a body without quotes",
        "CREATE TABLE a (i int);\n\
         CREATE FUNCTION f(i int) RETURNS int BEGIN ATOMIC\n  SELECT 1; SELECT CASE WHEN i > 0 THEN 1 ELSE 2 END;\nEND;\n\
         CREATE PROCEDURE p() BEGIN ATOMIC INSERT INTO a VALUES (1); INSERT INTO a VALUES (2); END;\n\
         CREATE TABLE b ();",
    ),
    (
        "a transaction is no body",
        "BEGIN; CREATE TABLE a (); COMMIT; CREATE TABLE b (\"begin\" int, atomic int);",
    ),
    (
        "a body in quotes",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2'; CREATE TABLE a ();",
    ),
    (
        "operators",
        "CREATE TABLE a (b boolean DEFAULT 1 <> 2, i int DEFAULT - -1, j int DEFAULT @ -5); DO 'BEGIN END';",
    ),
    ("lines of Windows", "CREATE TABLE a ();\r\n-- ;\r\nCREATE TABLE b ();\r\n"),
];

/// What psql sends, statement by statement, as its log has it.
fn sent_by_psql(text: &str) -> Vec<String> {
    let bed = Bed::new(As::Superuser);
    let folder = tempfile::tempdir().expect("a folder");
    let (script, log) = (folder.path().join("script.sql"), folder.path().join("log"));
    std::fs::write(&script, text).expect("writable");
    let (script, log) = (script.to_str().expect("UTF-8"), log.to_str().expect("UTF-8"));
    said(psql_command(&bed.database).args(["-L", log, "-f", script]));
    let log = std::fs::read_to_string(log).expect("psql wrote its log");
    let (mut sent, mut open) = (Vec::new(), None::<Vec<&str>>);
    for line in log.split('\n') {
        let rule = line.trim_matches('/').starts_with("*****");
        match (&mut open, rule) {
            (None, true) if line.contains("QUERY") => open = Some(Vec::new()),
            (Some(lines), true) => {
                sent.push(lines.join("\n"));
                open = None;
            }
            (Some(lines), false) => lines.push(line),
            (None, _) => {}
        }
    }
    sent
}

/// How many statements the server sees in a text that it gets as one message: each answers with its tag.
fn seen_by_the_server(text: &str) -> usize {
    let bed = Bed::new(As::Superuser);
    said(psql_command(&bed.database).args(["-v", "QUIET=off", "-c", text])).lines().count()
}

fn said(command: &mut Command) -> String {
    let output = command.output().expect("psql runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn statements_are_cut_where_psql_and_the_server_cut_them() {
    for (what, text) in HOSTILE {
        let cut = split(text).unwrap_or_else(|open| panic!("{what}: {open:?}"));
        let ours: Vec<&str> = cut.statements.iter().map(|statement| statement.text(text)).collect();
        assert_eq!(ours.len(), seen_by_the_server(text), "{what}: {ours:#?}");
        let sent = sent_by_psql(text);
        let theirs = sent.iter().filter(|sent| !sent.trim_matches([';', ' ', '\n', '\r']).is_empty());
        // Around a statement psql may send the comments that stand before it, and its semicolon.
        let bare: Vec<String> = theirs
            .map(|sent| {
                let whole = split(sent).unwrap_or_else(|open| panic!("{what}: psql sent {sent:?}: {open:?}"));
                assert!(whole.statements.len() <= 1, "{what}: psql takes this for one statement: {sent}");
                whole.statements.first().map(|only| only.text(sent).to_owned()).unwrap_or_default()
            })
            .filter(|bare| !bare.is_empty())
            .collect();
        assert_eq!(bare, ours, "{what}");
    }
}
