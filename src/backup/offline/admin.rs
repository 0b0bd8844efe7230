//! `neo4j-admin` with settings of our own, and what its words mean.

use super::{
    OfflineError,
    data::{DataFolder, or_denied},
};
use crate::backup::{
    BackupError, FileDigest,
    attempt::Sender,
    files,
    storage::Dump,
    tool::{self, Environment, Running, Said},
};
use futures::TryFutureExt as _;
use std::{
    collections::VecDeque,
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

const ADMIN: &str = "neo4j-admin";
/// Bytes of the page cache: enough to copy and to ask a few questions, and a pod has it beside the heap.
const PAGE_CACHE: &str = "64m";
/// Heap of the private server.
const HEAP: &str = "384m";

/// Lines of a tool that are looked through for what they mean: its last word is a short one.
const MOST_HEARD: usize = 40;

/// What Neo4j's own launcher opens; without it the server dies at its first page on newer Javas.
const OPENED: [&str; 4] = ["java.nio", "java.io", "sun.nio.ch", "java.util.concurrent"];

/// A folder with settings and everything else that the tools write beside the data.
pub(super) struct Admin {
    folder: PathBuf,
}

impl Admin {
    /// Settings in `folder`, which is made, for the data in `data`. `port`: the private server's.
    pub(super) fn new(
        folder: &Path,
        data: &Path,
        database: &str,
        port: Option<u16>,
    ) -> Result<Self, BackupError> {
        let admin = Self { folder: folder.to_owned() };
        for name in ["conf", "logs", "run", "plugins", "import", "dumps"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(|error| or_denied(error, &path, "write"))?;
        }
        let path = admin.folder.join("conf/neo4j.conf");
        let text = settings(folder, data, database, port);
        fs::write(&path, text).map_err(|error| or_denied(error, &path, "write"))?;
        Ok(admin)
    }

    /// Where its server writes what it does.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("logs/console.log")
    }

    /// `neo4j-admin` or `neo4j` that reads our settings and no others. Where Java and Neo4j are is the image's to say.
    pub(super) fn command(&self, program: &'static str) -> Result<Command, BackupError> {
        let mut environment: Environment =
            vec![("NEO4J_CONF", self.folder.join("conf").into()), ("TZ", "UTC".into())];
        let kept = ["JAVA_HOME", "NEO4J_HOME"];
        environment.extend(kept.into_iter().filter_map(|name| Some((name, env::var_os(name)?))));
        let mut command = tool::command(program, &environment)?;
        command.current_dir(&self.folder);
        Ok(command)
    }

    /// Which Neo4j these tools are of.
    pub(super) async fn version(&self) -> Result<String, BackupError> {
        let mut command = self.command(ADMIN)?;
        let said = tool::run(ADMIN, command.arg("--version")).await?;
        Ok(said.lines().last().unwrap_or_default().trim().to_owned())
    }

    /// Writes `<database>.dump` into `to`. `progress` hears how many files are done, and of how many.
    pub(super) async fn dump(
        &self,
        database: &str,
        to: &Path,
        progress: impl FnMut(u64, u64),
    ) -> Result<(), BackupError> {
        let mut command = self.command(ADMIN)?;
        command.args(["database", "dump", database]).arg(format!("--to-path={}", to.display()));
        self.run(command, database, progress).await
    }

    /// The same into a bucket, of a store of `bytes`; the tool's own progress comes on its standard error then.
    pub(super) async fn send(
        &self,
        database: &str,
        bytes: u64,
        to: &Sender,
        progress: impl FnMut(u64, u64),
    ) -> Result<FileDigest, BackupError> {
        let mut command = self.command(ADMIN)?;
        let mut running = Running::start(ADMIN, command.args(["database", "dump", database, "--to-stdout"]))?;
        let output = running.child.stdout.take().expect("every command of ours has it");
        let mut ears = Ears::new(progress);
        let ended = running.end(|line| ears.hear(line)).map_ok(drop);
        let sent = to.send(bytes, output, ended).await;
        sent.map_err(|error| understood(error, database, &ears.heard()))
    }

    /// Loads the dump of a database into the data folder of our settings.
    pub(super) async fn load(
        &self,
        database: &str,
        from: &Dump,
        progress: impl FnMut(u64, u64),
    ) -> Result<(), BackupError> {
        let mut command = self.command(ADMIN)?;
        command.args(["database", "load", database]);
        match from {
            Dump::Folder(data) => {
                command.arg(format!("--from-path={}", data.display()));
                self.run(command, database, progress).await
            }
            Dump::Object(object) => {
                let mut ears = Ears::new(progress);
                command.arg("--from-stdin");
                let loaded = object.feed(ADMIN, &mut command, true, |line| ears.hear(line)).await;
                loaded.map(drop).map_err(|error| understood(error, database, &ears.heard()))
            }
        }
    }

    /// Has every record, index and count of a store read and compared with the others.
    pub(super) async fn check(&self, database: &str) -> Result<(), BackupError> {
        let mut command = self.command(ADMIN)?;
        command.args(["database", "check", database, "--check-property-owners"]);
        command.arg(format!("--report-path={}", self.folder.join("logs").display()));
        let checked = self.run(command, database, |_, _| ()).await;
        let Err(BackupError::Tool { said, .. }) = checked else { return checked };
        Err(BackupError::Different(vec![format!("the store is not consistent: {said}")]))
    }

    async fn run(
        &self,
        mut command: Command,
        database: &str,
        progress: impl FnMut(u64, u64),
    ) -> Result<(), BackupError> {
        let mut running = Running::start(ADMIN, &mut command)?;
        let output = running.child.stdout.take().expect("every command of ours has it");
        // How far it is and what is wrong come on its standard output, its last word on the other.
        let listen = async {
            let mut ears = Ears::new(progress);
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                ears.hear(&line);
            }
            ears.heard()
        };
        let mut last_word = Vec::new();
        let (mut heard, ended) = tokio::join!(listen, running.end(|line| last_word.push(line.to_owned())));
        heard.extend(last_word);
        ended.map(drop).map_err(|error| understood(error, database, &heard))
    }
}

