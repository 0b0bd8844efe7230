//! The engine's own tools as children: found, started without anything of our own environment, heard, ended.

use super::{BackupError, files::FileDigest};
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use rustix::process::{Pid, Signal, kill_process_group};
use sha2::{Digest as _, Sha256};
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

/// Lines about errors that are kept of what a tool writes, and the length of each: together they fit into a
/// termination message (4 KiB), and a row that a server quotes in an error does not come along whole.
const LINES: usize = 6;
const LINE: usize = 300;

/// Environment of a tool: pairs of libpq's names and values.
pub(super) type Environment = Vec<(&'static str, OsString)>;

/// A command that gets our PATH, `environment`, and nothing else: no PGSERVICE or PGOPTIONS that somebody set in the
/// image may lead it elsewhere. Its messages are in English, whatever the image's language.
pub(super) fn command(tool: &'static str, environment: &Environment) -> Result<Command, BackupError> {
    let mut command = Command::new(find(tool)?);
    command
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .env("HOME", "/tmp");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that the workers of a parallel dump hear the signal too.
    command.process_group(0);
    Ok(command)
}

/// Where a tool is: on the PATH, else where Debian keeps the programs that a server needs, newest version first.
fn find(tool: &'static str) -> Result<PathBuf, BackupError> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = versions.map(|it| it.path().join("bin")).collect();
    debian.sort_by_key(|folder| std::cmp::Reverse(version_of(folder)));
    let folders = env::split_paths(&on_path).chain(debian);
    folders.map(|it| it.join(tool)).find(|it| it.is_file()).ok_or(BackupError::NoTool { tool })
}

fn version_of(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().parse().unwrap_or(0)
}

/// A child whose whole group ends with this value: dropping the future that waits for it is how it is stopped.
pub(super) struct Running {
    tool: &'static str,
    pub(super) child: Child,
}

impl Running {
    pub(super) fn start(tool: &'static str, command: &mut Command) -> Result<Self, BackupError> {
        let child = command.spawn().map_err(BackupError::file(Path::new(tool)))?;
        Ok(Self { tool, child })
    }

    /// Waits for the end, handing every line of standard error to `on_line`. Standard output is returned.
    pub(super) async fn end(mut self, mut on_line: impl FnMut(&str)) -> Result<String, BackupError> {
        let output = self.child.stdout.take().map(collect);
        let mut said = Said::default();
        if let Some(stderr) = self.child.stderr.take() {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                on_line(&line);
                said.hear(&line);
            }
        }
        let output = match output {
            Some(output) => output.await.unwrap_or_default(),
            None => String::new(),
        };
        let status = self.child.wait().await.map_err(BackupError::file(Path::new(self.tool)))?;
        if status.success() {
            return Ok(output);
        }
        Err(BackupError::Tool { tool: self.tool, status: status.to_string(), said: said.sum() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Still running: `id` is none once the child was waited for, so the number can't be somebody else's.
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // The signal of Ctrl-C: on it psql and pg_dump cancel what the server is doing for them. On SIGTERM psql just
            // ends, and its statement goes on waiting for its lock.
            let _ = kill_process_group(pid, Signal::INT);
        }
    }
}

/// Runs a tool to its end.
pub(super) async fn run(tool: &'static str, command: &mut Command) -> Result<String, BackupError> {
    Running::start(tool, command)?.end(|_| ()).await
}

/// Runs a tool that reads `from` at its standard input. With `whole` it is an error if that was anything but the file that
/// is meant, found out only when all of it was read: what the tool did with it until then is not to be used.
pub(super) async fn fed(
    tool: &'static str,
    command: &mut Command,
    mut from: BoxStream<'static, Result<Bytes, BackupError>>,
    whole: Option<&FileDigest>,
    on_line: impl FnMut(&str),
) -> Result<String, BackupError> {
    let mut running = Running::start(tool, command.stdin(Stdio::piped()))?;
    let mut stdin = running.child.stdin.take().expect("it was asked for");
    let mut hash = Sha256::new();
    let feed = async {
        while let Some(bytes) = from.next().await {
            let bytes = bytes?;
            hash.update(&bytes);
            // It needs no more, or has failed and says why.
            if stdin.write_all(&bytes).await.is_err() {
                break;
            }
        }
        drop(stdin);
        Ok::<(), BackupError>(())
    };
    let (fed, ended) = tokio::join!(feed, running.end(on_line));
    fed?;
    let output = ended?;
    let Some(whole) = whole else { return Ok(output) };
    while let Some(bytes) = from.next().await {
        hash.update(&bytes?);
    }
    if hex::encode(hash.finalize()) == whole.sha256 {
        return Ok(output);
    }
    let sentence = format!("{} has another SHA-256 than when it was written", whole.path);
    Err(BackupError::Damaged(vec![sentence]))
}

fn collect(stream: impl AsyncRead + Send + Unpin + 'static) -> tokio::task::JoinHandle<String> {
    tokio::spawn(async move {
        let mut text = String::new();
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            text.push_str(&line);
            text.push('\n');
        }
        text
    })
}

/// The last lines that say what went wrong; of a tool that writes none, its last lines of any kind.
#[derive(Default)]
pub(super) struct Said {
    errors: Vec<String>,
    any: Vec<String>,
}

impl Said {
    pub(super) fn hear(&mut self, line: &str) {
        let line: String = line.trim().chars().take(LINE).collect();
        let list = if is_about_an_error(&line) { &mut self.errors } else { &mut self.any };
        list.push(line);
        if list.len() > LINES {
            list.remove(0);
        }
    }

    pub(super) fn sum(self) -> String {
        let lines = if self.errors.is_empty() { self.any } else { self.errors };
        if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") }
    }
}

fn is_about_an_error(line: &str) -> bool {
    ["error:", "ERROR:", "ERROR [", "FATAL:", "detail:", "hint:"].iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_talk_the_errors_are_kept() {
        let mut said = Said::default();
        for n in 0..100 {
            said.hear(&format!("pg_dump: dumping contents of table public.t{n}"));
        }
        said.hear("pg_dump: error: could not write to file: No space left on device");
        said.hear("pg_dump: terminated by user");
        assert_eq!(said.sum(), "pg_dump: error: could not write to file: No space left on device");
        assert_eq!(Said::default().sum(), "it said nothing");
    }

    #[tokio::test]
    async fn a_tool_that_fails_is_quoted_and_one_that_is_missing_is_named() {
        let mut shell = command("sh", &Environment::new()).unwrap();
        shell.args(["-c", "echo 'x: error: no' >&2; exit 3"]);
        let error = run("sh", &mut shell).await.unwrap_err();
        assert_eq!(error.to_string(), "sh failed (exit status: 3): x: error: no");
        assert_eq!(
            command("pg_undump", &Environment::new()).unwrap_err().to_string(),
            "pg_undump is not in this image: spec.backup.image must hold PostgreSQL's own tools"
        );
    }

    #[tokio::test]
    async fn nothing_of_our_environment_reaches_a_tool_but_the_path() {
        let mut shell = command("sh", &vec![("PGHOST", "db".into())]).unwrap();
        shell.args(["-c", "env | cut -d= -f1 | grep -v -e PWD -e _ -e SHLVL | sort | tr '\\n' ' '"]);
        assert_eq!(run("sh", &mut shell).await.unwrap().trim(), "HOME PATH PGHOST");
    }
}
