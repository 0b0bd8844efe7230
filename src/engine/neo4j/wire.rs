//! Our own thin session over Bolt 5: messages out, answers in, nothing sent a second time.
//!
//! neo4rs replays a statement whose answer was lost, and can't put metadata on a transaction; the driver that does
//! neither runs on threads of its own. What is needed is small: eight messages, and to know of each whether it was
//! answered. Generic over the stream, so that tests can cut it anywhere.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::message::{
    BEGIN, Begin, COMMIT, GOODBYE, HELLO, LOGON, Message, RESET, ROLLBACK, frame, frame_statement,
};
use super::packstream::Value;
use crate::engine::lost::Lost;
use crate::fault::Point;

/// What the server refuses, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerError {
    /// `Neo.ClientError.Statement.SyntaxError` and the like.
    pub(super) code: String,
    pub(super) message: String,
}

/// The rows of a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Set {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
    /// More rows came than were to be kept.
    pub(super) truncated: bool,
    /// How many indexes it has made, as the server counts them.
    pub(super) indexes_added: u64,
    /// Of a statement without a transaction of ours: the last transaction that it saw.
    pub(super) bookmark: Option<String>,
}

/// An answer, or the server's refusal; lost if neither came.
pub(super) type Answer<T> = Result<Result<T, ServerError>, Lost>;

/// What a script's own statements return is of no interest.
pub(super) const NO_ROWS: usize = 0;
/// More than any query of ours returns; only a bound against a server gone mad.
pub(super) const ALL_ROWS: usize = 1_000_000;

const SUCCESS: u8 = 0x70;
const RECORD: u8 = 0x71;
const IGNORED: u8 = 0x7e;
const FAILURE: u8 = 0x7f;

/// The magic number, then Bolt 5.4 down to 5.1, and nothing else: before 5.1 logging in is another exchange.
const HANDSHAKE: [u8; 20] = [0x60, 0x60, 0xb0, 0x17, 0, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The most bytes of one message that are read: a value of a user's graph may be long, the machine's memory is not.
const MOST_BYTES: usize = 256 << 20;

/// What the other side is, by its first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// Bolt 5.
    Bolt,
    /// A Bolt server that speaks none of our versions.
    OtherVersion,
    /// Something else.
    Stranger,
}

