//! Scripts as people write them, and exactly what is read of them.

use std::collections::BTreeMap;

use super::super::{Bundle, Dialect, Layout, ScriptError, read_bundle};
use super::*;

fn read(files: &[(&str, &str)]) -> Result<Bundle, Vec<ScriptError>> {
    let files: BTreeMap<_, _> =
        files.iter().map(|(file, text)| ((*file).to_owned(), text.as_bytes().to_vec())).collect();
    read_bundle(files, None, Dialect::Http)
}

fn refused(text: &str) -> Vec<String> {
    let errors = read(&[("V1__a.http", text)]).expect_err(text);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn one_request_as_the_other_tool_reads_it() {
    let text = "# a comment\nput  users/_doc/1 \nContent-Type: application/json\nX-A=b:c\n\n{\n  # in the body too\n  \"a\": 1\n// and this\n}\n";
    let all = requests(text).unwrap();
    assert_eq!(all.len(), 1);
    let request = &all[0];
    assert_eq!((request.method, request.path.as_str(), request.line), (Method::Put, "/users/_doc/1", 2));
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("Content-Type", "application/json"), ("X-A", "b:c")]);
    assert_eq!(request.body, "{\n  \"a\": 1\n}\n");
}

#[test]
fn a_body_keeps_its_blank_lines_but_those_in_front() {
    let body = |text: &str| requests(text).unwrap().remove(0).body;
    assert_eq!(body("POST /_bulk\n\n\n{}\n\n{}\n"), "{}\n\n{}\n");
    assert_eq!(body("PUT /a\n\n{}"), "{}");
    assert_eq!(body("PUT /a\r\n\r\n{\r\n}\r\n"), "{\n}\n");
    assert_eq!(body("PUT /a\n"), "");
}

/// The seeds' own scripts: prose in comments, `###` in front of the only request.
#[test]
fn a_title_between_hashes() {
    let text = "# V002__add_user_index.http\n# Add user index for authentication\n\n### Create users index\nPUT /users\nContent-Type: application/json\n\n{\n  \"settings\": {\"number_of_shards\": 1}\n}\n";
    let bundle = read(&[("V002__add_user_index.http", text)]).unwrap();
    assert_eq!((bundle.layout, bundle.scripts[0].key.as_str()), (Layout::Http, "2"));
    assert!(bundle.scripts[0].directives.no_transaction);
    let all = requests(text).unwrap();
    assert_eq!((all.len(), all[0].to_string(), all[0].line), (1, "PUT /users".to_owned(), 5));
}

