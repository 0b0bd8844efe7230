//! Whimbrel's own schema in the target: is it there, is it ours, make it.

use super::connect::{Connection, ident, server_said};
use super::settings::Settings;
use super::wire::NO_ROWS;
use crate::engine::EngineError;
use crate::engine::lost::Lost;

const MAKE: &str = include_str!("schema.sql");
/// From format 1 to 2.
const STEPS: &str = include_str!("steps.sql");
/// The layout of the tables and the functions in [`MAKE`] and [`STEPS`].
pub(super) const FORMAT: u32 = 2;
/// Can be read, and is brought up to [`FORMAT`] by the first who enters.
const OLDER: u32 = 1;
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

/// The format of a schema; one that another version of Whimbrel made and this one can't read is refused.
pub(super) fn check_format(at: &str, format: Option<&str>) -> Result<u32, EngineError> {
    match format.and_then(|format| format.parse::<u32>().ok()) {
        Some(known @ OLDER..=FORMAT) => Ok(known),
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
    run(connection, settings, "make the schema", &format!("BEGIN; {MAKE} {STEPS} COMMIT"), may_not_create)
        .await
}

/// Brings a schema of an older format up to ours. The caller holds the lock, and the fence admits it.
pub(super) async fn renew(connection: &mut Connection, settings: &Settings) -> Result<(), EngineError> {
    run(connection, settings, "renew the schema", &format!("BEGIN; {STEPS} COMMIT"), may_not_use).await
}

async fn run(
    connection: &mut Connection,
    settings: &Settings,
    what: &str,
    message: &str,
    may_not: fn(&Settings, &str) -> EngineError,
) -> Result<(), EngineError> {
    let lost = |lost: Lost| lost.at(settings.at());
    let reply = connection.wire.effect(what, message, NO_ROWS).await.map_err(lost)?;
    let Some(error) = reply.error else { return Ok(()) };
    connection.wire.query("ROLLBACK", NO_ROWS).await.map_err(lost)?;
    if error.code == "42501" {
        return Err(may_not(settings, &connection.server.user));
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
