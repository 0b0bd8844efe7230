//! One session at a server through the engine's own `psql`: the same libpq, the same TLS, the same password file as the
//! dump beside it, and the scratch server's socket as well.
//!
//! Every statement yields one line of JSON; a marker after it says that the answer is complete.

use super::{
    BackupError,
    tool::{self, Environment, Running, Said},
};
use serde::de::DeserializeOwned;
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{ChildStdin, ChildStdout},
    task::JoinHandle,
};

/// No server can send it as a line of JSON.
const END_OF_ANSWER: &str = "whimbrel: end of answer";

pub(super) struct Session {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    said: JoinHandle<Said>,
    _psql: Running,
}

/// A session that ended instead of answering, with what psql said.
pub(super) struct Ended(String);

impl From<Ended> for BackupError {
    fn from(Ended(said): Ended) -> Self {
        Self::Query { said }
    }
}

impl Session {
    /// Connects, and waits for the first answer.
    pub(super) async fn connect(
        environment: &Environment,
        at: &str,
        user: &str,
    ) -> Result<Self, BackupError> {
        let mut command = tool::command("psql", environment)?;
        command.args(["--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only"]);
        command.args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"]).stdin(Stdio::piped());
        let mut psql = Running::start("psql", &mut command)?;
        let stdin = psql.child.stdin.take().expect("asked for just above");
        let stdout = psql.child.stdout.take().expect("every command of ours has it");
        let stderr = psql.child.stderr.take().expect("every command of ours has it");
        let said = tokio::spawn(async move {
            let mut said = Said::default();
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                said.hear(&line);
            }
            said
        });
        let mut session = Self { stdin, lines: BufReader::new(stdout).lines(), said, _psql: psql };
        match session.lines_of("SELECT").await {
            Ok(_) => Ok(session),
            Err(Ended(said)) => Err(BackupError::Connect { at: at.to_owned(), user: user.to_owned(), said }),
        }
    }

    /// Runs statements whose answers are of no interest.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), BackupError> {
        self.lines_of(sql).await?;
        Ok(())
    }

    /// Runs one statement that yields exactly one JSON value.
    pub(super) async fn value<T: DeserializeOwned>(&mut self, sql: &str) -> Result<T, BackupError> {
        let lines = self.lines_of(sql).await?;
        serde_json::from_str(lines.first().map_or("null", String::as_str))
            .map_err(|error| BackupError::Query { said: format!("an answer could not be read: {error}") })
    }

    async fn lines_of(&mut self, sql: &str) -> Result<Vec<String>, Ended> {
        let message = format!("{sql}\n;\n\\echo {END_OF_ANSWER}\n");
        // A write into a pipe that psql has closed: what it said says why, below.
        let _ = self.stdin.write_all(message.as_bytes()).await;
        let mut answer = Vec::new();
        loop {
            match self.lines.next_line().await {
                Ok(Some(line)) if line == END_OF_ANSWER => return Ok(answer),
                Ok(Some(line)) if line.is_empty() => {}
                Ok(Some(line)) => answer.push(line),
                Ok(None) | Err(_) => {
                    let said = (&mut self.said).await.map(Said::sum);
                    return Err(Ended(said.unwrap_or_else(|_| "the session was ended".into())));
                }
            }
        }
    }
}
