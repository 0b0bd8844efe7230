//! Takes an export and compares one with its manifest.

use crate::backup::{
    BackupError, FileDigest, Level, Of, Storage, Summary, TlsMode,
    attempt::{Attempt, Place, Whose},
    manifest::{FORMAT, FileManifest, Head},
    mounted::Mounted,
    offline::folder_of,
    take::{or_disk_full, seconds_between, unless},
    verify::Verified,
};
use crate::engine::{
    fixed_credentials,
    neo4j::{Credentials, Export, ExportError, Exported, Neo4j, Settings},
};
use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// A server under load answers late, and a Job has time.
const CONNECT: Duration = Duration::from_secs(60);
/// Bytes between the server and a bucket.
const BETWEEN: usize = 1 << 20;

/// How a Job reaches the graph: flags, and files for what is secret.
#[derive(Clone, Debug, Args)]
pub struct GraphConnection {
    /// Host name or address of the server.
    #[arg(long)]
    pub host: String,
    /// Port of the server.
    #[arg(long, default_value_t = 7687)]
    pub port: u16,
    /// Name of the database.
    #[arg(long)]
    pub database: String,
    /// What of the server's certificate is checked.
    #[arg(long, value_enum, default_value_t = TlsMode::VerifyFull)]
    pub tls: TlsMode,
    /// Folder of the credentials: `username` and `password`; perhaps `ca.crt`.
    #[arg(long)]
    pub credentials: PathBuf,
    /// The target as the fence has it: <namespace>/<name>
    #[arg(long)]
    pub fence_target: String,
}

/// One export to be taken.
#[derive(Clone, Debug)]
pub struct TakeExport {
    /// For whom.
    pub of: Of,
    /// The graph.
    pub connection: GraphConnection,
    /// What it is written as.
    pub export: Export,
    /// The driver's epoch; a target with a higher token is not touched.
    pub epoch: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Where all backups are.
    pub storage: Storage,
    /// Folder below it for this run: `<plan>/<run>`.
    pub run_folder: PathBuf,
}

/// What became of it; goes into the Job's termination message, in the words of other backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportTaken {
    /// Folder of the backup, relative to the storage's.
    pub path: String,
    /// When the export was begun.
    pub at: Timestamp,
    /// How long it took, in seconds.
    pub took_seconds: u64,
    /// Size of its file in bytes.
    pub bytes: u64,
    /// How many nodes are in it.
    pub nodes: u64,
    /// How many relationships.
    pub relationships: u64,
    /// SHA-256 of the manifest, which holds that of the file.
    pub sha256: String,
    /// All backups that are kept there now, this one included.
    pub kept: Summary,
}

/// The graph that an export was taken of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GraphSource {
    /// Name of the database.
    database: String,
    /// Version of the server.
    version: String,
    /// How many nodes it had.
    nodes: u64,
    /// How many relationships.
    relationships: u64,
}

impl GraphConnection {
    /// The engine, as the operator itself would open it.
    fn open(&self) -> Result<Neo4j, BackupError> {
        let mounted = Mounted(&self.credentials);
        let (user, password) = mounted
            .login()?
            .ok_or_else(|| BackupError::Credentials("username and password are missing".to_owned()))?;
        Ok(Neo4j::new(Settings {
            target: self.fence_target.clone(),
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            tls: mounted.tls(self.tls)?,
            credentials: fixed_credentials(Credentials { user, password }),
            histories: Vec::new(),
            identity_expect: None,
            connect_timeout: CONNECT,
            lock_timeout: Settings::LOCK_TIMEOUT,
            statement_timeout: Settings::STATEMENT_TIMEOUT,
            quiet_ignore: Vec::new(),
            diagnostics_full: false,
        }))
    }
}

/// Takes the export, unless `stop` ends first. `progress` hears how many nodes and relationships are written, of how many, and
/// what goes on.
///
/// # Errors
/// Whatever went wrong; the place of this attempt is then removed, and had no manifest at any time.
pub async fn take_export(
    take: &TakeExport,
    stop: impl Future<Output = ()>,
    progress: impl FnMut(u64, u64, &str),
) -> Result<ExportTaken, BackupError> {
    let engine = take.connection.open()?;
    // It becomes part of a path.
    let file = format!("{}.{}", folder_of(&take.connection.database)?, take.export.word());
    let attempt = Attempt::make(take.whose(&file)).await?;
    match unless(pin!(stop), write(take, &engine, &file, &attempt, progress)).await {
        Ok((manifest, sha256)) => {
            let kept = take.storage.summary().await;
            Ok(ExportTaken {
                path: attempt.keep(),
                at: manifest.started_at,
                took_seconds: seconds_between(manifest.started_at, manifest.finished_at),
                bytes: manifest.bytes(),
                nodes: manifest.source.nodes,
                relationships: manifest.source.relationships,
                sha256,
                kept,
            })
        }
        Err(error) => {
            let error = or_disk_full(error, &take.storage, &attempt, 0);
            attempt.discard().await;
            Err(error)
        }
    }
}

