//! A server that lives in this pod alone, on a store of our own: asked, stopped cleanly, and seen gone.
//!
//! It listens on the loopback for Bolt and on nothing else, and asks for no login: nobody else is in the pod.

use super::{OfflineError, admin::Admin};
use crate::backup::{
    BackupError,
    tool::{self, Said},
};
use crate::engine::neo4j::{Credentials, History, Neo4j, Settings, Tls, TlsMode};
use futures::FutureExt as _;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    process::Child,
    time::{Instant, sleep, timeout},
};

/// How long a server may take to open its store. It was closed cleanly, so nothing is replayed; a big one has many indexes.
const UP_WITHIN: Duration = Duration::from_secs(900);
const POLL: Duration = Duration::from_millis(200);
/// How long it may take to write everything down and end. Kubernetes may end the pod before; then the next attempt begins with
/// a new copy.
const DOWN_WITHIN: Duration = Duration::from_secs(300);
/// A statement on a machine that has just begun to run another server is slow.
const CONNECT: Duration = Duration::from_secs(60);

/// The server, running.
pub(super) struct Private {
    child: Child,
    log: PathBuf,
    settings: Settings,
}

/// A port on which nothing listens now.
pub(super) fn free_port() -> Result<u16, BackupError> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(BackupError::file(Path::new("127.0.0.1")))?.port())
}

impl Private {
    /// Starts the process; [`Private::ready`] waits until it answers.
    pub(super) async fn start(
        admin: &Admin,
        port: u16,
        target: &str,
        database: &str,
        histories: &[History],
    ) -> Result<Self, BackupError> {
        // The launcher would stay beside its server, and one of the two could be left behind; the official image starts its
        // server by this command line as well.
        let mut ask = admin.command("neo4j")?;
        let said = tool::run("neo4j", ask.args(["console", "--dry-run"])).await?;
        let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let log = File::create(admin.log()).map_err(BackupError::file(&admin.log()))?;
        let both = log.try_clone().map_err(BackupError::file(&admin.log()))?;
        let mut command = admin.command("sh")?;
        // The star of the class path is Java's to read, not the shell's.
        command.arg("-c").arg(format!("set -f; exec {line}"));
        command.stdout(Stdio::from(log)).stderr(Stdio::from(both));
        let child = command.spawn().map_err(BackupError::file(Path::new("neo4j")))?;
        let settings = Settings {
            target: target.to_owned(),
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
            database: database.to_owned(),
            tls: Tls { mode: TlsMode::Disable, ca: None, client: None },
            credentials: Arc::new(|| {
                let anybody = Credentials { user: "neo4j".to_owned(), password: String::new() };
                async move { Ok(anybody) }.boxed()
            }),
            histories: histories.to_vec(),
            identity_expect: None,
            connect_timeout: CONNECT,
            lock_timeout: CONNECT,
            statement_timeout: Settings::STATEMENT_TIMEOUT,
            quiet_ignore: Vec::new(),
            diagnostics_full: false,
        };
        Ok(Self { child, log: admin.log(), settings })
    }

    /// Waits until the database answers and its indexes are there.
    pub(super) async fn ready(&mut self) -> Result<Neo4j, BackupError> {
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().map_err(BackupError::file(&self.log))? {
                let said = format!("it ended with {status}: {}", self.said());
                return Err(OfflineError::PrivateServer { what: "does not start", said }.into());
            }
            let error = match Neo4j::new(self.settings.clone()).ready().await {
                Ok(()) => return Ok(Neo4j::new(self.settings.clone())),
                Err(error) => error,
            };
            if Instant::now() > deadline {
                let said = format!("{error}; {}", self.said());
                return Err(OfflineError::PrivateServer { what: "does not answer", said }.into());
            }
            sleep(POLL).await;
        }
    }

    /// Stops it as its own script would, and sees it gone. Only then its store is whole.
    pub(super) async fn stop(mut self) -> Result<(), BackupError> {
        self.signal(Signal::TERM);
        let Ok(ended) = timeout(DOWN_WITHIN, self.child.wait()).await else {
            let said = self.said();
            self.signal(Signal::KILL);
            let _ = self.child.wait().await;
            return Err(OfflineError::PrivateServer { what: "does not stop", said }.into());
        };
        let status = ended.map_err(BackupError::file(&self.log))?;
        if status.success() {
            return Ok(());
        }
        // It ended by itself, or was killed: nobody may believe that its store is whole.
        let said = format!("it ended with {status}: {}", self.said());
        Err(OfflineError::PrivateServer { what: "did not stop cleanly", said }.into())
    }

    fn signal(&self, signal: Signal) {
        // None once it was waited for: then the number may be another's.
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, signal);
        }
    }

    fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let mut said = Said::default();
        text.lines().for_each(|line| said.hear(line));
        said.sum()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Whoever drops it has no use for its store any more.
        self.signal(Signal::KILL);
    }
}
