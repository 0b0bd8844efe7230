//! Our own thin session over the PostgreSQL wire protocol: text queries, command tags, transaction status.
//!
//! No driver shows both tags and status, and without them a script that ended its own transaction looks like success.
//! Generic over the stream, so that tests can cut it anywhere.

use std::collections::{BTreeMap, VecDeque};

use crate::engine::error::bounded;
use crate::engine::lost::Lost;
use crate::fault::Point;
use bytes::{BufMut, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{DataRowBody, ErrorFields, Message, RowDescriptionBody};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The transaction status that every ReadyForQuery carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Idle,
    InTransaction,
    Failed,
}

/// An ErrorResponse, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) severity: String,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) detail: Option<String>,
    pub(super) hint: Option<String>,
    /// In characters of the message that was sent, from 1.
    pub(super) position: Option<usize>,
    pub(super) context: Option<String>,
    pub(super) constraint: Option<String>,
}

impl ServerError {
    /// The server's words, bounded; DETAIL and CONTEXT, which may quote rows, only in `full`.
    pub(super) fn text(&self, full: bool) -> String {
        let more = [&self.detail, &self.context].into_iter().flatten().filter(|_| full);
        let text = more.fold(self.message.clone(), |text, part| format!("{text}; {part}"));
        bounded(text, MOST_WORDS)
    }
}

/// One result set of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

/// Everything the server said to one message, up to ReadyForQuery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// Statements that completed.
    pub(super) completed: usize,
    /// How many of them made something durable: COMMIT, or PREPARE TRANSACTION, which survives our rollback.
    pub(super) commits: usize,
    pub(super) last_tag: String,
    pub(super) sets: Vec<Set>,
    /// More rows came than were to be kept.
    pub(super) truncated: bool,
    pub(super) error: Option<ServerError>,
}

/// Characters of an error that go on.
const MOST_WORDS: usize = 1000;
/// What a script's own SELECTs return is of no interest.
pub(super) const NO_ROWS: usize = 0;
/// More than any catalogue query of ours returns; only a bound against a server gone mad.
pub(super) const ALL_ROWS: usize = 1_000_000;

/// A text to send, in parts, so that a large one is nowhere twice; and what its COPYs are fed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outgoing<'a> {
    pub(super) parts: Vec<&'a str>,
    /// In the order in which the server asks for them.
    pub(super) rows: Vec<Rows<'a>>,
}

/// The rows of one COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows<'a> {
    /// How many statements have completed when the server asks.
    pub(super) completed: usize,
    pub(super) rows: &'a str,
}

/// What the server's own buffer for a message holds, less a little.
pub(super) const MOST_BYTES: usize = (1 << 30) - 1024;
/// Parts shorter than this go out together: a packet for each would be most of the work.
const TOGETHER: usize = 64 * 1024;

