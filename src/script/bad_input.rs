//! Sources as people get them wrong, and the exact answers.

use std::collections::BTreeMap;

use super::{Dialect, Kind, Layout, MAX_FILE_BYTES, ScriptError, read_bundle};

fn read(files: &[(&str, &[u8])]) -> Result<super::Bundle, Vec<ScriptError>> {
    read_as(files, None)
}

fn read_as(files: &[(&str, &[u8])], layout: Option<Layout>) -> Result<super::Bundle, Vec<ScriptError>> {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(file, text)| (file.to_string(), text.to_vec())).collect();
    read_bundle(files, layout, Dialect::Postgresql)
}

fn codes(result: Result<super::Bundle, Vec<ScriptError>>) -> Vec<&'static str> {
    result.expect_err("refused").iter().map(ScriptError::code).collect()
}

fn messages(files: &[(&str, &[u8])]) -> Vec<String> {
    read(files).expect_err("refused").iter().map(ScriptError::to_string).collect()
}

/// The message for a source of one script with this body.
fn message(body: &str) -> String {
    let messages = messages(&[("V1__a.sql", body.as_bytes())]);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages[0].clone()
}

const OK: &[u8] = b"SELECT 1;\n";

#[test]
fn a_good_source() {
    let files: [(&str, &[u8]); 5] = [
        ("V10__ten.sql", OK),
        ("V9__nine.sql", b"\xef\xbb\xbfSELECT '\xc3\xa4';\r\n"),
        ("U10__ten.sql", b"-- nothing to take back\n-- whimbrel: undo keeps-data"),
        ("R__views.sql", b"CREATE OR REPLACE VIEW v AS SELECT 1;"),
        ("R__grants.sql", OK),
    ];
    let bundle = read(&files).unwrap();
    assert_eq!(bundle.layout, Layout::Flyway);
    let keys: Vec<_> = bundle.scripts.iter().map(|s| (s.key.as_str(), s.kind, s.undo.is_some())).collect();
    let (versioned, repeatable) = (Kind::Versioned, Kind::Repeatable);
    assert_eq!(
        keys,
        [
            ("9", versioned, false),
            ("10", versioned, true),
            ("R:grants", repeatable, false),
            ("R:views", repeatable, false)
        ]
    );
    assert_eq!(bundle.scripts[0].body, "SELECT 'ä';\r\n");
    assert_eq!(bundle.scripts[0].checksum, super::checksum("SELECT 'ä';\n"));
    assert!(bundle.scripts[1].undo.as_ref().unwrap().directives.undo_keeps_data);
    let frozen = serde_json::to_string(&bundle).unwrap();
    assert_eq!(serde_json::from_str::<super::Bundle>(&frozen).unwrap(), bundle);
    let without_undo: Vec<_> = files.into_iter().filter(|(file, _)| !file.starts_with('U')).collect();
    assert_ne!(read(&without_undo).unwrap().digest, bundle.digest);
}

#[test]
fn up_and_down() {
    let bundle = read(&[("V001-add-tags-up.sql", OK), ("V001-add-tags-down.sql", OK)]).unwrap();
    let script = &bundle.scripts[0];
    assert_eq!(
        (bundle.layout, script.key.as_str(), script.description.as_str()),
        (Layout::UpDown, "1", "add tags")
    );
    assert_eq!(script.undo.as_ref().unwrap().file, "V001-add-tags-down.sql");
}

