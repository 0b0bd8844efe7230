//! A DatabaseTarget with a `neo4j` block, opened.

use super::{Place, TargetError, database};
use crate::api::DatabaseTarget;
use crate::api::target::{HistoryFormat, Neo4j as Spec};
use crate::cluster::Acting;
use crate::engine::neo4j::{Format, History, Settings};

/// What the engine needs to know.
pub(super) async fn settings(
    acting: &Acting,
    target: &DatabaseTarget,
    spec: &Spec,
) -> Result<Settings, TargetError> {
    let (host, port) = address(&spec.uri).map_err(|why| TargetError::Address {
        target: target.metadata.name.clone().unwrap_or_default(),
        uri: spec.uri.clone(),
        why,
    })?;
    let history = |history: &crate::api::target::HistorySpec| History {
        name: history.name.clone(),
        format: match history.format {
            HistoryFormat::Neo4jMigrations => Format::Neo4jMigrations,
            _ => Format::Whimbrel,
        },
    };
    let place = Place { host, port, database: &spec.database, tls: &spec.tls };
    database(acting, target, place, spec.histories.iter().map(history).collect()).await
}

/// Host and port of `bolt://host:7687` or `neo4j://host`. Both mean this very server: a migration speaks to the one that
/// takes writes, and is told by a follower who that is.
pub(in crate::controller) fn address(uri: &str) -> Result<(String, u16), &'static str> {
    let (scheme, rest) = uri.split_once("://").ok_or("it has no scheme: write neo4j://<host>:7687")?;
    match scheme {
        "bolt" | "neo4j" => {}
        "bolt+s" | "neo4j+s" | "bolt+ssc" | "neo4j+ssc" => {
            return Err("spec.neo4j.tls says how the connection is encrypted: leave +s and +ssc out");
        }
        _ => return Err("its scheme is none of Bolt: write neo4j://<host>:7687"),
    }
    let authority = rest.trim_end_matches('/');
    if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
        return Err("it is more or less than host and port: write neo4j://<host>:7687");
    }
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    match port.map_or(Ok(7687), str::parse) {
        Ok(port) if port > 0 && !host.is_empty() => Ok((host.to_owned(), port)),
        _ => Err("its port is none: write neo4j://<host>:7687"),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (uri, host, port) in [
            ("neo4j://graph:7687", "graph", 7687),
            ("bolt://graph.data.svc", "graph.data.svc", 7687),
            ("bolt://10.0.0.1:17687/", "10.0.0.1", 17687),
            ("bolt://[::1]:7688", "::1", 7688),
        ] {
            assert_eq!(address(uri), Ok((host.to_owned(), port)));
        }
        for (uri, why) in [
            ("graph:7687", "it has no scheme: write neo4j://<host>:7687"),
            ("http://graph:7474", "its scheme is none of Bolt: write neo4j://<host>:7687"),
            ("neo4j+s://graph", "spec.neo4j.tls says how the connection is encrypted: leave +s and +ssc out"),
            ("neo4j://user:secret@graph", "it is more or less than host and port: write neo4j://<host>:7687"),
            ("neo4j://graph/other", "it is more or less than host and port: write neo4j://<host>:7687"),
            ("neo4j://graph:port", "its port is none: write neo4j://<host>:7687"),
            ("neo4j://:7687", "its port is none: write neo4j://<host>:7687"),
        ] {
            assert_eq!(address(uri), Err(why), "{uri}");
        }
    }
}
