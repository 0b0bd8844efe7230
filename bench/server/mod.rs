//! The testbed's server, for benchmarks: what psql says to it, and how an engine reaches it.

use std::process::Command;

use crate::rounds::Outcome;
use whimbrel::engine::postgresql::{History, Settings};
use whimbrel::engine::{Credentials, CredentialsSource, Fence, Tls, TlsMode, fixed_credentials};

/// The one history of each database.
pub const HISTORY: &str = "default";

/// The testbed's server.
pub struct Server {
    pub port: u16,
    pub user: String,
    pub password: String,
    /// File of the certificate authority.
    pub ca: String,
}

impl Server {
    /// As `eval "$(testbed/postgres env)"` says.
    pub fn of_the_testbed() -> Outcome<Self> {
        let env = |name: &str| {
            let name = format!("WHIMBREL_TEST_POSTGRES{name}");
            std::env::var(&name).map_err(|_| format!("{name} is not set: eval \"$(testbed/postgres env)\""))
        };
        Ok(Self {
            port: env("_PORT")?.parse()?,
            user: env("_USER")?,
            password: env("_PASSWORD")?,
            ca: env("_CA")?,
        })
    }

    /// One value or line per row.
    pub fn ask(&self, database: &str, sql: &str) -> Outcome<String> {
        let output =
            self.tool("psql", database).args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// A tool of PostgreSQL with the engine's own demands: a checked certificate, and acknowledged means durable.
    pub fn tool(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(name);
        command
            .args(["-h", "localhost", "-U", &self.user, "-d", database])
            .env("PGPORT", self.port.to_string())
            .env("PGPASSWORD", &self.password)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", &self.ca)
            .env("PGOPTIONS", "-c synchronous_commit=on");
        command
    }

    /// An engine's settings for one database.
    pub fn settings(&self, database: &str) -> Outcome<Settings> {
        Ok(Settings {
            target: format!("bench/{database}"),
            host: "localhost".to_owned(),
            port: self.port,
            database: database.to_owned(),
            tls: Tls { mode: TlsMode::VerifyFull, ca: Some(std::fs::read(&self.ca)?), client: None },
            credentials: credentials(&self.user, &self.password),
            histories: vec![History { name: HISTORY.to_owned() }],
            identity_expect: None,
            connect_timeout: Settings::CONNECT_TIMEOUT,
            lock_timeout: Settings::LOCK_TIMEOUT,
            statement_timeout: Settings::STATEMENT_TIMEOUT,
            quiet_ignore: Vec::new(),
            diagnostics_full: false,
        })
    }
}

fn credentials(user: &str, password: &str) -> CredentialsSource {
    fixed_credentials(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// The only run that there is.
pub fn fence(database: &str) -> Fence {
    Fence {
        target: format!("bench/{database}"),
        run_uid: "0f5d7a1c-88aa-4a63-9b65-000000000001".to_owned(),
        run: 1,
        plan: "bench/release".to_owned(),
        cluster: "bench".to_owned(),
        token: 1,
    }
}