#[test]
fn names() {
    assert_eq!(messages(&[]), ["the source has no scripts: put at least one in, or remove the step"]);
    assert_eq!(
        messages(&[("V1__a.sql", OK), ("README.md", b"# hello")]),
        [
            "README.md: no layout knows this file name: rename it to V1_2__text.sql, U1_2__text.sql, R__text.sql (Flyway) or V001-text-up.sql, V001-text-down.sql (UpDown), or take it out of the source"
        ]
    );
    assert_eq!(
        read_as(&[("V1-a-up.sql", OK)], Some(Layout::Flyway)).unwrap_err()[0].to_string(),
        "V1-a-up.sql: no layout knows this file name: rename it to V1_2__text.sql, U1_2__text.sql, R__text.sql, or take it out of the source"
    );
    assert_eq!(
        messages(&[("V1-a-up.sql", OK), ("V2__b.sql", OK)]),
        ["V1-a-up.sql is named as UpDown, V2__b.sql as Flyway: use one layout in one source"]
    );
    assert_eq!(
        messages(&[("000001_init.up.sql", OK)]),
        [
            "000001_init.up.sql: the layout NumberUpDown is not built yet: name the files as V1_2__text.sql, U1_2__text.sql, R__text.sql (Flyway) or V001-text-up.sql, V001-text-down.sql (UpDown) or V001__text.cypher, U001__text.cypher, R1__text.cypher (Cypher) or 2025-01-15-001-text.cypher, 2025-01-15-001-text-down.cypher (CypherDated) or V1_2__text.http, U1_2__text.http (numbers up to 2147483647, the first one above 0) (Http)"
        ]
    );
    assert_eq!(codes(read_as(&[("1_a.sql", OK), ("2_b.sql", OK)], Some(Layout::Goose))), ["LayoutNotBuilt"]);
}

#[test]
fn versions() {
    assert_eq!(
        messages(&[("V01__a.sql", OK), ("V1_0__b.sql", OK)]),
        ["V01__a.sql and V1_0__b.sql are both version 1: give one of them another version"]
    );
    assert_eq!(
        codes(read(&[("V1__a.sql", OK), ("U1__a.sql", OK), ("U01__b.sql", OK)])),
        ["DuplicateVersion"]
    );
    assert_eq!(
        messages(&[("R__a_b.sql", OK), ("R__a b.sql", OK)]),
        ["R__a b.sql and R__a_b.sql are both the repeatable script \"a b\": rename one of them"]
    );
    assert_eq!(
        messages(&[("V1__a.sql", OK), ("U2__b.sql", OK)]),
        [
            "U2__b.sql: there is no script of version 2 that it could take back: add the script, or remove the undo"
        ]
    );
}

#[test]
fn bytes() {
    assert_eq!(
        messages(&[("V1__a.sql", b"SELECT '\xff'"), ("U1__a.sql", OK)]),
        ["V1__a.sql: byte 8 is not UTF-8: save the file as UTF-8"]
    );
    assert_eq!(message("SELECT 1;\nSELECT '\0'"), "V1__a.sql:2:9: a zero byte: save the file as UTF-8 text");
    let empty = "V1__a.sql: the file is empty: write a statement, or a comment that says why there is none";
    assert_eq!([message(""), message(" \r\n"), message("\u{feff}")], [empty, empty, empty]);
    let large = " ".repeat(5 << 20);
    assert_eq!(
        message(&large),
        "V1__a.sql: 5242880 bytes, a script has at most 4194304: cut it into several versions, or load the data with a job step"
    );
    let mut fits = b"SELECT 1;".to_vec();
    fits.resize(MAX_FILE_BYTES, b'\n');
    assert!(read(&[("V1__a.sql", fits.as_slice())]).is_ok());
}

#[test]
fn unclosed() {
    let cases = [
        ("SELECT 1;\nSELECT 'a;\n", "V1__a.sql:2:8: a string (') is never closed"),
        ("SELECT \"a", "V1__a.sql:1:8: a quoted identifier (\") is never closed"),
        ("DO $a$ x $b$", "V1__a.sql:1:4: the string $a$ is never closed by another $a$"),
        ("/* /* */", "V1__a.sql:1:1: a comment (/*) is never closed; comments nest"),
        ("SELECT (1;", "V1__a.sql:1:8: a parenthesis is never closed"),
        ("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;", "V1__a.sql:1:27: a BEGIN ATOMIC or CASE has no END"),
        ("COPY t FROM stdin;\n1\n", "V1__a.sql:1:19: the data of a COPY are never ended by a line \\."),
    ];
    for (body, expected) in cases {
        assert_eq!(message(body), expected);
    }
}

