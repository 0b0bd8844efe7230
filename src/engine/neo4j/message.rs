//! Messages to a server that speaks Bolt, and how they are framed.

use std::collections::BTreeMap;

use super::packstream::Value;

pub(super) const HELLO: u8 = 0x01;
pub(super) const GOODBYE: u8 = 0x02;
pub(super) const RESET: u8 = 0x0f;
const RUN: u8 = 0x10;
pub(super) const BEGIN: u8 = 0x11;
pub(super) const COMMIT: u8 = 0x12;
pub(super) const ROLLBACK: u8 = 0x13;
const PULL: u8 = 0x3f;
pub(super) const LOGON: u8 = 0x6a;

const CHUNK: usize = 0xffff;

/// What a transaction is begun with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) database: String,
    /// `whimbrel` in its metadata, seen in SHOW TRANSACTIONS.
    pub(super) name: String,
    /// Milliseconds; zero is for ever, whatever the server's default is.
    pub(super) timeout: u64,
    pub(super) read_only: bool,
}

impl Begin {
    pub(super) fn extra(&self) -> Value {
        let mut extra = BTreeMap::from([
            ("db".to_owned(), Value::text(self.database.as_str())),
            ("tx_metadata".to_owned(), Value::map([("whimbrel", Value::text(self.name.as_str()))])),
            ("tx_timeout".to_owned(), Value::number(self.timeout)),
        ]);
        if self.read_only {
            extra.insert("mode".to_owned(), Value::text("r"));
        }
        Value::Map(extra)
    }
}

/// One of several messages that are sent in one go.
pub(super) enum Message<'a> {
    Begin(&'a Begin),
    /// A statement inside the transaction that was begun, and what fills it.
    Run(&'a str, Value),
    /// A statement in a transaction of its own, and what fills it.
    Alone(&'a str, Value, &'a Begin),
    Commit,
}

impl Message<'_> {
    /// Whether rows are answered.
    pub(super) fn frame(self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Begin(begin) => frame(&Value::Struct(BEGIN, vec![begin.extra()]), out),
            Self::Commit => frame(&Value::Struct(COMMIT, Vec::new()), out),
            Self::Run(query, parameters) => {
                frame_statement(query, parameters, Value::map([]), out);
                return true;
            }
            Self::Alone(query, parameters, begin) => {
                frame_statement(query, parameters, begin.extra(), out);
                return true;
            }
        }
        false
    }
}

/// RUN, and PULL of all that it gives.
pub(super) fn frame_statement(query: &str, parameters: Value, extra: Value, out: &mut Vec<u8>) {
    frame(&Value::Struct(RUN, vec![Value::text(query), parameters, extra]), out);
    frame(&Value::Struct(PULL, vec![Value::map([("n", Value::Int(-1))])]), out);
}

/// A message in chunks, ended by an empty one.
pub(super) fn frame(message: &Value, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    for chunk in bytes.chunks(CHUNK) {
        out.extend(u16::try_from(chunk.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(chunk);
    }
    out.extend([0, 0]);
}
