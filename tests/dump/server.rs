//! Servers of one test's own, on a data folder as an operator would find it on a volume.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use whimbrel::engine::neo4j::{Credentials, Format, History, Neo4j, Settings, Tls, TlsMode};
use whimbrel::engine::{Claim, Engine as _, Fence, Proof, Session as _};
use whimbrel::script::{Dialect, Script, read_bundle};

use crate::s3::Bucket;

/// Only a test that fails waits so long.
const DEADLINE: Duration = Duration::from_secs(180);
pub(crate) const PASSWORD: &str = "a-password-of-the-system-database";
pub(crate) const RUN: &str = "5c1e0000-88aa-4a63-9b65-000000000001";

/// Heavy servers at a time: one that starts keeps about one processor busy.
static ROOM: Semaphore = Semaphore::const_new(2);

/// A data folder of a stopped server, and room for backups.
pub(crate) struct World {
    _room: SemaphorePermit<'static>,
    folder: TempDir,
    pub(crate) proof: Proof,
    /// Where backups are; else in the folder `backups`.
    pub(crate) bucket: Option<Bucket>,
}

struct Template {
    data: PathBuf,
    proof: Proof,
}

pub(crate) fn home() -> PathBuf {
    let home = std::env::var_os("WHIMBREL_TEST_NEO4J_HOME");
    home.unwrap_or_else(|| panic!("WHIMBREL_TEST_NEO4J_HOME is not set: eval \"$(testbed/neo4j env)\""))
        .into()
}

/// Our PATH with the launchers of Neo4j in front.
pub(crate) fn path() -> std::ffi::OsString {
    let mut folders = vec![home().join("bin")];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    std::env::join_paths(folders).expect("no colon in it")
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("an event loop").block_on(work)
}

pub(crate) fn fence(token: u64) -> Fence {
    Fence {
        target: "aether/graph".to_owned(),
        run_uid: RUN.to_owned(),
        run: 7,
        plan: "aether/release".to_owned(),
        cluster: "c1".to_owned(),
        token,
    }
}

/// A graph with every kind of thing that a sample reads, a history, and what a crash of other tools has left in it.
const GRAPH: &[(&str, &str)] = &[
    (
        "V1__people.cypher",
        "UNWIND range(1, 400) AS n CREATE (:Person:Known {n: n, name: 'p' + n, born: date('2001-02-03') + duration({days: n}), \
         at: point({latitude: n / 10.0, longitude: 1.5}), tags: ['x', 'b', toString(n)]});\n\
         MATCH (a:Person), (b:Person) WHERE b.n = a.n + 1 CREATE (a)-[:KNOWS {since: a.n}]->(b);",
    ),
    (
        "V2__schema.cypher",
        "CREATE CONSTRAINT person_n FOR (p:Person) REQUIRE p.n IS UNIQUE;\nCREATE INDEX person_name FOR (p:Person) ON (p.name);",
    ),
    (
        "V3__left_behind.cypher",
        // By a name that is put together: a script may not name what is Whimbrel's.
        "WITH '__Whimbrel' + 'Script' AS script CREATE (n:$(script)) SET n.history = 'default', n.rank = 99, n.key = '9', \
         n.kind = 'Versioned', n.state = 'Started', n.live = 'default/9', n.checksum = 'c', n.run = 'another', n.statement = 0, \
         n.outside = 0, n.startedAt = 0, n.at = 0, n.version = '9', n.description = '', n.file = 'f', n.before = '';",
    ),
];

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dump-template");
        let _ = fs::remove_dir_all(&folder);
        let data = folder.join("data");
        fs::create_dir_all(&data).expect("room");
        let server = Server::make(&folder, &data, true);
        let proof = wait(async {
            let mut session = server.engine().enter(&fence(3)).await.expect("enters");
            for script in scripts(GRAPH) {
                session.apply("default", &script).await.unwrap_or_else(|error| panic!("{error:?}"));
            }
            session.leave(Claim::Keep).await.expect("leaves");
            // A session that nobody ends: its lock of neo4j-migrations comes along with every backup.
            let with_lock = server.engine_with(Format::Neo4jMigrations);
            std::mem::forget(with_lock.enter(&fence(3)).await.expect("enters"));
            server.engine().proof().await.expect("is read")
        });
        server.stop();
        Template { data, proof }
    })
}

pub(crate) fn scripts(files: &[(&str, &str)]) -> Vec<Script> {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    read_bundle(files, None, Dialect::Cypher).expect("a good bundle").scripts
}

