//! Proves a dump to a level; each level includes the ones before it. The server's own volume is not there.

use super::{
    OfflineError,
    admin::{Admin, or_volume_full},
    private::{Private, free_port},
    take::DumpManifest,
};
use crate::backup::{
    BackupError, Level, Of, Storage,
    storage::Dump,
    take::{seconds_between, unless},
    verify::{Verified, shortened},
};
use crate::engine::{
    Engine as _, Stamp,
    neo4j::{History, Neo4j},
};
use jiff::Timestamp;
use std::{
    path::{Path, PathBuf},
    pin::{Pin, pin},
};

/// One dump to be proven.
#[derive(Clone, Debug)]
pub struct ProveDump {
    /// Where all backups are.
    pub storage: Storage,
    /// Folder of the backup below it.
    pub path: PathBuf,
    /// Whose it must be.
    pub of: Of,
    /// What it must reach.
    pub level: Level,
    /// Folder with room for the store, for every level but [`Level::Artifact`].
    pub scratch: PathBuf,
    /// The declared histories.
    pub histories: Vec<History>,
    /// What a private server on the store must say, for [`Level::Restored`].
    pub expected: Stamp,
}

/// Proves the dump, unless `stop` ends first. `progress` hears which level is being proven.
///
/// # Errors
/// What keeps the dump from the level.
pub async fn prove_dump(
    prove: &ProveDump,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(Level),
) -> Result<Verified, BackupError> {
    let mut stop = pin!(stop);
    if prove.level == Level::Restored && prove.expected.structure.is_none() {
        return Err(OfflineError::NothingExpected.into());
    }
    let begun = Timestamp::now();
    progress(Level::Artifact);
    let read = prove.storage.manifest(&prove.path, &prove.of);
    let (manifest, sha256): (DumpManifest, _) = unless(stop.as_mut(), read).await?;
    let dump = prove.storage.dump(&prove.path, &manifest.files)?;
    let mut restore_seconds = None;
    if prove.level == Level::Artifact {
        unless(stop.as_mut(), dump.sound(&manifest.files)).await?;
    } else {
        progress(Level::Structure);
        let loading = Timestamp::now();
        let store = Store::new(&prove.scratch, &manifest.source.database)?;
        let load = store.load(&dump, |_, _| ());
        unless(stop.as_mut(), dump.while_sound(&manifest.files, load)).await?;
        let loaded = Timestamp::now();
        unless(stop.as_mut(), store.admin.check(&store.database)).await?;
        if prove.level == Level::Restored {
            progress(Level::Restored);
            let target = &prove.of.target;
            store
                .serve(stop, target, &prove.histories, async |server| compare(&server, &prove.expected).await)
                .await?;
            restore_seconds = Some(seconds_between(loading, loaded));
        }
    }
    Ok(Verified {
        path: prove.path.display().to_string(),
        level: prove.level,
        at: manifest.started_at,
        sha256,
        bytes: manifest.bytes(),
        took_seconds: seconds_between(begun, Timestamp::now()),
        restore_seconds,
    })
}

/// What the server says, beside what it said before the run.
pub(super) async fn compare(server: &Neo4j, expected: &Stamp) -> Result<(), BackupError> {
    let differences = expected.differences(&server.proof().await?);
    if differences.is_empty() { Ok(()) } else { Err(BackupError::Different(shortened(differences))) }
}

/// A data folder of our own with one database in it.
pub(super) struct Store {
    pub(super) admin: Admin,
    pub(super) database: String,
    data: PathBuf,
    port: u16,
}

impl Store {
    /// Empty, in `folder`, which is made: `data` and what the tools write.
    pub(super) fn new(folder: &Path, database: &str) -> Result<Self, BackupError> {
        let (data, port) = (folder.join("data"), free_port()?);
        let admin = Admin::new(&folder.join("work"), &data, database, Some(port))?;
        Ok(Self { admin, database: database.to_owned(), data, port })
    }

    /// Fills it from a dump.
    pub(super) async fn load(&self, from: &Dump, progress: impl FnMut(u64, u64)) -> Result<(), BackupError> {
        let loaded = self.admin.load(&self.database, from, progress).await;
        loaded.map_err(|error| or_volume_full(error, self.admin_folder()))
    }

    fn admin_folder(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }

    /// Has a private server serve it for as long as `work` takes. It is stopped cleanly whatever comes of that, also when
    /// the pod is told to go.
    pub(super) async fn serve<T>(
        &self,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        target: &str,
        histories: &[History],
        work: impl AsyncFnOnce(Neo4j) -> Result<T, BackupError>,
    ) -> Result<T, BackupError> {
        let mut server = Private::start(&self.admin, self.port, target, &self.database, histories).await?;
        let done = async {
            let engine = server.ready().await?;
            work(engine).await
        };
        let done = unless(stop.as_mut(), done).await;
        let stopped = server.stop().await;
        // Why the work failed is what is to be read; that its server did not stop either is of no use to anybody.
        let done = done.map_err(|error| or_volume_full(error, self.admin_folder()))?;
        stopped.map(|()| done)
    }
}