pub(super) struct Wire<S> {
    pub(super) stream: S,
    pub(super) inbox: Inbox,
    status: Status,
    /// A message was sent and its ReadyForQuery has not been read.
    busy: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, inbox: Inbox::default(), status: Status::Idle, busy: false }
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// The process id the handshake named. Behind a pooler it is not the one `pg_backend_pid()` names.
    pub(super) fn pid(&self) -> i32 {
        self.inbox.pid
    }

    pub(super) fn secret(&self) -> i32 {
        self.inbox.secret
    }

    /// What the server last reported of a setting that it reports, such as `client_encoding`.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.inbox.parameters.get(name).map_or("", String::as_str)
    }

    /// Sends one simple-query message and reads all of its answer. Keeps at most `keep` rows over all result sets.
    pub(super) async fn query(&mut self, sql: &str, keep: usize) -> Result<Reply, Lost> {
        let mut message = BytesMut::with_capacity(sql.len() + 16);
        frontend::query(sql, &mut message)?;
        self.exchange(&message, keep).await
    }

    /// A message that changes the database, under a name of its own: if the process may die before it, after it, or
    /// without its answer, it does so here.
    pub(super) async fn effect(&mut self, what: &str, sql: &str, keep: usize) -> Result<Reply, Lost> {
        let done = Point::of_message(what).around(self.query(sql, keep), Lost::new).await;
        // Whoever lost an answer knows nothing of the session any more.
        self.busy |= done.is_err();
        done
    }

    /// As [`Wire::effect`], for a text in parts and with rows for its COPYs.
    pub(super) async fn guarded(&mut self, what: &str, message: &Outgoing<'_>) -> Result<Reply, Lost> {
        let done = Point::of_message(what).around(self.exchange_parts(message), Lost::new).await;
        self.busy |= done.is_err();
        done
    }

    /// Runs exactly one statement: the server itself refuses a second one in the same text, so nothing can follow a
    /// COMMIT that a caller slipped in. Stops after `limit` rows.
    pub(super) async fn one(&mut self, statement: &str, limit: u16) -> Result<Reply, Lost> {
        let mut message = BytesMut::with_capacity(statement.len() + 64);
        frontend::parse("", statement, None::<u32>, &mut message)?;
        frontend::bind("", "", None, None::<()>, |(), _| Ok(IsNull::Yes), None, &mut message)
            .map_err(|_| Lost::new("a statement without parameters could not be bound"))?;
        frontend::describe(b'P', "", &mut message)?;
        frontend::execute("", i32::from(limit), &mut message)?;
        frontend::sync(&mut message);
        self.exchange(&message, usize::from(limit)).await
    }

    /// Says goodbye and waits until the server has closed: what its exit reports to the statistics is then on its way.
    pub(super) async fn terminate(mut self) {
        let mut message = BytesMut::new();
        frontend::terminate(&mut message);
        if self.stream.write_all(&message).await.is_ok() && self.stream.flush().await.is_ok() {
            let mut rest = [0; 256];
            while matches!(self.stream.read(&mut rest).await, Ok(n) if n > 0) {}
        }
    }

    async fn exchange(&mut self, message: &[u8], keep: usize) -> Result<Reply, Lost> {
        self.begin()?;
        self.send(message).await?;
        let reply = self.answer(keep, &[]).await?;
        self.busy = false;
        Ok(reply)
    }

    async fn exchange_parts(&mut self, message: &Outgoing<'_>) -> Result<Reply, Lost> {
        let length: usize = message.parts.iter().map(|part| part.len()).sum();
        // Both are refused before; a zero byte would end the text for the server, and what follows be another message.
        let zero = message.parts.iter().any(|part| part.contains('\0'));
        let length = i32::try_from(length + 5).ok().filter(|_| !zero && length <= MOST_BYTES);
        let length = length.ok_or_else(|| Lost::new("the message is none that the server would read"))?;
        self.begin()?;
        let mut together = BytesMut::with_capacity(TOGETHER);
        together.put_u8(b'Q');
        together.put_i32(length);
        for part in &message.parts {
            if together.len() + part.len() > TOGETHER {
                self.stream.write_all(&together).await?;
                together.clear();
            }
            if part.len() > TOGETHER {
                self.stream.write_all(part.as_bytes()).await?;
            } else {
                together.put_slice(part.as_bytes());
            }
        }
        together.put_u8(0);
        self.send(&together).await?;
        let reply = self.answer(NO_ROWS, &message.rows).await?;
        self.busy = false;
        Ok(reply)
    }

    fn begin(&mut self) -> Result<(), Lost> {
        if self.busy {
            return Err(Lost::new("an earlier message was abandoned before its answer was read"));
        }
        self.busy = true;
        Ok(())
    }

    async fn answer(&mut self, keep: usize, rows: &[Rows<'_>]) -> Result<Reply, Lost> {
        let mut rows = rows.iter();
        let mut reply = Reply::default();
        let mut kept = 0;
        loop {
            match self.receive().await? {
                Message::RowDescription(body) => {
                    reply.sets.push(Set { columns: column_names(&body)?, rows: Vec::new() });
                }
                Message::DataRow(body) if kept < keep => {
                    kept += 1;
                    if let Some(set) = reply.sets.last_mut() {
                        set.rows.push(row_values(&body)?);
                    }
                }
                Message::DataRow(_) | Message::PortalSuspended => reply.truncated = true,
                Message::CommandComplete(body) => {
                    let tag = body.tag()?;
                    reply.completed += 1;
                    reply.commits += usize::from(tag.starts_with("COMMIT") || tag == "PREPARE TRANSACTION");
                    tag.clone_into(&mut reply.last_tag);
                }
                Message::ErrorResponse(body) => {
                    let error = server_error(body.fields())?;
                    if error.severity == "FATAL" || error.severity == "PANIC" {
                        self.inbox.fatal = Some(format!("{} ({})", error.message, error.code));
                    }
                    // A message has one error; what follows it can only be its consequence.
                    reply.error.get_or_insert(error);
                }
                Message::CopyInResponse(_) => match rows.next() {
                    Some(next) if next.completed == reply.completed => {
                        self.feed(next.rows.as_bytes()).await?
                    }
                    // Rows must never go to another COPY than the one they stand behind; and a session must not wait
                    // for ever for rows that nobody has.
                    _ => {
                        let mut refusal = BytesMut::new();
                        frontend::copy_fail("no rows stand behind this COPY", &mut refusal)?;
                        self.send(&refusal).await?;
                    }
                },
                Message::ReadyForQuery(body) => {
                    self.status = match body.status() {
                        b'I' => Status::Idle,
                        b'T' => Status::InTransaction,
                        _ => Status::Failed,
                    };
                    return Ok(reply);
                }
                _ => {}
            }
        }
    }

    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), Lost> {
        self.stream.write_all(message).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next message; what the server reports about itself on the way is taken in.
    pub(super) async fn receive(&mut self) -> Result<Message, Lost> {
        loop {
            if let Some(message) = self.inbox.next()? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.inbox.bytes).await? == 0 {
                return Err(self.inbox.closed());
            }
        }
    }
}

