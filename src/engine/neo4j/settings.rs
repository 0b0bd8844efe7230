//! How one Neo4j database is reached and treated.

use crate::engine::DatabaseSettings;

/// Everything the engine needs to know about one target. An identity is the database's id, as `SHOW DATABASE` has it.
/// `statement_timeout` is for the population of an index too. What may quote data is the values of properties.
pub type Settings = DatabaseSettings<History>;

impl Settings {
    /// The declared histories that are kept as neo4j-migrations keeps its own.
    pub(super) fn peers(&self) -> impl Iterator<Item = &History> {
        self.histories.iter().filter(|history| history.format == Format::Neo4jMigrations)
    }

    /// Whether there is one.
    pub(super) fn has_peer(&self) -> bool {
        self.peers().next().is_some()
    }

    /// The format of a declared history.
    pub(super) fn format(&self, history: &str) -> Option<Format> {
        self.histories.iter().find(|declared| declared.name == history).map(|declared| declared.format)
    }
}

/// One declared history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Its name within the target.
    pub name: String,
    /// Who else reads its rows.
    pub format: Format,
}

/// How a history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// In nodes of Whimbrel's own.
    Whimbrel,
    /// As the chain of neo4j-migrations, which goes on with it.
    Neo4jMigrations,
}
