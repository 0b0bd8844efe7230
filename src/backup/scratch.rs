//! A server that lives in the verify Job's own pod for as long as a restore test takes.
//!
//! It listens on a socket in a folder of its own and nowhere else, loads no libraries, and gets no subscriptions: a
//! restored subscription that is dropped takes the slot at the real publisher with it.

use super::{
    BackupError, Manifest, roles,
    session::Session,
    tool::{self, Environment},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

/// The superuser that the server begins with; the source's own roles are made beside it.
const BOOTSTRAP: &str = "whimbrel_scratch";

/// For a server that is thrown away: no waiting for disks, nobody to replicate to, big steps.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "shared_preload_libraries=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=4GB",
    // A restore in one piece locks every table it makes.
    "max_locks_per_transaction=1024",
    "unix_socket_permissions=0700",
];

pub(super) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Makes an empty server below `folder` and starts it.
    pub(super) async fn start(folder: &Path) -> Result<Self, BackupError> {
        let folder = folder.join("server");
        fs::create_dir(&folder).map_err(BackupError::file(&folder))?;
        let mut initdb = tool::command("initdb", &Environment::new())?;
        initdb.args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--username", BOOTSTRAP]);
        tool::run("initdb", initdb.arg("--pgdata").arg(folder.join("data"))).await?;
        let mut options = format!("-c unix_socket_directories={}", folder.display());
        for setting in SETTINGS {
            options.push_str(" -c ");
            options.push_str(setting);
        }
        let scratch = Self { folder };
        let mut start = scratch.pg_ctl()?;
        start.arg("start").arg("--wait").arg("--options").arg(options).arg("--log").arg(scratch.log());
        // The server inherits the pipes: reading them to their end would wait for the server's.
        start.stdout(Stdio::null()).stderr(Stdio::null());
        let status = start.status().await.map_err(BackupError::file(&scratch.folder))?;
        if !status.success() {
            let log = fs::read_to_string(scratch.log()).unwrap_or_default();
            let mut said = tool::Said::default();
            log.lines().for_each(|line| said.hear(line));
            return Err(BackupError::Scratch(format!("its server does not start: {}", said.sum())));
        }
        Ok(scratch)
    }

    /// Makes the roles and the empty database as the source has them.
    pub(super) async fn furnish(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let mut session = self.session("postgres").await?;
        let mut statements = roles::statements(&manifest.roles);
        statements.push(manifest.properties.create(&manifest.source.database));
        for statement in statements {
            session.run(&statement).await.map_err(|error| BackupError::Scratch(error.to_string()))?;
        }
        Ok(())
    }

    /// A session of the superuser.
    pub(super) async fn session(&self, database: &str) -> Result<Session, BackupError> {
        Session::connect(&self.environment(database, BOOTSTRAP), "the scratch server", BOOTSTRAP).await
    }

    /// libpq's environment for a tool that works in the scratch server.
    pub(super) fn environment(&self, database: &str, role: &str) -> Environment {
        vec![
            ("PGHOST", self.folder.clone().into()),
            ("PGDATABASE", database.into()),
            ("PGUSER", role.into()),
            ("PGCLIENTENCODING", "UTF8".into()),
        ]
    }

    fn pg_ctl(&self) -> Result<tokio::process::Command, BackupError> {
        let mut command = tool::command("pg_ctl", &Environment::new())?;
        command.arg("--silent").arg("--pgdata").arg(self.folder.join("data"));
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Also on the way out of an error or a signal; a server that never came up is none to stop.
        if let Ok(mut stop) = self.pg_ctl() {
            stop.args(["stop", "--mode=immediate", "--wait"]).stdout(Stdio::null()).stderr(Stdio::null());
            let _ = stop.as_std_mut().status();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
