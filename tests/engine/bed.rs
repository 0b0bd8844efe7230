//! One database per test on the server that `testbed/postgres env` names, and psql as the independent witness.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use whimbrel::engine::postgresql::{
    Credentials, CredentialsSource, History, Postgresql, Settings, Tls, TlsMode, aside, beside,
};
use whimbrel::engine::{Engine, Fence, fixed_credentials};
use whimbrel::script::{Dialect, Directives, Kind, Layout, Script, Undo, checksum};

use crate::bundle;
use crate::entering::fence;
pub(crate) use crate::until::until;

pub(crate) const HISTORY: &str = "default";

/// A variable of the testbed.
pub(crate) fn env(name: &str) -> String {
    let name = format!("WHIMBREL_TEST_POSTGRES{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: eval \"$(testbed/postgres env)\""))
}

pub(crate) fn port() -> u16 {
    env("_PORT").parse().expect("a port")
}

/// Who the engine logs in as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    Superuser,
    /// An ordinary role that owns the database.
    Owner,
}

/// A database that is gone after the test.
pub(crate) struct Bed {
    pub(crate) database: String,
    pub(crate) role: String,
    pub(crate) password: String,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Bed {
    pub(crate) fn new(who: As) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let database = format!("wbt_{}_{number}", std::process::id());
        let bed = match who {
            As::Superuser => Self { role: env("_USER"), password: env("_PASSWORD"), database },
            As::Owner => {
                Self { role: format!("{database}_o"), password: "it's a \"secret\"".to_owned(), database }
            }
        };
        if who == As::Owner {
            let password = bed.password.replace('\'', "''");
            admin(&format!("CREATE ROLE {} LOGIN PASSWORD '{password}'", bed.role));
        }
        admin(&format!("CREATE DATABASE {} OWNER {}", bed.database, bed.role));
        bed
    }

    /// As superuser, one value or line per row.
    pub(crate) fn psql(&self, sql: &str) -> String {
        psql(&self.database, sql)
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            target: format!("test/{}", self.database),
            host: "localhost".to_owned(),
            port: port(),
            database: self.database.clone(),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca: Some(std::fs::read(env("_CA")).expect("the CA is readable")),
                client: None,
            },
            credentials: credentials(&self.role, &self.password),
            histories: vec![History { name: HISTORY.to_owned() }],
            identity_expect: None,
            // The tests' own machine may be busy.
            connect_timeout: Duration::from_secs(60),
            lock_timeout: Settings::LOCK_TIMEOUT,
            statement_timeout: Settings::STATEMENT_TIMEOUT,
            quiet_ignore: Vec::new(),
            diagnostics_full: false,
        }
    }

    /// As [`Bed::settings`], without TLS, for tests that cut the stream.
    pub(crate) fn plain(&self, port: u16) -> Settings {
        let tls = Tls { mode: TlsMode::Disable, ca: None, client: None };
        Settings { tls, port, host: "127.0.0.1".to_owned(), ..self.settings() }
    }

    pub(crate) fn engine(&self) -> Postgresql {
        Postgresql::new(self.settings())
    }

    pub(crate) fn fence(&self, token: u64) -> Fence {
        fence(&format!("test/{}", self.database), token)
    }

    pub(crate) async fn enter(&self, token: u64) -> <Postgresql as Engine>::Session {
        self.engine().enter(&self.fence(token)).await.expect("nobody is in the way")
    }

    /// What an Apply may leave behind: everything but Whimbrel's own schema.
    pub(crate) fn dump(&self) -> String {
        let output = Command::new("pg_dump")
            .args(["--exclude-schema=whimbrel", "-h", "localhost", "-U", &env("_USER"), &self.database])
            .env("PGPORT", env("_PORT"))
            .env("PGPASSWORD", env("_PASSWORD"))
            .output()
            .expect("pg_dump runs");
        let text = stdout(&output);
        // A key of its own in every dump since 15.14.
        text.lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Keys in the history, in order.
    pub(crate) fn applied(&self) -> String {
        self.psql("SELECT string_agg(key, ' ' ORDER BY rank) FROM whimbrel.history WHERE undone_at IS NULL")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for name in [self.database.clone(), beside(&self.database, 1), aside(&self.database, 1)] {
            admin(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
        if self.role != env("_USER") {
            admin(&format!("DROP ROLE IF EXISTS {}", self.role));
        }
    }
}

pub(crate) fn credentials(user: &str, password: &str) -> CredentialsSource {
    fixed_credentials(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// As superuser in the maintenance database.
pub(crate) fn admin(sql: &str) -> String {
    psql("postgres", sql)
}

pub(crate) fn psql(database: &str, sql: &str) -> String {
    let output = psql_command(database).args(["-c", sql]).output().expect("psql runs");
    stdout(&output)
}

/// psql as superuser, ready for `-c` or a standard input.
pub(crate) fn psql_command(database: &str) -> Command {
    let mut command = Command::new("psql");
    command
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "localhost", "-U", &env("_USER"), "-d", database])
        .env("PGPORT", env("_PORT"))
        .env("PGPASSWORD", env("_PASSWORD"));
    command
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Scripts as the source of a user would give them.
pub(crate) fn scripts(files: &[(&str, &str)]) -> Vec<Script> {
    bundle::scripts(files, Some(Layout::Flyway), Dialect::Postgresql)
}

/// A script that no lint has seen, as one that is built at run time inside a function.
pub(crate) fn raw(version: &str, body: &str, undo: Option<&str>) -> Script {
    Script {
        key: version.to_owned(),
        kind: Kind::Versioned,
        version: version.parse().ok(),
        description: "raw".to_owned(),
        file: format!("V{version}__raw.sql"),
        body: body.to_owned(),
        checksum: checksum(body),
        undo: undo.map(|body| Undo {
            file: format!("U{version}__raw.sql"),
            body: body.to_owned(),
            checksum: checksum(body),
            directives: Directives::default(),
        }),
        directives: Directives::default(),
        dialect: Dialect::Postgresql,
        values: Default::default(),
    }
}
