//! The program with the flags that a Job gives it.

use std::process::{Command, Stdio};

use serde_json::Value;
use whimbrel::engine::Proof;

use crate::server::{RUN, World, path};

/// What the program left.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) result: Value,
    pub(crate) output: String,
}

impl Done {
    /// The message of a failure, which must be one.
    pub(crate) fn message(&self) -> &str {
        let message = self.result["failed"]["message"].as_str();
        message.unwrap_or_else(|| panic!("no failure: {} {}", self.result, self.output))
    }

    pub(crate) fn ok(self, what: &str) -> Value {
        assert_eq!(self.code, Some(0), "{} {}", self.result, self.output);
        self.result[what].clone()
    }
}

impl World {
    /// The worker for `work`, with what every Job says.
    pub(crate) fn worker(&self, work: &str, flags: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
        command.args(["worker", work]);
        for (name, value) in flags {
            command.arg(format!("--{name}={value}"));
        }
        command.arg(format!("--result={}", self.path("result").display()));
        command.env("PATH", path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn storage(&self) -> Vec<String> {
        match &self.bucket {
            Some(bucket) => bucket.flags(&self.path("bucket")),
            None => vec![format!("--backups={}", self.path("backups").display())],
        }
    }

    fn whose(&self) -> Vec<String> {
        let whose = ["--plan-uid=9b7f", "--run=7", "--target=graph"].map(str::to_owned);
        self.storage().into_iter().chain(whose).collect()
    }

    pub(crate) fn dump_command(&self, data: &str, database: &str) -> Command {
        let scratch = self.path("scratch-dump").display().to_string();
        let flags = [
            ("data", data),
            ("database", database),
            ("scratch", &scratch),
            ("run-folder", "release/7"),
            ("epoch", "3"),
            ("attempt", "1"),
        ];
        let mut command = self.worker("dump", &flags);
        command.args(self.whose());
        command
    }

    pub(crate) fn dump(&self) -> Done {
        self.run(self.dump_command(&self.data().display().to_string(), "neo4j"))
    }

    pub(crate) fn prove_command(&self, path: &str, level: &str, expected: Option<&Proof>) -> Command {
        let scratch = self.path("scratch-proof");
        let _ = std::fs::remove_dir_all(&scratch);
        let scratch = scratch.display().to_string();
        let mut command =
            self.worker("prove-dump", &[("path", path), ("level", level), ("scratch", &scratch)]);
        command.args(self.whose()).args(expected.into_iter().flat_map(expecting));
        command
    }

    pub(crate) fn prove(&self, path: &str, level: &str, expected: Option<&Proof>) -> Done {
        self.run(self.prove_command(path, level, expected))
    }

    pub(crate) fn restore_command(
        &self,
        backup: &Value,
        run_uid: &str,
        epoch: u64,
        expected: &Proof,
    ) -> Command {
        let (data, epoch) = (self.data().display().to_string(), epoch.to_string());
        let text = |name: &str| backup[name].as_str().expect("a text");
        let flags = [
            ("data", data.as_str()),
            ("database", "neo4j"),
            ("path", text("path")),
            ("sha256", text("sha256")),
            ("backup-run", "7"),
            ("fence-target", "aether/graph"),
            ("run-uid", run_uid),
            ("plan", "aether/release"),
            ("cluster", "c1"),
            ("epoch", &epoch),
        ];
        let mut command = self.worker("restore-dump", &flags);
        command.args(self.whose()).args(expecting(expected));
        command
    }

    pub(crate) fn restore(&self, backup: &Value, epoch: u64) -> Done {
        self.run(self.restore_command(backup, RUN, epoch, &self.proof))
    }

    pub(crate) fn run(&self, mut command: Command) -> Done {
        let _ = std::fs::remove_file(self.path("result"));
        let output = command.output().expect("the program can be started");
        let text = std::fs::read_to_string(self.path("result")).unwrap_or_else(|_| "null".into());
        let both = [output.stdout, output.stderr].concat();
        Done {
            code: output.status.code(),
            result: serde_json::from_str(&text).expect("JSON"),
            output: String::from_utf8_lossy(&both).into_owned(),
        }
    }
}

fn expecting(proof: &Proof) -> Vec<String> {
    let mut all = vec![format!("--structure={}", proof.structure)];
    for (name, digest) in &proof.histories {
        all.push(format!("--history={name}={digest}"));
        all.push(format!("--declared={name}=Whimbrel"));
    }
    all
}
