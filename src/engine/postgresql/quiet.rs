//! One sample of the silence at the database.

use super::connect::Connection;
use super::mark;
use super::sessions::{SEES_ALL, blind, foreign, query};
use super::settings::Settings;
use super::wire::Set;
use crate::engine::{EngineError, Quiet};

/// What may write with no session of this database at the moment of looking: a prepared transaction is committed from
/// anywhere, a subscription's worker comes back, a job scheduler starts sessions of its own.
const OBSTACLES: &str = "\
SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid; \
SELECT subname FROM pg_subscription WHERE subenabled \
 AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY subname; \
SELECT to_regclass('cron.job') IS NOT NULL, to_regclass('timescaledb_information.jobs') IS NOT NULL";

const CRON: &str = "SELECT jobid FROM cron.job WHERE active AND database = current_database() ORDER BY jobid";
/// Below 1000 are the extension's own jobs.
const TIMESCALE: &str =
    "SELECT job_id FROM timescaledb_information.jobs WHERE scheduled AND job_id >= 1000 ORDER BY job_id";

/// Samples sessions, obstacles and the write mark.
pub(super) async fn sample(connection: &mut Connection, settings: &Settings) -> Result<Quiet, EngineError> {
    let sets = connection.read(settings, &format!("{}; {SEES_ALL}; {OBSTACLES}", query(settings))).await?;
    let mut obstacles = Vec::new();
    if !yes(sets.get(1), 0) {
        obstacles.push(blind(&connection.server.user));
    }
    for gid in names(sets.get(2)) {
        obstacles.push(format!(
            "prepared transaction {gid} is open and may be committed at any time. End it: ROLLBACK PREPARED '{gid}';"
        ));
    }
    for name in names(sets.get(3)) {
        let ident = super::connect::ident(name);
        obstacles.push(format!(
            "subscription {name} writes into this database. Stop it: ALTER SUBSCRIPTION {ident} DISABLE;"
        ));
    }
    for (installed, query, what) in
        [(yes(sets.get(4), 0), CRON, "pg_cron"), (yes(sets.get(4), 1), TIMESCALE, "timescaledb")]
    {
        if installed {
            obstacles.extend(jobs(connection, settings, what, query).await?);
        }
    }
    let mark = match mark::read(connection, settings).await? {
        Ok(mark) => Some(mark),
        Err(why) => {
            obstacles.push(why);
            None
        }
    };
    Ok(Quiet { foreign: foreign(settings, sets.first()), obstacles, mark })
}

/// The scheduled jobs as obstacles. A role that may not read them can't know that there are none.
async fn jobs(
    connection: &mut Connection,
    settings: &Settings,
    what: &str,
    query: &str,
) -> Result<Vec<String>, EngineError> {
    match connection.read(settings, query).await {
        Ok(sets) => Ok(names(sets.first())
            .map(|id| format!("{what} job {id} runs in this database. Stop it for the run."))
            .collect()),
        Err(EngineError::Server { code, message, .. }) if code == "42501" => {
            Ok(vec![format!("the jobs of {what} can't be read: {message}. Grant SELECT on them.")])
        }
        Err(error) => Err(error),
    }
}

fn names(set: Option<&Set>) -> impl Iterator<Item = &str> {
    set.into_iter().flat_map(|set| &set.rows).filter_map(|row| row.first()?.as_deref())
}

/// Whether this column of the first row is true.
fn yes(set: Option<&Set>, column: usize) -> bool {
    set.and_then(|set| set.rows.first())
        .and_then(|row| row.get(column))
        .is_some_and(|value| value.as_deref() == Some("t"))
}
