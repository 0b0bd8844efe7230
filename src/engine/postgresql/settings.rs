//! How one PostgreSQL database is reached and treated.

use crate::engine::DatabaseSettings;

/// Everything the engine needs to know about one target. An identity is `<system identifier>/<database oid>`; the system
/// identifier alone is enough to expect. What may quote rows is DETAIL and CONTEXT.
pub type Settings = DatabaseSettings<History>;

impl Settings {
    /// The same server, another database of it.
    pub(super) fn inside(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }
}

/// One declared history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Its name within the target.
    pub name: String,
}
