//! Whether the database is silent: who else is connected, what writes without a connection, and the write mark.

use super::connect::{Connection, text};
use super::mark;
use super::packstream::Value;
use super::settings::Settings;
use crate::engine::ignore::not_ignored;
use crate::engine::name::prefix;
use crate::engine::{EngineError, ForeignSession, Quiet};

const CONNECTIONS: &str = "CALL dbms.listConnections() YIELD connectionId, connectTime, connector, username, userAgent, clientAddress \
    RETURN connectionId, connectTime, connector, username, userAgent, clientAddress";
/// Transactions whose connection is gone, as one over HTTP that stays open between two requests.
const TRANSACTIONS: &str = "SHOW TRANSACTIONS YIELD transactionId, connectionId, database, username, metaData, status, startTime \
    RETURN transactionId, connectionId, database, username, metaData, status, startTime";

/// What a transaction that has no connection is called.
const NO_CONNECTION: &str = "transaction without a connection";

/// Samples connections, obstacles and the write mark.
pub(super) async fn sample(connection: &mut Connection, settings: &Settings) -> Result<Quiet, EngineError> {
    let mut obstacles = Vec::new();
    if let Err(why) = provable(connection, settings).await? {
        obstacles.push(why);
    }
    let foreign = foreign(connection, settings).await?;
    let mark = match mark::read(connection, settings).await? {
        Ok(mark) => Some(mark),
        Err(why) => {
            obstacles.push(why);
            None
        }
    };
    Ok(Quiet { foreign, obstacles, mark })
}

/// Every connection to the server but ours, and transactions in this database that have none. A connection belongs to no
/// database, so one that works in another database of the server counts too: it may turn to this one at any time.
pub(super) async fn foreign(
    connection: &mut Connection,
    settings: &Settings,
) -> Result<Vec<ForeignSession>, EngineError> {
    let connections = connection.read(settings, CONNECTIONS, Value::map([])).await?;
    let transactions = connection.read(settings, TRANSACTIONS, Value::map([])).await?;
    let ours = prefix(&settings.target);
    let of_connections = connections.rows.iter().map(|row| ForeignSession {
        pid: pid(&text(row.first())),
        user: Some(text(row.get(3))),
        application: text(row.get(4)),
        address: Some(text(row.get(5))),
        state: None,
        backend_type: Some(format!("{} connection", text(row.get(2)))),
        since: text(row.get(1)).parse().ok(),
    });
    let known: Vec<String> = connections.rows.iter().map(|row| text(row.first())).collect();
    let here = |row: &&Vec<Value>| {
        text(row.get(2)).eq_ignore_ascii_case(&settings.database) && !known.contains(&text(row.get(1)))
    };
    let name = |row: &Vec<Value>| text(row.get(4).and_then(|metadata| metadata.entry("whimbrel")));
    let of_transactions = transactions.rows.iter().filter(here).map(|row| ForeignSession {
        pid: pid(&text(row.first())),
        user: Some(text(row.get(3))),
        application: name(row),
        address: None,
        state: Some(text(row.get(5))),
        backend_type: Some(NO_CONNECTION.to_owned()),
        since: text(row.get(6)).parse().ok(),
    });
    let all = of_connections.chain(of_transactions);
    let all = all.filter(|session| !session.application.starts_with(&ours) && !is_nobody(session));
    Ok(not_ignored(&settings.quiet_ignore, all))
}

/// A kubelet's look at a port comes and goes by itself, and never logs in, so that it can't write. One at a port for HTTP calls
/// itself by its name once its request has been read; one that only connects has said nothing, neither user nor program, as
/// everybody before the first word. What has logged in counts, whatever it calls itself.
fn is_nobody(session: &ForeignSession) -> bool {
    let kind = session.backend_type.as_deref().unwrap_or_default();
    let is_probe = kind.starts_with("http") && session.application.starts_with("kube-probe/");
    let is_silent = session.application.is_empty() && kind != NO_CONNECTION;
    session.user.as_deref().is_none_or(str::is_empty) && (is_probe || is_silent)
}

/// The number in `bolt-12`.
fn pid(id: &str) -> i32 {
    id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Whether our user sees everybody: on Community everybody does, on Enterprise administrators do.
pub(super) async fn provable(
    connection: &mut Connection,
    settings: &Settings,
) -> Result<Result<(), String>, EngineError> {
    if !connection.server.enterprise {
        return Ok(Ok(()));
    }
    let set = connection.read(settings, "SHOW CURRENT USER YIELD roles RETURN roles", Value::map([])).await?;
    let roles = set.rows.first().and_then(|row| row.first()).map(Value::texts).unwrap_or_default();
    if roles.iter().any(|role| role == "admin") {
        return Ok(Ok(()));
    }
    let user = &connection.server.user;
    Ok(Err(format!(
        "user {user} can't see the connections of others, so silence can't be proven. \
         An administrator must run: GRANT ROLE admin TO `{user}`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelets_look_is_nobody_and_who_has_logged_in_is_somebody() {
        let session = |user: &str, application: &str, kind: &str| ForeignSession {
            pid: 1,
            user: Some(user.to_owned()),
            application: application.to_owned(),
            address: None,
            state: None,
            backend_type: Some(format!("{kind} connection")),
            since: None,
        };
        assert!(is_nobody(&session("", "kube-probe/1.35", "http")));
        assert!(is_nobody(&session("", "", "http")) && is_nobody(&session("", "", "bolt")));
        assert!(!is_nobody(&session("neo4j", "kube-probe/1.35", "http")));
        assert!(!is_nobody(&session("neo4j", "", "http")));
        assert!(!is_nobody(&session("", "kube-probe/1.35", "bolt")));
        assert!(!is_nobody(&session("", "curl/8", "http")));
        let transaction =
            ForeignSession { backend_type: Some(NO_CONNECTION.to_owned()), ..session("", "", "") };
        assert!(!is_nobody(&transaction));
    }
}