/// Hears how far the tool is, and keeps what else it said last.
struct Ears<P> {
    progress: P,
    told: Option<(u64, u64)>,
    heard: VecDeque<String>,
}

impl<P: FnMut(u64, u64)> Ears<P> {
    fn new(progress: P) -> Self {
        Self { progress, told: None, heard: VecDeque::new() }
    }

    fn hear(&mut self, line: &str) {
        match files_of(line) {
            Some(now) if self.told == Some(now) => {}
            Some((done, all)) => {
                self.told = Some((done, all));
                (self.progress)(done, all);
            }
            None => {
                self.heard.push_back(line.to_owned());
                if self.heard.len() > MOST_HEARD {
                    self.heard.pop_front();
                }
            }
        }
    }

    fn heard(self) -> Vec<String> {
        self.heard.into()
    }
}

/// A tool's refusal by what it means, where its words say.
fn understood(error: BackupError, database: &str, heard: &[String]) -> BackupError {
    let BackupError::Tool { tool, status, .. } = error else { return error };
    let database = database.to_owned();
    let says = |words: &str| heard.iter().any(|line| line.contains(words));
    if says("is in use") {
        return OfflineError::Running { database }.into();
    }
    if says("Active logical log detected") {
        return OfflineError::NotClean { database }.into();
    }
    if let Some(path) = heard.iter().find_map(|line| Some(line.split_once("AccessDeniedException: ")?.1)) {
        let path = path.trim_end_matches('.').trim();
        return or_denied(ErrorKind::PermissionDenied.into(), Path::new(path), "read");
    }
    let mut said = Said::default();
    heard.iter().for_each(|line| said.hear(line));
    BackupError::Tool { tool, status, said: said.sum() }
}

/// `Files: 15/37, data: 39.5%`
fn files_of(line: &str) -> Option<(u64, u64)> {
    let (numbers, _) = line.trim().strip_prefix("Files: ")?.split_once(',')?;
    let (done, all) = numbers.split_once('/')?;
    Some((done.parse().ok()?, all.parse().ok()?))
}