pub(super) struct Wire<S> {
    stream: S,
    /// Messages were sent and their answers have not all been read: whoever gave up in between knows nothing any more.
    busy: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, busy: false }
    }

    /// Agrees on a version.
    pub(super) async fn greet(&mut self) -> Result<Greeting, Lost> {
        self.stream.write_all(&HANDSHAKE).await?;
        self.stream.flush().await?;
        let mut answer = [0; 4];
        self.stream.read_exact(&mut answer).await?;
        Ok(match answer {
            [0, 0, 1..=4, 5] => Greeting::Bolt,
            [0, 0, _, 0..=9] => Greeting::OtherVersion,
            _ => Greeting::Stranger,
        })
    }

    /// Names ourselves; the server says what it is (`server`, `connection_id`).
    pub(super) async fn hello(&mut self, user_agent: &str) -> Answer<Value> {
        let extra = Value::map([
            ("user_agent", Value::text(user_agent)),
            (
                "bolt_agent",
                Value::map([("product", Value::text(concat!("whimbrel/", env!("CARGO_PKG_VERSION"))))]),
            ),
            ("notifications_minimum_severity", Value::text("OFF")),
        ]);
        self.ask(HELLO, vec![extra]).await
    }

    pub(super) async fn logon(&mut self, user: &str, password: &str) -> Answer<Value> {
        let token = Value::map([
            ("scheme", Value::text("basic")),
            ("principal", Value::text(user)),
            ("credentials", Value::text(password)),
        ]);
        self.ask(LOGON, vec![token]).await
    }

    pub(super) async fn begin(&mut self, begin: &Begin) -> Answer<Value> {
        self.ask(BEGIN, vec![begin.extra()]).await
    }

    /// Sends messages in one go and reads all that is answered. Where one is refused, the server ignores those behind it; the
    /// refusal is told with the place of its message. With a name, one of them commits: if the process may die around it or
    /// without its answer, it does so here.
    pub(super) async fn together(
        &mut self,
        what: Option<&str>,
        messages: Vec<Message<'_>>,
    ) -> Result<Result<Vec<Set>, (usize, ServerError)>, Lost> {
        let exchange = self.exchange(messages);
        let Some(what) = what else { return exchange.await };
        let done = Point::of_message(what).around(exchange, Lost::new).await;
        self.busy |= done.is_err();
        done
    }

    async fn exchange(
        &mut self,
        messages: Vec<Message<'_>>,
    ) -> Result<Result<Vec<Set>, (usize, ServerError)>, Lost> {
        self.start()?;
        let (mut out, mut answers) = (Vec::new(), Vec::new());
        for message in messages {
            answers.push(message.frame(&mut out));
        }
        self.send(&out).await?;
        let mut sets = Ok(Vec::with_capacity(answers.len()));
        for (at, rows) in answers.into_iter().enumerate() {
            let answer =
                if rows { self.rows(ALL_ROWS).await? } else { self.summary().await?.map(|_| Set::default()) };
            sets = match (sets, answer) {
                (Ok(mut sets), Ok(set)) => {
                    sets.push(set);
                    Ok(sets)
                }
                (Ok(_), Err(error)) => Err((at, error)),
                (refused, _) => refused,
            };
        }
        self.busy = false;
        Ok(sets)
    }

    /// Runs one statement that only reads in a transaction of its own, which the server begins and ends.
    pub(super) async fn read(&mut self, query: &str, parameters: Value, begin: &Begin) -> Answer<Set> {
        self.statement(query, parameters, begin.extra(), ALL_ROWS).await
    }

    /// Runs one statement inside the transaction that was begun.
    pub(super) async fn run(&mut self, query: &str, parameters: Value, keep: usize) -> Answer<Set> {
        self.statement(query, parameters, Value::map([]), keep).await
    }

    /// Runs one statement in a transaction of its own, which the server begins and ends. Under a name: if the process may
    /// die around it or without its answer, it does so here.
    pub(super) async fn alone(&mut self, what: &str, query: &str, begin: &Begin, keep: usize) -> Answer<Set> {
        let point = Point::of_message(what);
        let running = self.statement(query, Value::map([]), begin.extra(), keep);
        let done = point.around(running, Lost::new).await;
        self.busy |= done.is_err();
        done
    }

    /// Sends a statement that reads in a transaction of its own; its rows are taken by [`Self::next_row`], and the server waits
    /// where nobody takes them.
    pub(super) async fn open(&mut self, query: &str, parameters: Value, begin: &Begin) -> Answer<()> {
        self.start()?;
        let mut message = Vec::with_capacity(query.len() + 64);
        frame_statement(query, parameters, begin.extra(), &mut message);
        self.send(&message).await?;
        let begun = self.summary().await?;
        if begun.is_err() {
            // The PULL was ignored.
            let _ = self.summary().await?;
            self.busy = false;
        }
        Ok(begun.map(drop))
    }

    /// The next row of the statement that was opened; none: that was all.
    pub(super) async fn next_row(&mut self) -> Answer<Option<Vec<Value>>> {
        match self.message().await? {
            (RECORD, mut fields) => match fields.pop() {
                Some(Value::List(row)) => Ok(Ok(Some(row))),
                _ => Err(Lost::new("a row of the server's is none")),
            },
            (tag, fields) => {
                let ended = summary(tag, fields)?;
                self.busy = false;
                Ok(ended.map(|_| None))
            }
        }
    }

    /// Ends the transaction and makes it durable; gives its bookmark.
    pub(super) async fn commit(&mut self, what: &str) -> Answer<Option<String>> {
        let done = Point::of_message(what).around(self.ask(COMMIT, Vec::new()), Lost::new).await;
        self.busy |= done.is_err();
        Ok(done?.map(|summary| summary.entry("bookmark").and_then(Value::as_text).map(str::to_owned)))
    }

    pub(super) async fn rollback(&mut self) -> Answer<Value> {
        self.ask(ROLLBACK, Vec::new()).await
    }

    /// Takes a refused transaction back and makes the connection usable again.
    pub(super) async fn reset(&mut self) -> Result<(), Lost> {
        match self.ask(RESET, Vec::new()).await? {
            Ok(_) => Ok(()),
            Err(error) => Err(Lost::new(format!("{} ({})", error.message, error.code))),
        }
    }

    /// Says goodbye and waits until the server has closed.
    pub(super) async fn goodbye(mut self) {
        let mut message = Vec::new();
        frame(&Value::Struct(GOODBYE, Vec::new()), &mut message);
        if self.stream.write_all(&message).await.is_ok() && self.stream.flush().await.is_ok() {
            let mut rest = [0; 256];
            while matches!(self.stream.read(&mut rest).await, Ok(n) if n > 0) {}
        }
    }

    async fn ask(&mut self, tag: u8, fields: Vec<Value>) -> Answer<Value> {
        self.start()?;
        let mut message = Vec::new();
        frame(&Value::Struct(tag, fields), &mut message);
        self.send(&message).await?;
        let answer = self.summary().await?;
        self.busy = false;
        Ok(answer)
    }

    /// RUN and PULL in one go. A refused RUN leaves the PULL ignored, and both are read.
    async fn statement(&mut self, query: &str, parameters: Value, extra: Value, keep: usize) -> Answer<Set> {
        self.start()?;
        let mut message = Vec::with_capacity(query.len() + 64);
        frame_statement(query, parameters, extra, &mut message);
        self.send(&message).await?;
        let answer = self.rows(keep).await?;
        self.busy = false;
        Ok(answer)
    }

    /// The answers to RUN and PULL.
    async fn rows(&mut self, keep: usize) -> Answer<Set> {
        let mut set = Set::default();
        let begun = self.summary().await?;
        if let Ok(summary) = &begun {
            set.columns = summary.entry("fields").map(Value::texts).unwrap_or_default();
        }
        let ended = loop {
            match self.message().await? {
                (RECORD, mut fields) => match fields.pop() {
                    Some(Value::List(row)) if set.rows.len() < keep => set.rows.push(row),
                    _ => set.truncated = true,
                },
                (tag, fields) => break summary(tag, fields)?,
            }
        };
        Ok(begun.and(ended).map(|summary| {
            let stats = summary.entry("stats");
            set.indexes_added =
                stats.and_then(|it| it.entry("indexes-added")).and_then(Value::as_u64).unwrap_or(0);
            set.bookmark = summary.entry("bookmark").and_then(Value::as_text).map(str::to_owned);
            set
        }))
    }

    fn start(&mut self) -> Result<(), Lost> {
        if self.busy {
            return Err(Lost::new("an earlier message was abandoned before its answer was read"));
        }
        self.busy = true;
        Ok(())
    }

    async fn summary(&mut self) -> Answer<Value> {
        let (tag, fields) = self.message().await?;
        summary(tag, fields)
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), Lost> {
        self.stream.write_all(message).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next whole message; empty chunks between two only keep the connection awake.
    async fn message(&mut self) -> Result<(u8, Vec<Value>), Lost> {
        let closed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Lost::new("the server closed the connection"),
            _ => Lost::from(error),
        };
        let mut message = Vec::new();
        loop {
            let size = usize::from(self.stream.read_u16().await.map_err(closed)?);
            if size == 0 && !message.is_empty() {
                break;
            }
            if message.len() + size > MOST_BYTES {
                return Err(Lost::new("the server's message is longer than 256 MiB"));
            }
            let from = message.len();
            message.resize(from + size, 0);
            self.stream.read_exact(&mut message[from..]).await.map_err(closed)?;
        }
        match Value::decode(&message) {
            Some(Value::Struct(tag, fields)) => Ok((tag, fields)),
            _ => Err(Lost::new("the server's message can't be read")),
        }
    }
}