async fn write(
    take: &TakeExport,
    engine: &Neo4j,
    file: &str,
    attempt: &Attempt,
    mut progress: impl FnMut(u64, u64, &str),
) -> Result<(FileManifest<GraphSource>, String), BackupError> {
    let started_at = Timestamp::now();
    let progress = |done, all| progress(done, all, "nodes and relationships written");
    let (exported, written) = match attempt.place() {
        Place::Folder(data) => (into_folder(take, engine, &data.join(file), progress).await?, None),
        Place::Bucket(sender) => {
            let (mut ours, theirs) = tokio::io::duplex(BETWEEN);
            let mut exported = None;
            let export = async {
                exported = Some(export(take, engine, &mut ours, Path::new(file), progress).await?);
                // Only now its reader sees an end.
                drop(ours);
                Ok(())
            };
            let written = sender.send(0, theirs, export).await?;
            (exported.expect("it was sent to its end"), Some(written))
        }
    };
    let files = attempt.settle(written).await?;
    let manifest = FileManifest {
        format: FORMAT,
        engine: "neo4j".to_owned(),
        of: take.of.clone(),
        epoch: take.epoch,
        started_at,
        finished_at: Timestamp::now(),
        tool: format!("APOC {}", exported.apoc),
        source: GraphSource {
            database: take.connection.database.clone(),
            version: exported.server,
            nodes: exported.nodes,
            relationships: exported.relationships,
        },
        files,
    };
    let sha256 = attempt.commit(&manifest.text()).await?;
    Ok((manifest, sha256))
}

async fn into_folder(
    take: &TakeExport,
    engine: &Neo4j,
    path: &Path,
    progress: impl FnMut(u64, u64),
) -> Result<Exported, BackupError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir(folder).map_err(BackupError::file(folder))?;
    let file = tokio::fs::File::create_new(path).await.map_err(BackupError::file(path))?;
    let mut file = tokio::io::BufWriter::new(file);
    let exported = export(take, engine, &mut file, path, progress).await?;
    file.shutdown().await.map_err(BackupError::file(path))?;
    Ok(exported)
}

async fn export(
    take: &TakeExport,
    engine: &Neo4j,
    to: &mut (dyn AsyncWrite + Send + Unpin),
    path: &Path,
    progress: impl FnMut(u64, u64),
) -> Result<Exported, BackupError> {
    engine.export(take.export, take.epoch, to, progress).await.map_err(|error| match error {
        ExportError::Engine(error) => error.into(),
        ExportError::NotWhole(_) => BackupError::NotWhole(error.to_string()),
        ExportError::Io(error) => BackupError::file(path)(error),
    })
}

impl TakeExport {
    fn whose<'a>(&'a self, file: &'a str) -> Whose<'a> {
        let Self { of, epoch, attempt, storage, run_folder, .. } = self;
        Whose { of, epoch: *epoch, attempt: *attempt, storage, run_folder, file }
    }
}

/// One export to be compared with its manifest.
#[derive(Clone, Debug)]
pub struct ProveExport {
    /// Where all backups are.
    pub storage: Storage,
    /// Folder of the backup below it.
    pub path: PathBuf,
    /// Whose it must be.
    pub of: Of,
}

/// Compares the export with its manifest, which is all that can be proven of one.
///
/// # Errors
/// What differs.
pub async fn prove_export(prove: &ProveExport) -> Result<Verified, BackupError> {
    let begun = Timestamp::now();
    let (manifest, sha256): (Head, _) = prove.storage.manifest(&prove.path, &prove.of).await?;
    prove.storage.dump(&prove.path, &manifest.files)?.sound(&manifest.files).await?;
    Ok(Verified {
        path: prove.path.display().to_string(),
        level: Level::Artifact,
        at: manifest.started_at,
        sha256,
        bytes: manifest.files.iter().map(|file: &FileDigest| file.size).sum(),
        took_seconds: seconds_between(begun, Timestamp::now()),
        restore_seconds: None,
    })
}