impl World {
    pub(crate) fn new() -> Self {
        let room = wait(ROOM.acquire()).expect("it is never closed");
        let template = template();
        let folder = tempfile::tempdir().expect("a folder");
        let copied = Command::new("cp").arg("-a").arg(&template.data).arg(folder.path()).status();
        assert!(copied.expect("cp is there").success());
        fs::create_dir(folder.path().join("backups")).expect("a folder");
        Self { _room: room, folder, proof: template.proof.clone(), bucket: None }
    }

    /// The same with backups in a bucket.
    pub(crate) fn in_bucket(whose: &str) -> Self {
        let world = Self::new();
        Bucket::put_credentials(&world.path("bucket"));
        Self { bucket: Some(Bucket::new(whose)), ..world }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The server itself, on the data folder.
    pub(crate) fn server(&self) -> Server {
        Server::make(self.folder.path(), &self.data(), false)
    }
}

/// A server that runs. Killed if the test forgets it.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn make(folder: &Path, data: &Path, first: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let at = |name: &str| folder.join(name).display().to_string();
        let conf = folder.join("conf");
        fs::create_dir_all(&conf).expect("a folder");
        fs::create_dir_all(folder.join("plugins")).expect("a folder");
        let settings = format!(
            "server.directories.data={}\nserver.directories.logs={}\nserver.directories.run={}\nserver.directories.plugins={}\n\
             server.default_listen_address=127.0.0.1\nserver.bolt.listen_address=127.0.0.1:{port}\n\
             server.http.enabled=false\nserver.https.enabled=false\nserver.memory.heap.max_size=256m\n\
             server.memory.pagecache.size=32m\ndb.tx_log.preallocate=false\ndbms.usage_report.enabled=false\n\
             internal.server.bolt.thread_pool_shutdown_wait_time=0s\n\
             internal.server.bolt.connection_shutdown_wait_time=0s\n\
             server.jvm.additional=-XX:+UseSerialGC\nserver.jvm.additional=-XX:TieredStopAtLevel=1\n",
            data.display(),
            at("logs"),
            at("run"),
            at("plugins"),
        );
        fs::write(conf.join("neo4j.conf"), settings).expect("room");
        let tool = |program: &str| {
            let mut command = Command::new(home().join("bin").join(program));
            command.env("NEO4J_CONF", &conf);
            command
        };
        if first {
            let set = tool("neo4j-admin").args(["dbms", "set-initial-password", PASSWORD]).output();
            assert!(set.expect("the tool is there").status.success());
        }
        let line = tool("neo4j").args(["console", "--dry-run"]).output().expect("the tool is there");
        let line = String::from_utf8(line.stdout).expect("text");
        let log = File::create(folder.join("server.log")).expect("room");
        let child = Command::new("sh")
            .arg("-c")
            .arg(format!("set -f; exec {}", line.trim()))
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file"))
            .stdout(log)
            .spawn()
            .expect("the shell is there");
        let mut server = Self { child, port };
        until("the server answers", || {
            assert_eq!(server.child.try_wait().expect("a child"), None, "it ended: {}", at("server.log"));
            wait(async { server.engine().ready().await.is_ok() })
        });
        server
    }

    pub(crate) fn engine(&self) -> Neo4j {
        self.engine_with(Format::Whimbrel)
    }

    pub(crate) fn engine_with(&self, format: Format) -> Neo4j {
        Neo4j::new(Settings {
            target: "aether/graph".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: "neo4j".to_owned(),
            tls: Tls { mode: TlsMode::Disable, ca: None, client: None },
            credentials: Arc::new(|| {
                let (user, password) = ("neo4j".to_owned(), PASSWORD.to_owned());
                async move { Ok(Credentials { user, password }) }.boxed()
            }),
            histories: vec![History { name: "default".to_owned(), format }],
            identity_expect: None,
            connect_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(60),
            statement_timeout: Duration::ZERO,
            quiet_ignore: Vec::new(),
            diagnostics_full: false,
        })
    }

    /// The one value that a statement returns.
    pub(crate) fn value(&self, statement: &str) -> String {
        let rows =
            wait(async { self.engine().query(statement, Duration::from_secs(60)).await.expect("reads") });
        rows.rows[0][0].clone().unwrap_or_default()
    }

    pub(crate) fn proof(&self) -> Proof {
        wait(async { self.engine().proof().await.expect("is read") })
    }

    /// Stops it as a pod is stopped.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
        assert!(self.child.wait().expect("a child").success());
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("a child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
