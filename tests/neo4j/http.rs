//! The server's HTTP interface: another way in than the engine's own.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

/// Where a server listens for HTTP, and who asks.
pub(crate) struct Http {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Http {
    /// Rows of one statement in a transaction of its own.
    pub(crate) fn rows(&self, statement: &str) -> Vec<Vec<Value>> {
        let body = json!({"statements": [{"statement": statement}]});
        let answer = self.request("/db/neo4j/tx/commit", &body);
        assert_eq!(answer["errors"], json!([]), "{statement}");
        let data = answer["results"][0]["data"].as_array().cloned().unwrap_or_default();
        data.iter().map(|row| row["row"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// Takes every node, constraint and index out of it, ours too.
    pub(crate) fn empty(&self) {
        // In batches: a benchmark leaves more than one transaction may hold.
        self.rows("MATCH (n) CALL { WITH n DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS");
        for (what, all) in [
            ("CONSTRAINT", "SHOW CONSTRAINTS YIELD name RETURN name"),
            ("INDEX", "SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' RETURN name"),
        ] {
            for row in self.rows(all) {
                let name = row[0].as_str().expect("a name").replace('`', "``");
                self.rows(&format!("DROP {what} `{name}` IF EXISTS"));
            }
        }
    }

    /// One POST on a connection of its own, so that none is left behind.
    pub(crate) fn request(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let login = base64(format!("{}:{}", self.user, self.password).as_bytes());
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).expect("HTTP answers");
        send(&mut stream, path, &login, &body)
    }
}

fn send(stream: &mut TcpStream, path: &str, login: &str, body: &str) -> Value {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
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