/// What has come from the server and has not been looked at.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) bytes: BytesMut,
    /// Messages that came while rows were sent.
    pub(super) early: VecDeque<Message>,
    /// The words of a FATAL error, the reason for the end of the stream that follows.
    fatal: Option<String>,
    pid: i32,
    secret: i32,
    parameters: BTreeMap<String, String>,
}

impl Inbox {
    fn next(&mut self) -> Result<Option<Message>, Lost> {
        match self.early.pop_front() {
            None => self.parse(),
            early => Ok(early),
        }
    }

    /// The next message that is whole; `None` until more bytes come. What it is about the session itself is taken in.
    pub(super) fn parse(&mut self) -> Result<Option<Message>, Lost> {
        while let Some(message) = Message::parse(&mut self.bytes)? {
            match message {
                Message::ParameterStatus(body) => {
                    self.parameters.insert(body.name()?.to_owned(), body.value()?.to_owned());
                }
                Message::BackendKeyData(body) => {
                    self.pid = body.process_id();
                    self.secret = body.secret_key();
                }
                Message::NoticeResponse(_) | Message::NotificationResponse(_) => {}
                message => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// Why the stream has ended.
    pub(super) fn closed(&mut self) -> Lost {
        let reason = self.fatal.take();
        Lost::new(reason.unwrap_or_else(|| "the server closed the connection".to_owned()))
    }
}

fn column_names(body: &RowDescriptionBody) -> Result<Vec<String>, Lost> {
    Ok(body.fields().map(|field| Ok(field.name().to_owned())).collect()?)
}

fn row_values(body: &DataRowBody) -> Result<Vec<Option<String>>, Lost> {
    let buffer = body.buffer();
    let text = |range: Option<std::ops::Range<usize>>| {
        Ok(range.map(|range| String::from_utf8_lossy(&buffer[range]).into_owned()))
    };
    Ok(body.ranges().map(text).collect()?)
}

pub(super) fn server_error(mut fields: ErrorFields<'_>) -> Result<ServerError, Lost> {
    let mut error = ServerError::default();
    while let Some(field) = fields.next()? {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            // `V` is the severity that no server translates; `S` is in the server's language.
            b'V' => error.severity = value,
            b'C' => error.code = value,
            b'M' => error.message = value,
            b'D' => error.detail = Some(value),
            b'H' => error.hint = Some(value),
            b'P' => error.position = value.parse().ok(),
            b'W' => error.context = Some(value),
            b'n' => error.constraint = Some(value),
            _ => {}
        }
    }
    Ok(error)
}
