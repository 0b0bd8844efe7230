//! Tables in which other tools keep their history.

use super::wire::Set;

/// Table name and the tool that makes it.
const TABLES: [(&str, &str); 15] = [
    ("flyway_schema_history", "Flyway"),
    ("schema_version", "Flyway before 5"),
    ("databasechangelog", "Liquibase"),
    ("_sqlx_migrations", "sqlx"),
    ("goose_db_version", "goose"),
    ("schema_migrations", "golang-migrate, Rails or dbmate"),
    ("refinery_schema_history", "refinery"),
    ("alembic_version", "Alembic"),
    ("__diesel_schema_migrations", "Diesel"),
    ("django_migrations", "Django"),
    ("_prisma_migrations", "Prisma"),
    ("knex_migrations", "Knex"),
    ("SequelizeMeta", "Sequelize"),
    ("__EFMigrationsHistory", "Entity Framework"),
    ("seaql_migrations", "SeaORM"),
];

/// Finds them in every schema: schema and table.
pub(super) fn query() -> String {
    let names: Vec<String> =
        TABLES.iter().map(|(table, _)| postgres_protocol::escape::escape_literal(table)).collect();
    format!(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relname IN ({}) AND {} ORDER BY 1, 2",
        names.join(", "),
        super::mark::USERS_SCHEMAS
    )
}

/// The rows of [`query`] as `schema.table (tool)`.
pub(super) fn named(set: Option<&Set>) -> Vec<String> {
    let rows = set.map_or(&[][..], |set| &set.rows);
    let name = |row: &Vec<Option<String>>| {
        let (schema, table) = (row[0].as_deref().unwrap_or(""), row[1].as_deref().unwrap_or(""));
        let tool = TABLES.iter().find(|(name, _)| *name == table).map_or("another tool", |(_, tool)| tool);
        format!("{schema}.{table} ({tool})")
    };
    rows.iter().map(name).collect()
}
