//! A psql that stays open: somebody else at the database.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::bed::psql_command;

pub(crate) struct Witness {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Witness {
    /// Connects under this application name, as superuser.
    pub(crate) fn new(database: &str, application: &str) -> Self {
        let mut child = psql_command(database)
            .env("PGAPPNAME", application)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql runs");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut witness = Self { child, stdin, stdout };
        witness.say("SELECT 1");
        witness
    }

    /// Runs it and returns what it printed.
    pub(crate) fn say(&mut self, sql: &str) -> String {
        self.start(sql);
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).expect("psql answers") > 0, "psql ended: {sql}");
            match line.trim_end() {
                "--done" => return said.join("\n"),
                line => said.push(line.to_owned()),
            }
        }
    }

    /// Sends it and does not wait.
    pub(crate) fn start(&mut self, sql: &str) {
        writeln!(self.stdin, "{sql};\n\\echo --done").expect("psql listens");
        self.stdin.flush().expect("psql listens");
    }

    pub(crate) fn pid(&mut self) -> i32 {
        self.say("SELECT pg_backend_pid()").parse().expect("a pid")
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have ended with its session.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
