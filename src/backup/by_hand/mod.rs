//! The script with which a person restores a verified backup: shown where the way back could not complete.
//!
//! One for each target, for a POSIX shell with `kubectl`. Nothing is destroyed by it: what is there now is put aside, and
//! the backup takes its name. Names of Secrets are in it, and nothing of what is in them.

mod export;
mod neo4j;
mod pod;
mod postgresql;
mod search;
mod shell;

use super::{Kept, Of};
use crate::api::{
    run::BackupRecord,
    target::{DatabaseTargetSpec, Neo4jMethod},
};

/// What is to be restored, and where.
#[derive(Clone, Debug)]
pub struct ByHand<'a> {
    /// The target's namespace.
    pub namespace: &'a str,
    /// The target.
    pub spec: &'a DatabaseTargetSpec,
    /// Whose backup it is.
    pub of: &'a Of,
    /// The backup.
    pub backup: &'a BackupRecord,
    /// Number of the run that ended; names what is put aside.
    pub run: u64,
    /// Replicas that the target's server had, where it is a workload of the cluster.
    pub replicas: i32,
    /// Image of this program: where backups are in a bucket, it fetches them.
    pub whimbrel_image: &'a str,
}

impl<'a> ByHand<'a> {
    /// The script; none where the target no longer says how its backups are made.
    pub fn script(&self) -> Option<String> {
        if self.spec.elasticsearch.is_some() || self.spec.opensearch.is_some() {
            return search::script(self);
        }
        if let Some(neo4j) = self.spec.neo4j.as_ref().filter(|it| it.backup.method == Neo4jMethod::Apoc) {
            return export::script(self, neo4j);
        }
        let (aside, commands) = match &self.spec.neo4j {
            Some(neo4j) => neo4j::commands(self, neo4j)?,
            None => postgresql::commands(self, self.spec.postgresql.as_ref()?)?,
        };
        Some(format!("{}\n# {aside}\n{}\n", self.head(), commands.join(" &&\n")))
    }

    fn head(&self) -> String {
        let (backup, of) = (self.backup, self.of);
        format!(
            "# Target {}: its backup of {}, taken by run {} and proven to level {}.",
            of.target,
            backup.at.0.strftime("%Y-%m-%d %H:%M:%SZ"),
            of.run,
            backup.level.as_str()
        )
    }

    fn kept(&self) -> Option<Kept<'a>> {
        self.spec.backup.storage.as_ref().and_then(Kept::of)
    }
}