#[test]
fn several_requests_with_what_is_said_of_each() {
    let text = "\
# @expect 200,404
DELETE /old

### Copy
// @await task
POST /_reindex

{\"conflicts\":\"proceed\",\"source\":{\"index\":\"a\"},\"dest\":{\"index\":\"b\",\"op_type\":\"create\"}}

###
# @name count one up
# @probe GET /b/_count?q=x:1 -> /count 1
POST /b/_doc

{\"x\":1}
###
HEAD /b
";
    let all = requests(text).unwrap();
    let shown: Vec<_> =
        all.iter().map(|request| (request.number, request.line, request.to_string())).collect();
    let expected =
        [(1, 2, "DELETE /old"), (2, 6, "POST /_reindex"), (3, 13, "POST /b/_doc"), (4, 17, "HEAD /b")];
    assert_eq!(shown, expected.map(|(number, line, text)| (number, line, text.to_owned())));
    assert_eq!(all[0].expect, [200, 404]);
    assert!(all[1].awaits && !all[2].awaits);
    let expect = Expected::Value { pointer: "/count".to_owned(), value: "1".to_owned() };
    let probe = Probe { method: Method::Get, path: "/b/_count?q=x:1".to_owned(), expect };
    assert_eq!(all[2].probe, Some(probe));
    assert_eq!(all[2].body, "{\"x\":1}");
}

#[test]
fn an_undo_says_what_it_keeps() {
    let undo = "# whimbrel: undo keeps-data\n# Whimbrel: undo partial-ok\nDELETE /users\n";
    let bundle = read(&[("V1__a.http", "PUT /users"), ("U1__a.http", undo)]).unwrap();
    let script = &bundle.scripts[0];
    let directives = &script.undo.as_ref().unwrap().directives;
    assert!(directives.undo_keeps_data && directives.undo_partial_ok);
    assert!(!script.undo_loses_data());
    let bundle = read(&[("V1__a.http", "PUT /users"), ("U1__a.http", "DELETE /users")]).unwrap();
    assert!(bundle.scripts[0].undo_loses_data());
}

#[test]
fn a_row_of_the_other_tool_is_recognised_by_its_own_checksum() {
    let script = read(&[("V1__a.http", "PUT /a\n")]).unwrap().scripts.remove(0);
    assert!(script.has_checksum(&script.checksum.clone()));
    assert!(script.has_checksum(&format!("java:{}", java_hash("PUT /a\r\n"))));
    assert!(!script.has_checksum("java:1") && !script.has_checksum("sha256:00"));
}

#[test]
fn what_is_refused_and_the_way_out() {
    let one = |text: &str| {
        let messages = refused(text);
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages[0].clone()
    };
    for (text, message) in [
        (
            "PUT\n",
            "V1__a.http:1:1: \"PUT\" is no request: it begins with a method and a path, as PUT /my-index",
        ),
        (
            "# x\nFETCH /a\n",
            "V1__a.http:2:1: FETCH is no method: known are GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH",
        ),
        (
            "PUT https://es:9200/a\n",
            "V1__a.http:1:1: a request has no server in its path, the target says which one it is: write METHOD /path",
        ),
        (
            "PUT /a HTTP/1.1\n",
            "V1__a.http:1:1: the path \"/a HTTP/1.1\" has a blank in it: write it as %20, and leave HTTP/1.1 out",
        ),
        (
            "PUT /a\n{}\n",
            "V1__a.http:2:1: \"{}\" is no header: write Name: value, and a blank line before the body",
        ),
        (
            "# nothing\n",
            "V1__a.http:1:1: there is no request in it: write one, or take the file out of the source",
        ),
        (
            "# @expect 200\n###\nPUT /a\n",
            "V1__a.http:1:1: no request stands between this and the next ###: move it to the request that it is about",
        ),
        (
            "# @timeout 5\nPUT /a\n",
            "V1__a.http:1:1: unknown directive \"timeout 5\": known are @expect 200,404, @await task, @probe GET /path -> 200, @name, and in an undo file whimbrel: undo keeps-data, whimbrel: undo partial-ok",
        ),
        (
            "# whimbrel: undo keeps-data\nPUT /a\n",
            "V1__a.http:1:1: the directive \"undo keeps-data\" belongs in the undo file: move it there",
        ),
        (
            "# @probe POST /a -> 200\nPOST /a/_doc\n",
            "V1__a.http:1:1: \"POST /a -> 200\" is no probe: write @probe GET /path -> 200, or @probe GET /path -> /json/pointer value; it only reads",
        ),
        (
            "# @await task\nPUT /a\n",
            "V1__a.http:2:1: PUT /a starts no task: @await task is for _reindex, _update_by_query and _delete_by_query",
        ),
        (
            "# @await task\nPOST /_reindex\n\n{\"source\":{\"index\":\"a\"},\"dest\":{\"index\":\"b\"}}\n",
            "V1__a.http:2:1: a reindex that is awaited may be started again after a crash, and must then pass over what is there: set \"conflicts\": \"proceed\" and in \"dest\" \"op_type\": \"create\"",
        ),
        (
            "PUT /a\nX-Opaque-Id: 1\n",
            "V1__a.http:1:1: the header X-Opaque-Id is how a request is found again after a lost answer, or what the target says: remove it",
        ),
        (
            "PUT /a\nauthorization: Basic eA==\n",
            "V1__a.http:1:1: credentials don't belong in a script: put them into the Secret of the target and remove the header authorization",
        ),
        (
            "DELETE /es_*\n",
            "V1__a.http:1:1: es_evolution holds histories and locks, which no script may touch: take it out",
        ),
        (
            "DELETE /*\n",
            "V1__a.http:1:1: DELETE /* is about every index of the cluster, histories too: name the indices",
        ),
        (
            "PUT /_cluster/settings\n\n{}\n",
            "V1__a.http:1:1: PUT /_cluster/settings is about the whole cluster, and nothing here could take it back: let its owner do it",
        ),
        (
            "POST /_bulk\n\n{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}",
            "V1__a.http:1:1: a bulk body ends with a line end, or the server refuses it: add one at the end of the request",
        ),
        (
            "PUT /a/_doc/1\n\n{\"a\": ${name:literal}}\n",
            "V1__a.http:3:1: ${name:literal} quotes as SQL does, not as JSON: write it without :literal or :ident",
        ),
    ] {
        assert_eq!(one(text), message);
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = "PUT /a\nbad\n###\nFETCH /b\nskipped\n###\n# @wait\nDELETE /.whimbrel\n";
    let messages = refused(text);
    let lines: Vec<_> =
        messages.iter().map(|message| message.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["V1__a.http:2:1:", "V1__a.http:4:1:", "V1__a.http:7:1:", "V1__a.http:8:1:"]);
}

#[test]
fn names_and_versions() {
    let messages = |files: &[(&str, &str)]| -> Vec<String> {
        read(files).expect_err("refused").iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        messages(&[("V1__a.http", "PUT /a"), ("V1.0__b.http", "PUT /b")]),
        ["V1.0__b.http and V1__a.http are both version 1: give one of them another version"]
    );
    assert_eq!(
        messages(&[("V1.http", "PUT /a")]),
        [
            "V1.http: no layout knows this file name: rename it to V1_2__text.http, U1_2__text.http (numbers up to 2147483647, the first one above 0) (Http), or take it out of the source"
        ]
    );
    assert_eq!(
        messages(&[("V1__a.sql", "SELECT 1;")]),
        [
            "the files are named as Flyway, which is SQL, and the target takes HTTP requests: name them V1_2__text.http, U1_2__text.http (numbers up to 2147483647, the first one above 0) (Http)"
        ]
    );
    assert_eq!(
        messages(&[("U2__a.http", "PUT /a")]),
        [
            "U2__a.http: there is no script of version 2 that it could take back: add the script, or remove the undo"
        ]
    );
}
