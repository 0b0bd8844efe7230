//! The ambiguity rule: before anything in the target is believed, older sessions of ours have ended.
//!
//! The server goes on with a message whose client is gone, COMMIT included, and its session keeps the lock until then.
//! So one that is executing is waited for; one that is not is ended, and seen gone by pid and start.

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::connect::Connection;
use super::history::timestamp;
use super::settings::Settings;
use super::wire::Set;
use crate::engine::ambiguity::{GONE_POLL, GONE_WITHIN, Verdict, judge};
use crate::engine::name::{Writer, prefix, writer};
use crate::engine::{BlockedBy, EngineError, Fence};

/// A session of ours that may write, other than the one that looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Older {
    pid: i32,
    writer: Writer,
    user: String,
    /// `None` where our role may not see it.
    state: Option<String>,
    /// Microseconds since 1970, as text; with the pid it names a session for ever. Not seen by every role.
    started: Option<String>,
    since: Option<Timestamp>,
}

const MICROSECONDS: &str = "(extract(epoch FROM a.backend_start) * 1000000)::bigint";
/// The query for [`older`].
pub(super) fn older_query(settings: &Settings) -> String {
    let prefix = postgres_protocol::escape::escape_literal(&prefix(&settings.target));
    format!(
        "SELECT a.pid, a.application_name, a.usename, a.state, {MICROSECONDS}, \
         (extract(epoch FROM coalesce(a.query_start, a.backend_start)) * 1000000)::bigint \
         FROM pg_stat_activity a JOIN pg_database d ON d.oid = a.datid \
         WHERE d.datname = current_database() AND a.pid <> pg_backend_pid() \
         AND starts_with(a.application_name, {prefix}) ORDER BY a.pid"
    )
}

/// Our writing sessions among the rows of [`older_query`].
pub(super) fn older(settings: &Settings, set: Option<&Set>) -> Vec<Older> {
    let rows = set.map_or(&[][..], |set| &set.rows);
    rows.iter()
        .filter_map(|row| {
            Some(Older {
                pid: row[0].as_deref()?.parse().ok()?,
                writer: writer(&settings.target, row[1].as_deref()?)?,
                user: row[2].clone().unwrap_or_default(),
                state: row[3].clone(),
                started: row[4].clone(),
                since: timestamp(row[5].as_deref()),
            })
        })
        .collect()
}

/// Looks for older sessions in this database and settles them.
pub(super) async fn look_and_settle(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
) -> Result<(), EngineError> {
    let sets = connection.read(settings, &older_query(settings)).await?;
    settle(connection, settings, fence, &older(settings, sets.first())).await
}

/// Ends every older session that does nothing. `Busy` if one executes, or can't be ended.
pub(super) async fn settle(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
    older: &[Older],
) -> Result<(), EngineError> {
    let busy = |by| EngineError::Busy { at: settings.at(), by };
    if let Some(running) = older.iter().find(|session| session.judged(fence) == Verdict::Wait) {
        return Err(busy(running.blocks("is executing a script")));
    }
    for session in older.iter().filter(|session| session.judged(fence) == Verdict::End) {
        end(connection, settings, session).await?;
    }
    Ok(())
}

async fn end(connection: &mut Connection, settings: &Settings, session: &Older) -> Result<(), EngineError> {
    let busy = |by| EngineError::Busy { at: settings.at(), by };
    let Some(started) = &session.started else {
        return Err(busy(session.blocks("can't be ended by our role")));
    };
    // Asked by start as well: the number may belong to somebody else by now.
    let same = format!("a.pid = {} AND {MICROSECONDS} = {started}", session.pid);
    let terminate = format!("SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE {same}");
    match connection.read(settings, &terminate).await {
        Ok(_) => {}
        Err(EngineError::Server { code, .. }) if code == "42501" => {
            return Err(busy(session.blocks("can't be ended by our role")));
        }
        Err(error) => return Err(error),
    }
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let seen =
            connection.read(settings, &format!("SELECT 1 FROM pg_stat_activity a WHERE {same}")).await?;
        if seen.iter().all(|set| set.rows.is_empty()) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(busy(session.blocks("does not end")));
        }
        sleep(GONE_POLL).await;
    }
}

impl Older {
    fn judged(&self, fence: &Fence) -> Verdict {
        // Of an unseen state the attempt to end it says whether we may.
        let executing = matches!(self.state.as_deref(), Some("active" | "fastpath function call"));
        judge(&self.writer, executing, fence)
    }

    fn blocks(&self, how: &str) -> BlockedBy {
        let Self { pid, writer, user, since, .. } = self;
        BlockedBy {
            what: format!(
                "pid {pid}, a session of run {} epoch {} (role {user}), {how}",
                writer.run, writer.token
            ),
            since: *since,
            sql: Some(format!("SELECT pg_terminate_backend({pid});")),
            pid: Some(*pid),
        }
    }
}

/// Tries the lock once; a row with the answer.
pub(super) fn try_lock(lock: i64) -> String {
    format!("SELECT pg_try_advisory_lock({lock})")
}

/// Whoever holds the lock now, for the sentence that says why we wait.
pub(super) async fn holder(
    connection: &mut Connection,
    settings: &Settings,
    lock: i64,
) -> Result<BlockedBy, EngineError> {
    let (high, low) = ((lock >> 32) & 0xffff_ffff, lock & 0xffff_ffff);
    let query = format!(
        "SELECT a.pid, a.application_name, a.usename, (extract(epoch FROM a.backend_start) * 1000000)::bigint \
         FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.classid = {high} AND l.objid = {low} AND l.objsubid = 1 \
         AND l.pid <> pg_backend_pid() \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    let sets = connection.read(settings, &query).await?;
    let Some(row) = sets.iter().flat_map(|set| &set.rows).next() else {
        let what = "the lock was held a moment ago".to_owned();
        return Ok(BlockedBy::unnamed(what));
    };
    let column = |index: usize| row[index].as_deref().unwrap_or("");
    Ok(BlockedBy {
        what: format!("pid {} (app={}, role {}) holds the lock", column(0), column(1), column(2)),
        since: timestamp(row[3].as_deref()),
        sql: Some(format!("SELECT pg_terminate_backend({});", column(0))),
        pid: column(0).parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(run: &str, token: u64, state: Option<&str>) -> Older {
        Older {
            pid: 412,
            writer: Writer { run: run.to_owned(), token },
            user: "app".to_owned(),
            state: state.map(str::to_owned),
            started: Some("1".to_owned()),
            since: Timestamp::from_second(1_000_000_000).ok(),
        }
    }

    #[test]
    fn by_its_state_a_session_executes_or_idles() {
        let judged = |state| session("0f5d7a1c", 3, state).judged(&Fence::of_run("0f5d7a1c-88aa", 5));
        assert_eq!(judged(Some("active")), Verdict::Wait);
        assert_eq!(judged(Some("fastpath function call")), Verdict::Wait);
        assert_eq!(judged(Some("idle")), Verdict::End);
        assert_eq!(judged(Some("idle in transaction (aborted)")), Verdict::End);
        assert_eq!(judged(None), Verdict::End);
    }

    #[test]
    fn the_sentence_says_who_and_what_to_run() {
        let by = session("0f5d7a1c", 4, Some("active")).blocks("is executing a script");
        assert_eq!(
            by.to_string(),
            "pid 412, a session of run 0f5d7a1c epoch 4 (role app), is executing a script, since 2001-09-09T01:46:40Z. \
             To end it: SELECT pg_terminate_backend(412);"
        );
    }
}
