//! A search server, asked by another client than ours.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Where a server is, and who asks.
pub(crate) struct Curl {
    pub(crate) url: String,
    /// Its authority's file, and a user with a password; none: it speaks HTTP and asks for nobody.
    pub(crate) secure: Option<Secure>,
}

pub(crate) struct Secure {
    pub(crate) ca: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Curl {
    /// The status and body of a request. A server that is too busy for it is asked again, for a minute.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (status, answer) = self.once(method, path, body);
            if status != 429 || Instant::now() > deadline {
                return (status, answer);
            }
            sleep(Duration::from_millis(500));
        }
    }

    fn once(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "--config", "-"]);
        command.args(if method == "HEAD" { vec!["--head"] } else { vec!["--request", method] });
        if let Some(body) = body {
            let kind = if path.contains("_bulk") { "application/x-ndjson" } else { "application/json" };
            command.args(["--header", &format!("content-type: {kind}"), "--data-binary", body]);
        }
        // Not among the arguments, which every process of the machine can read.
        let mut config = String::new();
        if let Some(Secure { ca, user, password }) = &self.secure {
            config = format!("user = \"{user}:{password}\"\n");
            command.args(["--cacert", ca]);
        }
        let mut child = command
            .arg(format!("{}{path}", self.url))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is there");
        child.stdin.take().expect("piped").write_all(config.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (text, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a status"), serde_json::from_str(text).unwrap_or(Value::Null))
    }

    /// What a GET finds.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.request("GET", path, None).1
    }

    /// The names of all indices, hidden ones too; the server's own users stay out of it.
    pub(crate) fn indices(&self) -> Vec<String> {
        let all = self.get("/_cat/indices?format=json&expand_wildcards=all&h=index");
        let names = all.as_array().into_iter().flatten().filter_map(|index| index["index"].as_str());
        let mut names: Vec<String> =
            names.filter(|name| !name.starts_with(".security")).map(str::to_owned).collect();
        names.sort();
        names
    }
}