/// The settings for the tools, and with a port for a private server: `folder` has what they write beside the data.
pub(in crate::backup) fn settings(folder: &Path, data: &Path, database: &str, port: Option<u16>) -> String {
    let mut lines = vec![
        format!("server.directories.data={}", data.display()),
        format!("initial.dbms.default_database={database}"),
        format!("server.memory.pagecache.size={PAGE_CACHE}"),
        format!("server.memory.heap.max_size={HEAP}"),
        // Of an older or a newer server than these words are of, one more or less is no reason to stop.
        "server.config.strict_validation.enabled=false".to_owned(),
        "dbms.usage_report.enabled=false".to_owned(),
        // Nobody but us, and only by Bolt.
        "server.default_listen_address=127.0.0.1".to_owned(),
        "server.http.enabled=false".to_owned(),
        "server.https.enabled=false".to_owned(),
        "dbms.security.auth_enabled=false".to_owned(),
        "server.bolt.tls_level=DISABLED".to_owned(),
        "server.bolt.thread_pool_min_size=1".to_owned(),
        "db.tx_log.preallocate=false".to_owned(),
        // Nobody is connected when it stops; it would wait for them all the same, and services are down.
        "internal.server.bolt.thread_pool_shutdown_wait_time=0s".to_owned(),
        "internal.server.bolt.connection_shutdown_wait_time=0s".to_owned(),
        "db.temporal.timezone=UTC".to_owned(),
    ];
    for name in ["logs", "run", "plugins", "import"] {
        lines.push(format!("server.directories.{name}={}", folder.join(name).display()));
    }
    lines.extend(port.map(|port| format!("server.bolt.listen_address=127.0.0.1:{port}")));
    lines.extend(port.map(|port| format!("server.bolt.advertised_address=127.0.0.1:{port}")));
    let opened = OPENED.map(|it| format!("server.jvm.additional=--add-opens=java.base/{it}=ALL-UNNAMED"));
    lines.extend(opened);
    lines.push("server.jvm.additional=-XX:+UseSerialGC".to_owned());
    lines.join("\n") + "\n"
}

/// The bytes free where `path` is, as a refusal, if the tool or the file system said that there were none.
pub(super) fn or_volume_full(error: BackupError, path: &Path) -> BackupError {
    let full = match &error {
        BackupError::File { source, .. } => {
            matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        }
        BackupError::Tool { said, .. } => said.contains("No space left on device"),
        BackupError::Offline(OfflineError::PrivateServer { said, .. }) => {
            said.contains("No space left on device")
        }
        _ => false,
    };
    if !full {
        return error;
    }
    let free = files::free_bytes(path).unwrap_or(0);
    let claim_hint = "of the server";
    OfflineError::VolumeFull { free, path: path.display().to_string(), claim_hint }.into()
}

/// Refuses a name that is no database's: it becomes part of paths, and `neo4j-admin` reads `*` and `?` as more than one.
pub(in crate::backup) fn folder_of(database: &str) -> Result<String, BackupError> {
    let fits = |it: char| it.is_ascii_alphanumeric() || it == '.' || it == '-';
    if database.starts_with(|it: char| it.is_ascii_alphabetic()) && database.chars().all(fits) {
        // The server spells every name in small letters.
        return Ok(database.to_lowercase());
    }
    let (path, reason) = (database.to_owned(), "this is no name of a database of Neo4j".to_owned());
    Err(OfflineError::InTheWay { path, reason }.into())
}

/// As [`DataFolder::open`], by the name that a user writes.
pub(super) fn open(path: &Path, database: &str) -> Result<(DataFolder, String), BackupError> {
    let database = folder_of(database)?;
    Ok((DataFolder::open(path, &database)?, database))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_tool_become_sentences() {
        let said = |line: &str| {
            let error =
                BackupError::Tool { tool: ADMIN, status: "exit status: 1".into(), said: line.to_owned() };
            understood(error, "neo4j", &[line.to_owned()]).to_string()
        };
        assert_eq!(
            said(
                "2026-11-28 23:50:11.711+0000 ERROR [o.n.c.d.DumpCommand] Failed to dump database 'neo4j': The database is in use. Stop database 'neo4j' and try again."
            ),
            "the server has database neo4j open: its files may be copied and moved only while it is stopped. See that no pod of it is left"
        );
        assert_eq!(
            said(
                "ERROR [o.n.c.d.DumpCommand] Failed to dump database 'neo4j': Active logical log detected, this might be a source of inconsistencies."
            ),
            "the store of database neo4j was not closed cleanly: the server was killed. Start it, stop it cleanly once, then retry"
        );
        assert_eq!(said("what else"), "neo4j-admin failed (exit status: 1): what else");
    }

    #[test]
    fn progress_is_read_and_odd_names_are_refused() {
        assert_eq!(files_of("Files: 15/37, data: 39.5%"), Some((15, 37)));
        assert_eq!(files_of("Done: 37 files, 851.5KiB processed in 0.643 seconds."), None);
        assert_eq!(folder_of("Graph-1.x").ok().as_deref(), Some("graph-1.x"));
        for odd in ["", "*", "../system", "neo4j?", "a b"] {
            assert!(folder_of(odd).is_err(), "{odd}");
        }
    }
}
