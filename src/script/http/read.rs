//! A text cut into requests.

use std::fmt;

use super::HttpFault;
use super::directives::{self, Said};

/// One request of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which of the file, from 1.
    pub number: usize,
    /// The line of its method and path, from 1.
    pub line: usize,
    /// The method.
    pub method: Method,
    /// Path and query, with a slash in front.
    pub path: String,
    /// The author's headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body without its comment lines; empty for none.
    pub body: String,
    /// Which statuses are fine; empty: every 2xx.
    pub expect: Vec<u16>,
    /// It starts a task at the server, whose end is awaited.
    pub awaits: bool,
    /// What tells whether it was done, when its answer is lost.
    pub probe: Option<Probe>,
}

/// A method, as elasticsearch-evolution knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// PATCH
    Patch,
}

/// `# @probe METHOD path -> expectation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// GET or HEAD, or a POST that only reads.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// What is there when the request was done.
    pub expect: Expected,
}

/// What a probe finds when its request was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// One of these statuses.
    Status(Vec<u16>),
    /// A 2xx whose body has this value at this JSON pointer.
    Value {
        /// As `/hits/total/value`.
        pointer: String,
        /// A string as it is, anything else as JSON writes it.
        value: String,
    },
}

impl Method {
    const ALL: [(Method, &'static str); 7] = [
        (Method::Get, "GET"),
        (Method::Head, "HEAD"),
        (Method::Post, "POST"),
        (Method::Put, "PUT"),
        (Method::Delete, "DELETE"),
        (Method::Options, "OPTIONS"),
        (Method::Patch, "PATCH"),
    ];

    /// A method in any case, as the peer takes it.
    pub(super) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(method, _)| method)
    }

    /// As it is sent.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(method, _)| *method == self).map_or("GET", |(_, name)| name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// A fault with the line on which it stands, from 1.
pub(super) type Faulty = (usize, HttpFault);

/// The requests of a text, in order.
///
/// # Errors
/// All that is no request, each with its line.
pub fn requests(text: &str) -> Result<Vec<Request>, Vec<(usize, HttpFault)>> {
    let (requests, faults) = read(text);
    if faults.is_empty() { Ok(requests) } else { Err(faults) }
}

/// The requests that can be read, and what can't.
pub(super) fn read(text: &str) -> (Vec<Request>, Vec<Faulty>) {
    let mut reader = Reader::default();
    for (at, line) in lines(text).enumerate() {
        reader.take(at + 1, line);
    }
    reader.end();
    (reader.requests, reader.faults)
}

/// Lines as the peer's `\R` cuts them, the last one too when it is empty.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let all = rest?;
        let ends =
            |c: char| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let Some(at) = all.find(ends) else {
            rest = None;
            return Some(all);
        };
        let end = if all[at..].starts_with("\r\n") {
            2
        } else {
            all[at..].chars().next().map_or(1, char::len_utf8)
        };
        rest = Some(&all[at + end..]);
        Some(&all[..at])
    })
}

/// Where in a request the next line stands.
#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Method,
    Headers,
    Body,
    /// Behind a request that can't be read: the rest of it is not looked at.
    Skipped,
}

#[derive(Default)]
struct Reader {
    requests: Vec<Request>,
    faults: Vec<Faulty>,
    state: State,
    open: Option<Request>,
    said: Said,
}

impl Reader {
    fn take(&mut self, number: usize, line: &str) {
        let trimmed = line.trim();
        if trimmed.starts_with("###") {
            self.end();
        } else if let Some(comment) = trimmed.strip_prefix('#').or_else(|| trimmed.strip_prefix("//")) {
            if let Err(fault) = directives::take(&mut self.said, number, comment.trim()) {
                self.faults.push((number, fault));
            }
        } else {
            match self.state {
                // The peer takes no blank line here. Nothing else could be meant by one.
                State::Method if trimmed.is_empty() => {}
                State::Method => self.begin(number, trimmed),
                State::Headers if trimmed.is_empty() => self.state = State::Body,
                State::Headers => self.header(number, trimmed),
                State::Body => self.body(line),
                State::Skipped => {}
            }
        }
    }

    fn begin(&mut self, number: usize, line: &str) {
        match method_and_path(line) {
            Ok((method, path)) => {
                self.open = Some(Request {
                    number: self.requests.len() + 1,
                    line: number,
                    method,
                    path,
                    headers: Vec::new(),
                    body: String::new(),
                    expect: Vec::new(),
                    awaits: false,
                    probe: None,
                });
                self.state = State::Headers;
            }
            Err(fault) => {
                self.faults.push((number, fault));
                self.state = State::Skipped;
            }
        }
    }

    fn header(&mut self, number: usize, line: &str) {
        let Some((name, value)) = line.split_once([':', '=']) else {
            return self.faults.push((number, HttpFault::Header(line.to_owned())));
        };
        let Some(request) = &mut self.open else { return };
        request.headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }

    /// As the peer joins lines: none in front of the first that is not empty.
    fn body(&mut self, line: &str) {
        let Some(request) = &mut self.open else { return };
        if !request.body.is_empty() {
            request.body.push('\n');
        }
        request.body.push_str(line);
    }

    fn end(&mut self) {
        let said = std::mem::take(&mut self.said);
        match self.open.take() {
            Some(mut request) => {
                request.expect = said.expect;
                request.awaits = said.awaits;
                request.probe = said.probe;
                self.requests.push(request);
            }
            None if self.state == State::Method => {
                self.faults.extend(said.line.map(|line| (line, HttpFault::Nowhere)));
            }
            None => {}
        }
        self.state = State::Method;
    }
}

/// What stands in the first line of a request.
pub(super) fn method_and_path(line: &str) -> Result<(Method, String), HttpFault> {
    let Some((word, path)) = line.split_once(' ') else {
        return Err(HttpFault::RequestLine(line.to_owned()));
    };
    let Some(method) = Method::read(word) else { return Err(HttpFault::Method(word.to_owned())) };
    let path = path.trim();
    if path.contains("://") {
        return Err(HttpFault::WholeUrl);
    }
    if path.contains(char::is_whitespace) {
        return Err(HttpFault::BlankInPath(path.to_owned()));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((method, format!("{slash}{path}")))
}
