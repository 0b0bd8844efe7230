//! A database, a folder for its backups, and the program, for one test.

use serde_json::Value;
use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use whimbrel::engine::postgresql::{aside, beside};

/// How long a condition may take to come true; only a test that fails waits so long.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) database: String,
    pub(crate) folder: TempDir,
    pub(crate) role: (String, String),
}

/// What the program left.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) result: Value,
    pub(crate) output: String,
}

impl Done {
    /// The message of a failure, which must be one.
    pub(crate) fn message(&self) -> &str {
        self.result["failed"]["message"]
            .as_str()
            .unwrap_or_else(|| panic!("no failure: {} {}", self.result, self.output))
    }

    pub(crate) fn ok(self, what: &str) -> Value {
        assert_eq!(self.code, Some(0), "{} {}", self.result, self.output);
        self.result[what].clone()
    }
}

pub(crate) fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: testbed/postgres up; eval \"$(testbed/postgres env)\"")
    })
}

/// Runs SQL as the superuser and gives what it prints.
pub(crate) fn sql(database: &str, text: &str) -> String {
    let mut psql = psql(database);
    let mut child = psql
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    child.stdin.take().expect("it was asked for").write_all(text.as_bytes()).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text").trim().to_owned()
}

/// The superuser's psql.
pub(crate) fn psql(database: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database])
        .env("PGHOST", variable("WHIMBREL_TEST_POSTGRES_HOST"))
        .env("PGPORT", variable("WHIMBREL_TEST_POSTGRES_PORT"))
        .env("PGUSER", variable("WHIMBREL_TEST_POSTGRES_USER"))
        .env("PGPASSWORD", variable("WHIMBREL_TEST_POSTGRES_PASSWORD"));
    psql
}

