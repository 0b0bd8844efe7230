//! The fence row: one token that only grows, and the claim of one run.

use postgres_protocol::escape::escape_literal;

use super::connect::{Connection, server_said};
use super::schema::{check_format, may_not_use};
use super::settings::Settings;
use super::wire::ALL_ROWS;
use crate::engine::fence::admit;
use crate::engine::lost::Lost;
use crate::engine::{BlockedBy, Claim, ClaimSeen, EngineError, Fence};

/// The fence row as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Of the schema that it is in.
    pub(super) format: u32,
    pub(super) claimed: bool,
    pub(super) seen: ClaimSeen,
}

const COLUMNS: &str = "format, token, claimed, run_uid, run, plan, cluster";

/// Reads the row without holding anything.
pub(super) async fn peek(connection: &mut Connection, settings: &Settings) -> Result<Row, EngineError> {
    let sets = connection.read(settings, &format!("SELECT {COLUMNS} FROM whimbrel.fence")).await;
    let sets = sets.map_err(|error| denied(settings, connection, error))?;
    row(settings, sets.iter().flat_map(|set| &set.rows).next())
}

/// Locks the row, which waits for whoever is inside a guarded transaction, and leaves the transaction open: until it
/// ends nobody raises the token. Refuses, and ends it, if `fence` may not go in.
pub(super) async fn hold(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
) -> Result<(), EngineError> {
    let lost = |lost: Lost| lost.at(settings.at());
    let lock = format!(
        "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp; SELECT {COLUMNS} FROM whimbrel.fence FOR UPDATE"
    );
    let reply = connection.wire.query(&lock, ALL_ROWS).await.map_err(lost)?;
    let verdict = match reply.error {
        Some(error) if error.code == "55P03" => Err(EngineError::Busy {
            at: settings.at(),
            by: BlockedBy::unnamed("a transaction of an older session still holds the fence row"),
        }),
        Some(error) => Err(denied(settings, connection, server_said(settings, error))),
        None => row(settings, reply.sets.iter().flat_map(|set| &set.rows).next())
            .and_then(|row| admit(&settings.at(), row.claimed, &row.seen, fence)),
    };
    if verdict.is_err() {
        connection.wire.query("ROLLBACK", ALL_ROWS).await.map_err(lost)?;
    }
    verdict
}

/// Locks the row and makes it ours. What is read from the histories after this is evidence.
pub(super) async fn raise(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
) -> Result<(), EngineError> {
    let lost = |lost: Lost| lost.at(settings.at());
    hold(connection, settings, fence).await?;
    let write = format!(
        "UPDATE whimbrel.fence SET token = {}, claimed = true, run_uid = {}, run = {}, plan = {}, cluster = {}, \
         pid = pg_backend_pid(), raised_at = clock_timestamp(), entry = NULL, \
         backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()); COMMIT",
        fence.token,
        escape_literal(&fence.run_uid),
        fence.run,
        escape_literal(&fence.plan),
        escape_literal(&fence.cluster),
    );
    let reply = connection.wire.effect("raise the fence", &write, ALL_ROWS).await.map_err(lost)?;
    match reply.error {
        None => Ok(()),
        Some(error) => {
            connection.wire.query("ROLLBACK", ALL_ROWS).await.map_err(lost)?;
            Err(denied(settings, connection, server_said(settings, error)))
        }
    }
}

/// What a session says last: the claim as `claim` wants it, and its writes flushed to the statistics, which would
/// otherwise show them up to ten seconds later and look like somebody else's.
pub(super) fn farewell(fence: &Fence, claim: Claim, flush: bool) -> String {
    let give_up = match claim {
        Claim::Keep => String::new(),
        Claim::GiveUp => format!(
            "UPDATE whimbrel.fence SET claimed = false WHERE token OPERATOR(pg_catalog.=) {} AND run_uid OPERATOR(pg_catalog.=) {}; ",
            fence.token,
            escape_literal(&fence.run_uid)
        ),
    };
    let flush = if flush { "SELECT pg_catalog.pg_stat_force_next_flush(); " } else { "" };
    format!("{give_up}{flush}SELECT pg_catalog.pg_advisory_unlock_all()")
}

fn row(settings: &Settings, row: Option<&Vec<Option<String>>>) -> Result<Row, EngineError> {
    let column = |index: usize| row.and_then(|row| row.get(index)).and_then(Option::as_deref);
    let format = check_format(&settings.at(), column(0))?;
    let number = |index: usize| column(index).and_then(|text| text.parse().ok()).unwrap_or(0);
    let text = |index: usize| column(index).unwrap_or_default().to_owned();
    Ok(Row {
        format,
        claimed: column(2) == Some("t"),
        seen: ClaimSeen {
            token: number(1),
            run_uid: text(3),
            run: number(4),
            plan: text(5),
            cluster: text(6),
        },
    })
}

fn denied(settings: &Settings, connection: &Connection, error: EngineError) -> EngineError {
    match error {
        EngineError::Server { code, .. } if code == "42501" => may_not_use(settings, &connection.server.user),
        error => error,
    }
}
