//! The ambiguity rule: before anything in the target is believed, older sessions of ours have ended.
//!
//! The server may go on with a statement whose client is gone. One that is executing is waited for; a connection that does
//! nothing is ended, and so is what is left of its transaction, and both are seen gone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::connect::{Connection, said, text};
use super::own::is_own;
use super::packstream::Value;
use super::settings::Settings;
use super::wire::ALL_ROWS;
use crate::engine::ambiguity::{GONE_POLL, GONE_WITHIN, Verdict, judge};
use crate::engine::name::{Writer, writer};
use crate::engine::{BlockedBy, EngineError, Fence};

/// A connection or a transaction of ours that may write, other than the one that looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Older {
    /// `bolt-12`; absent for a transaction whose connection is gone already.
    connection: Option<String>,
    /// `neo4j-transaction-123`
    transactions: Vec<String>,
    writer: Writer,
    executing: bool,
    since: Option<Timestamp>,
}

const CONNECTIONS: &str = "CALL dbms.listConnections() YIELD connectionId, userAgent, connectTime RETURN connectionId, userAgent, connectTime";
const TRANSACTIONS: &str = "SHOW TRANSACTIONS YIELD transactionId, connectionId, metaData, currentQuery, status, startTime \
    RETURN transactionId, connectionId, metaData, currentQuery, status, startTime";

/// Everything of ours that may write to this target.
async fn older(connection: &mut Connection, settings: &Settings) -> Result<Vec<Older>, EngineError> {
    let connections = connection.read(settings, CONNECTIONS, Value::map([])).await?;
    let transactions = connection.read(settings, TRANSACTIONS, Value::map([])).await?;
    let mine = connection.server.connection.clone();
    Ok(found(settings, &mine, &connections.rows, &transactions.rows))
}

fn found(
    settings: &Settings,
    mine: &str,
    connections: &[Vec<Value>],
    transactions: &[Vec<Value>],
) -> Vec<Older> {
    let mut found: BTreeMap<String, Older> = BTreeMap::new();
    for row in connections {
        let id = text(row.first());
        let Some(writer) = writer(&settings.target, &text(row.get(1))).filter(|_| id != mine) else {
            continue;
        };
        let since = text(row.get(2)).parse().ok();
        let one =
            Older { connection: Some(id.clone()), transactions: Vec::new(), writer, executing: false, since };
        found.insert(id, one);
    }
    for row in transactions {
        let (id, of) = (text(row.first()), text(row.get(1)));
        let name = row.get(2).and_then(|metadata| metadata.entry("whimbrel")).and_then(Value::as_text);
        let Some(writer) = name.and_then(|name| writer(&settings.target, name)).filter(|_| of != mine) else {
            continue;
        };
        let since = text(row.get(5)).parse().ok();
        let (query, status) = (text(row.get(3)), text(row.get(4)));
        // One that commits has no query any more, and its outcome matters as much.
        let executing =
            !query.is_empty() && !is_own(&query) && !status.starts_with("Terminated") || status == "Closing";
        let key = if of.is_empty() { id.clone() } else { of };
        let one = found.entry(key).or_insert_with(|| Older {
            connection: None,
            transactions: Vec::new(),
            writer,
            executing: false,
            since,
        });
        one.transactions.push(id);
        one.executing |= executing;
        if executing {
            one.since = since;
        }
    }
    found.into_values().collect()
}

/// Ends every older session that does nothing. `Busy` if one executes, or does not end.
pub(super) async fn settle(
    connection: &mut Connection,
    settings: &Settings,
    fence: &Fence,
) -> Result<(), EngineError> {
    let busy = |by| EngineError::Busy { at: settings.at(), by };
    let older = older(connection, settings).await?;
    if let Some(running) = older.iter().find(|one| judge(&one.writer, one.executing, fence) == Verdict::Wait)
    {
        return Err(busy(running.blocks("is executing a script")));
    }
    let ended: Vec<&Older> =
        older.iter().filter(|one| judge(&one.writer, one.executing, fence) == Verdict::End).collect();
    for one in &ended {
        end(connection, settings, one).await?;
    }
    let deadline = Instant::now() + GONE_WITHIN;
    while !ended.is_empty() {
        let now = self::older(connection, settings).await?;
        let Some(left) = ended.iter().find(|one| now.iter().any(|seen| seen.is_part_of(one))) else { break };
        if Instant::now() > deadline {
            return Err(busy(left.blocks("does not end")));
        }
        sleep(GONE_POLL).await;
    }
    Ok(())
}

async fn end(connection: &mut Connection, settings: &Settings, one: &Older) -> Result<(), EngineError> {
    let begin = connection.writing(settings, Settings::CONNECT_TIMEOUT);
    if let Some(id) = &one.connection {
        let kill = format!("CALL dbms.killConnection('{}')", id.replace(['\'', '\\'], ""));
        said(settings, connection.wire.alone("end an older connection", &kill, &begin, ALL_ROWS).await)?;
    }
    for id in &one.transactions {
        let terminate = format!("TERMINATE TRANSACTIONS '{}'", id.replace(['\'', '\\'], ""));
        said(
            settings,
            connection.wire.alone("end an older transaction", &terminate, &begin, ALL_ROWS).await,
        )?;
    }
    Ok(())
}

impl Older {
    fn is_part_of(&self, ended: &Older) -> bool {
        let connection = self.connection.is_some() && self.connection == ended.connection;
        connection || self.transactions.iter().any(|id| ended.transactions.contains(id))
    }

    fn blocks(&self, how: &str) -> BlockedBy {
        let Self { writer, connection, transactions, .. } = self;
        let what = connection.as_deref().or(transactions.first().map(String::as_str)).unwrap_or("something");
        let sql = match (transactions.first(), connection) {
            (Some(id), _) => format!("TERMINATE TRANSACTIONS '{id}'"),
            (None, Some(id)) => format!("CALL dbms.killConnection('{id}')"),
            (None, None) => String::new(),
        };
        BlockedBy {
            what: format!("{what}, a session of run {} epoch {}, {how}", writer.run, writer.token),
            since: self.since,
            sql: (!sql.is_empty()).then_some(sql),
            pid: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(run: &str, token: u64, executing: bool) -> Older {
        Older {
            connection: Some("bolt-7".to_owned()),
            transactions: vec!["neo4j-transaction-9".to_owned()],
            writer: Writer { run: run.to_owned(), token },
            executing,
            since: Timestamp::from_second(1_000_000_000).ok(),
        }
    }

    #[test]
    fn the_sentence_says_who_and_what_to_run() {
        assert_eq!(
            one("0f5d7a1c", 4, true).blocks("is executing a script").to_string(),
            "bolt-7, a session of run 0f5d7a1c epoch 4, is executing a script, since 2001-09-09T01:46:40Z. \
             To end it: TERMINATE TRANSACTIONS 'neo4j-transaction-9'"
        );
    }
}