/// Waits until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl World {
    /// A new database of the superuser with `schema` in it.
    pub(crate) fn new(database: &str, schema: &str) -> Self {
        Self::with(database, "", schema)
    }

    /// As [`World::new`]; `options` are those of CREATE DATABASE.
    pub(crate) fn with(database: &str, options: &str, schema: &str) -> Self {
        for name in names(database) {
            sql("postgres", &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
        }
        sql("postgres", &format!("CREATE DATABASE \"{database}\" {options}"));
        sql(database, schema);
        let folder = tempfile::Builder::new().prefix("wb").tempdir_in("/tmp").expect("the folder is ours");
        let role = (variable("WHIMBREL_TEST_POSTGRES_USER"), variable("WHIMBREL_TEST_POSTGRES_PASSWORD"));
        let world = Self { database: database.to_owned(), folder, role };
        for name in ["", "credentials", "private", "backups", "scratch"] {
            let path = world.path(name);
            fs::create_dir_all(&path).expect("the folder is ours");
            if let Some((user, group)) = worker_user() {
                chown(&path, Some(user), Some(group)).expect("the folder is ours");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        }
        fs::copy(variable("WHIMBREL_TEST_POSTGRES_CA"), world.path("credentials/ca.crt"))
            .expect("the folder is ours");
        fs::set_permissions(world.path("credentials/ca.crt"), fs::Permissions::from_mode(0o644))
            .expect("the folder is ours");
        world.write_credentials();
        world
    }

    /// As [`World::new`], with an ordinary role that owns the database and makes what is in it.
    pub(crate) fn of_owner(database: &str, schema: &str) -> Self {
        let mut world = Self::new(database, "");
        let role = format!("{database}_owner");
        sql("postgres", &format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE \"{role}\" LOGIN PASSWORD 'o:w\\n'; END IF; END $$;
             ALTER DATABASE \"{database}\" OWNER TO \"{role}\""
        ));
        sql(database, &format!("SET ROLE \"{role}\";\n{schema}"));
        world.role = (role, "o:w\\n".to_owned());
        world.write_credentials();
        world
    }

    pub(crate) fn write_credentials(&self) {
        fs::write(self.path("credentials/username"), &self.role.0).expect("the folder is ours");
        fs::write(self.path("credentials/password"), &self.role.1).expect("the folder is ours");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Folder of a backup by the path that the result says.
    pub(crate) fn backup_folder(&self, taken: &Value) -> PathBuf {
        self.path("backups").join(taken["path"].as_str().expect("it has one"))
    }

    /// `whimbrel worker backup` of this database, not started yet.
    pub(crate) fn backup_command(&self) -> Command {
        self.connected("backup", &["--run-folder=plan/7", "--attempt=1"])
    }

    fn connected(&self, work: &str, more: &[&str]) -> Command {
        let mut command = worker();
        command.args(["worker", work]).args(self.connection()).args(more);
        self.place(&mut command);
        command
    }

    /// The flags of the database.
    pub(crate) fn connection(&self) -> Vec<String> {
        let flags = [
            ("host", variable("WHIMBREL_TEST_POSTGRES_HOST")),
            ("port", variable("WHIMBREL_TEST_POSTGRES_PORT")),
            ("database", self.database.clone()),
            ("application-name", format!("wb/{}", self.database)),
            ("credentials", self.path("credentials").display().to_string()),
            ("private", self.path("private").display().to_string()),
            ("epoch", "3".to_owned()),
        ];
        flags.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
    }

    /// Restores the backup beside the database, for run r-7.
    pub(crate) fn restore(&self, taken: &Value) -> Done {
        let of = |key: &str| taken[key].as_str().expect("it has one");
        let (path, sha256) = (format!("--path={}", of("path")), format!("--sha256={}", of("sha256")));
        self.run(self.connected("restore", &[&path, &sha256, "--backup-run=7", "--run-uid=r-7"]))
    }

    /// Takes a backup.
    pub(crate) fn backup(&self) -> Done {
        self.run(self.backup_command())
    }

    /// Verifies the backup at `path` to `level`.
    pub(crate) fn verify(&self, path: &str, level: &str) -> Done {
        let mut command = worker();
        command
            .args(["worker", "verify", "--path", path, "--level", level, "--scratch"])
            .arg(self.path("scratch"));
        self.place(&mut command);
        self.run(command)
    }

    fn place(&self, command: &mut Command) {
        command.arg("--backups").arg(self.path("backups")).arg("--result").arg(self.path("private/result"));
        command.args(["--plan-uid", "u-1", "--run", "7", "--target"]).arg(&self.database);
    }

    pub(crate) fn run(&self, mut command: Command) -> Done {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        self.done(child)
    }

    pub(crate) fn done(&self, child: Child) -> Done {
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        let result = fs::read_to_string(self.path("private/result")).unwrap_or_default();
        let _ = fs::remove_file(self.path("private/result"));
        Done {
            code: status.code(),
            result: serde_json::from_str(&result).unwrap_or(Value::Null),
            output: format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The server is shared by all tests; what a failed one leaves is dropped by its next try.
        for name in names(&self.database) {
            let _ = psql("postgres")
                .args(["-c", &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")])
                .output();
        }
    }
}

/// The database, and the two that a restore in run 7 makes of it.
fn names(database: &str) -> [String; 3] {
    [database.to_owned(), beside(database, 7), aside(database, 7)]
}

/// The program, as the user it would have in a pod: PostgreSQL's own server refuses root.
pub(crate) fn worker() -> Command {
    let program = env!("CARGO_BIN_EXE_whimbrel");
    match worker_user() {
        None => Command::new(program),
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={user}"))
                .arg(format!("--regid={group}"))
                .arg("--clear-groups")
                .arg(program);
            command
        }
    }
}

/// The user of Debian's package when we are root.
fn worker_user() -> Option<(u32, u32)> {
    let number = |flag: &str| {
        let output =
            Command::new("id").args([flag, "postgres"]).output().expect("the program can be started");
        String::from_utf8(output.stdout)
            .expect("it prints text")
            .trim()
            .parse()
            .expect("the package postgresql has made the user")
    };
    is_root().then(|| (number("-u"), number("-g")))
}

pub(crate) fn is_root() -> bool {
    String::from_utf8(Command::new("id").arg("-u").output().expect("the program can be started").stdout)
        .expect("it prints text")
        .trim()
        == "0"
}

/// Every file below a folder, relative, sorted.
pub(crate) fn files(root: &Path) -> Vec<String> {
    let output = Command::new("find")
        .args([".", "-type", "f"])
        .current_dir(root)
        .output()
        .expect("the program can be started");
    let mut all: Vec<_> =
        String::from_utf8(output.stdout).expect("it prints text").lines().map(str::to_owned).collect();
    all.sort();
    all
}
