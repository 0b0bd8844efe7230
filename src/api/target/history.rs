//! Named histories of a target, and which formats each engine can keep.

use crate::api::{bounds::NAME, words::words};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

words! {
    /// Who reads and writes a history's rows.
    #[derive(Default)]
    pub enum HistoryFormat {
        /// Whimbrel's own.
        #[default]
        Whimbrel,
        /// `flyway_schema_history`.
        Flyway,
        /// `_sqlx_migrations`.
        Sqlx,
        /// `goose_db_version`.
        Goose,
        /// `schema_migrations` of golang-migrate.
        GolangMigrate,
        /// `refinery_schema_history`.
        Refinery,
        /// `alembic_version`.
        Alembic,
        /// The graph of neo4j-migrations.
        Neo4jMigrations,
        /// The index `es_evolution`.
        ElasticsearchEvolution,
    }
}

/// A named series of scripts in one database; two teams' V001 in one database do not meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistorySpec {
    /// Name, unique in the target.
    #[schemars(length(min = 1, max = NAME), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Who keeps the rows; default Whimbrel.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("the format of a history does not change: with another one every script would be pending again; see adopt"))]
    pub format: HistoryFormat,
    /// Where an incumbent keeps its table; default is its own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The incumbent's table; default is its own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// One history named `default` in Whimbrel's format: what a target has that says nothing.
pub(crate) fn one_default() -> Vec<HistorySpec> {
    vec![HistorySpec { name: "default".into(), format: HistoryFormat::Whimbrel, schema: None, table: None }]
}

/// The schema of `histories` with only the formats that this engine can keep: a wrong pair can't be written.
fn narrowed(generator: &mut SchemaGenerator, formats: &[HistoryFormat]) -> Schema {
    let mut schema = Vec::<HistorySpec>::json_schema(generator);
    if let Some(format) = schema.pointer_mut("/items/properties/format") {
        format["enum"] = serde_json::json!(formats);
    }
    schema
}

pub(crate) fn sql(generator: &mut SchemaGenerator) -> Schema {
    use HistoryFormat::{Alembic, Flyway, GolangMigrate, Goose, Refinery, Sqlx, Whimbrel};
    narrowed(generator, &[Whimbrel, Flyway, Sqlx, Goose, GolangMigrate, Refinery, Alembic])
}

pub(crate) fn neo4j(generator: &mut SchemaGenerator) -> Schema {
    narrowed(generator, &[HistoryFormat::Whimbrel, HistoryFormat::Neo4jMigrations])
}

pub(crate) fn elasticsearch(generator: &mut SchemaGenerator) -> Schema {
    narrowed(generator, &[HistoryFormat::Whimbrel, HistoryFormat::ElasticsearchEvolution])
}

pub(crate) fn own(generator: &mut SchemaGenerator) -> Schema {
    narrowed(generator, &[HistoryFormat::Whimbrel])
}
