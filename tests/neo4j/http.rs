//! The server's HTTP interface: another way in than the engine's own.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

/// A variable of the testbed.
pub(crate) fn env(name: &str) -> String {
    let name = format!("WHIMBREL_TEST_NEO4J_{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: eval \"$(testbed/neo4j env)\""))
}

/// Rows of one statement in a transaction of its own.
pub(crate) fn rows(statement: &str) -> Vec<Vec<Value>> {
    let answer = request("/db/neo4j/tx/commit", &json!({"statements": [{"statement": statement}]}));
    assert_eq!(answer["errors"], json!([]), "{statement}");
    let data = answer["results"][0]["data"].as_array().cloned().unwrap_or_default();
    data.iter().map(|row| row["row"].as_array().cloned().unwrap_or_default()).collect()
}

/// One POST on a connection of its own, so that none is left behind.
pub(crate) fn request(path: &str, body: &Value) -> Value {
    let port: u16 = env("HTTP_PORT").parse().expect("a port");
    let body = body.to_string();
    let login = base64(format!("{}:{}", env("USER"), env("PASSWORD")).as_bytes());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("HTTP answers");
    stream.write_all(request.as_bytes()).expect("takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("has a body");
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { dechunked(body) } else { body.to_owned() };
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