fn summary(tag: u8, mut fields: Vec<Value>) -> Answer<Value> {
    let metadata = fields.pop().unwrap_or(Value::Null);
    match tag {
        SUCCESS => Ok(Ok(metadata)),
        FAILURE => {
            let word =
                |key: &str| metadata.entry(key).and_then(Value::as_text).unwrap_or_default().to_owned();
            Ok(Err(ServerError { code: word("code"), message: word("message") }))
        }
        // Only ever behind a refusal, which is the error that counts.
        IGNORED => Ok(Err(ServerError::default())),
        _ => Err(Lost::new(format!("the server's message {tag:#04x} is not expected here"))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// A server that has said all this before it is asked.
    async fn with(answers: &[Value]) -> Wire<tokio::io::DuplexStream> {
        let (ours, mut theirs) = duplex(1 << 20);
        let mut said = Vec::new();
        answers.iter().for_each(|answer| frame(answer, &mut said));
        theirs.write_all(&said).await.unwrap();
        // Writes must not fail once everything is said.
        tokio::spawn(async move {
            let mut sink = [0; 1024];
            while matches!(theirs.read(&mut sink).await, Ok(n) if n > 0) {}
        });
        Wire::new(ours)
    }

    fn success(metadata: Value) -> Value {
        Value::Struct(SUCCESS, vec![metadata])
    }

    fn failure(code: &str) -> Value {
        Value::Struct(FAILURE, vec![Value::map([("code", Value::text(code)), ("message", Value::text("m"))])])
    }

    fn record(number: i64) -> Value {
        Value::Struct(RECORD, vec![Value::List(vec![Value::Int(number)])])
    }

    #[tokio::test]
    async fn rows_are_kept_up_to_the_bound() {
        let fields = success(Value::map([("fields", Value::List(vec![Value::text("n")]))]));
        let mut wire = with(&[fields, record(1), record(2), record(3), success(Value::map([]))]).await;
        let set = wire.run("RETURN n", Value::map([]), 2).await.unwrap().unwrap();
        assert_eq!((set.columns, set.rows.len(), set.truncated), (vec!["n".to_owned()], 2, true));
    }

    #[tokio::test]
    async fn rows_are_taken_one_by_one_to_the_end_or_the_refusal() {
        let ok = || success(Value::map([]));
        let (begin, nothing) = (Begin::default(), || Value::map([]));
        let ignored = Value::Struct(IGNORED, Vec::new());
        let said = [
            ok(),
            record(1),
            record(2),
            ok(),
            ok(),
            record(3),
            failure("Neo.Late"),
            failure("Neo.X"),
            ignored,
            ok(),
        ];
        let mut wire = with(&said).await;
        wire.open("a", nothing(), &begin).await.unwrap().unwrap();
        for n in [1, 2] {
            assert_eq!(wire.next_row().await.unwrap().unwrap(), Some(vec![Value::Int(n)]));
        }
        assert_eq!(wire.next_row().await.unwrap().unwrap(), None);
        wire.open("b", nothing(), &begin).await.unwrap().unwrap();
        assert_eq!(wire.next_row().await.unwrap().unwrap(), Some(vec![Value::Int(3)]));
        assert_eq!(wire.next_row().await.unwrap().unwrap_err().code, "Neo.Late");
        assert_eq!(wire.open("c", nothing(), &begin).await.unwrap().unwrap_err().code, "Neo.X");
        wire.reset().await.unwrap();
    }

    #[tokio::test]
    async fn a_refused_statement_is_the_error_and_not_what_was_ignored_behind_it() {
        let ignored = Value::Struct(IGNORED, Vec::new());
        let mut wire = with(&[failure("Neo.X"), ignored, success(Value::map([]))]).await;
        let error = wire.run("x", Value::map([]), NO_ROWS).await.unwrap().unwrap_err();
        assert_eq!(error.code, "Neo.X");
        wire.reset().await.unwrap();
    }

    #[tokio::test]
    async fn of_messages_sent_together_the_first_refusal_is_told_with_its_place() {
        let (ok, ignored) = (|| success(Value::map([])), || Value::Struct(IGNORED, Vec::new()));
        let answers = [ok(), ok(), record(7), ok(), failure("Neo.X"), ignored(), ignored(), ok()];
        let mut wire = with(&answers).await;
        let begin = Begin::default();
        let run = |query| Message::Run(query, Value::map([]));
        let messages = vec![Message::Begin(&begin), run("a"), run("b"), Message::Commit];
        let (at, error) = wire.together(None, messages).await.unwrap().unwrap_err();
        assert_eq!((at, error.code.as_str()), (2, "Neo.X"));
        wire.reset().await.unwrap();
    }

    #[tokio::test]
    async fn of_messages_sent_together_every_answer_is_awaited() {
        let ok = || success(Value::map([]));
        let mut wire = with(&[ok(), ok(), record(7), ok()]).await;
        let begin = Begin::default();
        {
            let messages = vec![Message::Begin(&begin), Message::Run("a", Value::map([])), Message::Commit];
            let both = wire.together(None, messages);
            tokio::pin!(both);
            assert!(futures::poll!(&mut both).is_pending(), "the commit is not answered");
        }
        let lost = wire.rollback().await.unwrap_err();
        assert_eq!(lost.reason, "an earlier message was abandoned before its answer was read");
    }

    #[tokio::test]
    async fn an_error_in_the_middle_of_the_rows_is_an_error() {
        let mut wire = with(&[success(Value::map([])), record(1), failure("Neo.Late")]).await;
        let error = wire.run("x", Value::map([]), ALL_ROWS).await.unwrap().unwrap_err();
        assert_eq!(error.code, "Neo.Late");
    }

    #[tokio::test]
    async fn long_texts_travel_in_chunks_and_empty_chunks_are_skipped() {
        let text = Value::text("x".repeat(200_000));
        let mut bytes = vec![0, 0, 0, 0];
        frame(&success(Value::map([("t", text.clone())])), &mut bytes);
        let (ours, mut theirs) = duplex(1 << 20);
        theirs.write_all(&bytes).await.unwrap();
        let mut wire = Wire::new(ours);
        let (tag, fields) = wire.message().await.unwrap();
        assert_eq!((tag, fields[0].entry("t")), (SUCCESS, Some(&text)));
    }

    #[tokio::test]
    async fn after_an_abandoned_answer_nothing_more_is_sent() {
        let (ours, _theirs) = duplex(1 << 10);
        let mut wire = Wire::new(ours);
        {
            let asking = wire.rollback();
            tokio::pin!(asking);
            assert!(futures::poll!(&mut asking).is_pending());
        }
        let lost = wire.rollback().await.unwrap_err();
        assert_eq!(lost.reason, "an earlier message was abandoned before its answer was read");
    }

    #[tokio::test]
    async fn versions() {
        for (answer, greeting) in [
            ([0, 0, 4, 5], Greeting::Bolt),
            ([0, 0, 0, 0], Greeting::OtherVersion),
            (*b"HTTP", Greeting::Stranger),
        ] {
            let (ours, mut theirs) = duplex(1 << 10);
            theirs.write_all(&answer).await.unwrap();
            assert_eq!(Wire::new(ours).greet().await.unwrap(), greeting);
        }
    }
}