#[test]
fn statements() {
    let own = "would break the one transaction that holds the script and its history row: remove it (SAVEPOINT and ROLLBACK TO are fine)";
    for words in
        ["COMMIT", "ROLLBACK", "BEGIN", "START TRANSACTION", "PREPARE TRANSACTION", "COMMIT PREPARED"]
    {
        let body = format!("SELECT 1;\n  {} 'x';", words.to_lowercase());
        assert_eq!(message(&body), format!("V1__a.sql:2:3: statement 2: {words} {own}"));
    }
    let cases = [
        (
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
            "SET TRANSACTION comes too late, the transaction has begun: write -- whimbrel: isolation: serializable (or repeatable-read, read-committed)",
        ),
        (
            "CREATE INDEX CONCURRENTLY i ON t (a);",
            "the server refuses CREATE INDEX CONCURRENTLY in a transaction: write -- whimbrel: no-transaction, or leave CONCURRENTLY out, dependents are stopped while scripts run",
        ),
        (
            "VACUUM t;",
            "the server refuses VACUUM in a transaction: write -- whimbrel: no-transaction, or take it out of the script, and run it by hand",
        ),
        ("DISCARD ALL;", "DISCARD ALL frees the lock that keeps a second writer out: remove it"),
        (
            "SELECT pg_advisory_unlock_all();",
            "pg_advisory_unlock_all() frees the lock that keeps a second writer out: remove it",
        ),
        (
            "DO $$ BEGIN PERFORM pg_advisory_unlock_all(); END $$;",
            "pg_advisory_unlock_all() frees the lock that keeps a second writer out: remove it",
        ),
        (
            "COPY t FROM stdin; SELECT 1;\n1\n\\.\n",
            "what stands behind the semicolon of this COPY would run after its data: write it on a line behind \\.",
        ),
        (
            "SET client_encoding TO 'LATIN1';",
            "SET CLIENT_ENCODING: a script is UTF-8, and rows behind it would be read as something else: remove it, or save the file as UTF-8 and write SET client_encoding = 'UTF8'",
        ),
        ("COPY t TO stdout;", "COPY ... TO stdout has nowhere to go: remove it"),
    ];
    for (body, expected) in cases {
        assert_eq!(message(body), format!("V1__a.sql:1:1: statement 1: {expected}"));
    }
}

