//! Whimbrel's own schema in the target: is it there, is it ours, make it.

use super::connect::{Connection, ident, server_said};
use super::settings::Settings;
use super::wire::{Lost, NO_ROWS};
use crate::engine::EngineError;

const MAKE: &str = include_str!("schema.sql");
/// The layout of the tables and the functions in [`MAKE`].
pub(super) const FORMAT: u32 = 1;
/// One lock per database; the number is the word `whimbrel` in ASCII. [`MAKE`] has it too.
pub(super) const LOCK: i64 = 8_604_243_006_615_348_588;

/// What is there under our name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    Absent,
    Present,
}

/// Two columns for a query that wants to know: is there a schema of our name, and is our fence in it.
pub(super) const SEEN: &str =
    "to_regnamespace('whimbrel') IS NOT NULL, to_regclass('whimbrel.fence') IS NOT NULL";

/// Judges the two columns of [`SEEN`].
pub(super) fn judge(at: &str, namespace: bool, fence: bool) -> Result<Schema, EngineError> {
    match (namespace, fence) {
        (false, _) => Ok(Schema::Absent),
        (true, true) => Ok(Schema::Present),
        (true, false) => Err(EngineError::Unsupported {
            at: at.to_owned(),
            reason: "it has a schema named whimbrel that is not Whimbrel's. Rename it.".to_owned(),
        }),
    }
}

/// Refuses a schema that another version of Whimbrel made and this one can't read.
pub(super) fn check_format(at: &str, format: Option<&str>) -> Result<(), EngineError> {
    match format.and_then(|format| format.parse::<u32>().ok()) {
        Some(FORMAT) => Ok(()),
        _ => Err(EngineError::Unsupported {
            at: at.to_owned(),
            reason: format!(
                "its schema whimbrel has format {}, this Whimbrel knows {FORMAT}. Use the Whimbrel that made it, or a newer one.",
                format.unwrap_or("none")
            ),
        }),
    }
}

/// Makes the schema in one transaction. The caller holds the lock.
pub(super) async fn make(connection: &mut Connection, settings: &Settings) -> Result<(), EngineError> {
    let lost = |lost: Lost| EngineError::Lost { at: settings.at(), reason: lost.reason };
    let message = format!("BEGIN; {MAKE} COMMIT");
    let reply = connection.wire.effect("make the schema", &message, NO_ROWS).await.map_err(lost)?;
    let Some(error) = reply.error else { return Ok(()) };
    connection.wire.query("ROLLBACK", NO_ROWS).await.map_err(lost)?;
    if error.code == "42501" {
        let user = &connection.server.user;
        return Err(may_not_create(settings, user));
    }
    Err(server_said(settings, error))
}

/// The role can't make the schema.
pub(super) fn may_not_create(settings: &Settings, user: &str) -> EngineError {
    EngineError::Privilege {
        at: settings.at(),
        what: format!("role {user} may not create a schema"),
        grant: format!("GRANT CREATE ON DATABASE {} TO {};", ident(&settings.database), ident(user)),
    }
}

/// The role can't use the schema that another role made, as after a rotation to a new user.
pub(super) fn may_not_use(settings: &Settings, user: &str) -> EngineError {
    let role = ident(user);
    EngineError::Privilege {
        at: settings.at(),
        what: format!("role {user} may not use the schema whimbrel, which another role made"),
        grant: format!(
            "GRANT USAGE ON SCHEMA whimbrel TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA whimbrel TO {role};"
        ),
    }
}