#[test]
fn without_a_transaction() {
    let outside = |body: &str| format!("-- whimbrel: no-transaction\n{body}");
    let index = "CREATE INDEX CONCURRENTLY i ON t (a);";
    for body in [
        index.to_owned(),
        format!("SET lock_timeout = 0; {index} VACUUM t;"),
        format!("-- whimbrel: mixed: true\nUPDATE t SET a = 1;\n{index}"),
        "UPDATE t SET a = 1; UPDATE t SET a = 2".to_owned(),
        "ALTER TYPE e ADD VALUE 'x'".to_owned(),
    ] {
        assert!(read(&[("V1__a.sql", outside(&body).as_bytes())]).is_ok(), "{body}");
    }
    let cases = [
        (
            format!("{index}\n UPDATE t SET a = 1;"),
            "V1__a.sql:3:2: statement 2 runs in a transaction of its own, and statement 1 (CREATE INDEX CONCURRENTLY) outside of any: what stops between them stays half done. Cut it into two scripts, or write -- whimbrel: mixed: true",
        ),
        (
            "CREATE INDEX CONCURRENTLY ON t (a)".to_owned(),
            "V1__a.sql:2:1: statement 1: this index has no name, so nothing could tell whether it was made when an answer is lost: write CREATE INDEX CONCURRENTLY <name> ON ...",
        ),
        (
            "ALTER SYSTEM SET work_mem = '1GB'".to_owned(),
            "V1__a.sql:2:1: statement 1: ALTER SYSTEM changes the whole server, and nothing here could take it back: let the server's owner set it",
        ),
        (
            "SET LOCAL work_mem = '1GB'".to_owned(),
            "V1__a.sql:2:1: statement 1: SET LOCAL ends with its transaction, which in a script without one is its own: write SET, it holds for the statements behind it",
        ),
        (
            "DISCARD ALL".to_owned(),
            "V1__a.sql:2:1: statement 1: DISCARD ALL frees the lock that keeps a second writer out: remove it",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(message(&outside(&body)), expected);
    }
    assert_eq!(
        message("-- whimbrel: mixed: true\nSELECT 1"),
        "V1__a.sql: -- whimbrel: mixed: true means something beside -- whimbrel: no-transaction only: add that, or remove it"
    );
}

#[test]
fn what_is_fine() {
    let body = "SET ROLE app; RESET ROLE; SET SESSION AUTHORIZATION DEFAULT; SET search_path = ''; SET client_encoding = 'UTF-8'; SET NAMES DEFAULT; SAVEPOINT a; \
                ROLLBACK TO a; RELEASE a; COPY t FROM '/x'; ALTER TYPE e ADD VALUE 'b'; DISCARD PLANS; SELECT 1 -- end";
    assert!(read(&[("V1__a.sql", body.as_bytes())]).is_ok());
    let empty_undo: [(&str, &[u8]); 2] = [("V1__a.sql", OK), ("U1__a.sql", b"-- nothing")];
    assert!(read(&empty_undo).is_ok());
}

#[test]
fn psql_lines() {
    assert_eq!(
        message("SELECT 1;\n\\i other.sql\n"),
        "V1__a.sql:2:1: \\i is a command of psql, not SQL: remove it (skipped are \\restrict, \\unrestrict, \\echo, and \\connect without a database, each on a line of its own)"
    );
    let bundle =
        read(&[("V1__a.sql", b"\\restrict k\nSELECT 1;"), ("U1__a.sql", b"\\echo b\nSELECT 2;")]).unwrap();
    assert_eq!(bundle.scripts[0].executable().parts().collect::<String>(), "\nSELECT 1;");
    assert_eq!(bundle.scripts[0].body, "\\restrict k\nSELECT 1;");
}

#[test]
fn what_pg_dump_writes() {
    let dump = |rows: &str| {
        format!(
            "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n\
             CREATE TABLE public.t (a integer);\n{rows}\n\\unrestrict abc\n"
        )
    };
    assert!(read(&[("V1__a.sql", dump("INSERT INTO public.t VALUES (1);").as_bytes())]).is_ok());
    assert!(read(&[("V1__a.sql", dump("COPY public.t (a) FROM stdin;\n1\n\\.\n").as_bytes())]).is_ok());
    let with_database = dump("\\connect shop");
    assert!(message(&with_database).starts_with("V1__a.sql:10:1: \\connect is a command of psql, not SQL: "));
}

#[test]
fn everything_at_once() {
    let files: [(&str, &[u8]); 4] = [
        ("V1__a.sql", b"COMMIT;\nSELECT 1;\n\\i x\nROLLBACK;\n-- whimbrel: whatever"),
        ("V2__b.sql", b"\xff"),
        ("U2__b.sql", b"VACUUM;"),
        ("U3__c.sql", OK),
    ];
    assert_eq!(
        codes(read(&files)),
        [
            "NonTransactional",
            "OwnTransaction",
            "MetaCommand",
            "OwnTransaction",
            "UnknownDirective",
            "NotUtf8",
            "UndoWithoutScript"
        ]
    );
}

#[test]
fn a_thousand_scripts() {
    let names: Vec<String> = (1..=1000).rev().map(|version| format!("V{version}__s.sql")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), OK)).collect();
    let bundle = read(&files).unwrap();
    assert_eq!(bundle.scripts.len(), 1000);
    assert_eq!([&bundle.scripts[1].key, &bundle.scripts[999].key], ["2", "1000"]);
}
